/** The native library of --hash xxh128, and what the compiled program does where it cannot load. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { BINARY, type RunOptions, run, summaryOf } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const onStrace = testWith("strace");

/** What the kernel says to whoever wants a file in memory, such as one older than 3.17. */
const NO_MEMORY_FILES =
  "strace -f --seccomp-bpf -qq -o /dev/null -e trace=memfd_create -e inject=memfd_create:error=ENOSYS";

/** Words that make blocksync start its far side here, behind a command. */
function elsewhere(dir: TempDir, argv0: string): string[] {
  const script = `#!/bin/sh\nshift\nexec ${argv0} sh -c "$*"\n`;
  fs.writeFileSync(dir.file("rsh"), script, { mode: 0o755 });
  return ["-e", JSON.stringify(dir.file("rsh")), "--script", BINARY];
}

/** Copies a file and a change of it, with xxh128, alone and beside a hash that is computed in threads. */
async function copy(dir: TempDir, options: RunOptions): Promise<void> {
  const data = bytes(91, 3 * MIB + 77);
  for (const words of [[], ["-2", "sha256"]]) {
    for (const source of [data, changeLeaves(data, [5, 300])]) {
      fs.writeFileSync(dir.file("s"), source);
      const result = await run(["-q", "-1", "xxh128", ...words, dir.file("s"), dir.file("d")], options);
      expect({ exitCode: result.exitCode, stderr: result.stderr }).toEqual({ exitCode: 0, stderr: "" });
      expect(fs.readFileSync(dir.file("d")).equals(source)).toBe(true);
    }
  }
}

describe("the native library of --hash xxh128", () => {
  test("needs no temporary directory and leaves nothing behind in one", async () => {
    using dir = tempDir();
    fs.mkdirSync(dir.file("tmp"));
    for (const temporary of [dir.file("none"), dir.file("tmp")]) {
      await copy(dir, { env: { TMPDIR: temporary, BUN_TMPDIR: temporary } });
    }
    expect(fs.readdirSync(dir.file("tmp"))).toEqual([]);
    expect(fs.existsSync(dir.file("none"))).toBe(false);
  });

  onStrace("is done without where it cannot load, in threads too", async () => {
    using dir = tempDir();
    await copy(dir, { argv0: NO_MEMORY_FILES.split(" ") });
  });

  onStrace("one end with the library and one without agree about every block", async () => {
    using dir = tempDir();
    const data = bytes(92, 9 * MIB + 12_345);
    fs.writeFileSync(dir.file("s"), data);
    const words = ["--json", "-1", "xxh128", "-2", "md5", ...elsewhere(dir, NO_MEMORY_FILES)];
    for (const [source, destination] of [
      [dir.file("s"), `h:${dir.file("d")}`],
      [`h:${dir.file("s")}`, dir.file("d")],
    ] as const) {
      fs.writeFileSync(dir.file("d"), data);
      const equal = await run([...words, source, destination]);
      expect(summaryOf(equal)).toMatchObject({ exitCode: 0, blocksMatching: 10, blocksDiffering: 0, bytesWritten: 0 });
      fs.writeFileSync(dir.file("d"), changeLeaves(data, [0, 700, 2307]));
      const changed = await run([...words, source, destination]);
      expect(summaryOf(changed)).toMatchObject({ exitCode: 0, blocksDiffering: 3, leavesWritten: 3 });
      expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
    }
  });
});
