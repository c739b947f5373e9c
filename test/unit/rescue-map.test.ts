import { expect, test } from "bun:test";
import fs from "node:fs";
import fc from "fast-check";
import { UsageError } from "../../src/errors.ts";
import { Rescue } from "../../src/sync/rescue.ts";
import {
  areasWith,
  fitRescueMap,
  formatRescueMap,
  parseRescueMap,
  type RescueArea,
} from "../../src/sync/rescue-map.ts";
import { testWith } from "../helpers/requirements.ts";
import { tempDir } from "../helpers/temp.ts";

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

test("parseRescueMap() reads what ddrescue writes", () => {
  expect(parseRescueMap(DDRESCUE, "map")).toEqual([
    { offset: 0, length: 0x117000, status: "+" },
    { offset: 0x117000, length: 0x200, status: "-" },
    { offset: 0x117200, length: 0x8e00, status: "*" },
    { offset: 0x120000, length: 0xde0000, status: "?" },
  ]);
  expect(parseRescueMap("", "map")).toEqual([]);
  expect(parseRescueMap("0 +\n0 512 +\n512 0x200 /\n", "map")).toHaveLength(2);
});

const NONE = "is not a line of a GNU ddrescue mapfile";
const GAP = "does not begin where the previous area ends";

test.each([
  ["0x0 0x10 +\n", 1, NONE],
  ["0x0 + 1\n0x0 0x10\n", 2, NONE],
  ["0x0 + 1\n0x0 0x10 +\n0x20 0x10 +\n", 3, GAP],
  ["0x0 + 1\n0x0 0x10 +\n0x8 0x10 +\n", 3, GAP],
  ["0x0 + 1\n0x10 0x0 +\n", 2, NONE],
  ["0x0 + 1\n0x0 -5 +\n", 2, NONE],
  ["0x0 + 1\n0x0 0x10 !\n", 2, NONE],
  ["# 1\n\n0 + 0\n", 3, NONE],
  ["0 + 1\n0 08 +\n", 2, NONE],
  ["PK\u0003\u0004", 1, NONE],
  ["\ufeff0 + 1\n", 1, NONE],
])("parseRescueMap() refuses %j and names line %d", (text, line, what) => {
  expect(() => parseRescueMap(text, "m")).toThrow(
    new UsageError(`Cannot read the rescue map "m": line ${line} ${what}`),
  );
});

test.each([
  [
    "0 +\n0x10 010 +\t# octal\r\n24 0x20 -# no comment",
    [
      [16, 8, "+"],
      [24, 32, "-"],
    ],
  ],
  ["# heading\n 0x0 F 7 # status\n\n\t0 512 ? # to do\n# end", [[0, 512, "?"]]],
  ["0 G 1\n0 0 +\n0 1 /\n", [[0, 1, "/"]]],
  ["0x0 + 1\n0x0 0xFFFFFFFFFFFFFFFF ?\n", [[0, Number.MAX_SAFE_INTEGER, "?"]]],
  [
    "0+\n0 1+ and more\n1 1*",
    [
      [0, 1, "+"],
      [1, 1, "*"],
    ],
  ],
] as const)("parseRescueMap() takes %j as ddrescue does", (text, areas) => {
  expect(parseRescueMap(text, "m").map(({ offset, length, status }) => [offset, length, status])).toEqual(
    areas.map((area) => [...area]),
  );
});

