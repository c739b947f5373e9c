/** The native library of --hash xxh128 decides how fast that is, and nothing else. The compiled program, where it cannot load. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { BINARY, type Result, run, summaryOf } from "./helpers/binary.ts";
import { bytes, changeLeaves } from "./helpers/bytes.ts";
import { testWith } from "./helpers/requirements.ts";
import { type TempDir, tempDir } from "./helpers/temp.ts";

const MIB = 1 << 20;
const onMounts = testWith("mounts");
const NOTICE = /^Where ".*" is, the native library of the hash xxh128 does not load: the same values, but slower$/gm;

function notices({ stderr }: Result): number {
  return stderr.match(NOTICE)?.length ?? 0;
}

/** Words that make blocksync start its far end here, with another directory for temporary files. */
function elsewhere(dir: TempDir, temporary: string): string[] {
  const script = `#!/bin/sh\nshift\nexport TMPDIR='${temporary}'\nexec sh -c "$*"\n`;
  fs.writeFileSync(dir.file("rsh"), script, { mode: 0o755 });
  return ["-e", JSON.stringify(dir.file("rsh")), "--script", BINARY];
}

/** A copy of a file and a change of it, with xxh128, under -v; `words` come before the program. */
async function copies(dir: TempDir, temporary: string, argv0: readonly string[] = []): Promise<Result[]> {
  const data = bytes(91, 3 * MIB + 77);
  const results: Result[] = [];
  for (const source of [data, changeLeaves(data, [5, 300])]) {
    fs.writeFileSync(dir.file("s"), source);
    const words = ["-v", "-1", "xxh128", dir.file("s"), dir.file("d")];
    results.push(await run(words, { env: { TMPDIR: temporary }, argv0 }));
    expect(fs.readFileSync(dir.file("d")).equals(source)).toBe(true);
  }
  return results;
}

describe("--hash xxh128 without its native library", () => {
  test("works where there is no temporary directory, and says so once under -v", async () => {
    using dir = tempDir();
    for (const result of await copies(dir, dir.file("none"))) {
      expect({ exitCode: result.exitCode, notices: notices(result) }).toEqual({ exitCode: 0, notices: 1 });
    }
    for (const result of await copies(dir, dir.path)) {
      expect({ exitCode: result.exitCode, notices: notices(result) }).toEqual({ exitCode: 0, notices: 0 });
    }
    const quiet = await run(["-1", "xxh128", dir.file("s"), dir.file("d")], { env: { TMPDIR: dir.file("none") } });
    expect({ exitCode: quiet.exitCode, notices: notices(quiet) }).toEqual({ exitCode: 0, notices: 0 });
  });

  for (const option of ["noexec", "ro"]) {
    onMounts(`works where the temporary directory is mounted ${option}`, async () => {
      using dir = tempDir();
      fs.mkdirSync(dir.file("tmp"));
      const script = `mount -t tmpfs -o ${option} none "$0" && exec "$@"`;
      const argv0 = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, dir.file("tmp")];
      for (const result of await copies(dir, dir.file("tmp"), argv0)) {
        expect({ exitCode: result.exitCode, notices: notices(result) }).toEqual({ exitCode: 0, notices: 1 });
      }
    });
  }

  test("one end with the library and one without agree about every block", async () => {
    using dir = tempDir();
    const data = bytes(92, 9 * MIB + 12_345);
    fs.writeFileSync(dir.file("s"), data);
    for (const [here, far] of [
      [dir.path, dir.file("none")],
      [dir.file("none"), dir.path],
    ] as const) {
      fs.writeFileSync(dir.file("d"), data);
      const words = ["-v", "--json", "-1", "xxh128", "-2", "md5", ...elsewhere(dir, far), dir.file("s")];
      const equal = await run([...words, `h:${dir.file("d")}`], { env: { TMPDIR: here } });
      expect(summaryOf(equal)).toMatchObject({ exitCode: 0, blocksMatching: 10, blocksDiffering: 0, bytesWritten: 0 });
      expect(notices(equal)).toBe(1);
      fs.writeFileSync(dir.file("d"), changeLeaves(data, [0, 700, 2307]));
      const changed = await run([...words, `h:${dir.file("d")}`], { env: { TMPDIR: here } });
      expect(summaryOf(changed)).toMatchObject({ exitCode: 0, blocksDiffering: 3, leavesWritten: 3 });
      expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
    }
  });
});
