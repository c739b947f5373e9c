import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  addLeaf,
  addSectors,
  BlockLayout,
  countLeaves,
  emptyLeafSet,
  emptySectorSet,
  equalBytes,
  hasLeaf,
  isBlockSize,
  LEAF_SIZE,
  leafCount,
  leafRuns,
  leafSetLength,
  leafSetProblem,
  leafSetSize,
  MAX_BLOCK_SIZE,
  otherSectors,
  sectorRuns,
  sectorSetProblem,
  splitRange,
} from "../../src/sync/blocks.ts";

const MAX_SIZE = Number.MAX_SAFE_INTEGER;

function setOf(leaves: number, members: readonly number[]): Uint8Array {
  const set = emptyLeafSet(leaves);
  for (const leaf of members) addLeaf(set, leaf);
  return set;
}

test("isBlockSize() takes multiples of 4 KiB from 4 KiB to 16 MiB and nothing else", () => {
  const sizes = [4096, 8192, 12288, 65536, 1 << 20, 3 * 4096, (16 << 20) - 4096, 16 << 20];
  expect(sizes.filter(isBlockSize)).toEqual(sizes);
  const others = [0, -4096, 1, 512, 4095, 4097, 6144, (16 << 20) + 4096, 32 << 20, 4096.5, Number.NaN, Infinity];
  expect(others.filter(isBlockSize)).toEqual([]);
});

test("BlockLayout counts the short last block and has none for size 0", () => {
  const cases: [sizeBytes: number, blockSize: number, blocks: number, full: number][] = [
    [0, 4096, 0, 0],
    [1, 4096, 1, 0],
    [4095, 4096, 1, 0],
    [4096, 4096, 1, 1],
    [4097, 4096, 2, 1],
    [10 << 20, 1 << 20, 10, 10],
    [(10 << 20) + 1, 1 << 20, 11, 10],
    [(10 << 20) - 1, 1 << 20, 10, 9],
    [MAX_SIZE, 16 << 20, 2 ** 29, 2 ** 29 - 1],
  ];
  for (const [sizeBytes, blockSize, blocks, full] of cases) {
    const layout = new BlockLayout(sizeBytes, blockSize);
    const seen = { blocks: layout.blockCount, full: layout.fullBlockCount, all: layout.all };
    expect(seen).toEqual({ blocks, full, all: { first: 0, count: blocks } });
  }
});

test("BlockLayout refuses sizes that are no byte counts and block sizes that are none", () => {
  for (const sizeBytes of [-1, 0.5, Number.NaN, Infinity, MAX_SIZE + 1]) {
    expect(() => new BlockLayout(sizeBytes, 4096)).toThrow(new RangeError(`Invalid size ${sizeBytes}`));
  }
  for (const blockSize of [0, 1, 4097, MAX_BLOCK_SIZE + 4096]) {
    expect(() => new BlockLayout(1, blockSize)).toThrow(new RangeError(`Invalid block size ${blockSize}`));
  }
});

test("BlockLayout.lengthOf() gives full blocks their size and the last one the rest", () => {
  const layout = new BlockLayout(3 * 8192 + 5, 8192);
  expect([0, 1, 2, 3].map((index) => layout.lengthOf(index))).toEqual([8192, 8192, 8192, 5]);
  expect([0, 1, 3].map((index) => layout.offsetOf(index))).toEqual([0, 8192, 24576]);
});

test("BlockLayout.lengthOf() refuses every index that is not that of a block", () => {
  const layout = new BlockLayout(3 * 8192 + 5, 8192);
  for (const index of [-1, 4, 5, 0.5, Number.NaN, MAX_SIZE]) {
    expect(() => layout.lengthOf(index)).toThrow(new RangeError(`Block index ${index} is outside 0 to 3`));
  }
  expect(() => new BlockLayout(0, 4096).lengthOf(0)).toThrow(RangeError);
});

test("BlockLayout blocks cover every byte once, in order", () => {
  const sizes = fc.nat({ max: 1 << 30 });
  const blockSizes = fc.integer({ min: 1 << 8, max: 1 << 12 }).map((leaves) => leaves * LEAF_SIZE);
  fc.assert(
    fc.property(sizes, blockSizes, (sizeBytes, blockSize) => {
      const layout = new BlockLayout(sizeBytes, blockSize);
      let position = 0;
      for (let index = 0; index < layout.blockCount; index++) {
        expect(layout.offsetOf(index)).toBe(position);
        expect(layout.lengthOf(index)).toBeGreaterThan(0);
        position += layout.lengthOf(index);
      }
      expect(position).toBe(sizeBytes);
    }),
    { numRuns: 30 },
  );
});