test("fitRescueMap() leaves untried what a map leaves out, and refuses what only another source can have", () => {
  const map = (...areas: [number, number, RescueArea["status"]][]) =>
    areas.map(([offset, length, status]) => ({ offset, length, status }));
  expect(fitRescueMap([], 0, "s")).toEqual([]);
  expect(fitRescueMap([], 100, "s")).toEqual(map([0, 100, "?"]));
  expect(fitRescueMap(map([16, 8, "+"], [24, 8, "-"]), 100, "s")).toEqual(
    map([0, 16, "?"], [16, 8, "+"], [24, 8, "-"], [32, 68, "?"]),
  );
  expect(fitRescueMap(map([0, 50, "+"], [50, 2 ** 40, "?"]), 100, "s")).toEqual(map([0, 50, "+"], [50, 50, "?"]));
  expect(fitRescueMap(map([0, 50, "+"], [50, 60, "-"]), 100, "s")).toEqual(map([0, 50, "+"], [50, 50, "-"]));
  const other = new UsageError('The rescue map covers 101 bytes, but "s" has 100: it belongs to another source');
  expect(() => fitRescueMap(map([0, 101, "+"]), 100, "s")).toThrow(other);
});

/** What a map says of each byte that it is about, neighbours of one kind in one, up to the largest offset there is. */
function canonical(areas: readonly RescueArea[]): string[] {
  const lines: string[] = [];
  let last: RescueArea | undefined;
  for (const area of areas) {
    const joins = last?.status === area.status;
    last = joins && last !== undefined ? { ...last, length: last.length + area.length } : area;
    lines.splice(joins ? -1 : lines.length, 1, `${last.offset} ${last.length} ${last.status}`);
  }
  return lines;
}

testWith("ddrescue")(
  "parseRescueMap() takes what ddrescuelog takes, as it does, and refuses what it refuses",
  async () => {
    using dir = tempDir();
    const blank = fc.constantFrom(" ", "  ", "\t", "\v", "\f ", "\r", "");
    const number = (value: number) =>
      fc.constantFrom(
        `${value}`,
        `0x${value.toString(16)}`,
        `0X${value.toString(16).toUpperCase()}`,
        `0${value.toString(8)}`,
        `+${value}`,
      );
    const end = fc.constantFrom("", "", " # a comment", "#", "\t#", " more", "\r", " ".repeat(130), "\0");
    const between = fc.constantFrom("", "", "\n", "# text\n", " \t\n", "  # text\n", "\r\n");
    const odd = fc.constantFrom("0x", "08", "-1", "- 1", "0x0x", "99999999999999999999", "0b1", "1e3", "ü", "0x1G", "");
    const rarely = <T>(usual: fc.Arbitrary<T>, unusual: fc.Arbitrary<T>) =>
      fc.oneof({ weight: 30, arbitrary: usual }, { weight: 1, arbitrary: unusual });
    const line = (...words: fc.Arbitrary<string>[]) => fc.tuple(between, ...words, end).map((parts) => parts.join(""));
    const status = fc.tuple(
      number(5),
      fc.constantFrom(..."?*/-FG+!x"),
      fc.constantFrom(" 1", " 010", "", " 0", " x", " 4294967296"),
    );
    const map = fc
      .tuple(
        rarely(
          line(
            rarely(number(0), odd),
            blank,
            status.map(([, ch, pass]) => ch + pass),
          ),
          between,
        ),
        fc.constantFrom(0, 0, 8, 512, 1000),
        fc.array(
          fc.tuple(
            rarely(fc.nat(4096), fc.constant(0)),
            fc.constantFrom(..."+?-*/"),
            rarely(fc.constant(0), fc.constantFrom(-1, 1)),
          ),
          { maxLength: 5 },
        ),
      )
      .chain(([first, start, areas]) => {
        let position = start;
        const lines = areas.map(([length, ch, shift]) => {
          const offset = Math.max(0, position + shift);
          position = offset + length;
          return line(
            blank,
            rarely(number(offset), odd),
            rarely(fc.constant(" "), blank),
            rarely(number(length), odd),
            blank,
            rarely(fc.constant(ch), fc.constantFrom("F", "")),
          );
        });
        return fc
          .tuple(fc.constant(first), ...lines, fc.boolean())
          .map((parts) => parts.slice(0, -1).join("\n") + (parts.at(-1) === true ? "\n" : ""));
      });
    const maps = fc.sample(map, { numRuns: 400 });
    for (const [i, text] of maps.entries()) fs.writeFileSync(dir.file(`${i}`), text);
    // Without any change of types it prints what it has read.
    const script = `for i in $(seq 0 ${maps.length - 1}); do echo "@ $i"; ddrescuelog -a '?,?' $i 2>&1; echo "= $?"; done`;
    const output = Bun.spawnSync(["sh", "-c", script], { cwd: dir.path }).stdout.toString();
    let taken = 0;
    for (const part of output.split(/^@ /m).slice(1)) {
      const text = maps[Number(/^\d+/.exec(part)?.[0])] ?? "";
      const code = Number(/^= (\d+)$/m.exec(part)?.[1]);
      const read = (): RescueArea[] => parseRescueMap(text, "m");
      if (code === 2) {
        const line = Number(/line (\d+):/.exec(part)?.[1]);
        // A last line without an end is not counted there.
        const unended = line === text.split("\n").length - 1 && !text.endsWith("\n");
        expect(read).toThrow(new RegExp(unended ? `line (${line}|${line + 1}) ` : `line ${line} `));
        continue;
      }
      taken++;
      // Only what is unlike "?" and like itself stays as it is: types are joined, and empty areas too.
      const theirs = [...part.matchAll(/^0x(\w+) {2}0x(\w+) {2}(.)$/gm)].map(([, offset, length, ch]) => {
        const start = Number(`0x${offset}`);
        // What lies beyond 2^53 is cut off here.
        return `${start} ${Math.min(Number(`0x${length}`), Number.MAX_SAFE_INTEGER - start)} ${ch}`;
      });
      expect({ text, areas: canonical(read()) }).toEqual({ text, areas: theirs.filter((one) => !one.includes(" 0 ")) });
    }
    expect(taken).toBeGreaterThan(50);
    expect(maps.length - taken).toBeGreaterThan(50);
  },
);

