import { expect, test } from "bun:test";
import { xxh3 } from "@node-rs/xxhash";
import { wasmXxh128 } from "../../src/local/work/xxh128-wasm.ts";
import { bytes } from "../helpers/bytes.ts";

const xxh128 = await wasmXxh128();
const INPUT = bytes(11, (1 << 20) + 100);

test("wasmXxh128() gives the published values of nothing and of abc", () => {
  expect(xxh128(new Uint8Array(0)).toString(16)).toBe("99aa06d3014798d86001c324468d497f");
  expect(xxh128(Buffer.from("abc")).toString(16)).toBe("6b05ab6733a618578af5f94892f3950");
});

test("wasmXxh128() equals the native one for every length of each class, wherever the bytes lie", () => {
  // The classes end at 0, 3, 8, 16, 128 and 240 bytes; beyond that stripes of 64 make blocks of 1024.
  for (let length = 0; length <= 4200; length++) {
    const part = INPUT.subarray(length % 17, (length % 17) + length);
    expect({ length, hash: xxh128(part) }).toEqual({ length, hash: xxh3.xxh128(part) });
  }
});

test("wasmXxh128() equals the native one for inputs of all zeros and all ones, which carry the most", () => {
  for (const byte of [0, 0x80, 0xff]) {
    const same = Buffer.alloc(70_000, byte);
    for (const length of [1, 3, 4, 8, 9, 16, 17, 128, 129, 240, 241, 1023, 1024, 1025, 4096, 65_536, 70_000]) {
      const part = same.subarray(0, length);
      expect({ byte, length, hash: xxh128(part) }).toEqual({ byte, length, hash: xxh3.xxh128(part) });
    }
  }
});

test("wasmXxh128() equals the native one for a whole block, in shared memory too", () => {
  const shared = new Uint8Array(new SharedArrayBuffer(INPUT.length + 3), 3);
  shared.set(INPUT);
  const expected = xxh3.xxh128(INPUT);
  expect(xxh128(INPUT)).toBe(expected);
  expect(xxh128(shared)).toBe(expected);
});

test("wasmXxh128() equals the native one around the ends of the pieces that are copied into its memory", () => {
  const piece = 16 << 10;
  for (const length of [1, 2, 3, 64].flatMap((count) => [-1, 0, 1, 240].map((more) => count * piece + more))) {
    const part = INPUT.subarray(1, 1 + length);
    expect({ length, hash: xxh128(part) }).toEqual({ length, hash: xxh3.xxh128(part) });
  }
});

test("wasmXxh128() depends on every byte, in each class of lengths", () => {
  for (const length of [1, 3, 4, 8, 9, 16, 17, 128, 129, 240, 241, 1024, 1100]) {
    const input = Buffer.from(INPUT.subarray(0, length));
    const hashes = new Set([xxh128(input)]);
    for (let i = 0; i < length; i++) {
      input[i] = (input[i] ?? 0) ^ 1;
      hashes.add(xxh128(input));
      input[i] = (input[i] ?? 0) ^ 1;
    }
    expect({ length, hashes: hashes.size }).toEqual({ length, hashes: length + 1 });
  }
});
