/** Whether a person can be asked. */
import fs from "node:fs";

/** True when this process has a controlling terminal, on which ssh and sudo ask, whatever its streams are (tty(4)). */
export function hasTerminal(): boolean {
  try {
    fs.closeSync(fs.openSync("/dev/tty", fs.constants.O_RDWR | fs.constants.O_NOCTTY));
    return true;
  } catch {
    return false;
  }
}