/** Microseconds of CPU time for reading, merging and writing a map of so many areas; the best of three. */
function mapCost(count: number): number {
  const areas = Array.from({ length: count }, (_, i): RescueArea => {
    return { offset: i * 4096, length: 4096, status: i % 2 === 0 ? "+" : "-" };
  });
  const text = [...formatRescueMap(areas, [])].join("");
  const size = count * 4096;
  const costs = Array.from({ length: 3 }, () => {
    const begun = process.cpuUsage();
    const map = fitRescueMap(parseRescueMap(text, "m"), size, "s");
    const rescue = new Rescue({ map, heldBytes: size, retries: 0 });
    const block = { offset: 0, length: size };
    rescue.salvaged(
      block,
      areasWith(map, "-").map(({ offset }) => ({ offset, length: 2048 })),
      false,
    );
    expect([...formatRescueMap(rescue.map(rescue.written, { gone: false }), [])].length).toBe(count + 1 + 3);
    return process.cpuUsage(begun).user;
  });
  return Math.min(...costs);
}

test("a map of ten times as many areas takes about ten times as long", () => {
  mapCost(10_000); // compiled by now
  // What takes the square of their number takes 100 times as long.
  expect(mapCost(100_000) / mapCost(10_000)).toBeLessThan(40);
});

test("formatRescueMap() is read back, and says finished or where to go on", () => {
  const map = (...statuses: RescueArea["status"][]) =>
    statuses.map((status, i) => ({ offset: i * 512, length: 512, status }));
  const text = [...formatRescueMap(map("+", "-", "+"), ["by 1.2.3"])].join("");
  expect(text).toStartWith("# by 1.2.3\n");
  expect(text).toContain("\n0x00000000     +               1\n");
  expect(parseRescueMap(text, "map")).toEqual(map("+", "-", "+"));
  expect([...formatRescueMap(map("+", "*", "?"), [])].join("")).toContain("\n0x00000400     ?               1\n");
  expect([...formatRescueMap(map("+", "-", "/", "*"), [])].join("")).toContain("0x00000600     *               1\n");
});
