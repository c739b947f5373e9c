/** How the change map may be drawn where messages go. */
import { UNKNOWN_SIZE, wantsColour } from "./display.ts";

export interface MapStyle {
  /** Characters in a line, at least 20. */
  readonly columns: number;
  /** false: ASCII only. */
  readonly unicode: boolean;
  readonly colour: boolean;
}

const MIN_COLUMNS = 20;

type Environment = Readonly<Record<string, string | undefined>>;

/** Whether the locale's characters are those of Unicode; the first of the three that is set counts (locale(7)). */
function isUnicode(environment: Environment): boolean {
  const locale = [environment["LC_ALL"], environment["LC_CTYPE"], environment["LANG"]].find(
    (one) => (one ?? "") !== "",
  );
  return /utf-?8/i.test(locale ?? "");
}

/**
 * `columns` is the terminal's width, undefined where there is no terminal, and so no colour.
 */
export function mapStyle(columns: number | undefined, environment: Environment): MapStyle {
  return {
    columns: Math.max(MIN_COLUMNS, columns ?? UNKNOWN_SIZE.columns),
    unicode: isUnicode(environment),
    colour: columns !== undefined && wantsColour(environment),
  };
}
