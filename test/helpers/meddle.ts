/** Does something to the files of a run in the middle of it. */
import { BINARY } from "./binary.ts";

/** Runs slowly, and does something once the first blocks are done. */
export function meddle(words: readonly string[], action: () => void): Promise<{ exitCode: number; stderr: string }> {
  return watch(["-p", "100", "-t", "0.05", ...words], "remaining)", action);
}

/** Runs, and does something once it has said something; `argv0` goes before the program. */
export async function watch(
  words: readonly string[],
  said: string,
  action: () => void,
  argv0: readonly string[] = [],
): Promise<{ exitCode: number; stderr: string }> {
  const child = Bun.spawn([...argv0, BINARY, ...words], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const decoder = new TextDecoder();
  let [stderr, done] = ["", false];
  for await (const piece of child.stderr) {
    stderr += decoder.decode(piece, { stream: true });
    if (!done && stderr.includes(said)) action();
    done ||= stderr.includes(said);
  }
  return { exitCode: await child.exited, stderr };
}
