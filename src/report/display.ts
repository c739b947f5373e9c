/** Standard error as something that shows: whether it is a terminal, how large, and what that can do. */
import fs from "node:fs";
import { isTerminal } from "../builtin.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** What a terminal is taken for that does not say how large it is, such as a serial console. */
export const UNKNOWN_SIZE = { columns: 80, rows: 24 };

/** Asked of the terminal each time, since it may have another size by now; undefined where there is none. */
export function displaySize(): { readonly columns: number; readonly rows: number } | undefined {
  if (!isTerminal(2)) return undefined;
  const [columns = 0, rows = 0] = process.stderr.getWindowSize();
  return columns > 0 && rows > 0 ? { columns, rows } : UNKNOWN_SIZE;
}

/** Whether the type of the terminal is one that obeys control sequences, as far as is known. */
function obeys(environment: Environment): boolean {
  const type = environment["TERM"] ?? "";
  return type !== "" && type !== "dumb";
}

/** Whether the terminal knows how to move the cursor and erase. */
export function canDraw(environment: Environment): boolean {
  return isTerminal(2) && obeys(environment);
}

/** Whether what goes to a terminal may be coloured (https://no-color.org). */
export function wantsColour(environment: Environment): boolean {
  return (environment["NO_COLOR"] ?? "") === "" && obeys(environment);
}

/**
 * False while another job has the terminal, which must not be drawn over, nor read: the process group that the terminal belongs to
 * is another one (proc_pid_stat(5): fields 5 and 8). Not positive where it is not known, or there is no job control.
 */
export function ownsTerminal(): boolean {
  try {
    const stat = fs.readFileSync("/proc/self/stat", "latin1");
    // The second field may contain anything, in parentheses.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [group, terminalGroup] = [Number(fields[2]), Number(fields[5])];
    return !(terminalGroup > 0) || terminalGroup === group;
  } catch {
    return true;
  }
}
