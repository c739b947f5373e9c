import { expect, test } from "bun:test";
import fc from "fast-check";
import { type ByteRange, joined, RangeSet, totalLength, union, within, without } from "../../src/sync/ranges.ts";

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
