/** --workers: several connections, one run. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { type ArgsDef, parseArgs } from "citty";
import { parseLocation } from "../../src/cli/location.ts";
import { syncCommandOptions } from "../../src/cli/options.ts";
import { syncOptions } from "../../src/cli/table.ts";
import { InterruptedError } from "../../src/errors.ts";
import { createOutput } from "../../src/report/output.ts";
import { Report } from "../../src/report/report.ts";
import { Lanes } from "../../src/run/lanes.ts";
import { BINARY, fakeSsh, processesWith, run, start, summaryOf, until } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { openOf } from "../helpers/descriptors.ts";
import { attachLoop } from "../helpers/loop.ts";
import { testWith } from "../helpers/requirements.ts";
import { allocated } from "../helpers/sync.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const LEAVES_PER_MIB = 256;

/** A stand-in for ssh that notes each start in `calls` and runs `script` first, with the number of the start as $n. */
function countingSsh(dir: TempDir, script: string): string[] {
  const calls = dir.file("calls");
  const path = dir.file("counting-ssh");
  // Two that start at once must not have one number, and only one can make a directory.
  const count = `mkdir -p "${calls}"; n=1; until mkdir "${calls}/$n" 2>/dev/null; do n=$((n + 1)); done`;
  fs.writeFileSync(path, `#!/bin/sh\n${count}\n${script}\nshift\nexec sh -c "$*"\n`, { mode: 0o755 });
  return ["-e", JSON.stringify(path)];
}

function starts(dir: TempDir): number {
  return fs.readdirSync(dir.file("calls")).length;
}

/** Nine blocks and a bit; the destination differs in one leaf of blocks 0, 4 and 9. */
function writePair(dir: TempDir): Buffer {
  const data = bytes(51, 9 * MIB + 5000);
  fs.writeFileSync(dir.file("s"), data);
  fs.writeFileSync(dir.file("d"), changeLeaves(data, [0, 4 * LEAVES_PER_MIB + 7, 9 * LEAVES_PER_MIB + 1]));
  return data;
}

