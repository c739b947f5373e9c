/**
 * The compiled program where the system lets it have too little. It never exits with 1, which is a verdict ("differs"), never
 * with a "bug", and what lies in the current folder is not run in the place of what cannot be had.
 */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { join } from "node:path";
import { quoteWord } from "../../src/remote/host/quote.ts";
import { BINARY, fakeSsh, type Result, run, summaryOf } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { NO_EXEC_MEMORY } from "../helpers/no-exec-memory.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const onMdwe = testWith("mdwe");
const onStrace = testWith("strace");

/** Two equal files "a" and "b". */
function pair(dir: TempDir): [string, string] {
  const data = bytes(17, 200_000);
  for (const name of ["a", "b"]) fs.writeFileSync(dir.file(name), data);
  return [dir.file("a"), dir.file("b")];
}

function says(result: Result, message: string, hint: string): void {
  const { exitCode, stdout, stderr } = result;
  expect({ exitCode, stdout, stderr }).toEqual({
    exitCode: 4,
    stdout: "",
    stderr: `blocksync: ${message}\nblocksync: hint: ${hint}\n`,
  });
}

const REFUSED = [
  "Cannot run here: the system denies blocksync executable memory",
  "find out what denies it: systemd's MemoryDenyWriteExecute=, seccomp, prctl(PR_SET_MDWE) or SELinux (execmem)",
] as const;

describe("executable memory", () => {
  onMdwe("refused, as systemd's MemoryDenyWriteExecute does, is said with exit code 4", async () => {
    using dir = tempDir();
    says(await run(["compare", ...pair(dir)], { argv0: NO_EXEC_MEMORY }), ...REFUSED);
    const json = await run(["--json", ...pair(dir)], { argv0: NO_EXEC_MEMORY });
    expect(summaryOf(json)).toMatchObject({ exitCode: 4, source: dir.file("a"), bytesWritten: 0 });
  });

  onMdwe("refused on the far side is said by this one with its cause and its hint", async () => {
    using dir = tempDir();
    const [a, b] = pair(dir);
    const rsh = dir.file("rsh");
    const wrapped = NO_EXEC_MEMORY.map(quoteWord).join(" ");
    fs.writeFileSync(rsh, `#!/bin/sh\nshift\nexec ${wrapped} sh -c "$*"\n`, { mode: 0o755 });
    const result = await run(["-q", "-e", JSON.stringify(rsh), "--script", BINARY, a, `h:${b}`]);
    expect(result.stderr).toBe(
      `blocksync: Cannot start blocksync on "h": ${rsh} ended with exit status 4: blocksync: ${REFUSED[0]}\nblocksync: hint: ${REFUSED[1]}\n`,
    );
    expect(result.exitCode).toBe(5);
  });

  for (const limit of [500_000_000, 1_500_000_000]) {
    test(`there is none of ${limit} bytes of address space`, async () => {
      using dir = tempDir();
      says(
        await run(["compare", ...pair(dir)], { argv0: ["prlimit", `--as=${limit}`] }),
        `Cannot run here: the address space is limited to ${limit} bytes; blocksync reserves 3 GB, but uses little of it`,
        "raise the limit (ulimit -v, systemd's LimitAS=); to limit the memory that is used, set MemoryMax= instead",
      );
    });
  }

  test("3 GB of address space are enough", async () => {
    using dir = tempDir();
    const words = ["-q", "-w", "4", "-1", "sha256", ...pair(dir)];
    expect((await run(words, { argv0: ["prlimit", "--as=3000000000"] })).exitCode).toBe(0);
  });

  test("forbidden by a variable is said with its name", async () => {
    using dir = tempDir();
    says(
      await run(["compare", ...pair(dir)], { env: { BUN_JSC_useJIT: "false" } }),
      "Cannot run here: the variable BUN_JSC_useJIT forbids executable memory",
      "unset BUN_JSC_useJIT and run again",
    );
  });
});

