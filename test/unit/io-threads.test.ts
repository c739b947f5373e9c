/** The pool of threads of file operations: deep, and without a trace in the environment, in a process of its own. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { join } from "node:path";
import { tempDir } from "../helpers/temp.ts";

const LIBC = join(import.meta.dir, "../../src/local/kernel/libc.ts");

/** Says what the C environment has, and whether a file is looked at while so many others keep a thread waiting each. */
const PROGRAM = `
import { CString, dlopen } from "bun:ffi";
import fs from "node:fs";
import { startIoThreads } from ${JSON.stringify(LIBC)};
await startIoThreads();
const { getenv } = dlopen("libc.so.6", { getenv: { args: ["ptr"], returns: "cstring" } }).symbols;
const value = getenv(Buffer.from("UV_THREADPOOL_SIZE\\0"));
for (let i = 0; i < 100; i++) fs.open("fifo", fs.constants.O_RDONLY, () => undefined);
fs.stat(".", () => {
  process.stdout.write(String(value));
  process.exit(0);
});
`;

for (const [before, after] of [
  [undefined, "null"],
  ["2", "2"],
] as const) {
  test(`100 files that hang keep no other one waiting, and a variable that was ${before} stays so`, async () => {
    using dir = tempDir();
    Bun.spawnSync(["mkfifo", dir.file("fifo")]);
    const env = { ...process.env, UV_THREADPOOL_SIZE: before };
    fs.writeFileSync(dir.file("program.ts"), PROGRAM);
    // Where there are several files Bun reads them with the very pool, before any of them runs.
    await Bun.build({ entrypoints: [dir.file("program.ts")], target: "bun", outdir: dir.path });
    const argv = [process.execPath, "program.js"];
    const child = Bun.spawn(argv, { cwd: dir.path, env, stdin: "ignore", stdout: "pipe", stderr: "inherit" });
    expect(await child.stdout.text()).toBe(after);
    expect(await child.exited).toBe(0);
  });
}
