/** Real block devices: loop devices over files of the test, detached with their `using` scope. */
function losetup(...words: string[]): string {
  const result = Bun.spawnSync(["losetup", ...words]);
  if (result.exitCode !== 0) throw new Error(`losetup ${words.join(" ")}: ${result.stderr.toString()}`);
  return result.stdout.toString().trim();
}

export interface Loop extends Disposable {
  readonly path: string;
}

/** Attaches `file`; `words` are further options of losetup (--read-only, --sector-size 4096). */
export function attachLoop(file: string, ...words: string[]): Loop {
  const path = losetup("--show", "-f", ...words, file);
  return { path, [Symbol.dispose]: () => void losetup("-d", path) };
}
