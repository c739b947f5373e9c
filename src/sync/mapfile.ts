/**
 * GNU ddrescue's mapfile: which parts of a source were read and which were not (ddrescue manual, "Mapfile structure").
 * Lines are `POS STATUS [PASS]` once and then `POS SIZE STATUS`; numbers are decimal, or hexadecimal after 0x. Pure.
 */

import { UsageError } from "../errors.ts";
import { quote } from "../name.ts";
import type { ByteRange } from "./blocks.ts";

/** "+" was read, "-" is bad, and "?", "*" and "/" are still to be tried in ddrescue's different ways. */
type Status = "+" | "-" | "?" | "*" | "/";

export interface MapArea extends ByteRange {
  readonly status: Status;
}

const NUMBER = "(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19})";
const POSITION = new RegExp(`^${NUMBER}[ \\t]+[?*/+FG-](?:[ \\t]+[0-9]+)?$`);
const AREA = new RegExp(`^${NUMBER}[ \\t]+${NUMBER}[ \\t]+([?*/+-])$`);

function isStatus(text: string | undefined): text is Status {
  return text === "+" || text === "-" || text === "?" || text === "*" || text === "/";
}

/** Reads a mapfile; `name` is its name in messages. @throws {UsageError} when it is none. */
export function parseMap(text: string, name: string): MapArea[] {
  const lines = text.split("\n").map((line) => line.trim());
  const numbered = lines.map((line, i) => ({ line, number: i + 1 }));
  const [position, ...areas] = numbered.filter(({ line }) => line !== "" && !line.startsWith("#"));
  const bad = (number: number) =>
    new UsageError(`Cannot read the map ${quote(name)}: line ${number} is none of a GNU ddrescue mapfile`, {
      hint: "--mapfile names what ddrescue or blocksync wrote for this source, or a file that is still to be written",
    });
  if (position === undefined) return [];
  if (!POSITION.test(position.line)) throw bad(position.number);
  let end = 0;
  return areas.map(({ line, number }) => {
    const [, offsetText = "", lengthText = "", status] = AREA.exec(line) ?? [];
    const [offset, length] = [Number(offsetText), Number(lengthText)];
    const fits = Number.isSafeInteger(offset + length) && offset === end && length > 0;
    if (!isStatus(status) || !fits) throw bad(number);
    end = offset + length;
    return { offset, length, status };
  });
}

/** Areas of one kind; neighbours are not joined. */
export function areasWith(map: readonly MapArea[], status: Status): ByteRange[] {
  return map.filter((area) => area.status === status).map(({ offset, length }) => ({ offset, length }));
}

/** What of `ranges` lies outside all of `others`; both in ascending order without overlap. */
export function without(ranges: readonly ByteRange[], others: readonly ByteRange[]): ByteRange[] {
  return ranges.flatMap((range) => {
    const parts: ByteRange[] = [];
    let start = range.offset;
    const end = range.offset + range.length;
    for (const other of others) {
      if (other.offset >= end || other.offset + other.length <= start) continue;
      if (other.offset > start) parts.push({ offset: start, length: other.offset - start });
      start = Math.min(end, other.offset + other.length);
    }
    if (start < end) parts.push({ offset: start, length: end - start });
    return parts;
  });
}

/**
 * What is known of a source at the end of a run that found `bad` areas: all else was read if the run was `complete`, and is
 * as it was in the `old` map if not.
 */
export function mapAfter(
  sizeBytes: number,
  bad: readonly ByteRange[],
  old: readonly MapArea[],
  complete: boolean,
): MapArea[] {
  const rest = without([{ offset: 0, length: sizeBytes }], bad);
  const known = complete ? [] : old.flatMap((area) => withStatus(without([area], bad), area.status));
  const unknown = withStatus(without(rest, known), complete ? "+" : "?");
  return [...withStatus(bad, "-"), ...known, ...unknown].sort((a, b) => a.offset - b.offset);
}

function withStatus(ranges: readonly ByteRange[], status: Status): MapArea[] {
  return ranges.map(({ offset, length }) => ({ offset, length, status }));
}

function hexadecimal(value: number): string {
  return `0x${value.toString(16).toUpperCase().padStart(8, "0")}`;
}

export function formatMap(map: readonly MapArea[], version: string): string {
  const complete = map.every(({ status }) => status === "+" || status === "-");
  const position = map.find(({ status }) => status === "?")?.offset ?? 0;
  return [
    `# Mapfile. Created by blocksync version ${version}`,
    "# current_pos  current_status  current_pass",
    `${hexadecimal(position)}     ${complete ? "+" : "?"}               1`,
    "#      pos        size  status",
    ...map.map(({ offset, length, status }) => `${hexadecimal(offset)}  ${hexadecimal(length)}  ${status}`),
    "",
  ].join("\n");
}
