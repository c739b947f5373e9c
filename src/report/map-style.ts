/** How the change map may be drawn where messages go. */
import tty from "node:tty";

export interface MapStyle {
  /** Characters in a line, at least 20. */
  readonly columns: number;
  /** false: ASCII only. */
  readonly unicode: boolean;
  readonly colour: boolean;
}

const MIN_COLUMNS = 20;
const DEFAULT_COLUMNS = 80;

type Environment = Readonly<Record<string, string | undefined>>;

/** Whether the locale's characters are those of Unicode; the first of the three that is set counts (locale(7)). */
function isUnicode(environment: Environment): boolean {
  const locale = [environment["LC_ALL"], environment["LC_CTYPE"], environment["LANG"]].find(
    (one) => (one ?? "") !== "",
  );
  return /utf-?8/i.test(locale ?? "");
}

/**
 * `columns` is the terminal's width, undefined where there is no terminal. Colour needs one that is not "dumb", and no
 * NO_COLOR (https://no-color.org).
 */
export function mapStyle(columns: number | undefined, environment: Environment): MapStyle {
  const plain = (environment["NO_COLOR"] ?? "") !== "" || environment["TERM"] === "dumb";
  return {
    columns: Math.max(MIN_COLUMNS, columns ?? DEFAULT_COLUMNS),
    unicode: isUnicode(environment),
    colour: columns !== undefined && !plain,
  };
}

/** The width of the terminal that is standard error; undefined when it is none. */
export function terminalColumns(): number | undefined {
  if (!tty.isatty(2)) return undefined;
  const { columns } = process.stderr;
  return columns > 0 ? columns : DEFAULT_COLUMNS;
}