describe("--workers", () => {
  test("-w 3 shares the blocks among three connections, one upload, each with its line", async () => {
    using dir = tempDir();
    const data = writePair(dir);
    const env = { BLOCKSYNC_REMOTE_DIR: dir.file("cache") };
    const words = ["-w", "3", "-l", "0", "--json", ...countingSsh(dir, "")];
    const result = await run([...words, dir.file("s"), `host:${dir.file("d")}`], { env });
    const summary = summaryOf(result);
    expect(summary).toMatchObject({ exitCode: 0, blocksTotal: 10, blocksDiffering: 3, bytesWritten: 4096 * 2 + 904 });
    expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
    expect(starts(dir)).toBe(3);
    const uploaded = Number(summary["bytesBootstrapped"]);
    expect(uploaded).toBeGreaterThan(10 * MIB);
    expect(uploaded).toBeLessThan(1.5 * fs.statSync("dist/blocksync").size);
    expect(result.stdout).toContain('"lanes":3');

    const again = await run([...words.filter((word) => word !== "--json"), dir.file("s"), `host:${dir.file("d")}`], {
      env,
    });
    expect(again.exitCode).toBe(0);
    const lines = [...again.stderr.matchAll(/\[worker (\d)\] same: (\d+), diff: 0, (\d+)\/(\d+),/g)].slice(-3);
    expect(lines.map(([, worker]) => worker)).toEqual(["0", "1", "2"]);
    // Whoever is through with a piece takes the next.
    for (const [, , same, done, all] of lines) expect([same, done]).toEqual([all, all]);
    expect(lines.reduce((sum, [, , same]) => sum + Number(same), 0)).toBe(10);
  });

  test("what is sent and received is this machine's, of all lanes together", async () => {
    using dir = tempDir();
    const size = 6 * MIB;
    fs.writeFileSync(dir.file("s"), bytes(53, size));
    const words = ["-q", "--json", "-w", "3", "-l", "0", "-S", BINARY, ...fakeSsh(dir.file("fake-ssh"))];
    const few = { least: 100, most: 100_000 };
    const all = { least: size, most: 1.01 * size };
    for (const [from, to, sent, received] of [
      [dir.file("s"), `host:${dir.file("pushed")}`, all, few],
      [`host:${dir.file("s")}`, dir.file("pulled"), few, all],
    ] as const) {
      const { bytesSent, bytesReceived, exitCode } = summaryOf(await run([...words, from, to]));
      expect(exitCode).toBe(0);
      for (const [count, { least, most }] of [
        [bytesSent, sent],
        [bytesReceived, received],
      ] as const) {
        expect(Number(count)).toBeGreaterThanOrEqual(least);
        expect(Number(count)).toBeLessThanOrEqual(most);
      }
    }
  });

  test("a destination that does not exist is created once, sparse, and pulled as well as pushed", async () => {
    using dir = tempDir();
    const data = bytes(52, 8 * MIB);
    data.fill(0, 2 * MIB, 6 * MIB);
    fs.writeFileSync(dir.file("s"), data);
    const ssh = fakeSsh(dir.file("fake-ssh"));
    for (const [from, to, file] of [
      [dir.file("s"), `host:${dir.file("pushed")}`, "pushed"],
      [`host:${dir.file("s")}`, dir.file("pulled"), "pulled"],
      [dir.file("s"), dir.file("copied"), "copied"],
    ] as const) {
      const result = await run(["-w", "4", "-l", "0", "--json", ...ssh, from, to]);
      expect(summaryOf(result)).toMatchObject({ exitCode: 0, blocksDiffering: 4, bytesWritten: 4 * MIB });
      expect(fs.readFileSync(dir.file(file)).equals(data)).toBe(true);
      expect(allocated(dir.file(file))).toBeLessThanOrEqual(4.1 * MIB);
    }
  });

  test("there are never more lanes than blocks, and an empty source needs one", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(53, 2 * MIB));
    fs.writeFileSync(dir.file("empty"), "");
    const ssh = countingSsh(dir, "");
    expect((await run(["-w", "64", "-l", "0", ...ssh, dir.file("s"), `host:${dir.file("d")}`])).exitCode).toBe(0);
    expect(starts(dir)).toBe(2);
    expect((await run(["-w", "64", "-l", "0", ...ssh, dir.file("empty"), `host:${dir.file("e")}`])).exitCode).toBe(0);
    expect(starts(dir)).toBe(3);
  });

  test("a dry run counts the same with any number of lanes and creates nothing", async () => {
    using dir = tempDir();
    writePair(dir);
    const ssh = fakeSsh(dir.file("fake-ssh"));
    const words = ["-n", "--json", "-w", "5", "-l", "0", ...ssh, dir.file("s")];
    expect(summaryOf(await run([...words, `host:${dir.file("d")}`]))).toMatchObject({
      exitCode: 1,
      blocksDiffering: 3,
      bytesWritten: 0,
    });
    expect((await run([...words, `host:${dir.file("none")}`])).exitCode).toBe(1);
    expect(fs.existsSync(dir.file("none"))).toBe(false);
  });

  test("one lane's failure ends the run with its cause, and no process stays behind", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(54, 8 * MIB));
    const ssh = countingSsh(dir, 'if [ "$n" = 3 ]; then echo "third line is cut" >&2; exit 255; fi');
    const words = ["-w", "4", "-l", "50", "--bwlimit", "100K", "--no-compress", ...ssh, "-S", "dist/blocksync"];
    const result = await run([...words, dir.file("s"), `host:${dir.file("d-cut")}`]);
    expect(result.exitCode).toBe(5);
    expect(result.stderr).toContain("third line is cut");
    await until("the far sides are gone", () => processesWith(dir.file("")).length === 0);
  });

  test("a lane that is still connecting ends with the run", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(54, 8 * MIB));
    const hang = dir.file("hang");
    fs.writeFileSync(hang, "#!/bin/sh\nwhile :; do sleep 0.01; done\n", { mode: 0o755 });
    // The second lane hangs in its login, the third fails once it does.
    const script = `if [ "$n" = 2 ]; then exec "${hang}"; fi; if [ "$n" = 3 ]; then exit 255; fi`;
    const words = ["-w", "3", "-l", "300", "--bwlimit", "100K", "--no-compress", ...countingSsh(dir, script)];
    const result = await run([...words, "-S", "dist/blocksync", dir.file("s"), `host:${dir.file("d")}`]);
    expect(result.exitCode).toBe(5);
    await until("the hanging login is gone", () => processesWith(hang).length === 0);
  });

  test("an interrupted run ends every lane", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(55, 8 * MIB));
    const words = ["-w", "4", "-l", "0", "--bwlimit", "100K", "--no-compress", ...countingSsh(dir, "")];
    const child = start([...words, "-S", "dist/blocksync", dir.file("s"), `host:${dir.file("d")}`]);
    await until("all lanes have been started", () => fs.existsSync(dir.file("calls")) && starts(dir) === 4);
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    await until("the far sides are gone", () => processesWith(dir.file("")).length === 0);
  });

  test("an interrupted run ends after its connections have, not before", async () => {
    using dir = tempDir();
    const data = bytes(59, 8 * MIB);
    fs.writeFileSync(dir.file("s"), data);
    fs.mkdirSync(dir.file("gone"));
    // As an ssh that is not gone before its line is down.
    const script = `shift; trap "" TERM; sh -c "$*"; sleep 0.2; mkdir "${dir.file("gone")}/$n"; exit`;
    const words = ["-w", "2", "-l", "0", "-p", "100000", ...countingSsh(dir, script)];
    const child = start([...words, "-S", BINARY, dir.file("s"), `host:${dir.file("d")}`]);
    const written = (offset: number) =>
      fs
        .readFileSync(dir.file("d"))
        .subarray(offset, offset + MIB)
        .equals(data.subarray(offset, offset + MIB));
    await until("both lanes copy", () => fs.existsSync(dir.file("d")) && written(0) && written(MIB));
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    expect(fs.readdirSync(dir.file("gone")).toSorted()).toEqual(["1", "2"]);
  });

  testWith("strace")(
    "--fadvise is about this machine with 1, about the other with 2; of two paths here the second",
    async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("s"), bytes(60, MIB));
      const far = [...fakeSsh(dir.file("fake-ssh")), "-S", BINARY];
      const [here, there] = [(name: string) => dir.file(name), (name: string) => `host:${dir.file(name)}`];
      for (const [value, from, to, name] of [
        ["1", here, here, "s"],
        ["2", here, here, "d"],
        ["1", here, there, "s"],
        ["1", there, here, "d"],
      ] as const) {
        const trace = dir.file("trace");
        const argv0 = ["strace", "-f", "-y", "-o", trace, "-e", "trace=fadvise64"];
        expect((await run(["--fadvise", value, ...far, from("s"), to("d")], { argv0 })).exitCode).toBe(0);
        const calls = fs.readFileSync(trace, "utf8").matchAll(/fadvise64\(\d+<([^>]*)>.*POSIX_FADV_DONTNEED/g);
        expect(new Set([...calls].map(([, path]) => path))).toEqual(new Set([dir.file(name)]));
      }
    },
  );

  test("a name that leads to another machine the second time is refused, and nothing is touched there", async () => {
    using dir = tempDir();
    for (const name of ["one", "two"]) fs.mkdirSync(dir.file(name));
    fs.writeFileSync(dir.file("s"), bytes(56, 4 * MIB));
    fs.writeFileSync(dir.file("two/d"), "another machine's file");
    const script = `if [ "$n" = 1 ]; then cd "${dir.file("one")}"; else cd "${dir.file("two")}"; fi`;
    const words = ["-w", "2", "-l", "0", ...countingSsh(dir, script)];
    for (const name of ["d", "missing-there"]) {
      fs.rmSync(dir.file("calls"), { recursive: true, force: true });
      const result = await run([...words, dir.file("s"), `host:${name}`]);
      expect(result.exitCode).toBe(3);
      expect(result.stderr).toContain(
        "another lane found a different destination under the same name (other-destination)",
      );
    }
    expect(fs.readFileSync(dir.file("two/d"), "utf8")).toBe("another machine's file");
    expect(fs.readdirSync(dir.file("two"))).toEqual(["d"]);
  });

  testWith("loop")("the lanes of one run share its claim of a device", async () => {
    using dir = tempDir();
    const data = bytes(57, 8 * MIB);
    fs.writeFileSync(dir.file("s"), data);
    fs.writeFileSync(dir.file("disk"), bytes(58, 8 * MIB));
    using loop = attachLoop(dir.file("disk"));
    const ssh = fakeSsh(dir.file("fake-ssh"));
    for (const to of [loop.path, `host:${loop.path}`]) {
      const result = await run(["-f", "-w", "4", "-l", "0", "--json", ...ssh, dir.file("s"), to]);
      expect(summaryOf(result)).toMatchObject({ exitCode: 0, blocksTotal: 8 });
    }
    expect(fs.readFileSync(dir.file("disk")).equals(data)).toBe(true);
  });
});

