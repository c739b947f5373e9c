import { expect, test } from "bun:test";
import { BlockLayout } from "../src/sync/blocks.ts";
import { BlockRecord, printOf } from "../src/sync/record.ts";
import { fingerprintOfPrints } from "./helpers/fingerprint.ts";

const hash = (value: number) => new Uint8Array(16).fill(value);
const print = (value: number) => printOf(hash(value));
const BLOCK = 4096;

function record(blocks: number, keep = false): BlockRecord {
  return new BlockRecord(new BlockLayout(blocks * BLOCK, BLOCK), hash(9), { keep });
}

test("BlockRecord remembers each block, far apart ones too, and takes the others for zeros", () => {
  const kept = record(2 ** 40 + 2, true);
  kept.setEach(3, 2, [print(1), print(2)]);
  kept.set(2 ** 40, print(3));
  kept.setEach(4095, 2, [print(4), print(5)]);
  for (const [index, value] of [
    [0, 9],
    [3, 1],
    [4, 2],
    [4095, 4],
    [4096, 5],
    [2 ** 40, 3],
    [2 ** 40 + 1, 9],
  ] as const) {
    expect({ index, holds: kept.holds(index, hash(value)) }).toEqual({ index, holds: true });
    expect({ index, holds: kept.holds(index, hash(7)) }).toEqual({ index, holds: false });
  }
});

test("BlockRecord remembers complete parts too, where they are kept", () => {
  const kept = record(2 * 4096, true);
  kept.setEach(0, 4096, Array(4096).fill(print(9)));
  kept.setEach(4096, 4096, Array(4096).fill(print(8)));
  expect([0, 4095, 4096, 8191].map((index) => kept.holds(index, hash(8)))).toEqual([false, false, true, true]);
  expect([0, 4095, 4096, 8191].map((index) => kept.holds(index, hash(9)))).toEqual([true, true, false, false]);
});

test("BlockRecord remembers what is missing of a salvaged block", () => {
  const kept = record(10, true);
  kept.salvaged(5, Uint8Array.of(3));
  expect([4, 5, 6].map((index) => kept.missingOf(index))).toEqual([undefined, Uint8Array.of(3), undefined]);
});

test("BlockRecord.fingerprint() is the XXH128 of the XXH128s of the prints, whatever the order and the way they are noted", () => {
  for (const blocks of [0, 1, 7, 4095, 4096, 4097, 3 * 4096 + 5]) {
    const prints = Array.from({ length: blocks }, (_, i) => (i % 5 === 0 ? print(9) : BigInt(i) * 0x9e3779b97f4a7c15n));
    const words = BigUint64Array.from(prints);
    const [inOrder, backwards, together] = [record(blocks), record(blocks), record(blocks, true)];
    for (const [i, value] of words.entries()) inOrder.set(i, value);
    for (let i = blocks - 1; i >= 0; i--) {
      if (i % 5 === 0) backwards.setEach(i, 1, undefined);
      else backwards.set(i, words[i] ?? 0n);
    }
    together.setEach(0, blocks, [...words]);
    const expected = fingerprintOfPrints([...words], blocks * BLOCK, BLOCK);
    const found = [inOrder, backwards, together].map((one) => one.fingerprint());
    expect({ blocks, found }).toEqual({ blocks, found: [expected, expected, expected] });
  }
});

test("BlockRecord.fingerprint() of holes is that of zeros that were read, at no cost for 4 TiB", () => {
  const [holes, zeros] = [record(3 * 4096 + 1), record(3 * 4096 + 1)];
  holes.setEach(0, 4000, undefined);
  holes.setEach(4000, 2 * 4096, undefined);
  holes.setEach(4000 + 2 * 4096, 4096 + 1 - 4000, undefined);
  zeros.setEach(0, 3 * 4096 + 1, Array(3 * 4096 + 1).fill(print(9)));
  expect(holes.fingerprint()).toBe(zeros.fingerprint() ?? "none");
  const huge = record(2 ** 30);
  huge.setEach(0, 2 ** 30, undefined);
  expect(huge.fingerprint()).toMatch(/^[0-9a-f]{32}$/);
});

test("BlockRecord.fingerprint() depends on each block, their order, the size and the block size", () => {
  const of = (sizeBytes: number, blockSize: number, ...values: number[]) => {
    const one = new BlockRecord(new BlockLayout(sizeBytes, blockSize), hash(9), { keep: false });
    one.setEach(0, values.length, values.map(print));
    return one.fingerprint();
  };
  const found = [
    of(3 * BLOCK, BLOCK, 1, 2, 3),
    of(3 * BLOCK, BLOCK, 1, 3, 2),
    of(3 * BLOCK, BLOCK, 1, 2, 4),
    of(3 * BLOCK - 1, BLOCK, 1, 2, 3),
    of(6 * BLOCK, 2 * BLOCK, 1, 2, 3),
  ];
  expect(new Set(found).size).toBe(5);
  expect(found).not.toContain(undefined);
});

test("BlockRecord.fingerprint() fails when a block was forgotten", () => {
  const one = record(2 * 4096);
  one.setEach(4096, 4096, undefined);
  for (let index = 0; index < 4096; index++) {
    expect(() => one.fingerprint()).toThrow(new RangeError("A block was neither compared nor copied"));
    one.set(index, print(1));
  }
  expect(one.fingerprint()).toBeDefined();
});

test("BlockRecord.fingerprint() is undefined when a block was salvaged", () => {
  const one = record(3);
  one.set(0, print(1));
  one.set(2, print(1));
  one.salvaged(1, Uint8Array.of(1));
  expect(one.fingerprint()).toBeUndefined();
});

test("printOf() is the first 8 bytes of a digest, wherever it lies", () => {
  expect(printOf(Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7, 8, 9).subarray(1))).toBe(0x0807060504030201n);
});
