/** Things that went wrong once, each red before it was mended. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { BINARY, fakeSsh, run, start, summaryOf, until } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { testWith } from "../helpers/requirements.ts";
import { tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;

/** A sparse file with one byte of data at each of the offsets. */
function sparse(path: string, size: number, data: readonly (readonly [offset: number, byte: string])[]): void {
  const fd = fs.openSync(path, "w");
  fs.ftruncateSync(fd, size);
  for (const [offset, byte] of data) fs.writeSync(fd, byte, offset);
  fs.closeSync(fd);
}

describe("a run", () => {
  testWith("strace")("succeeds in a folder that cannot be flushed, but not where that fails", async () => {
    for (const [error, said] of [
      ["EINVAL", ""],
      ["EOPNOTSUPP", ""],
      ["EIO", "input/output error; a crash may lose the new file's name"],
    ] as const) {
      using dir = tempDir();
      const data = bytes(1, 100_000);
      fs.writeFileSync(dir.file("s"), data);
      fs.mkdirSync(dir.file("folder"));
      const inject = `inject=fsync:error=${error}`;
      const argv0 = ["strace", "-f", "-o", "/dev/null", "-P", dir.file("folder"), "-e", "trace=fsync", "-e", inject];
      const to = dir.file("folder/d");
      const result = await run(["-q", dir.file("s"), to], { argv0 });
      expect(result.stderr.split("\n")[0]).toBe(
        said === "" ? "" : `blocksync: Cannot flush the directory of "${to}": ${said}`,
      );
      expect({ error, exitCode: result.exitCode }).toEqual({ error, exitCode: said === "" ? 0 : 4 });
      expect(fs.readFileSync(to).equals(data)).toBe(true);
    }
  });

  testWith("strace")("does not succeed when a write-back under way took the error from the final fsync", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(1, 80 * MIB));
    const inject = "inject=fdatasync:error=EIO:delay_exit=500000:when=1";
    const argv0 = ["strace", "-f", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", inject];
    const result = await run(["-q", dir.file("s"), dir.file("d")], { argv0 });
    expect(result.stderr).toContain("some of what was written is lost");
    expect(result.exitCode).toBe(4);
  });

  testWith("strace")("makes a new file durable with its folder, after its last write", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(4, 3 * MIB));
    fs.mkdirSync(dir.file("folder"));
    const trace = dir.file("trace");
    const argv0 = ["strace", "-f", "-y", "-o", trace, "-e", "trace=pwrite64,fsync"];
    expect((await run([dir.file("s"), dir.file("folder/d")], { argv0 })).exitCode).toBe(0);
    const calls = fs.readFileSync(trace, "utf8").split("\n");
    const last = (name: string, path: string) =>
      calls.findLastIndex((line) => line.includes(`${name}(`) && line.includes(`<${path}>`));
    const [written, file, folder] = [
      last("pwrite64", dir.file("folder/d")),
      last("fsync", dir.file("folder/d")),
      last("fsync", dir.file("folder")),
    ];
    expect(written).toBeGreaterThanOrEqual(0);
    expect(file).toBeGreaterThan(written);
    expect(folder).toBeGreaterThan(file);
  });

  testWith("strace")("stops reading soon after a write has failed", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(2, 100 * MIB));
    fs.writeFileSync(dir.file("d"), changeLeaves(bytes(2, 100 * MIB), [0]));
    const argv0 = ["strace", "-f", "-o", "/dev/null", "-P", dir.file("d"), "-e", "inject=pwrite64:error=EIO"];
    const summary = summaryOf(await run(["--json", "-p", "20", dir.file("s"), dir.file("d")], { argv0 }));
    expect(summary["exitCode"]).toBe(4);
    expect(Number(summary["bytesRead"])).toBeGreaterThan(0);
    expect(Number(summary["bytesRead"])).toBeLessThan(100 * MIB);
  });

  test("goes on to its own exit code when nobody reads its JSON any more", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(3, 4 * MIB));
    const argv0 = [
      "sh",
      "-c",
      '"$@" | head -n 1; exit "$(cat status)"',
      "sh",
      "sh",
      "-c",
      '"$@"; echo $? >status',
      "sh",
    ];
    const result = await run(["--json", "-t", "0.01", "-p", "50", dir.file("s"), dir.file("d")], {
      argv0,
      cwd: dir.path,
    });
    expect(result.exitCode).toBe(0);
    expect(result.stdout.split("\n").length).toBe(2);
    expect(result.stderr.match(/Cannot write to standard output/g)?.length).toBe(1);
    expect(fs.readFileSync(dir.file("d")).equals(bytes(3, 4 * MIB))).toBe(true);
  });

  test("ends with a JSON summary after a usage error and after an output file that cannot be opened", async () => {
    using dir = tempDir();
    for (const [words, exitCode] of [
      [["--json", "a", "b", "c", "d"], 2],
      [["--json", "--dry-runn", "a", "b"], 2],
      [["--json", "-o", dir.file("no/such/folder"), dir.file("a"), dir.file("b")], 4],
    ] as const) {
      const result = await run(words);
      expect(result.exitCode).toBe(exitCode);
      expect(summaryOf(result)).toMatchObject({ event: "summary", exitCode });
    }
  });

  test("counts zero blocks alike here and over a connection, and over whatever was there", async () => {
    using dir = tempDir();
    const rsh = fakeSsh(dir.file("rsh"));
    const data = Buffer.alloc(MIB);
    data[0] = 1;
    const written = changeLeaves(Buffer.alloc(MIB), [7]);
    for (const [name, before, zero] of [
      ["equal", data, 255],
      ["a leaf to be made zero", written, 255],
    ] as const) {
      fs.writeFileSync(dir.file("s"), data);
      for (const [to, more] of [
        [dir.file("d"), []],
        [`h:${dir.file("d")}`, rsh],
      ] as const) {
        fs.writeFileSync(dir.file("d"), before);
        const summary = summaryOf(await run(["--json", "-b", "4K", ...more, dir.file("s"), to]));
        expect([name, summary["exitCode"], summary["blocksZero"]]).toEqual([name, 0, zero]);
      }
    }
  });

  test("gives a new file the mode that the umask leaves, here and over a connection", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), "x");
    const argv0 = ["sh", "-c", 'umask 027; exec "$@"', "sh"];
    expect((await run([dir.file("s"), dir.file("here")], { argv0 })).exitCode).toBe(0);
    expect(
      (await run([...fakeSsh(dir.file("rsh")), dir.file("s"), `h:${dir.file("there")}`], { argv0 })).exitCode,
    ).toBe(0);
    expect(fs.statSync(dir.file("here")).mode & 0o777).toBe(0o640);
    expect(fs.statSync(dir.file("there")).mode & 0o777).toBe(0o640);
  });
});

