/**
 * The rescue map, GNU ddrescue's mapfile: which parts of a source were read and which were not (ddrescue manual, "Mapfile structure", and
 * read_mapfile() in mapfile.cc of version 1.27, which this agrees with in what it takes and what it refuses). Pure.
 *
 * `#` at the beginning of a line or after white space begins a comment. The first line that is left is the status line
 * `POS STATUS [PASS]`, each further one an area `POS SIZE STATUS`; areas follow each other without a gap, from wherever the
 * first one begins. Numbers are those of C: 0x is hexadecimal, a leading 0 octal; PASS is decimal.
 */
import { UsageError } from "../errors.ts";
import { quote } from "../name.ts";
import { addRange, type ByteRange, endOf } from "./ranges.ts";

/** "+" was read, "-" is bad, and "?", "*" and "/" are still to be tried in ddrescue's different ways. */
export type Status = "+" | "-" | "?" | "*" | "/";

export interface RescueArea extends ByteRange {
  readonly status: Status;
}

/** What ddrescue keeps of a line. */
const MAX_LINE_LENGTH = 127;
/** LLONG_MAX, at which scanf() stops counting. */
const MAX_NUMBER = 2n ** 63n - 1n;

/** As scanf() takes a number with %lli, with the white space before it: "0x" alone is 0, "08" is 0 and an 8 that follows. */
const NUMBER = /[ \t\v\f\r]*([+-]?)(0[xX][0-9a-fA-F]*|0[0-7]*|[1-9][0-9]*)/y;
const POSITION_STATUS = /[ \t\v\f\r]*[?*/+FG-](?:[ \t\v\f\r]*([+-]?[0-9]+))?/y;
const AREA_STATUS = /[ \t\v\f\r]*([?*/+-])/y;

/** A line as ddrescue sees it, without its comment and the white space before it. */
function cleaned(line: string): string {
  const text = line.replace(/^[ \t\v\f\r]+/, "");
  const comment = text.startsWith("#") ? 0 : text.search(/[ \t\v\f\r]#/);
  return (comment < 0 ? text : text.slice(0, comment)).slice(0, MAX_LINE_LENGTH);
}

/** Reads one line from its beginning on. */
class Scanner {
  readonly #line: string;
  #at = 0;

  constructor(line: string) {
    this.#line = line;
  }

  #take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#line) ?? undefined;
    if (match !== undefined) this.#at = pattern.lastIndex;
    return match;
  }

  number(): bigint | undefined {
    const [, sign, digits = ""] = this.#take(NUMBER) ?? [];
    if (sign === undefined) return undefined;
    const octal = /^0[0-7]/.test(digits);
    const value = octal ? BigInt(`0o${digits}`) : BigInt(/^0[xX]$/.test(digits) ? "0" : digits);
    const signed = sign === "-" ? -value : value;
    return signed > MAX_NUMBER ? MAX_NUMBER : signed;
  }

  status(): Status | undefined {
    const [, status] = this.#take(AREA_STATUS) ?? [];
    return isStatus(status) ? status : undefined;
  }

  /** Whether a status of the status line follows, and a pass from 1 on where there is one; scanf() keeps 32 bits of it. */
  isPositionStatus(): boolean {
    const match = this.#take(POSITION_STATUS);
    return match !== undefined && (match[1] === undefined || BigInt.asIntN(32, BigInt(match[1])) >= 1n);
  }
}

function isStatus(text: string | undefined): text is Status {
  return text === "+" || text === "-" || text === "?" || text === "*" || text === "/";
}

/**
 * Reads a mapfile; `name` is its name in messages. Areas are in ascending order and follow each other; what lies beyond 2^53
 * is cut off, as no source is longer. Empty for a file without a status line. @throws {UsageError} when it is none.
 */
