import { expect, test } from "bun:test";
import { Hasher } from "../../src/local/work/hash.ts";
import { KnownBlocks } from "../../src/local/work/known.ts";
import { SEED_SIZE } from "../../src/sync/spec.ts";

const HASHER = await Hasher.create({ name: "gmac", additional: undefined, seed: new Uint8Array(SEED_SIZE) });

/** Blocks of two leaves with digests of one byte, all of them the block's number. */
function known(first: number, count: number) {
  const of = (each: number) => Uint8Array.from({ length: each * count }, (_, i) => first + Math.floor(i / each));
  return { hashes: of(1), leafHashes: of(8) };
}

test("KnownBlocks.take() gives what is known of blocks, once, where all of them are known", () => {
  const blocks = new KnownBlocks(8192, HASHER);
  blocks.keep({ first: 10, count: 4 }, known(10, 4));
  blocks.keep({ first: 14, count: 2 }, known(14, 2));
  expect(blocks.take({ first: 11, count: 2 })).toEqual(known(11, 2));
  expect(blocks.take({ first: 12, count: 2 })).toBeUndefined();
  expect(blocks.take({ first: 13, count: 1 })).toEqual(known(13, 1));
  for (const first of [9, 11, 13, 16]) expect(blocks.take({ first, count: 1 })).toBeUndefined();
  // Of two runs.
  expect(blocks.take({ first: 10, count: 5 })).toBeUndefined();
  expect(blocks.take({ first: 14, count: 2 })).toEqual(known(14, 2));
});

test("KnownBlocks.take() gives the fewer leaves of the last block of all", () => {
  const blocks = new KnownBlocks(8192, HASHER);
  const { hashes, leafHashes } = known(0, 2);
  blocks.keep({ first: 0, count: 2 }, { hashes, leafHashes: leafHashes.subarray(0, 12) });
  expect(blocks.take({ first: 1, count: 1 })?.leafHashes).toEqual(Uint8Array.of(1, 1, 1, 1));
});

test("KnownBlocks.advance() and clear() forget what nobody asks for any more", () => {
  const blocks = new KnownBlocks(8192, HASHER);
  blocks.keep({ first: 0, count: 4 }, known(0, 4));
  blocks.keep({ first: 4, count: 4 }, known(4, 4));
  blocks.advance(4);
  expect(blocks.take({ first: 3, count: 1 })).toBeUndefined();
  blocks.advance(5);
  expect(blocks.take({ first: 4, count: 1 })).toEqual(known(4, 1));
  blocks.clear();
  expect(blocks.take({ first: 5, count: 1 })).toBeUndefined();
});

test("KnownBlocks.keep() forgets the oldest beyond 4 MiB of leaf hashes", () => {
  const blocks = new KnownBlocks(16 << 20, HASHER);
  const digests = { hashes: new Uint8Array(64), leafHashes: new Uint8Array(64 * 4096 * 4) };
  for (let i = 0; i < 5; i++) blocks.keep({ first: i * 64, count: 64 }, digests);
  expect(blocks.take({ first: 63, count: 1 })).toBeUndefined();
  expect(blocks.take({ first: 64, count: 1 })).toBeDefined();
});

test("KnownBlocks.zeros() gives the digests of a hole, as often as it is asked", () => {
  const blocks = new KnownBlocks(8192, HASHER);
  blocks.keep({ first: 8, count: 2 }, known(8, 2));
  blocks.keepZeros({ first: 10, count: 1 << 30 });
  const two = Buffer.alloc(16_384);
  const expected = { hashes: HASHER.hashEach(two, 8192), leafHashes: HASHER.leafHashes(two, 4) };
  for (const first of [10, 10, 1 << 30]) expect(blocks.zeros({ first, count: 2 })).toEqual(expected);
  for (const first of [8, 9, 10 + (1 << 30) - 1]) expect(blocks.zeros({ first, count: 2 })).toBeUndefined();
  expect(blocks.take({ first: 10, count: 1 })).toBeUndefined();
});

test("KnownBlocks finds its runs among many, however many of them are forgotten, and begins anew with a scan that does", () => {
  const blocks = new KnownBlocks(8192, HASHER);
  for (let i = 0; i < 1000; i++) blocks.keep({ first: 3 * i, count: 2 }, known((3 * i) % 250, 2));
  for (const [until, i] of [
    [0, 999],
    [0, 0],
    [300, 100],
    [2000, 667],
    [2994, 998],
  ] as const) {
    blocks.advance(until);
    expect(blocks.take({ first: 3 * i, count: 2 })).toEqual(known((3 * i) % 250, 2));
    expect(blocks.take({ first: 3 * i + 2, count: 1 })).toBeUndefined();
  }
  blocks.keep({ first: 1, count: 1 }, known(1, 1));
  expect(blocks.take({ first: 2995, count: 1 })).toBeUndefined();
  expect(blocks.take({ first: 1, count: 1 })).toEqual(known(1, 1));
});

test("KnownBlocks.areWanted() is true while a quarter of the blocks looked at lately were asked for", () => {
  const blocks = new KnownBlocks(8192, HASHER);
  expect(blocks.areWanted({ first: 0, count: 100 })).toBe(false);
  for (let first = 0; first < 27; first++) blocks.take({ first, count: 1 });
  expect(blocks.areWanted({ first: 100, count: 8 })).toBe(true);
  expect(blocks.areWanted({ first: 108, count: 1 })).toBe(false);
  // What was long ago does not count for ever.
  for (let first = 0; first < 1000; first++) blocks.areWanted({ first, count: 8 });
  for (let first = 0; first < 200; first++) blocks.take({ first, count: 1 });
  expect(blocks.areWanted({ first: 8000, count: 8 })).toBe(true);
});
