/** The change map as a picture and as a list: what is in the files, and how the picture looks to a program that draws it. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { mapJson } from "../../src/report/change-map-json.ts";
import { escapeXml, mapSvg } from "../../src/report/change-map-svg.ts";
import { LEAF_SIZE } from "../../src/sync/blocks.ts";
import { Changes } from "../../src/sync/changes.ts";
import { type Picture, readPng } from "../helpers/png.ts";
import { testWith } from "../helpers/requirements.ts";
import { checkerOf, schemaText } from "../helpers/schema.ts";
import { tempDir } from "../helpers/temp.ts";

const OPTIONS = { exact: true, zeroLeafHash: () => new Uint8Array(8) };
const NAMES = { source: "/dev/sda", destination: "root@host:/dev/sdb" };
const TIB = 2 ** 40;

function drawn(changes: Changes, names = NAMES): string {
  return [...mapSvg(changes, names)].join("");
}

/** Has rsvg-convert draw it; a picture that is no well-formed XML fails. */
function rendered(svg: string): Picture {
  using dir = tempDir();
  fs.writeFileSync(dir.file("map.svg"), svg);
  const result = Bun.spawnSync(["rsvg-convert", "-o", dir.file("map.png"), dir.file("map.svg")]);
  expect({ stderr: result.stderr.toString(), exitCode: result.exitCode }).toEqual({ stderr: "", exitCode: 0 });
  return readPng(fs.readFileSync(dir.file("map.png")));
}

/** The rectangles with a title, in order: the cells and then the legend. */
function boxesOf(svg: string): { title: string; kind: string; x: number; y: number; width: number }[] {
  const pattern = /<g><title>([^<]*)<\/title><rect class="cell (\w+)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"/g;
  return [...svg.matchAll(pattern)].map(([, title = "", kind = "", x, y, width]) => ({
    title,
    kind,
    x: Number(x),
    y: Number(y),
    width: Number(width),
  }));
}

const COLOURS: Readonly<Record<string, string>> = {
  equal: "#e8e8e8",
  d1: "#fdbe85",
  d2: "#fd8d3c",
  d3: "#d94701",
  d4: "#8c2d04",
  zero: "#6baed6",
  unreadable: "#000000",
};

testWith("rsvg")("mapSvg() draws every kind of cell in its colour and its place, as the legend says", async () => {
  const size = 128 * 3 * LEAF_SIZE - 100;
  const changes = new Changes(size, OPTIONS);
  const fill = [1, 1024, 2048, 3072, LEAF_SIZE];
  for (const [cell, length] of fill.entries()) changes.add("differ", { offset: cell * LEAF_SIZE, length });
  changes.add("zero", { offset: 128 * LEAF_SIZE, length: LEAF_SIZE });
  changes.add("unreadable", { offset: size - 10, length: 10 });
  const svg = drawn(changes);
  const picture = rendered(svg);
  const boxes = boxesOf(svg);
  expect(boxes.length).toBe(3 * 128 + 7);
  const found = boxes.map(({ x, y, width }) => picture.colourAt(Math.round(x + width / 2), Math.round(y + 2)));
  expect(found).toEqual(boxes.map(({ kind }) => COLOURS[kind] ?? ""));
  const cells = boxes.slice(0, -7).map(({ kind }) => kind);
  expect(cells.slice(0, 6)).toEqual(["d1", "d1", "d2", "d3", "d4", "equal"]);
  expect([cells[127], cells[128], cells[129], cells.at(-1)]).toEqual(["equal", "zero", "equal", "unreadable"]);
  expect(boxes.slice(-7).map(({ kind }) => kind)).toEqual(["equal", "d1", "d2", "d3", "d4", "zero", "unreadable"]);
  expect(boxes[1]?.title).toBe("4096 to 8191 (at 4.0 KiB): 1.0 KiB of 4.0 KiB differ");
  expect(boxes[383]?.title).toBe(
    `${size - 3996} to ${size - 1} (at 1.5 MiB): 0 bytes of 3.9 KiB differ, 10 bytes unreadable`,
  );
  // Marked by more than a colour.
  expect([...svg.matchAll(/<circle/g)].length).toBe(2);
  expect([...svg.matchAll(/<path/g)].length).toBe(2);
});

