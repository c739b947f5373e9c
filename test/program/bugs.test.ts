/** A bug in blocksync, at either end: exit code 70, a sentence that says where it is, and with BLOCKSYNC_DEBUG its stack. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { BUG_EXIT_CODE, ExitCode } from "../../src/errors.ts";
import { BINARY, fakeSsh, run, summaryOf } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const HINT =
  "blocksync: hint: this is a bug in blocksync: run it again with BLOCKSYNC_DEBUG=1 and report the output where you got blocksync\n";

/** Bugs that a program can be given when it starts, each met in the course of a run. */
const BUGS = {
  // The hash of a block of zeros is computed when an endpoint is opened; all other blocks are hashed on threads.
  "in answering a request":
    'const real = Bun.hash.xxHash3; Bun.hash.xxHash3 = (data, seed) => { if (data.length === 65536 && data[0] === 0) throw new TypeError("boom"); return real(data, seed); };',
  "that nobody caught":
    'const timer = setInterval(() => { if (process.listenerCount("SIGHUP") === 0) return; clearInterval(timer); setTimeout(() => { throw new TypeError("boom"); }, 100); }, 1);',
} as const;

/** 16 blocks in 1.6 s, and no line of progress meanwhile. */
const SLOWLY = ["-b", "64K", "-p", "100", "--progress", "none"];

/** A source, and a destination that differs in one leaf. */
function pair(dir: TempDir): readonly [source: string, destination: string] {
  const data = bytes(3, 1 << 20);
  fs.writeFileSync(dir.file("s"), data);
  fs.writeFileSync(dir.file("d"), changeLeaves(data, [200]));
  return [dir.file("s"), dir.file("d")];
}

function preloaded(dir: TempDir, bug: string): string {
  fs.writeFileSync(dir.file("bug.ts"), bug);
  return `"--preload=${dir.file("bug.ts")}"`;
}

/** Words for a far side that has a bug. */
function farWith(dir: TempDir, bug: string): string[] {
  fs.writeFileSync(dir.file("far"), `#!/bin/sh\nBUN_OPTIONS='${preloaded(dir, bug)}' exec ${BINARY} serve\n`, {
    mode: 0o755,
  });
  // What goes on after a lost connection begins with SIGHUP ignored, by which these bugs find that a program has begun.
  return [...fakeSsh(dir.file("rsh")), "-S", dir.file("far"), "--reconnect", "0", ...SLOWLY];
}

const said = (stderr: string) => stderr.replace(/^Stopped after .*\n/m, "");

for (const [name, bug] of Object.entries(BUGS)) {
  test(`a bug ${name} on the far side ends the run with ${BUG_EXIT_CODE} and says that it is there`, async () => {
    using dir = tempDir();
    const [source, destination] = pair(dir);
    const words = [...farWith(dir, bug), "--json", source, `far:${destination}`];
    const plainly = await run(words);
    expect({ exitCode: plainly.exitCode, stderr: said(plainly.stderr) }).toEqual({
      exitCode: BUG_EXIT_CODE,
      stderr: `blocksync: Internal error on the far side: boom\n${HINT}`,
    });
    expect(summaryOf(plainly)["exitCode"]).toBe(BUG_EXIT_CODE);
    const debugged = await run(words, { env: { BLOCKSYNC_DEBUG: "1" } });
    expect(debugged.exitCode).toBe(BUG_EXIT_CODE);
    expect(debugged.stderr).toMatch(/\nTypeError: boom\n(.*\n)* +at .*bug\.ts/);
  });

  test(`a bug ${name} here ends the run with ${BUG_EXIT_CODE} and says so`, async () => {
    using dir = tempDir();
    const [source, destination] = pair(dir);
    const env = { BUN_OPTIONS: preloaded(dir, bug) };
    const words = [...fakeSsh(dir.file("rsh")), "-S", BINARY, ...SLOWLY, source, `far:${destination}`];
    const result = await run(words, { env });
    expect({ exitCode: result.exitCode, stderr: said(result.stderr) }).toEqual({
      exitCode: BUG_EXIT_CODE,
      stderr: `blocksync: Internal error: boom\n${HINT}`,
    });
  });
}

test("a serve that meets a bug ends with 70 and tells where in the code", async () => {
  using dir = tempDir();
  const env = { ...process.env, BUN_OPTIONS: preloaded(dir, BUGS["that nobody caught"]) };
  const child = Bun.spawn([BINARY, "serve"], { stdin: "pipe", stdout: "ignore", stderr: "pipe", env });
  const [stderr, exitCode] = await Promise.all([child.stderr.text(), child.exited]);
  expect(exitCode).toBe(BUG_EXIT_CODE);
  expect(stderr).toMatch(/^(.*\n)*TypeError: boom\n(.*\n)*blocksync: Internal error: boom\n/);
});

test("a far side with a bug before it has begun is told from one that could not be started", async () => {
  using dir = tempDir();
  const [source] = pair(dir);
  const ending = async (script: string) => {
    fs.writeFileSync(dir.file("rsh"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    const { exitCode, stderr } = await run(["-e", JSON.stringify(dir.file("rsh")), source, "far:d"]);
    return { exitCode, first: stderr.split("\n")[0] };
  };
  const words = "blocksync: Internal error: boom";
  expect(await ending(`echo '${words}' >&2; exit 70`)).toEqual({
    exitCode: BUG_EXIT_CODE,
    first: "blocksync: Internal error on the far side: boom",
  });
  // Another program's 70, and the same words from one that ended otherwise.
  for (const script of ["echo no >&2; exit 70", `echo '${words}' >&2; exit 1`])
    expect((await ending(script)).exitCode).toBe(ExitCode.unreachable);
});