test("leafCount() and leafSetSize() round up", () => {
  expect([0, 1, 4096, 4097, 1 << 20, MAX_BLOCK_SIZE].map(leafCount)).toEqual([0, 1, 1, 2, 256, 4096]);
  expect([0, 1, 7, 8, 9, 256, 4096].map(leafSetSize)).toEqual([0, 1, 1, 1, 2, 32, 512]);
});

test("addLeaf() sets bit i % 8 of byte i / 8 and no other", () => {
  expect([...setOf(17, [0])]).toEqual([1, 0, 0]);
  expect([...setOf(17, [7, 8])]).toEqual([128, 1, 0]);
  expect([...setOf(17, [16, 3, 3])]).toEqual([8, 0, 1]);
});

test("hasLeaf() and countLeaves() find exactly the leaves that were added", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat({ max: 255 })), (members) => {
      const set = setOf(256, members);
      const found = Array.from({ length: 256 }, (_, leaf) => leaf).filter((leaf) => hasLeaf(set, leaf));
      expect(found).toEqual(members.toSorted((a, b) => a - b));
      expect(countLeaves(set)).toBe(members.length);
    }),
  );
  expect(hasLeaf(emptyLeafSet(8), 100)).toBe(false);
});

test("leafRuns() joins neighbours and cuts the last leaf at the block's end", () => {
  const runs = (members: readonly number[], length: number) => [...leafRuns(setOf(leafCount(length), members), length)];
  expect(runs([], 65536)).toEqual([]);
  expect(runs([0], 4096)).toEqual([{ offset: 0, length: 4096 }]);
  expect(runs([0], 5)).toEqual([{ offset: 0, length: 5 }]);
  expect(runs([0, 1, 3, 7, 8], 9 * 4096)).toEqual([
    { offset: 0, length: 8192 },
    { offset: 12288, length: 4096 },
    { offset: 28672, length: 8192 },
  ]);
  expect(runs([1, 2], 2 * 4096 + 1)).toEqual([{ offset: 4096, length: 4097 }]);
  expect(runs([0, 1, 2], 2 * 4096 + 1)).toEqual([{ offset: 0, length: 8193 }]);
});

test("leafRuns() covers the leaves of the set and their length is leafSetLength()", () => {
  const blocks = fc.integer({ min: 1, max: 64 * LEAF_SIZE }).chain((length) =>
    fc.record({
      length: fc.constant(length),
      members: fc.uniqueArray(fc.nat({ max: leafCount(length) - 1 })),
    }),
  );
  fc.assert(
    fc.property(blocks, ({ length, members }) => {
      const set = setOf(leafCount(length), members);
      const covered = new Set<number>();
      let total = 0;
      let end = -1;
      for (const run of leafRuns(set, length)) {
        expect(run.offset).toBeGreaterThan(end);
        end = run.offset + run.length;
        total += run.length;
        for (let at = run.offset; at < end; at += LEAF_SIZE) covered.add(at / LEAF_SIZE);
      }
      expect(end).toBeLessThanOrEqual(length);
      expect([...covered]).toEqual(members.toSorted((a, b) => a - b));
      expect(leafSetLength(set, length)).toBe(total);
    }),
  );
});

test("leafSetLength() counts a short last leaf with its own length", () => {
  expect(leafSetLength(setOf(3, [0, 1]), 2 * 4096 + 10)).toBe(8192);
  expect(leafSetLength(setOf(3, [0, 2]), 2 * 4096 + 10)).toBe(4106);
  expect(leafSetLength(setOf(3, [0, 1, 2]), 3 * 4096)).toBe(12288);
  expect(leafSetLength(emptyLeafSet(0), 0)).toBe(0);
});

test("equalBytes() compares length and every byte", () => {
  const bytes = Uint8Array.of(1, 2, 3);
  expect(equalBytes(bytes, Uint8Array.of(1, 2, 3))).toBe(true);
  expect(equalBytes(new Uint8Array(0), new Uint8Array(0))).toBe(true);
  for (const other of [[1, 2], [1, 2, 3, 0], [0, 2, 3], [1, 0, 3], [1, 2, 4], []]) {
    expect(equalBytes(bytes, Uint8Array.from(other))).toBe(false);
    expect(equalBytes(Uint8Array.from(other), bytes)).toBe(false);
  }
});

