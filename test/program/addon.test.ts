/** The native library of --hash xxh128 decides how fast that is, and nothing else. The compiled program, where it cannot load. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { BINARY, type Result, type RunOptions, run, summaryOf } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const onStrace = testWith("strace");
const NOTICE = /^Where ".*" is, the native library of the hash xxh128 does not load: the same values, but slower$/gm;

function notices({ stderr }: Result): number {
  return stderr.match(NOTICE)?.length ?? 0;
}

/** What the kernel says to whoever wants a file in memory, such as one older than 3.17. */
const NO_MEMORY_FILES =
  "strace -f --seccomp-bpf -qq -o /dev/null -e trace=memfd_create -e inject=memfd_create:error=ENOSYS";

/** Words that make blocksync start its far end here, behind a command. */
function elsewhere(dir: TempDir, argv0: string): string[] {
  const script = `#!/bin/sh\nshift\nexec ${argv0} sh -c "$*"\n`;
  fs.writeFileSync(dir.file("rsh"), script, { mode: 0o755 });
  return ["-e", JSON.stringify(dir.file("rsh")), "--script", BINARY];
}

/** A copy of a file and a change of it, with xxh128, under -v. */
async function copies(dir: TempDir, options: RunOptions): Promise<Result[]> {
  const data = bytes(91, 3 * MIB + 77);
  const results: Result[] = [];
  for (const source of [data, changeLeaves(data, [5, 300])]) {
    fs.writeFileSync(dir.file("s"), source);
    results.push(await run(["-v", "-1", "xxh128", dir.file("s"), dir.file("d")], options));
    expect(fs.readFileSync(dir.file("d")).equals(source)).toBe(true);
  }
  return results;
}

describe("the native library of --hash xxh128", () => {
  test("needs no temporary directory and leaves nothing behind in one", async () => {
    using dir = tempDir();
    fs.mkdirSync(dir.file("tmp"));
    for (const temporary of [dir.file("none"), dir.file("tmp")]) {
      const env = { TMPDIR: temporary, BUN_TMPDIR: temporary };
      for (const result of await copies(dir, { env })) {
        expect({ exitCode: result.exitCode, notices: notices(result) }).toEqual({ exitCode: 0, notices: 0 });
      }
      // In threads too.
      const words = ["-v", "-1", "xxh128", "-2", "sha256", dir.file("s"), dir.file("d")];
      const threads = await run(words, { env });
      expect({ exitCode: threads.exitCode, notices: notices(threads) }).toEqual({ exitCode: 0, notices: 0 });
    }
    expect(fs.readdirSync(dir.file("tmp"))).toEqual([]);
    expect(fs.existsSync(dir.file("none"))).toBe(false);
  });

  onStrace("is done without where it cannot load, which is said once under -v", async () => {
    using dir = tempDir();
    const argv0 = NO_MEMORY_FILES.split(" ");
    for (const result of await copies(dir, { argv0 })) {
      expect({ exitCode: result.exitCode, notices: notices(result) }).toEqual({ exitCode: 0, notices: 1 });
    }
    const quiet = await run(["-1", "xxh128", dir.file("s"), dir.file("d")], { argv0 });
    expect({ exitCode: quiet.exitCode, notices: notices(quiet) }).toEqual({ exitCode: 0, notices: 0 });
  });

  onStrace("one end with the library and one without agree about every block", async () => {
    using dir = tempDir();
    const data = bytes(92, 9 * MIB + 12_345);
    fs.writeFileSync(dir.file("s"), data);
    const words = ["-v", "--json", "-1", "xxh128", "-2", "md5", ...elsewhere(dir, NO_MEMORY_FILES)];
    for (const [source, destination] of [
      [dir.file("s"), `h:${dir.file("d")}`],
      [`h:${dir.file("s")}`, dir.file("d")],
    ] as const) {
      fs.writeFileSync(dir.file("d"), data);
      const equal = await run([...words, source, destination]);
      expect(summaryOf(equal)).toMatchObject({ exitCode: 0, blocksMatching: 10, blocksDiffering: 0, bytesWritten: 0 });
      expect(notices(equal)).toBe(1);
      fs.writeFileSync(dir.file("d"), changeLeaves(data, [0, 700, 2307]));
      const changed = await run([...words, source, destination]);
      expect(summaryOf(changed)).toMatchObject({ exitCode: 0, blocksDiffering: 3, leavesWritten: 3 });
      expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
    }
  });
});