describe("what cannot be printed", () => {
  test("is no success for the options that print, nor for compare's ranges", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("a"), bytes(1, 4096));
    fs.writeFileSync(dir.file("b"), bytes(2, 4096));
    for (const words of [["--help"], ["--version"], ["compare", "-q", dir.file("a"), dir.file("b")]]) {
      const child = Bun.spawn([BINARY, ...words], { stdio: ["ignore", Bun.file("/dev/full"), "pipe"] });
      expect((await child.stderr.text()).split("\n")[0]).toBe(
        "blocksync: Cannot write to standard output: no space left on device",
      );
      expect(await child.exited).toBe(4);
    }
  });
});

describe("compare", () => {
  test("says when both names lead to the same bytes, here and over a connection", async () => {
    using dir = tempDir();
    const [a, b, other] = [dir.file("a"), dir.file("b"), dir.file("other")];
    fs.writeFileSync(a, bytes(1, 4096));
    fs.linkSync(a, b);
    fs.copyFileSync(a, other);
    for (const host of ["", "host:"]) {
      const words = host === "" ? [] : [...fakeSsh(dir.file("fake-ssh")), "-S", BINARY];
      const result = await run(["compare", ...words, a, `${host}${b}`]);
      expect(result.stderr).toContain(`"${a}" and "${host}${b}" are the same file: it is compared with itself\n`);
      expect(result.exitCode).toBe(0);
      expect((await run(["compare", ...words, a, `${host}${other}`])).stderr).not.toContain("itself");
    }
  });

  test("over a connection is not held up by an early difference", async () => {
    using dir = tempDir();
    const size = 300 * MIB;
    sparse(dir.file("a"), size, [
      [0, "x"],
      [270 * MIB, "z"],
    ]);
    sparse(dir.file("b"), size, [
      [0, "y"],
      [270 * MIB, "z"],
    ]);
    const result = await run([
      "compare",
      "-q",
      "-b",
      "4K",
      ...fakeSsh(dir.file("rsh")),
      dir.file("a"),
      `h:${dir.file("b")}`,
    ]);
    expect(result).toEqual({ exitCode: 1, stdout: "0 4096\n", stderr: "" });
  });

  test("of something that does not exist, or is no file, fails as opening it does", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("empty"), "");
    for (const [name, reason] of [
      ["none", "no such file or directory"],
      [".", "it is a directory"],
    ] as const) {
      const message = `blocksync: Cannot open ${JSON.stringify(dir.file(name))}: ${reason}\nblocksync: hint: `;
      for (const pair of [
        [dir.file("empty"), dir.file(name)],
        [dir.file(name), dir.file("empty")],
      ]) {
        const { exitCode, stdout, stderr } = await run(["compare", "-q", ...pair]);
        expect({ exitCode, stdout }).toEqual({ exitCode: 4, stdout: "" });
        expect(stderr).toStartWith(message);
      }
    }
  });
});