test("leafSetProblem() accepts sets that fit the block", () => {
  const length = 9 * 4096 + 100;
  const accepts = (leaves: readonly number[], zeros: readonly number[], bytes: number) =>
    leafSetProblem({ leaves: setOf(10, leaves), zeros: setOf(10, zeros), bytes: new Uint8Array(bytes) }, length);
  expect(accepts([], [], 0)).toBeUndefined();
  expect(accepts([0, 8], [1, 9], 8192)).toBeUndefined();
  expect(accepts([0, 9], [1, 8], 4196)).toBeUndefined();
  expect(accepts([], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 0)).toBeUndefined();
});

test("leafSetProblem() names sets of a wrong size", () => {
  const problem = (leaves: number, zeros: number) =>
    leafSetProblem(
      { leaves: new Uint8Array(leaves), zeros: new Uint8Array(zeros), bytes: new Uint8Array(0) },
      9 * LEAF_SIZE,
    );
  expect(problem(2, 2)).toBeUndefined();
  expect(problem(1, 2)).toBe("leaf sets of 1 and 2 bytes for a block that needs 2");
  expect(problem(2, 3)).toBe("leaf sets of 2 and 3 bytes for a block that needs 2");
  expect(problem(0, 0)).toBe("leaf sets of 0 and 0 bytes for a block that needs 2");
});

test("leafSetProblem() names leaves beyond the block, in either set", () => {
  for (const leaf of [9, 10, 15]) {
    const beyond = setOf(16, [leaf]);
    const none = setOf(16, []);
    const bytes = new Uint8Array(LEAF_SIZE);
    expect(leafSetProblem({ leaves: beyond, zeros: none, bytes }, 9 * LEAF_SIZE)).toBe(
      "a leaf beyond the 9 of the block",
    );
    expect(leafSetProblem({ leaves: none, zeros: beyond, bytes: new Uint8Array(0) }, 9 * LEAF_SIZE)).toBe(
      "a leaf beyond the 9 of the block",
    );
  }
});

test("leafSetProblem() names a leaf that is both data and zero", () => {
  for (const leaf of [0, 7, 8]) {
    const set = setOf(9, [leaf]);
    expect(leafSetProblem({ leaves: set, zeros: set, bytes: new Uint8Array(LEAF_SIZE) }, 9 * LEAF_SIZE)).toBe(
      "a leaf that is both data and zero",
    );
  }
});

test("leafSetProblem() names bytes that are more or fewer than the leaves have", () => {
  const problem = (bytes: number) =>
    leafSetProblem({ leaves: setOf(2, [0, 1]), zeros: setOf(2, []), bytes: new Uint8Array(bytes) }, 4096 + 10);
  expect(problem(4106)).toBeUndefined();
  expect(problem(4105)).toBe("4105 bytes of leaves where 4106 are announced");
  expect(problem(8192)).toBe("8192 bytes of leaves where 4106 are announced");
  expect(problem(0)).toBe("0 bytes of leaves where 4106 are announced");
});

test("splitRange() gives neighbouring parts of nearly equal length that are the whole", () => {
  for (const [first, count, parts] of [
    [0, 10, 1],
    [0, 10, 3],
    [5, 947, 4],
    [0, 3, 3],
    [0, 2, 64],
    [7, 1, 8],
    [0, 2 ** 32 + 1, 64],
  ] as const) {
    const ranges = splitRange({ first, count }, parts);
    expect(ranges.length).toBe(Math.min(parts, count));
    let position: number = first;
    for (const range of ranges) {
      expect(range.first).toBe(position);
      expect(Math.abs(range.count - count / ranges.length)).toBeLessThan(1);
      position += range.count;
    }
    expect(position).toBe(first + count);
  }
});

test("splitRange() of nothing is one empty range", () => {
  expect(splitRange({ first: 0, count: 0 }, 4)).toEqual([{ first: 0, count: 0 }]);
});

test("otherSectors() is the rest of the block and nothing beyond its end", () => {
  for (const length of [1, 512, 513, 1536, 4096, 4097, 1 << 20]) {
    const set = emptySectorSet(length);
    addSectors(set, { offset: 0, length: 1 });
    const others = otherSectors(set, length);
    expect(sectorSetProblem(others, length)).toBeUndefined();
    expect([...sectorRuns(others, length)]).toEqual(length > 512 ? [{ offset: 512, length: length - 512 }] : []);
    expect(otherSectors(others, length)).toEqual(set);
  }
});
