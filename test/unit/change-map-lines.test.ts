/** The change map as text, for every width. */
import { describe, expect, test } from "bun:test";
import { mapLines } from "../../src/report/change-map-lines.ts";
import { markOf } from "../../src/report/change-map-mark.ts";
import { type MapStyle, mapStyle } from "../../src/report/change-map-style.ts";
import { BlockLayout, LEAF_SIZE } from "../../src/sync/blocks.ts";
import { Changes } from "../../src/sync/changes.ts";

const GIB = 2 ** 30;
const TIB = 2 ** 40;
const OPTIONS = { exact: false, zeroLeafHash: () => new Uint8Array(8) };

function plain(columns: number, unicode = true): MapStyle {
  return { columns, unicode, colour: false };
}

/** All of something of this size, with all kinds of things in it. */
function mixed(size: number): Changes {
  const changes = new Changes(size, OPTIONS);
  const at = (part: number) => Math.floor(part * size);
  changes.add("differ", { offset: 0, length: 1 });
  changes.add("differ", { offset: at(0.25), length: Math.ceil(size / 8) });
  changes.add("zero", { offset: at(0.5), length: Math.ceil(size / 8) });
  changes.add("unreadable", { offset: at(0.9), length: 1 });
  return changes;
}

/** The rows of cells, without their offsets. */
function rowsOf(lines: readonly string[]): string[] {
  return lines
    .filter((line) => /^ *[\d.]+( \w+)? [·░▒▓█0!]+$/.test(line))
    .map((line) => line.slice("1023.9 MiB ".length));
}

test("mapLines() of a small device, in full", () => {
  const changes = new Changes(16 * LEAF_SIZE, OPTIONS);
  changes.add("differ", { offset: LEAF_SIZE, length: 100 });
  changes.add("differ", { offset: 4 * LEAF_SIZE, length: 2048 });
  changes.add("differ", { offset: 5 * LEAF_SIZE, length: 3072 });
  changes.add("differ", { offset: 6 * LEAF_SIZE, length: 2 * LEAF_SIZE });
  changes.add("zero", { offset: 8 * LEAF_SIZE, length: LEAF_SIZE });
  changes.add("unreadable", { offset: 15 * LEAF_SIZE, length: 512 });
  expect(mapLines(changes, plain(80), "full")).toEqual([
    "Map: 17.1 KiB of 64.0 KiB differ, 4.0 KiB of it zeros, 512 bytes unreadable",
    "         0 ·░··▒▓██0······!",
    "  64.0 KiB end  4.0 KiB a cell  · equal  ░▒▓█ up to 25-100 %  0 zeros",
    "! unreadable",
  ]);
  expect(mapLines(changes, plain(80, false), "short")).toEqual([
    "         0 .-..+*##0......!",
    "  64.0 KiB end  . equal  -+*# up to 25-100 %  0 zeros  ! unreadable",
  ]);
});

test("mapLines() of a large device has eight rows, each with its offset, or in short one", () => {
  const full = mapLines(mixed(931 * GIB), plain(80), "full");
  expect(full.length).toBe(11);
  expect(full[1]).toStartWith("         0 ░");
  expect(full[2]).toMatch(/^ 116\.\d GiB ·+$/);
  expect(full.slice(1, 9).every((line) => line.length === 80)).toBe(true);
  expect(full[9]).toStartWith(" 931.0 GiB end  1.7 GiB a cell");
  const short = mapLines(mixed(931 * GIB), plain(80), "short");
  expect(short.length).toBe(2);
  expect(short[0]?.length).toBe(80);
});

describe("mapLines() keeps to the width and tells of everything", () => {
  for (const size of [1, 4095, 4097, 100_000, 3 * GIB + 17, 4 * TIB, 16 * TIB]) {
    test(`for ${size} bytes`, () => {
      const changes = mixed(size);
      for (let columns = 20; columns <= 200; columns++) {
        for (const kind of ["short", "full"] as const) {
          const lines = mapLines(changes, plain(columns), kind);
          if (kind === "short" && size < LEAF_SIZE) continue;
          const tooLong = lines.filter((line) => [...line].length > columns);
          expect({ columns, kind, tooLong }).toEqual({ columns, kind, tooLong: [] });
          const rows = rowsOf(lines);
          const cells = rows.join("");
          expect({ columns, kind, rows: rows.length <= (kind === "full" ? 8 : 1) && rows.length > 0 }).toEqual({
            columns,
            kind,
            rows: true,
          });
          expect({ columns, kind, bad: cells.includes("!") }).toEqual({ columns, kind, bad: true });
          if (size > 100_000) expect(cells).toMatch(/^[░▒▓█]·+[░▒▓█]+·*0+·+!·*$/);
        }
      }
    });
  }
});