export function parseRescueMap(text: string, name: string): RescueArea[] {
  const areas: RescueArea[] = [];
  let end: bigint | undefined;
  let begun = false;
  let number = 0;
  const bad = (what: string) =>
    new UsageError(`Cannot read the rescue map ${quote(name)}: line ${number} ${what}`, {
      hint: "--mapfile names a map that ddrescue or blocksync wrote for this source, or a new file",
    });
  for (const line of text.split("\n")) {
    number++;
    const content = cleaned(line);
    if (content === "") continue;
    const scanner = new Scanner(content);
    const offset = scanner.number();
    if (!begun) {
      begun = true;
      if (offset === undefined || offset < 0n || !scanner.isPositionStatus())
        throw bad("is not a line of a GNU ddrescue mapfile");
      continue;
    }
    const size = scanner.number();
    const status = scanner.status();
    const isArea = offset !== undefined && size !== undefined && offset >= 0n && (size > 0n || size + offset === 0n);
    if (!isArea || status === undefined) throw bad("is not a line of a GNU ddrescue mapfile");
    if (end !== undefined && offset !== end) throw bad("does not begin where the previous area ends");
    end = offset + size > MAX_NUMBER ? MAX_NUMBER : offset + size;
    const [from, to] = [offset, end].map((value) => Math.min(Number(value), Number.MAX_SAFE_INTEGER));
    if (from !== undefined && to !== undefined && from < to) areas.push({ offset: from, length: to - from, status });
  }
  return areas;
}

/**
 * Fits the map to a source of this size: what it leaves out counts as untried, and unread areas past the source's end
 * are cut off, as ddrescue does.
 * @throws {UsageError} when the map has areas that were read but that this source does not have: it belongs to another.
 */
export function fitRescueMap(map: readonly RescueArea[], sizeBytes: number, source: string): RescueArea[] {
  const fitted: RescueArea[] = [];
  let position = 0;
  const add = (end: number, status: Status) => {
    const stop = Math.min(end, sizeBytes);
    if (stop > position) fitted.push({ offset: position, length: stop - position, status });
    position = Math.max(position, stop);
  };
  for (const area of map) {
    const { offset, status } = area;
    const end = endOf(area);
    if (end > sizeBytes && (status === "+" || offset > sizeBytes)) {
      throw new UsageError(
        `The rescue map covers ${end} bytes, but ${quote(source)} has ${sizeBytes}: it belongs to another source`,
      );
    }
    add(offset, "?");
    add(end, status);
  }
  add(sizeBytes, "?");
  return fitted;
}

/** Areas of these kinds; neighbours are joined. */
export function areasWith(map: readonly RescueArea[], ...statuses: readonly Status[]): ByteRange[] {
  const ranges: ByteRange[] = [];
  for (const area of map) if (statuses.includes(area.status)) addRange(ranges, area);
  return ranges;
}

/** Lists of areas, each with its status, as one map; they must not overlap. */
export function mergedAreas(parts: readonly (readonly [ranges: readonly ByteRange[], status: Status])[]): RescueArea[] {
  return parts
    .flatMap(([ranges, status]) => ranges.map(({ offset, length }) => ({ offset, length, status })))
    .sort((a, b) => a.offset - b.offset);
}

function hexadecimal(value: number): string {
  return `0x${value.toString(16).toUpperCase().padStart(8, "0")}`;
}

/** The kinds of areas in the order in which ddrescue works on them. */
const PHASES = ["?", "*", "/"] as const;

/** The mapfile's text, in pieces. `comments` are lines of its heading. The status line says where to go on, or that all is tried. */
export function* formatRescueMap(map: readonly RescueArea[], comments: readonly string[]): Generator<string> {
  const status = PHASES.find((phase) => map.some((area) => area.status === phase)) ?? "+";
  const position = status === "+" ? 0 : (map.find((area) => area.status === status)?.offset ?? 0);
  for (const comment of comments) yield `# ${comment}\n`;
  yield "# current_pos  current_status  current_pass\n";
  yield `${hexadecimal(position)}     ${status}               1\n`;
  yield "#      pos        size  status\n";
  for (const area of map) yield `${hexadecimal(area.offset)}  ${hexadecimal(area.length)}  ${area.status}\n`;
}