testWith("rsvg")("mapSvg() draws a device of any size, with its offsets, within the picture", async () => {
  for (const size of [0, 1, 4097, 16 * TIB]) {
    const changes = new Changes(size, OPTIONS);
    if (size > 0) changes.add("differ", { offset: size - 1, length: 1 });
    const svg = drawn(changes);
    const { width, height } = rendered(svg);
    const boxes = boxesOf(svg);
    for (const { x, y, width: wide } of boxes) {
      expect(x + wide).toBeLessThanOrEqual(width);
      expect(y + 14).toBeLessThanOrEqual(height);
    }
    const cells = boxes.slice(0, -7);
    expect(cells.length).toBe(Math.min(4096, Math.ceil(size / LEAF_SIZE)));
    expect(cells.filter(({ kind }) => kind !== "equal").length).toBe(size === 0 ? 0 : 1);
    if (size > 0) expect(cells.at(-1)?.kind).not.toBe("equal");
    expect(svg).not.toMatch(/(href|src|url\()/);
  }
  expect(drawn(new Changes(16 * TIB, OPTIONS))).toContain(">15.5 TiB</text>");
});

testWith("rsvg")("mapSvg() writes any name as text", async () => {
  const source = `</title><script>alert("1")</script> & 'ü' \u0000\u0007\u001b\ud800 ]]>`;
  const svg = drawn(new Changes(1, OPTIONS), { source, destination: "x".repeat(500) });
  rendered(svg);
  expect(svg).not.toContain("<script>");
  expect(svg).toContain(
    "&quot;&lt;/title&gt;&lt;script&gt;alert(\\&quot;1\\&quot;)&lt;/script&gt; &amp; &#39;ü&#39; \\u0000\\u0007\\u001b\\ud800 ]]&gt;&quot;",
  );
  // Whole in the title, shortened where it is drawn.
  expect(svg).toContain(`${"x".repeat(500)}</title>`);
  expect(svg).toContain(`→ ${"x".repeat(27)}…${"x".repeat(27)}</text>`);
});

test("escapeXml() leaves nothing that XML does not allow", () => {
  const every = String.fromCharCode(...Array.from({ length: 0x10000 }, (_, code) => code));
  expect(escapeXml(every)).not.toMatch(/[<>"'\p{Cc}\p{Cs}\uFFFE\uFFFF]/u);
  expect(escapeXml("a & b 😀")).toBe("a &amp; b 😀");
});

test("mapJson() is what its schema says", () => {
  const problemsOf = checkerOf(schemaText("map"));
  for (const size of [0, 1, 10_000]) {
    const changes = new Changes(size, OPTIONS);
    if (size > 0) changes.add("differ", { offset: 0, length: 1 });
    if (size > 1) changes.add("unreadable", { offset: 512, length: 512 });
    const map: unknown = JSON.parse([...mapJson(changes, NAMES)].join(""));
    expect(problemsOf(map)).toEqual([]);
    const ranges = [
      { offset: 0, length: 1, kind: "differ" },
      { offset: 512, length: 512, kind: "unreadable" },
    ];
    expect(map).toEqual({
      ...NAMES,
      size,
      differ: Math.min(size, 1),
      zero: 0,
      unreadable: size > 1 ? 512 : 0,
      unit: 4096,
      merged: false,
      ranges: ranges.slice(0, size > 1 ? 2 : size),
    });
  }
  const wrong = { ...NAMES, size: -1, ranges: [{ offset: 0, length: 0, kind: "other", more: 1 }] };
  expect(problemsOf(wrong).length).toBe(5 + 4);
});