test("mapLines() shows one byte of 4 TiB, in one cell, at any width", () => {
  for (const offset of [0, TIB + 12345, 4 * TIB - 1]) {
    const changes = new Changes(4 * TIB, OPTIONS);
    changes.add("differ", { offset, length: 1 });
    for (let columns = 20; columns <= 200; columns++) {
      const [row] = rowsOf(mapLines(changes, plain(columns), "short"));
      expect([...(row ?? "")].filter((sign) => sign === "░").length).toBe(1);
      expect(row?.indexOf("░")).toBe(Math.min(columns - 12, Math.floor((offset / 4 / TIB) * (columns - 11))));
    }
  }
});

test("mapLines() of nothing has no cells", () => {
  expect(mapLines(new Changes(0, OPTIONS), plain(40), "full")).toEqual(["Map: 0 bytes of 0 bytes differ", "0 end"]);
});

test("mapLines() in short is a sentence where all cells are alike, and a map when it was asked for", () => {
  const changes = new Changes(64 * LEAF_SIZE, OPTIONS);
  changes.add("differ", { offset: 0, length: 64 * LEAF_SIZE });
  expect(mapLines(changes, plain(80), "short")).toEqual(["Map: all 256.0 KiB differ"]);
  expect(mapLines(changes, plain(80), "full").slice(0, 2)).toEqual([
    "Map: all 256.0 KiB differ",
    `         0 ${"█".repeat(64)}`,
  ]);
});

test("mapLines() says when blocks stand for what differs in them", () => {
  const changes = new Changes(4 * LEAF_SIZE, OPTIONS);
  changes.add("differ", { offset: 0, length: 1 });
  expect(mapLines(changes, plain(80), "short")[1]).toContain("░▒▓█ up to 25-100 %");
  changes.addBlocks(new BlockLayout(4 * LEAF_SIZE, LEAF_SIZE), { first: 1, count: 1 });
  expect(mapLines(changes, plain(80), "short")[1]).toContain("░▒▓█ blocks differ");
});

test("mapLines() in colour differs by its colours only, and ends each of them", () => {
  const changes = mixed(GIB);
  for (const kind of ["short", "full"] as const) {
    const coloured = mapLines(changes, { columns: 80, unicode: true, colour: true }, kind);
    const stripped = coloured.map((line) => Bun.stripANSI(line));
    expect(stripped).toEqual(mapLines(changes, plain(80), kind));
    for (const line of coloured.filter((one) => one.includes("\x1b"))) {
      const codes = line
        .split("\x1b[")
        .slice(1)
        .map((text) => text.slice(0, text.indexOf("m")));
      // On and off in turn, off at the end.
      expect(codes.map((code) => code === "0")).toEqual(codes.map((_, i) => i % 2 === 1));
      expect(codes.at(-1)).toBe("0");
    }
    expect(coloured.join("")).toContain("\x1b[1;31m!\x1b[0m");
  }
});

test("markOf() shows anything unreadable, most of what is zeroed, and quarters of what differs", () => {
  const cell = { offset: 0, length: 1000, differ: 0, zero: 0, unreadable: 0 };
  const marks = [0, 1, 250, 251, 500, 501, 750, 751, 1000].map((differ) => markOf({ ...cell, differ }));
  expect(marks).toEqual(["equal", 1, 1, 2, 2, 3, 3, 4, 4]);
  expect(markOf({ ...cell, zero: 1 })).toBe("zero");
  expect(markOf({ ...cell, zero: 300, differ: 300 })).toBe(3);
  expect(markOf({ ...cell, zero: 300, differ: 299 })).toBe("zero");
  expect(markOf({ ...cell, zero: 500, differ: 499, unreadable: 1 })).toBe("unreadable");
  expect(markOf({ ...cell, differ: 1001 })).toBe(4);
});

test("mapStyle() follows the terminal, the locale and NO_COLOR", () => {
  expect(mapStyle(undefined, {})).toEqual({ columns: 80, unicode: false, colour: false });
  expect(mapStyle(120, { LANG: "de_DE.UTF-8", TERM: "xterm" })).toEqual({ columns: 120, unicode: true, colour: true });
  expect(mapStyle(5, { LANG: "C.utf8", NO_COLOR: "1" })).toEqual({ columns: 20, unicode: true, colour: false });
  expect(mapStyle(80, { LC_ALL: "C", TERM: "vt220", NO_COLOR: "" })).toMatchObject({ unicode: false, colour: true });
  // A console that does not say what it is, as of a rescue system, may show an escape sequence as text.
  expect(mapStyle(80, {}).colour).toBe(false);
  expect(mapStyle(80, { TERM: "" }).colour).toBe(false);
  expect(mapStyle(80, { LC_ALL: "", LC_CTYPE: "en_US.UTF-8", LANG: "C" }).unicode).toBe(true);
  expect(mapStyle(80, { TERM: "dumb", LC_CTYPE: "POSIX", LANG: "C.UTF-8" })).toMatchObject({
    unicode: false,
    colour: false,
  });
});
