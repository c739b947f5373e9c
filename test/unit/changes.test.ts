/** What a change map remembers, against plain lists. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { addLeaf, BlockLayout, emptyLeafSet, LEAF_SIZE, leafCount } from "../../src/sync/blocks.ts";
import { type ChangeRange, Changes } from "../../src/sync/changes.ts";
import { type LeafKind, LeafMap } from "../../src/sync/leaf-map.ts";
import type { ByteRange } from "../../src/sync/ranges.ts";
import { one } from "../helpers/one.ts";

const TIB = 2 ** 40;
const OPTIONS = { exact: true, zeroLeafHash: () => new Uint8Array(8) };

function leafAt(leaf: number, kind: LeafKind = "differ") {
  return { kind, offset: leaf * LEAF_SIZE, length: LEAF_SIZE };
}

/** Every unit of the map's ranges with its kind. */
function unitsOf(map: LeafMap): Map<number, LeafKind> {
  const units = new Map<number, LeafKind>();
  for (const { offset, length, kind } of map.ranges()) {
    for (let unit = offset / map.unit; unit < (offset + length) / map.unit; unit++) {
      expect(units.has(unit)).toBe(false);
      units.set(unit, kind);
    }
  }
  expect([...units.keys()]).toEqual([...units.keys()].toSorted((a, b) => a - b));
  return units;
}

test("LeafMap remembers single leaves, far apart too, and joins neighbours", () => {
  const map = new LeafMap();
  for (const leaf of [2 ** 32 - 1, 7, 5, 6, 4095, 4096]) map.add(leafAt(leaf));
  expect(map.unit).toBe(LEAF_SIZE);
  expect([...map.ranges()].map(({ offset, length }) => [offset / LEAF_SIZE, length / LEAF_SIZE])).toEqual([
    [5, 3],
    [4095, 1],
    [4096, 1],
    [2 ** 32 - 1, 1],
  ]);
});

test("LeafMap merges neighbours when there are too many, the same ones in whatever order they come", () => {
  const leaves = fc.uniqueArray(fc.tuple(fc.integer({ min: 0, max: 60_000 }), fc.constantFrom("differ", "zero")), {
    selector: ([leaf]) => leaf,
    minLength: 1,
    maxLength: 60,
  });
  fc.assert(
    fc.property(leaves, fc.integer({ min: 1, max: 6 }), (list, chunks) => {
      const fill = (order: typeof list) => {
        const map = new LeafMap(chunks);
        for (const [leaf, kind] of order) map.add(leafAt(leaf, kind));
        return map;
      };
      const [map, reversed] = [fill(list), fill(list.toReversed())];
      const perUnit = map.unit / LEAF_SIZE;
      const wanted = new Map<number, LeafKind>();
      for (const [leaf, kind] of list) {
        const unit = Math.floor(leaf / perUnit);
        wanted.set(unit, wanted.get(unit) === "differ" ? "differ" : kind);
      }
      const units = unitsOf(map);
      expect(units).toEqual(wanted);
      expect({ unit: reversed.unit, units: unitsOf(reversed) }).toEqual({ unit: map.unit, units });
      // No coarser than it has to be.
      const chunksOf = (size: number) => new Set(list.map(([leaf]) => Math.floor(leaf / size / 4096))).size;
      expect(chunksOf(perUnit)).toBeLessThanOrEqual(chunks);
      if (perUnit > 1) expect(chunksOf(perUnit / 2)).toBeGreaterThan(chunks);
    }),
  );
});

/** Adds leaves of the whole device, each in its block. */
function addLeaves(changes: Changes, layout: BlockLayout, leaves: readonly number[], kind: LeafKind = "differ"): void {
  const perBlock = layout.blockSize / LEAF_SIZE;
  for (const leaf of leaves) {
    const index = Math.floor(leaf / perBlock);
    const set = emptyLeafSet(leafCount(layout.lengthOf(index)));
    const empty = set.slice();
    addLeaf(set, leaf % perBlock);
    changes.addLeaves(layout, one(index), kind === "differ" ? set : empty, kind === "zero" ? set : empty);
  }
}

function rangesOf(changes: Changes): ChangeRange[] {
  return [...changes.ranges().ranges];
}

test("Changes lists leaves and bytes in order, joined, cut at the end, with what is known to the byte on top", () => {
  const size = 10 * LEAF_SIZE + 100;
  const layout = new BlockLayout(size, 8 * LEAF_SIZE);
  const changes = new Changes(size, OPTIONS);
  addLeaves(changes, layout, [10, 9]);
  addLeaves(changes, layout, [8], "zero");
  changes.add("unreadable", { offset: 2 * LEAF_SIZE + 512, length: 512 });
  changes.add("differ", { offset: LEAF_SIZE, length: LEAF_SIZE + 512 });
  addLeaves(changes, layout, [0]);
  expect(rangesOf(changes)).toEqual([
    { kind: "differ", offset: 0, length: 2 * LEAF_SIZE + 512 },
    { kind: "unreadable", offset: 2 * LEAF_SIZE + 512, length: 512 },
    { kind: "zero", offset: 8 * LEAF_SIZE, length: LEAF_SIZE },
    { kind: "differ", offset: 9 * LEAF_SIZE, length: LEAF_SIZE + 100 },
  ]);
  const { differ, zero, unreadable, length } = changes.total;
  expect({ differ, zero, unreadable, length }).toEqual({
    differ: 3 * LEAF_SIZE + 612,
    zero: LEAF_SIZE,
    unreadable: 512,
    length: size,
  });
});