describe("what lies in the current folder", () => {
  const PLANTED = [
    "libc.so.6",
    "libc.so",
    ...["x86_64", "aarch64"].map((machine) => `libc.musl-${machine}.so.1`),
    "libgcc_s.so.1",
    "libm.so.6",
    "hash-thread.js",
    "bunfig.toml",
    "package.json",
    "xxhash.linux-x64-gnu.node",
    "ssh",
    "sudo",
  ];
  /** Paths that are opened, run or asked for in `folder`. */
  async function touched(folder: string, argv0: string[], words: string[], env: Record<string, string> = {}) {
    const trace = join(folder, "trace");
    const strace = ["strace", "-f", "-qq", "-e", "trace=open,openat,execve,memfd_create", "-o", trace, ...argv0];
    await run(words, { argv0: strace, cwd: folder, env });
    const lines = fs.readFileSync(trace, "utf8").split("\n");
    const isPath = (name: string) =>
      new RegExp(`\\((?:AT_FDCWD, )?"(?:${RegExp.escape(folder)}/|\\./)?${RegExp.escape(name)}"`);
    return PLANTED.filter((name) => lines.some((line) => isPath(name).test(line)));
  }

  function planted(dir: TempDir): string {
    const folder = dir.file("folder");
    fs.mkdirSync(folder);
    // A library that could be loaded, and a program that could be run.
    for (const name of PLANTED) fs.copyFileSync("/bin/true", join(folder, name));
    return folder;
  }

  for (const [what, argv0, env] of [
    ["enough memory", [], {}],
    ["too little address space", ["prlimit", "--as=1500000000"], {}],
    ["no executable memory", [], { BUN_JSC_useJIT: "0" }],
    ["few open files", ["prlimit", "--nofile=8"], {}],
    ["hostile search paths", [], { PATH: `:.:${process.env["PATH"]}:`, BUN_TMPDIR: ".", TMPDIR: "." }],
  ] as const) {
    onStrace(`is not loaded or run with ${what}`, async () => {
      using dir = tempDir();
      const [a, b] = pair(dir);
      const folder = planted(dir);
      for (const words of [
        ["-q", "-1", "xxh128", "-2", "sha256", a, b],
        ["-q", a, "nobody@127.0.0.1:/x", "-x", "-p 1"],
      ]) {
        expect(await touched(folder, [...argv0], words, env)).toEqual([]);
      }
    });
  }

  test("a PATH of relative folders leads to no ssh, and none leads to the system's", async () => {
    using dir = tempDir();
    const [a] = pair(dir);
    const folder = planted(dir);
    const relative = await run(["-q", a, "nobody@127.0.0.1:/x", "-x", "-p 1"], { cwd: folder, env: { PATH: ".:" } });
    expect(relative.stderr).toStartWith('blocksync: Cannot start "ssh": not found in PATH\n');
    expect(relative.exitCode).toBe(5);
    const none = await run(["-q", a, "nobody@127.0.0.1:/x", "-x", "-p 1"], { cwd: folder, env: { PATH: undefined } });
    expect(none.stderr).toContain("Connection refused");
  });
});

test("ssh and sudo get no variable that changes how a Bun program runs", async () => {
  using dir = tempDir();
  const [a, b] = pair(dir);
  const names = () => fs.readFileSync(dir.file("env"), "utf8").match(/^(BUN_[A-Z]+|KEPT)(?==)/gm);
  const dump = `#!/bin/sh\n/usr/bin/env >'${dir.file("env")}'\nexit 3\n`;
  fs.mkdirSync(dir.file("bin"));
  for (const name of ["ssh", "sudo"]) fs.writeFileSync(dir.file(`bin/${name}`), dump, { mode: 0o755 });
  const env = { BUN_OPTIONS: "", BUN_TMPDIR: "/x", BUN_INSTALL: "/x", KEPT: "1", PATH: dir.file("bin") };
  for (const words of [
    [a, "h:/x"],
    ["-s", a, b],
  ]) {
    expect((await run(["-q", ...words], { env })).exitCode).toBe(5);
    expect(names()).toEqual(["KEPT"]);
    fs.rmSync(dir.file("env"));
  }
});

