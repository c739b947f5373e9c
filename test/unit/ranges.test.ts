import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  type ByteRange,
  inward,
  joined,
  joinedAlike,
  outward,
  overlaid,
  pieces,
  RangeSet,
  rounded,
  shifted,
  totalLength,
  union,
  within,
  without,
} from "../../src/sync/ranges.ts";

/** Any list of ranges within 64 bytes, some of whose neighbours meet. */
const ranges = fc.array(fc.tuple(fc.nat(3), fc.integer({ min: 1, max: 4 })), { maxLength: 9 }).map((steps) => {
  let position = 0;
  return steps.map(([gap, length]): ByteRange => {
    const offset = position + gap;
    position = offset + length;
    return { offset, length };
  });
});

function members(list: readonly ByteRange[]): number[] {
  return list.flatMap(({ offset, length }) => Array.from({ length }, (_, i) => offset + i));
}

test("without(), within() and union() are what sets of bytes make of it", () => {
  fc.assert(
    fc.property(ranges, ranges, (a, b) => {
      const others = new Set(members(b));
      expect(members(without(a, b))).toEqual(members(a).filter((one) => !others.has(one)));
      expect(members(within(a, b))).toEqual(members(a).filter((one) => others.has(one)));
      const both = [...new Set([...members(a), ...members(b)])].sort((x, y) => x - y);
      expect(members(union(a, b))).toEqual(both);
      expect(members(joined(a))).toEqual(members(a));
    }),
  );
});

test("outward(), inward() and pieces() are what units of bytes make of a range", () => {
  const size = fc.integer({ min: 1, max: 9 });
  fc.assert(
    fc.property(fc.nat(30), fc.nat(30), size, fc.nat(20), (offset, length, unit, more) => {
      const range = { offset, length };
      // A disk that ends somewhere behind it.
      const end = offset + length + more;
      const units = Array.from({ length: Math.ceil(end / unit) }, (_, i): ByteRange => {
        return { offset: i * unit, length: Math.min(unit, end - i * unit) };
      });
      const inside = (one: number) => one >= offset && one < offset + length;
      if (length > 0)
        expect(members([outward(range, unit, end)])).toEqual(
          units.filter((one) => members([one]).some(inside)).flatMap((one) => members([one])),
        );
      const whole = units.filter((one) => members([one]).every(inside)).flatMap((one) => members([one]));
      expect(members([inward(range, unit, end) ?? { offset: 0, length: 0 }])).toEqual(whole);
      const cut = [...pieces(range, unit)];
      expect(members(cut)).toEqual(members([range]));
      expect(cut.slice(0, -1).every((piece) => piece.length === unit)).toBe(true);
      expect(members([shifted(range, 7)])).toEqual(members([range]).map((one) => one + 7));
    }),
  );
});

type Coloured = ByteRange & { readonly colour: string };

/** The colour of each byte. */
function coloursOf(list: Iterable<Coloured>): Map<number, string> {
  const colours = new Map<number, string>();
  for (const range of list)
    for (const one of members([range])) {
      // No byte twice.
      expect(colours.has(one)).toBe(false);
      colours.set(one, range.colour);
    }
  return colours;
}

test("overlaid(), rounded() and joinedAlike() keep each byte's kind, the upper one's where two lie", () => {
  const coloured = fc
    .tuple(ranges, fc.array(fc.constantFrom("red", "blue"), { minLength: 9 }))
    .map(([list, colours]) => list.map((range, i): Coloured => ({ ...range, colour: colours[i] ?? "red" })));
  fc.assert(
    fc.property(coloured, coloured, fc.integer({ min: 1, max: 5 }), (below, above, unit) => {
      const both = [...overlaid(below, above, 64)];
      expect(coloursOf(both)).toEqual(
        new Map([...coloursOf(below), ...coloursOf(above)].toSorted(([a], [b]) => a - b)),
      );
      const isSame = (one: Coloured, other: Coloured) => one.colour === other.colour;
      const joinedBoth = [...joinedAlike(both, isSame)];
      expect(coloursOf(joinedBoth)).toEqual(coloursOf(both));
      for (const [i, range] of joinedBoth.entries()) {
        const next = joinedBoth[i + 1];
        if (next?.offset === range.offset + range.length) expect(isSame(range, next)).toBe(false);
      }
      // A unit that two touch is the first one's.
      const first = new Map<number, string>();
      for (const range of below)
        for (const one of members([outward(range, unit, 64)])) if (!first.has(one)) first.set(one, range.colour);
      expect(coloursOf(rounded(below, unit, 64))).toEqual(first);
    }),
  );
});

test("a RangeSet is the union of what was added, in whatever order, with neighbours joined", () => {
  const any = fc.array(fc.record({ offset: fc.nat(60), length: fc.nat(9) }), { maxLength: 20 });
  fc.assert(
    fc.property(any, fc.record({ offset: fc.nat(60), length: fc.nat(30) }), (added, window) => {
      const set = new RangeSet();
      for (const range of added) set.add(range);
      const all = [...new Set(members(added))].sort((x, y) => x - y);
      expect(members(set.all())).toEqual(all);
      expect(set.length).toBe(all.length);
      expect(set.count).toBe(joined(set.all()).length);
      expect(set.count).toBe(set.all().length);
      expect(members(set.partsIn(window))).toEqual(members([window]).filter((one) => all.includes(one)));
    }),
  );
});

test("100,000 separate ranges, backwards too, take less than a second, and a million and more are refused", () => {
  const begun = process.cpuUsage();
  const set = new RangeSet();
  for (let i = 100_000; i > 0; i--) set.add({ offset: i * 8, length: 4 });
  const list = set.all();
  expect(
    totalLength(
      without(
        list,
        list.map(({ offset }) => ({ offset: offset + 2, length: 4 })),
      ),
    ),
  ).toBe(200_000);
  expect(process.cpuUsage(begun).user).toBeLessThan(1_000_000);
  const fill = () => {
    for (let i = 0; i <= 1 << 20; i++) set.add({ offset: 2 ** 40 + i * 8, length: 4 });
  };
  expect(fill).toThrow("Cannot track more than 1048576 separate areas");
});