describe("Lanes", () => {
  /** Two files, and what a sync without options opens of them. */
  function lanesOf(dir: TempDir): Lanes {
    for (const name of ["s", "d"]) fs.writeFileSync(dir.file(name), bytes(61, MIB));
    const options = syncCommandOptions(parseArgs([], structuredClone<ArgsDef>(syncOptions)));
    const report = new Report(createOutput({ file: undefined, quiet: true, verbose: false, draws: false }), options);
    const [source, destination] = [parseLocation(dir.file("s")), parseLocation(dir.file("d"))];
    const more = { access: "write", examine: "itself", undo: undefined } as const;
    return new Lanes(source, destination, { ...options, ...more }, report, new AbortController().signal);
  }

  test("close all that was opened", async () => {
    using dir = tempDir();
    const lanes = lanesOf(dir);
    await lanes.open(0);
    await lanes.open(1);
    expect(new Set(openOf(dir.path))).toEqual(new Set([dir.file("s"), dir.file("d")]));
    await lanes.close();
    expect(openOf(dir.path)).toEqual([]);
  });

  test("close what was still being opened when they were closed", async () => {
    using dir = tempDir();
    const lanes = lanesOf(dir);
    const opening = lanes.open(0);
    opening.catch(() => undefined);
    await lanes.close();
    await expect(opening).rejects.toThrow(InterruptedError);
    expect(openOf(dir.path)).toEqual([]);
  });
});
