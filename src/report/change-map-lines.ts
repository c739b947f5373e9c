/** The change map as lines of text: the whole device in rows of cells, with offsets, and what the marks mean. */

import { formatBytes } from "../format.ts";
import type { Cell, Changes } from "../sync/changes.ts";
import { type Mark, markOf, SHADES } from "./change-map-mark.ts";
import type { MapStyle } from "./change-map-style.ts";

/** Rows of a full map; a small device has fewer. */
const MAX_ROWS = 8;

/** What stands for each mark, in the locale's characters. */
export const SIGNS: Readonly<Record<"unicode" | "ascii", Readonly<Record<Mark, string>>>> = {
  unicode: { equal: "·", 1: "░", 2: "▒", 3: "▓", 4: "█", zero: "0", unreadable: "!" },
  ascii: { equal: ".", 1: "-", 2: "+", 3: "*", 4: "#", zero: "0", unreadable: "!" },
};

/** Select Graphic Rendition (ECMA-48): faint, yellow, cyan, bold red. */
const COLOURS: Readonly<Record<Mark, string>> = {
  equal: "2",
  1: "33",
  2: "33",
  3: "33",
  4: "33",
  zero: "36",
  unreadable: "1;31",
};

/** The marks of neighbouring cells; each run of one colour is switched on and off once. */
function draw(marks: readonly Mark[], { unicode, colour }: MapStyle): string {
  const signs = SIGNS[unicode ? "unicode" : "ascii"];
  let text = "";
  let current = "";
  for (const mark of marks) {
    if (colour && COLOURS[mark] !== current) {
      text += `${current === "" ? "" : "\x1b[0m"}\x1b[${COLOURS[mark]}m`;
      current = COLOURS[mark];
    }
    text += signs[mark];
  }
  return current === "" ? text : `${text}\x1b[0m`;
}

/** A place in a device, for people. */
export function offsetLabel(offset: number): string {
  return offset === 0 ? "0" : formatBytes(offset);
}

/** `length` is what it takes on the screen, at most 20. */
interface Part {
  readonly text: string;
  readonly length: number;
}

/** Fills lines with parts, with `gap` between them. */
function wrap(parts: readonly Part[], gap: string, columns: number): string[] {
  const lines: string[] = [];
  let room = 0;
  for (const { text, length } of parts) {
    const last = lines.length - 1;
    if (last >= 0 && gap.length + length <= room) {
      lines[last] += gap + text;
      room -= gap.length + length;
    } else {
      lines.push(text);
      room = columns - length;
    }
  }
  return lines;
}

function legend(marks: ReadonlySet<Mark>, blockwise: boolean, style: MapStyle): Part[] {
  const entry = (shown: readonly Mark[], meaning: string) => ({
    text: `${draw(shown, style)} ${meaning}`,
    length: shown.length + 1 + meaning.length,
  });
  const differs = SHADES.some((shade) => marks.has(shade));
  return [
    ...(marks.has("equal") ? [entry(["equal"], "equal")] : []),
    ...(differs ? [entry(SHADES, blockwise ? "blocks differ" : "up to 25-100 %")] : []),
    ...(marks.has("zero") ? [entry(["zero"], "zeros")] : []),
    ...(marks.has("unreadable") ? [entry(["unreadable"], "unreadable")] : []),
  ];
}

/** What differs, in words. */
export function changesText({ length, differ, zero, unreadable }: Cell): string {
  const zeros = zero === 0 ? "" : `, ${formatBytes(zero)} of it zeros`;
  const bad = unreadable === 0 ? "" : `, ${formatBytes(unreadable)} unreadable`;
  const all = differ + zero === length && length > 0;
  return `${all ? "all" : `${formatBytes(differ + zero)} of`} ${formatBytes(length)} differ${zeros}${bad}`;
}

/**
 * A "short" map is one row of cells and what they mean, or where all cells are alike a sentence; a "full" one has up to MAX_ROWS and says how much differs, and how
 * long a cell is. No line is longer than the style's columns.
 */
export function mapLines(changes: Changes, style: MapStyle, size: "short" | "full"): string[] {
  const full = size === "full";
  const part = (text: string) => ({ text, length: text.length });
  const end = offsetLabel(changes.sizeBytes);
  // No offset within is written longer than "1023.9 MiB".
  const margin = changes.sizeBytes === 0 ? 0 : "1023.9 MiB ".length;
  const width = style.columns - margin;
  const cells = changes.cells(width * (full ? MAX_ROWS : 1));
  const marks = cells.map(markOf);
  const rows = Array.from({ length: Math.ceil(cells.length / width) }, (_, row) => {
    const label = offsetLabel(cells[row * width]?.offset ?? 0).padStart(margin - 1);
    return `${label} ${draw(marks.slice(row * width, (row + 1) * width), style)}`;
  });
  const cell = full && cells.length > 0 ? [part(`${formatBytes(changes.sizeBytes / cells.length)} a cell`)] : [];
  const endLabel = part(`${end.padStart(margin - 1)} end`);
  const footer = wrap([endLabel, ...cell, ...legend(new Set(marks), changes.blockwise, style)], "  ", style.columns);
  const words = wrap(`Map: ${changesText(changes.total)}`.split(" ").map(part), " ", style.columns);
  if (full) return [...words, ...rows, ...footer];
  return new Set(marks).size > 1 ? [...rows, ...footer] : words;
}