describe("serve", () => {
  test.each([
    ["SIGTERM", 143],
    ["SIGHUP", 143],
    ["SIGINT", 130],
  ] as const)("ends at the first %s", async (signal, exitCode) => {
    const child = Bun.spawn([BINARY, "serve"], { stdin: "pipe", stdout: "pipe", stderr: "ignore" });
    const { value } = await child.stdout.getReader().read();
    expect(new TextDecoder().decode(value)).toMatch(/^blocksync 1 /);
    child.kill(signal);
    expect(await child.exited).toBe(exitCode);
  });

  test("ends when its input does", async () => {
    const child = start(["serve"]);
    expect(await child.exited).toBe(6);
    await until("it is gone", () => !fs.existsSync(`/proc/${child.pid}/exe`));
  });
});

test("a signal ends a run whose reader has stopped reading, such as a pager", async () => {
  using dir = tempDir();
  fs.writeFileSync(dir.file("s"), bytes(1, 1 << 20));
  expect(Bun.spawnSync(["mkfifo", dir.file("pager")]).exitCode).toBe(0);
  const { O_RDONLY, O_WRONLY, O_NONBLOCK } = fs.constants;
  using open = new DisposableStack();
  const opened = (flags: number) => open.adopt(fs.openSync(dir.file("pager"), flags), fs.closeSync);
  opened(O_RDONLY | O_NONBLOCK);
  const filling = opened(O_WRONLY | O_NONBLOCK);
  expect(() => {
    for (;;) fs.writeSync(filling, bytes(2, 4096));
  }).toThrow("EAGAIN");
  const child = Bun.spawn([BINARY, "--json", "-v", dir.file("s"), dir.file("d")], {
    stdin: "ignore",
    stdout: opened(O_WRONLY),
    stderr: open.adopt(fs.openSync(dir.file("said"), "w"), fs.closeSync),
  });
  // The start event comes next, and does not fit.
  await until("it has said how it begins", () => fs.readFileSync(dir.file("said"), "utf8").includes("Block size"));
  await until("it has ended", () => {
    child.kill("SIGTERM");
    return child.exitCode !== null || child.signalCode !== null;
  });
  expect(child.signalCode).toBe("SIGTERM");
});
