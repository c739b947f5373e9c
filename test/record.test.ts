import { expect, test } from "bun:test";
import { BlockRecord } from "../src/sync/record.ts";

const hash = (value: number) => new Uint8Array(16).fill(value);

test("BlockRecord remembers each block, far apart ones too, and takes the others for zeros", () => {
  const record = new BlockRecord(hash(9));
  record.set(3, Uint8Array.from([...hash(1), ...hash(2)]));
  record.set(2 ** 40, hash(3));
  record.set(4095, Uint8Array.from([...hash(4), ...hash(5)]));
  for (const [index, value] of [
    [0, 9],
    [3, 1],
    [4, 2],
    [4095, 4],
    [4096, 5],
    [2 ** 40, 3],
    [2 ** 40 + 1, 9],
  ] as const) {
    expect({ index, holds: record.holds(index, hash(value)) }).toEqual({ index, holds: true });
    expect({ index, holds: record.holds(index, hash(7)) }).toEqual({ index, holds: false });
  }
  record.set(3, hash(6));
  expect(record.holds(3, hash(6))).toBe(true);
});

test("BlockRecord remembers what is missing of a salvaged block", () => {
  const record = new BlockRecord(hash(0));
  record.salvaged(5, Uint8Array.of(3));
  expect([4, 5, 6].map((index) => record.missingOf(index))).toEqual([undefined, Uint8Array.of(3), undefined]);
});
