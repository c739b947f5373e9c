/** Whether a person can be asked. */
import fs from "node:fs";
import { loadTty } from "../builtin.ts";
import { ownsTerminal } from "../report/display.ts";
import { rest } from "../sync/abort.ts";

/** True when this process has a controlling terminal, on which ssh and sudo ask, whatever its streams are (tty(4)). */
export function hasTerminal(): boolean {
  try {
    fs.closeSync(fs.openSync("/dev/tty", fs.constants.O_RDWR | fs.constants.O_NOCTTY));
    return true;
  } catch {
    return false;
  }
}

/** The controlling terminal, for reading; the caller destroys it. @throws {Error} of the system, where there is none. */
export function openTerminal(): NodeJS.ReadStream {
  return new (loadTty().ReadStream)(fs.openSync("/dev/tty", fs.constants.O_RDONLY | fs.constants.O_NOCTTY));
}

/** How soon a question follows a job that was brought to the foreground, in milliseconds. */
const LOOK_MS = 100;

/**
 * Returns once this job has the terminal. One that is in the background is not stopped by asking, as the kernel would have it
 * (SIGTTIN, SIGTTOU): nobody would know why, and neither a signal nor timeout(1) could end it.
 * @throws the signal's reason as soon as it is aborted.
 */
export async function untilForeground(signal: AbortSignal): Promise<void> {
  if (ownsTerminal()) return;
  process.stderr.write("blocksync: A question waits for the foreground: type fg (for timeout: timeout --foreground)\n");
  while (!ownsTerminal()) await rest(LOOK_MS, signal);
}
