import { expect, test } from "bun:test";
import { isZero } from "../../src/local/work/zero.ts";
import { MAX_BLOCK_SIZE } from "../../src/sync/blocks.ts";

const LENGTHS = [1, 2, 3, 7, 8, 9, 15, 16, 17, 63, 511, 512, 513, 4095, 4096, 4097, 65537, (1 << 20) - 1, 1 << 20];

/** Offsets where a loop over words or vectors could go wrong, and every 512th. */
function edges(length: number): number[] {
  const offsets = new Set([0, length - 1]);
  for (let i = 0; i <= 16; i++) offsets.add(i).add(length - 1 - i);
  for (let i = 4088; i <= 4095; i++) offsets.add(i);
  for (let i = 0; i < length; i += 512) offsets.add(i).add(i + 511);
  return [...offsets].filter((offset) => offset >= 0 && offset < length);
}

/** Sets one bit at a time and returns the offsets where isZero() did not see it. */
function missed(block: Buffer, offsets: readonly number[], bits: readonly number[]): number[] {
  const found: number[] = [];
  for (const offset of offsets) {
    for (const bit of bits) {
      block[offset] = 1 << bit;
      if (isZero(block)) found.push(offset);
    }
    block[offset] = 0;
  }
  return found;
}

test("isZero() is true for zeros of every length", () => {
  expect(LENGTHS.filter((length) => !isZero(Buffer.alloc(length)))).toEqual([]);
  expect(isZero(Buffer.alloc(0))).toBe(true);
  expect(isZero(Buffer.alloc(MAX_BLOCK_SIZE))).toBe(true);
});

test("isZero() sees every single bit of 4 KiB", () => {
  const every = Array.from({ length: 4096 }, (_, offset) => offset);
  expect(missed(Buffer.alloc(4096), every, [0, 1, 2, 3, 4, 5, 6, 7])).toEqual([]);
});

test("isZero() sees one bit at the first byte, the last byte and each word edge of odd and even lengths", () => {
  for (const length of LENGTHS) {
    expect({ length, missed: missed(Buffer.alloc(length), edges(length), [0, 7]) }).toEqual({ length, missed: [] });
  }
});

test("isZero() looks only at its own part of a larger buffer", () => {
  const whole = Buffer.alloc(3 * 4096, 0xff);
  whole.fill(0, 4097, 8191);
  expect(isZero(whole.subarray(4097, 8191))).toBe(true);
  expect(isZero(whole.subarray(4096, 8191))).toBe(false);
  expect(isZero(whole.subarray(4097, 8192))).toBe(false);
});

test("isZero() stays right after a longer block was looked at", () => {
  expect(isZero(Buffer.alloc(1 << 20))).toBe(true);
  const short = Buffer.alloc(100);
  expect(isZero(short)).toBe(true);
  short[50] = 1;
  expect(isZero(short)).toBe(false);
});

test("isZero() refuses to compare more than the largest block", () => {
  expect(() => isZero(Buffer.alloc(MAX_BLOCK_SIZE + 1))).toThrow(
    new RangeError(`Invalid length ${MAX_BLOCK_SIZE + 1}`),
  );
});
