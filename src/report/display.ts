/** Standard error as something that shows: whether it is a terminal, how large, and what that can do. */
import tty from "node:tty";

type Environment = Readonly<Record<string, string | undefined>>;

/** What a terminal is taken for that does not say how large it is, such as a serial console. */
export const UNKNOWN_SIZE = { columns: 80, rows: 24 };

/** Asked of the terminal each time, since it may have another size by now; undefined where there is none. */
export function displaySize(): { readonly columns: number; readonly rows: number } | undefined {
  if (!tty.isatty(2)) return undefined;
  const [columns = 0, rows = 0] = process.stderr.getWindowSize();
  return columns > 0 && rows > 0 ? { columns, rows } : UNKNOWN_SIZE;
}

/** Whether the terminal knows how to move the cursor and erase. */
export function canDraw(environment: Environment): boolean {
  const type = environment["TERM"] ?? "";
  return tty.isatty(2) && type !== "" && type !== "dumb";
}

/** Whether what goes to a terminal may be coloured (https://no-color.org). */
export function wantsColour(environment: Environment): boolean {
  return (environment["NO_COLOR"] ?? "") === "" && environment["TERM"] !== "dumb";
}