test("Changes gives the part of a leaf that bytes are known of to these", () => {
  const size = 4 * LEAF_SIZE;
  const layout = new BlockLayout(size, LEAF_SIZE);
  const changes = new Changes(size, OPTIONS);
  addLeaves(changes, layout, [0, 1, 2, 3]);
  const bad: ByteRange[] = [
    { offset: 0, length: 512 },
    { offset: 1000, length: 24 },
    { offset: LEAF_SIZE - 512, length: 2 * LEAF_SIZE },
    { offset: size - 512, length: 512 },
  ];
  for (const range of bad.toReversed()) changes.add("unreadable", range);
  const ranges = rangesOf(changes);
  expect(ranges.filter(({ kind }) => kind === "unreadable")).toEqual(bad.map((r) => ({ kind: "unreadable", ...r })));
  let position = 0;
  for (const { offset, length } of ranges) {
    expect(offset).toBe(position);
    position = offset + length;
  }
  expect(position).toBe(size);
});

test("Changes merges neighbours when there are too many ranges, and says so", () => {
  const leaves = 2 * (2 ** 20 + 4);
  const changes = new Changes(leaves * LEAF_SIZE, OPTIONS);
  const layout = new BlockLayout(leaves * LEAF_SIZE, 8 * LEAF_SIZE);
  const every = Uint8Array.of(0b0101_0101);
  for (let index = 0; index < layout.fullBlockCount; index++)
    changes.addLeaves(layout, one(index), every, Uint8Array.of(0));
  const { unit, ranges } = changes.ranges();
  expect(unit).toBe(2 * LEAF_SIZE);
  expect([...ranges]).toEqual([{ kind: "differ", offset: 0, length: layout.fullBlockCount * 8 * LEAF_SIZE }]);
  expect(changes.total.differ).toBe(layout.fullBlockCount * 4 * LEAF_SIZE);
});

test("Changes has cells without gap or overlap that sum up to what was added", () => {
  const sizes = fc.oneof(fc.integer({ min: 0, max: 100_000 }), fc.integer({ min: 0, max: 64 * TIB }));
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 5000 }), fc.array(fc.double({ min: 0, max: 1 })), (size, most, at) => {
      const changes = new Changes(size, { ...OPTIONS, exact: false });
      for (const place of at.filter((one) => !Number.isNaN(one) && size > 0)) {
        const offset = Math.min(size - 1, Math.floor(place * size));
        changes.add("differ", { offset, length: Math.min(size - offset, 10_000) });
      }
      const cells = changes.cells(most);
      expect(cells.length).toBeLessThanOrEqual(Math.min(most, 4096));
      let position = 0;
      for (const { offset, length } of cells) {
        expect(offset).toBe(position);
        expect(length).toBeGreaterThan(0);
        position += length;
      }
      expect(position).toBe(size);
      expect(cells.reduce((sum, { differ }) => sum + differ, 0)).toBe(changes.total.differ);
    }),
  );
  expect(new Changes(64 * TIB, OPTIONS).cells(5000).length).toBe(4096);
});

test("Changes of blocks only have no ranges, and know that blocks stand for their leaves", () => {
  const changes = new Changes(100_000, { ...OPTIONS, exact: false });
  expect(changes.blockwise).toBe(false);
  changes.addBlocks(new BlockLayout(100_000, 16 * LEAF_SIZE), one(1));
  expect(changes.blockwise).toBe(true);
  expect(changes.total.differ).toBe(100_000 - 16 * LEAF_SIZE);
  expect(() => changes.ranges()).toThrow(RangeError);
});

test("ranges() of more bytes-exact areas than are listed are merged, unreadable ones winning, and come to an end", () => {
  const [count, step] = [1_200_000, 1024];
  const changes = new Changes(count * step, { exact: true, zeroLeafHash: () => new Uint8Array(8) });
  for (let i = 0; i < count; i++) {
    changes.add("unreadable", { offset: i * step, length: 512 });
    changes.add("differ", { offset: i * step + 512, length: 512 });
  }
  const { unit, ranges } = changes.ranges();
  expect(unit).toBe(4096);
  const all = [...ranges];
  expect(all.length).toBeLessThanOrEqual(1 << 20);
  expect(all[0]?.kind).toBe("unreadable");
  expect(all[0]?.length).toBeGreaterThan(1 << 29);
  expect(all.reduce((sum, { length }) => sum + length, 0)).toBe(count * step);
  expect(changes.total).toMatchObject({ unreadable: count * 512, differ: count * 512 });
});

test("ranges() of scattered areas keep their places when they are merged", () => {
  const [count, step] = [1_100_000, 65_536];
  const changes = new Changes(count * step, { exact: true, zeroLeafHash: () => new Uint8Array(8) });
  for (let i = 0; i < count; i++) changes.add("unreadable", { offset: i * step + 1000, length: 512 });
  const { unit, ranges } = changes.ranges();
  expect(unit).toBeGreaterThan(4096);
  const all = [...ranges];
  expect(all.length).toBeLessThanOrEqual(1 << 20);
  expect(all[0]?.offset).toBe(0);
});
