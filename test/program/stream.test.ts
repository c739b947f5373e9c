/** Standard input and compressed files as a source, as a user gives them. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { BINARY, fakeSsh, peakMemory, type Result, run, start, summaryOf } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { allocated } from "../helpers/sync.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const DATA = bytes(1, 3 * MIB + 4321);

/** A run that reads the file from a pipe; `then` is what the shell does with the pipe after it. */
function fromPipe(file: string, words: readonly string[], then = "true"): Promise<Result> {
  const argv0 = ["sh", "-c", `file=$1; shift; { cat "$file"; ${then}; } | "$@"`, "sh", file];
  return run(words, { argv0 });
}

function file(dir: TempDir, name: string, data: Uint8Array): string {
  fs.writeFileSync(dir.file(name), data);
  return dir.file(name);
}

describe("standard input", () => {
  test("makes a file equal that is not there, then writes only what differs, and cuts with -T", async () => {
    using dir = tempDir();
    const [from, to] = [file(dir, "from", DATA), dir.file("to")];
    const fresh = summaryOf(await fromPipe(from, ["--json", "-", to]));
    expect(fresh).toMatchObject({ exitCode: 0, source: "-", sizeBytes: DATA.length, bytesWritten: DATA.length });
    expect(fs.readFileSync(to).equals(DATA)).toBe(true);
    fs.writeFileSync(to, Buffer.concat([changeLeaves(DATA, [3, 700]), bytes(2, 99)]));
    const again = await fromPipe(from, ["-T", "--verify", "--json", "-", to]);
    expect(summaryOf(again)).toMatchObject({ exitCode: 0, bytesWritten: 8192, verified: true });
    expect(summaryOf(again)["sourceFingerprint"]).toBe(fresh["sourceFingerprint"] ?? "");
    expect(fs.readFileSync(to).equals(DATA)).toBe(true);
    const [start = ""] = again.stdout.split("\n");
    expect(JSON.parse(start)).toMatchObject({ event: "start", sizeBytes: null, blocksTotal: null });
    const dry = await fromPipe(from, ["-n", "-", to]);
    expect({ exitCode: dry.exitCode, stderr: dry.stderr }).toEqual({
      exitCode: 0,
      stderr: expect.stringContaining("3.0 MiB equal; nothing was written (dry run)"),
    });
  });

  test("that ends before its first byte leaves the destination as it was, also with -T", async () => {
    using dir = tempDir();
    const [from, to] = [file(dir, "from", Buffer.alloc(0)), file(dir, "to", DATA)];
    const result = await fromPipe(from, ["-T", "-", to]);
    expect(result).toMatchObject({
      exitCode: 4,
      stderr:
        "blocksync: Cannot read standard input: it ended before its first byte, so nothing was written\nblocksync: hint: the command that writes to it may have failed\n",
    });
    expect(fs.readFileSync(to).equals(DATA)).toBe(true);
  });

  test("that is a file, from its beginning, is read as that file: holes, lanes and the same file are known", async () => {
    using dir = tempDir();
    const from = file(dir, "from", DATA);
    fs.truncateSync(from, 64 * MIB);
    const redirected = (words: readonly string[], then = "true") =>
      run(words, { argv0: ["sh", "-c", `file=$1; shift; { ${then}; "$@"; } < "$file"`, "sh", from] });
    const whole = await redirected(["--json", "-w", "2", "-", dir.file("to")]);
    expect(summaryOf(whole)).toMatchObject({ exitCode: 0, sizeBytes: 64 * MIB, bytesWritten: 770 * 4096 });
    const onto = await redirected(["-f", "-", from]);
    expect(onto.stderr).toContain(`Standard input is the destination, "${from}", itself`);
    expect(onto.exitCode).toBe(2);
    // What another command has read of it is not the source's any more.
    const rest = await redirected(["-q", "-", dir.file("rest")], "head -c 4096 >/dev/null");
    expect(rest).toMatchObject({ exitCode: 0, stderr: "" });
    expect(fs.readFileSync(dir.file("rest")).equals(fs.readFileSync(from).subarray(4096))).toBe(true);
  });

  test("goes to a far side as it comes", async () => {
    using dir = tempDir();
    const [from, to] = [file(dir, "from", DATA), file(dir, "to", changeLeaves(DATA, [9]))];
    const words = [...fakeSsh(dir.file("rsh")), "-S", BINARY, "--json", "-", `host:${to}`];
    const summary = summaryOf(await fromPipe(from, words));
    expect(summary).toMatchObject({ exitCode: 0, bytesWritten: 4096, destination: `host:${to}` });
    expect(Number(summary["bytesSent"])).toBeLessThan(16_384);
    expect(fs.readFileSync(to).equals(DATA)).toBe(true);
  });

  test("is refused where it has no meaning, or cannot do what is asked", async () => {
    using dir = tempDir();
    const [from, to] = [file(dir, "from", DATA), dir.file("to")];
    const only = "Only the source of a sync can be standard input";
    for (const [words, message] of [
      [[from, "-"], only],
      [["compare", "-", from], only],
      [["-", "host:"], '"host:" names no path'],
      [["-w", "2", "-", to], '--workers does not go with "standard input", which is read once'],
      [["--on-read-error", "skip", "-", to], '--on-read-error skip does not go with "standard input"'],
    ] as const) {
      const result = await fromPipe(from, words);
      expect({ words, exitCode: result.exitCode }).toEqual({ words, exitCode: 2 });
      expect(result.stderr).toContain(message);
    }
    expect(fs.existsSync(to)).toBe(false);
  });

  test("that is not what --source-size says is exit 7, and says how far the destination is equal", async () => {
    using dir = tempDir();
    const [from, to] = [file(dir, "from", DATA), dir.file("to")];
    const short = await fromPipe(from, ["-q", "--source-size", "4M", "-", to]);
    expect(short.stderr).toContain(
      `"standard input" ended after ${DATA.length} bytes, where --source-size says 4194304; the destination was left as it was\n`,
    );
    expect(short.exitCode).toBe(7);
    expect((await fromPipe(from, ["-q", "--source-size", String(DATA.length), "-", to])).exitCode).toBe(0);
  });
});

