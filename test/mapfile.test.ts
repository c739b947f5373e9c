import { expect, test } from "bun:test";
import fc from "fast-check";
import { UsageError } from "../src/errors.ts";
import type { ByteRange } from "../src/sync/blocks.ts";
import { areasWith, formatMap, mapAfter, parseMap, without } from "../src/sync/mapfile.ts";

/** As GNU ddrescue 1.27 writes it. */
const DDRESCUE = `# Mapfile. Created by GNU ddrescue version 1.27
# Command line: ddrescue /dev/sda image map
# Start time:   2024-01-02 03:04:05
# current_pos  current_status  current_pass
0x00120000     ?               1
#      pos        size  status
0x00000000  0x00117000  +
0x00117000  0x00000200  -
0x00117200  0x00008E00  *
0x00120000  0x00DE0000  ?
`;

test("parseMap() reads what ddrescue writes", () => {
  expect(parseMap(DDRESCUE, "map")).toEqual([
    { offset: 0, length: 0x117000, status: "+" },
    { offset: 0x117000, length: 0x200, status: "-" },
    { offset: 0x117200, length: 0x8e00, status: "*" },
    { offset: 0x120000, length: 0xde0000, status: "?" },
  ]);
  expect(parseMap("", "map")).toEqual([]);
  expect(parseMap("0 +\n0 512 +\n512 0x200 /\n", "map")).toHaveLength(2);
});

test.each([
  ["0x0 0x10 +\n", 1],
  ["0x0 + 1\n0x0 0x10\n", 2],
  ["0x0 + 1\n0x10 0x10 +\n", 2],
  ["0x0 + 1\n0x0 0x10 +\n0x20 0x10 +\n", 3],
  ["0x0 + 1\n0x0 0x0 +\n", 2],
  ["0x0 + 1\n0x0 0xFFFFFFFFFFFFFFFF +\n", 2],
  ["0x0 + 1\n0x0 -5 +\n", 2],
  ["0x0 + 1\n0x0 0x10 !\n", 2],
  ["PK\u0003\u0004", 1],
])("parseMap() refuses %j and names line %d", (text, line) => {
  const message = `Cannot read the map "m": line ${line} is none of a GNU ddrescue mapfile`;
  expect(() => parseMap(text, "m")).toThrow(new UsageError(message));
});

test("formatMap() is read back, and says finished or where to go on", () => {
  const map = mapAfter(0x1000, [{ offset: 0x200, length: 0x200 }], [], true);
  const text = formatMap(map, "1.2.3");
  expect(text).toContain("blocksync version 1.2.3");
  expect(text).toContain("\n0x00000000     +               1\n");
  expect(parseMap(text, "map")).toEqual(map);
  expect(formatMap(mapAfter(0x1000, [], [{ offset: 0, length: 0x400, status: "+" }], false), "1")).toContain(
    "\n0x00000400     ?               1\n",
  );
});

test("without() and mapAfter() cover everything once, in order", () => {
  const ranges = fc.uniqueArray(fc.integer({ min: 0, max: 60 }), { maxLength: 12 }).map((points) => {
    const sorted = points.toSorted((a, b) => a - b);
    return sorted.flatMap((start, i): ByteRange[] => {
      const end = sorted[i + 1];
      return i % 2 === 1 || end === undefined ? [] : [{ offset: start, length: end - start }];
    });
  });
  const members = (list: readonly ByteRange[]) =>
    list.flatMap(({ offset, length }) => Array.from({ length }, (_, i) => offset + i));
  fc.assert(
    fc.property(ranges, ranges, fc.boolean(), (a, b, complete) => {
      const others = new Set(members(b));
      expect(members(without(a, b))).toEqual(members(a).filter((one) => !others.has(one)));
      const old = b.map((range, i) => ({ ...range, status: i % 2 === 0 ? ("+" as const) : ("-" as const) }));
      const map = mapAfter(64, a, old, complete);
      expect(members(map)).toEqual(Array.from({ length: 64 }, (_, i) => i));
      const bad = new Set(members(a));
      const kept = (status: "+" | "-") => members(areasWith(old, status)).filter((one) => !bad.has(one));
      const rest = Array.from({ length: 64 }, (_, i) => i).filter((one) => !bad.has(one));
      expect(members(areasWith(map, "+"))).toEqual(complete ? rest : kept("+"));
      const badNow = complete ? [...bad] : [...bad, ...kept("-")];
      expect(members(areasWith(map, "-"))).toEqual(badNow.toSorted((x, y) => x - y));
    }),
  );
});