test("a deleted current folder is said, with another exit code than that of a difference", async () => {
  using dir = tempDir();
  const pairs = pair(dir);
  for (const words of [["compare", ...pairs], ["-n", ...pairs], ["a", "b"], ["clean", "h"], ["serve"]]) {
    const folder = dir.file("gone");
    fs.mkdirSync(folder);
    const argv0 = ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh"];
    says(
      await run(words, { argv0, cwd: folder }),
      "Cannot use the current directory: it was deleted",
      "cd to one that exists and run again",
    );
  }
  const folder = dir.file("gone");
  fs.mkdirSync(folder);
  const version = await run(["--version"], { argv0: ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh"], cwd: folder });
  expect({ exitCode: version.exitCode, stderr: version.stderr }).toEqual({ exitCode: 0, stderr: "" });
});

// With fewer it is up to the runtime how far it gets.
for (const limit of [8, 12, 37]) {
  test(`no more than ${limit} open files are said, with another exit code than that of a difference`, async () => {
    using dir = tempDir();
    says(
      await run(["compare", "-1", "sha256", ...pair(dir)], { argv0: ["prlimit", `--nofile=${limit}:${limit}`] }),
      `Cannot run here: the limit is ${limit} open files, and blocksync may need 38`,
      "raise the limit (ulimit -n, systemd's LimitNOFILE=)",
    );
  });
}

test("a far side with too few open files says so", async () => {
  using dir = tempDir();
  const [a, b] = pair(dir);
  const rsh = dir.file("rsh");
  fs.writeFileSync(rsh, '#!/bin/sh\nshift\nexec prlimit --nofile=20:20 sh -c "$*"\n', { mode: 0o755 });
  const result = await run(["-q", "-e", JSON.stringify(rsh), "--script", BINARY, a, `h:${b}`]);
  expect(result.stderr).toContain("Cannot run here: the limit is 20 open files, and blocksync may need 38");
  expect(result.exitCode).toBe(5);
});

test("a limit of the length of files is said as such, here and on the far side, and not blamed on FAT", async () => {
  using dir = tempDir();
  const [a] = pair(dir);
  const message = "bytes long: the file size limit (ulimit -f) does not allow it\n";
  const hint =
    "blocksync: hint: raise the limit of this user or service (ulimit -f, systemd's LimitFSIZE=), or write to a device\n";
  const here = await run(["-q", a, dir.file("d")], { argv0: ["prlimit", "--fsize=100000"] });
  expect(here.stderr).toBe(`blocksync: Cannot make ${JSON.stringify(dir.file("d"))} 200000 ${message}${hint}`);
  expect(here.exitCode).toBe(4);
  fs.writeFileSync(dir.file("old"), new Uint8Array(200_000));
  const over = await run(["-q", a, dir.file("old")], { argv0: ["prlimit", "--fsize=100000"] });
  expect(over.stderr).toMatch(
    /^blocksync: Cannot write \d+ bytes at offset \d+ of ".*": the file size limit \(ulimit -f\) does not allow it\n/,
  );
  expect(over.exitCode).toBe(4);
  fakeSsh(dir.file("rsh"));
  fs.writeFileSync(dir.file("rsh"), '#!/bin/sh\nshift\nexec prlimit --fsize=100000 sh -c "$*"\n');
  const words = ["-q", "-e", JSON.stringify(dir.file("rsh")), "--script", BINARY, a, `h:${dir.file("e")}`];
  const far = await run(words);
  expect(far.stderr).toBe(`blocksync: Cannot make "h:${dir.file("e")}" 200000 ${message}${hint}`);
  expect(far.exitCode).toBe(4);
});

test("a new file that cannot be made as long as the source is not left behind, here and on the far side", async () => {
  using dir = tempDir();
  const [a] = pair(dir);
  const here = await run(["-q", a, dir.file("d")], { argv0: ["prlimit", "--fsize=100000"] });
  expect(here.exitCode).toBe(4);
  fs.writeFileSync(dir.file("rsh"), '#!/bin/sh\nshift\nexec prlimit --fsize=100000 sh -c "$*"\n', { mode: 0o755 });
  const words = ["-q", "-e", JSON.stringify(dir.file("rsh")), "--script", BINARY, a, `h:${dir.file("e")}`];
  expect((await run(words)).exitCode).toBe(4);
  expect(fs.readdirSync(dir.path).toSorted()).toEqual(["a", "b", "rsh"]);
  // One that was there stays.
  fs.writeFileSync(dir.file("d"), "");
  expect((await run(["-q", a, dir.file("d")], { argv0: ["prlimit", "--fsize=100000"] })).exitCode).toBe(4);
  expect(fs.existsSync(dir.file("d"))).toBe(true);
});

for (const [what, argv0, env] of [
  ["4 open files", ["prlimit", "--nofile=4:4"], {}],
  ["a stack of 64 KiB", ["prlimit", "--stack=65536"], {}],
  ["a variable that Bun does not know", [], { BUN_JSC_none: "1" }],
] as const) {
  test(`with ${what} nothing can be said, and then nothing is said that a script could take for a verdict`, async () => {
    using dir = tempDir();
    const [a, b] = pair(dir);
    for (const words of [
      ["compare", a, b],
      ["compare", "--json", a, b],
      ["-n", "--json", a, b],
    ]) {
      const { exitCode, stdout } = await run(words, { argv0, env });
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    }
  });
}
