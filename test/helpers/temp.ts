/** A directory that is removed when its `using` scope ends. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface TempDir extends Disposable {
  readonly path: string;
  file(name: string): string;
}

export function tempDir(): TempDir {
  const path = mkdtempSync(join(tmpdir(), "blocksync test "));
  return {
    path,
    file: (name) => join(path, name),
    [Symbol.dispose]: () => remove(path),
  };
}

/** With all that is in it, unless something is still mounted there, which may be this machine's /dev. */
function remove(path: string): void {
  // proc_pid_mountinfo(5): the fifth field, in which a blank is \040.
  const points = readFileSync("/proc/self/mountinfo", "latin1")
    .split("\n")
    .map((line) => (line.split(" ")[4] ?? "").replaceAll("\\040", " "));
  const mounted = points.filter((point) => point.startsWith(`${path}/`));
  if (mounted.length > 0) throw new Error(`${path} stays: ${mounted.join(", ")} is still mounted`);
  rmSync(path, { recursive: true, force: true });
}
