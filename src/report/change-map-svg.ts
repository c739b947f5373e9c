/** The change map as a picture (SVG 1.1) that needs nothing else: opened in a browser, each cell says what is in it. */

import { formatBytes } from "../format.ts";
import { shownName } from "../name.ts";
import type { Cell, Changes } from "../sync/changes.ts";
import { endOf } from "../sync/ranges.ts";
import type { ChangeMapNames } from "./change-map-json.ts";
import { changesText, offsetLabel } from "./change-map-lines.ts";
import { type Mark, markOf, SHADES } from "./change-map-mark.ts";

/** Cells in a row; 32 rows hold all that changes tell apart. */
const COLUMNS = 128;
const MAX_CELLS = 4096;
/** In pixels. */
const WIDTH = 1024;
const MARGIN = 120;
const TOP = 84;
const ROW = 14;
/** Width of a character of the labels in pixels, with room to spare: 13 pixels of a monospaced font are 8 wide. */
const CHARACTER = 8;
/** Characters of a name that are shown; its <title> has all of it. */
const NAME = 54;

/** Light to dark, so that they are told apart without colours too (ColorBrewer's Oranges, Blues and black). */
const STYLE = `
  text { font: 13px monospace; fill: #222 }
  .head { font-size: 16px; font-weight: bold }
  .cell { stroke: #fff; stroke-width: 1 }
  .equal { fill: #e8e8e8 }
  .d1 { fill: #fdbe85 } .d2 { fill: #fd8d3c } .d3 { fill: #d94701 } .d4 { fill: #8c2d04 }
  .zero { fill: #6baed6 } .unreadable { fill: #000 }
  .sign { stroke: #fff; stroke-width: 1.5; fill: none }
`;

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text as XML has it; what no XML document may hold becomes U+FFFD (XML 1.0, 2.2). */
export function escapeXml(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(/[\p{Cc}\uFFFE\uFFFF]/gu, "\uFFFD")
    .replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? "");
}

function className(mark: Mark): string {
  return typeof mark === "number" ? `d${mark}` : mark;
}

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
}

/** A cell that is marked: a circle for what became zero, a cross for what could not be read. */
function box(mark: Mark, { x, y, width }: Box, title: string): string {
  const [middle, centre] = [x + width / 2, y + ROW / 2];
  const signs = {
    zero: `<circle class="sign" cx="${middle}" cy="${centre}" r="2.5"/>`,
    unreadable: `<path class="sign" d="M${middle - 3} ${centre - 3}l6 6m-6 0l6-6"/>`,
  };
  const sign = mark === "zero" || mark === "unreadable" ? signs[mark] : "";
  const rectangle = `<rect class="cell ${className(mark)}" x="${x}" y="${y}" width="${width}" height="${ROW}"/>`;
  return `<g><title>${escapeXml(title)}</title>${rectangle}${sign}</g>`;
}

function label(x: number, y: number, text: string, attributes = ""): string {
  return `<text x="${x}" y="${y}"${attributes}>${escapeXml(text)}</text>`;
}

function shortened(name: string): string {
  const characters = [...name];
  if (characters.length <= NAME) return name;
  const half = Math.floor(NAME / 2);
  return `${characters.slice(0, half).join("")}…${characters.slice(-half).join("")}`;
}

function cellTitle(cell: Cell): string {
  return `${cell.offset} to ${endOf(cell) - 1} (at ${formatBytes(cell.offset)}): ${changesText(cell)}`;
}

function* legend(y: number): Generator<string> {
  const entries: readonly (readonly [marks: readonly Mark[], meaning: string])[] = [
    [["equal"], "equal"],
    [SHADES, "up to 25, 50, 75, 100 % differ"],
    [["zero"], "zeros"],
    [["unreadable"], "unreadable"],
  ];
  let x = MARGIN;
  for (const [marks, meaning] of entries) {
    for (const mark of marks) {
      yield box(mark, { x, y, width: ROW }, meaning);
      x += ROW;
    }
    yield label(x + 6, y + ROW - 3, meaning);
    x += 6 + meaning.length * CHARACTER + 24;
  }
}

/** Yields the picture in pieces. */
export function* mapSvg(changes: Changes, names: ChangeMapNames): Generator<string> {
  const cells = changes.cells(MAX_CELLS);
  const columns = Math.min(COLUMNS, Math.max(1, cells.length));
  const width = WIDTH / columns;
  const rows = Math.ceil(cells.length / columns);
  const bottom = TOP + rows * ROW;
  const [total, height] = [MARGIN + WIDTH + 24, bottom + 72];
  const [source, destination] = [shownName(names.source), shownName(names.destination)];
  const title = `${source} → ${destination}`;
  const shown = `${shortened(source)} → ${shortened(destination)}`;
  yield `<?xml version="1.0" encoding="UTF-8"?>\n`;
  yield `<svg xmlns="http://www.w3.org/2000/svg" width="${total}" height="${height}" viewBox="0 0 ${total} ${height}">\n`;
  yield `<title>${escapeXml(`blocksync: ${title}`)}</title>\n<style>${STYLE}</style>\n`;
  yield `<rect width="${total}" height="${height}" fill="#fff"/>\n`;
  yield `${label(24, 36, shown, ' class="head"')}\n${label(24, 60, changesText(changes.total))}\n`;
  for (let row = 0; row < rows; row++) {
    const [y, first] = [TOP + row * ROW, row * columns];
    const line = cells.slice(first, first + columns);
    yield `${label(MARGIN - 10, y + ROW - 3, offsetLabel(line[0]?.offset ?? 0), ' text-anchor="end"')}\n`;
    for (const [column, cell] of line.entries()) {
      yield `${box(markOf(cell), { x: MARGIN + column * width, y, width }, cellTitle(cell))}\n`;
    }
  }
  yield `${label(MARGIN - 10, bottom + ROW - 3, formatBytes(changes.sizeBytes), ' text-anchor="end"')}\n`;
  yield `${label(MARGIN, bottom + ROW - 3, "end")}\n`;
  for (const piece of legend(bottom + 36)) yield `${piece}\n`;
  yield "</svg>\n";
}