describe("a compressed file", () => {
  test("is copied as it is to a file, with --decompress always unpacked, here and from a far side", async () => {
    using dir = tempDir();
    const packed = Bun.zstdCompressSync(DATA);
    const from = file(dir, "image.zst", packed);
    const to = dir.file("to");
    expect((await run(["-q", from, to])).exitCode).toBe(0);
    expect(fs.readFileSync(to).equals(packed)).toBe(true);
    const always = ["-q", "-T", "--decompress", "always"];
    expect((await run([...always, from, to])).exitCode).toBe(0);
    expect(fs.readFileSync(to).equals(DATA)).toBe(true);
    const far = [...fakeSsh(dir.file("rsh")), "-S", BINARY, `host:${from}`];
    expect((await run([...always, ...far, dir.file("far")])).exitCode).toBe(0);
    expect(fs.readFileSync(dir.file("far")).equals(DATA)).toBe(true);
    const plain = await run([...always, to, dir.file("plain")]);
    expect(plain.stderr).toContain(
      `Cannot unpack "${to}": it is not compressed, or not by gzip, zstd, xz, bzip2, zip of one file\n`,
    );
    expect({ exitCode: plain.exitCode, there: fs.existsSync(dir.file("plain")) }).toEqual({
      exitCode: 4,
      there: false,
    });
  });

  test("of zeros, packed to nearly nothing, takes no space and no more memory than any other", async () => {
    using dir = tempDir();
    const one = Bun.zstdCompressSync(Buffer.alloc(64 * MIB));
    const from = file(dir, "zeros.zst", Buffer.concat(Array.from({ length: 16 }, () => one)));
    const child = start(["-q", "--decompress", "always", from, dir.file("to")]);
    const peak = await peakMemory(child);
    expect({ stderr: await child.stderr.text(), exitCode: await child.exited }).toEqual({ stderr: "", exitCode: 0 });
    expect(fs.statSync(dir.file("to")).size).toBe(1024 * MIB);
    expect(allocated(dir.file("to"))).toBeLessThan(MIB);
    expect(peak).toBeLessThan(160e6);
  });

  test("that is cut short is exit 4, and says how far the destination is equal", async () => {
    using dir = tempDir();
    const data = bytes(3, 40 * MIB);
    const packed = Bun.gzipSync(Uint8Array.from(data), { level: 1 });
    const from = file(dir, "image.gz", packed.subarray(0, -1000));
    const to = file(dir, "to", bytes(4, 40 * MIB));
    const result = await run(["--decompress", "always", "--progress", "none", from, to]);
    expect(result.stderr).toContain(
      `blocksync: Cannot unpack "${from}" (gzip): it ends too early; the first ${32 * MIB} bytes of the destination were made equal to what came before, and the rest was left as it was\n`,
    );
    expect(result.stderr).toMatch(/Stopped after \d+\.\d s: 32\.0 MiB of (39|40)\.\d MiB done, 32\.0 MiB written\n/);
    expect(result.exitCode).toBe(4);
    const there = fs.readFileSync(to);
    expect(there.subarray(0, 32 * MIB).equals(data.subarray(0, 32 * MIB))).toBe(true);
    expect(there.subarray(32 * MIB).equals(bytes(4, 40 * MIB).subarray(32 * MIB))).toBe(true);
  });

  test("that is written to meanwhile is exit 7", async () => {
    using dir = tempDir();
    const from = file(dir, "image.gz", Bun.gzipSync(Uint8Array.from(DATA)));
    const late = new Date(Date.now() + 5000);
    const touch = `while [ ! -e "$2" ]; do :; done; touch -d @${Math.floor(late.getTime() / 1000)} "$1"`;
    const child = Bun.spawn(["sh", "-c", touch, "sh", from, dir.file("to")]);
    const result = await run(["-q", "-p", "200", "--decompress", "always", from, dir.file("to")]);
    await child.exited;
    expect(result.stderr).toContain(`The source "${from}" changed during the run`);
    expect(result.exitCode).toBe(7);
  });
});
