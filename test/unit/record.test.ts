import { expect, test } from "bun:test";
import { BlockLayout } from "../../src/sync/blocks.ts";
import { printOf } from "../../src/sync/fingerprint.ts";
import { BlockRecord } from "../../src/sync/record.ts";
import { fingerprintOfPrints, sha256 } from "../helpers/fingerprint.ts";

const hash = (value: number) => new Uint8Array(16).fill(value);
const print = (value: number) => printOf(hash(value));
const BLOCK = 4096;

function record(blocks: number, keep = true): BlockRecord {
  return new BlockRecord(new BlockLayout(blocks * BLOCK, BLOCK), hash(9), { keep, sha256 });
}

test("BlockRecord remembers each block, far apart ones too, and takes the others for zeros", () => {
  const kept = record(2 ** 40 + 2);
  kept.set(3, 2, [print(1), print(2)]);
  kept.set(2 ** 40, 1, [print(3)]);
  kept.set(4095, 2, [print(4), print(5)]);
  kept.set(4097, 2, undefined);
  for (const [index, value] of [
    [0, 9],
    [3, 1],
    [4, 2],
    [4095, 4],
    [4096, 5],
    [4097, 9],
    [2 ** 40, 3],
    [2 ** 40 + 1, 9],
  ] as const) {
    expect({ index, holds: kept.holds(index, hash(value)) }).toEqual({ index, holds: true });
    expect({ index, holds: kept.holds(index, hash(7)) }).toEqual({ index, holds: false });
  }
});

test("BlockRecord remembers complete parts too", () => {
  const kept = record(2 * 4096);
  kept.set(0, 4096, Array(4096).fill(print(9)));
  kept.set(4096, 4096, Array(4096).fill(print(8)));
  expect([0, 4095, 4096, 8191].map((index) => kept.holds(index, hash(8)))).toEqual([false, false, true, true]);
  expect([0, 4095, 4096, 8191].map((index) => kept.holds(index, hash(9)))).toEqual([true, true, false, false]);
});

test("BlockRecord remembers what is missing of a salvaged block", () => {
  const kept = record(10);
  const place = 5 * BLOCK;
  kept.deferred({ first: 5, count: 1 });
  kept.salvaged([{ offset: place, length: 1024 }]);
  expect([4, 5, 6].map((index) => kept.missingOf(index))).toEqual([undefined, Uint8Array.of(3), undefined]);
});

test("BlockRecord.fingerprint is that of its blocks, whether or not they are kept", () => {
  for (const keep of [false, true]) {
    const noted = record(3, keep);
    noted.set(2, 1, [print(3)]);
    noted.set(0, 1, undefined);
    noted.set(1, 1, [print(2)]);
    const prints = [print(9), print(2), print(3)];
    expect(noted.fingerprint).toBe(fingerprintOfPrints(prints, 3 * BLOCK, BLOCK));
  }
});

test("BlockRecord.fingerprint is undefined when a block was salvaged, and fails all the same when one was forgotten", () => {
  const noted = record(3);
  noted.deferred({ first: 1, count: 1 });
  noted.salvaged([{ offset: BLOCK, length: 512 }]);
  noted.set(0, 1, [print(1)]);
  expect(() => noted.fingerprint).toThrow(new RangeError("A block was neither compared nor copied"));
  noted.set(2, 1, [print(1)]);
  expect(noted.fingerprint).toBeUndefined();
});

test("BlockRecord keeps no part of the fingerprint in memory for a block that is deferred in each", () => {
  const parts = 4000;
  const noted = record(parts * 4096, false);
  // What is kept alive; resident memory holds garbage too, as much as the collector likes.
  const keptBytes = () => {
    Bun.gc(true);
    return process.memoryUsage().external;
  };
  const before = keptBytes();
  for (let first = 0; first < parts * 4096; first += 4096) {
    noted.deferred({ first, count: 1 });
    noted.set(first + 1, 4095, undefined);
  }
  // A part is 32 KiB, so all of them were 131 MB.
  expect(keptBytes() - before).toBeLessThan(32 << 20);
  expect(noted.fingerprint).toBeUndefined();
});
