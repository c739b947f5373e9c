import { expect, test } from "bun:test";
import { createCipheriv, createHash } from "node:crypto";
import { xxh3, xxh64 } from "@node-rs/xxhash";
import { blockPrint, gmac, Hasher } from "../../src/local/work/hash.ts";
import { hashBlocks } from "../../src/local/work/jobs.ts";
import { PRINT_SIZE } from "../../src/sync/endpoint.ts";
import { HASH_NAMES, type HashName, SEED_SIZE } from "../../src/sync/spec.ts";
import { bytes } from "../helpers/bytes.ts";

const SEED = Uint8Array.from({ length: SEED_SIZE }, (_, i) => 0xf0 + i);
/** The two halves of SEED: 32 bits for XXH3, 64 bits for XXH64. */
const SEED_XXH3 = 0xf3f2f1f0n;
const SEED_XXH64 = 0xfbfaf9f8f7f6f5f4n;
const INPUT = bytes(7, 10_000);
/** The parts of the seed that a hash depends on; the others depend on none. */
const SEEDED: ReadonlyMap<HashName, readonly [from: number, to: number]> = new Map([
  ["xxh3-xxh64", [0, 12]],
  ["gmac", [12, 28]],
]);

function create(name: HashName, additional?: HashName, seed: Uint8Array = SEED): Promise<Hasher> {
  return Hasher.create({ name, additional, seed });
}

function hex(digest: Uint8Array): string {
  return Buffer.from(digest).toString("hex");
}

function littleEndian(...values: bigint[]): string {
  const out = Buffer.alloc(values.length * 8);
  values.forEach((value, i) => {
    out.writeBigUInt64LE(value, i * 8);
  });
  return out.toString("hex");
}

/** What every hash begins with, by another implementation. */
function print(part: Uint8Array): string {
  return littleEndian(xxh3.xxh64(part));
}

function seedChangedAt(index: number): Uint8Array {
  return SEED.map((byte, i) => (i === index ? byte ^ 1 : byte));
}

test("Hasher.hash() gives the published digests of abc", async () => {
  const published: Partial<Record<HashName, string>> = {
    xxh128: "06b05ab6733a618578af5f94892f3950",
    md5: "900150983cd24fb0d6963f7d28e17f72",
    sha1: "a9993e364706816aba3e25717850c26c9cd0d89d",
    sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    sha512:
      "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    blake2b512:
      "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
  };
  const names = HASH_NAMES.filter((name) => !SEEDED.has(name));
  expect(Object.keys(published).toSorted()).toEqual(names.toSorted());
  for (const name of names) {
    const hasher = await create(name);
    const digest = hex(hasher.hash(Buffer.from("abc")));
    expect({ name, digest }).toEqual({ name, digest: print(Buffer.from("abc")) + (published[name] ?? "") });
  }
});

test("Hasher.hash() equals node:crypto for every length up to a few blocks of the function", async () => {
  for (const name of ["sha256", "sha512", "blake2b512", "md5", "sha1"] as const) {
    const hasher = await create(name);
    for (const length of [0, 1, 55, 56, 63, 64, 65, 127, 128, 129, 4096, 10_000]) {
      const part = INPUT.subarray(0, length);
      const expected = print(part) + createHash(name).update(part).digest("hex");
      expect({ name, length, digest: hex(hasher.hash(part)) }).toEqual({ name, length, digest: expected });
    }
  }
});

test("Hasher.hash() of xxh128 is the big-endian XXH3-128 without a seed", async () => {
  const hasher = await create("xxh128");
  const expected = xxh3.xxh128(INPUT).toString(16).padStart(32, "0");
  expect(hex(hasher.hash(INPUT))).toBe(print(INPUT) + expected);
  const nothing = new Uint8Array(0);
  expect(hex(hasher.hash(nothing))).toBe(`${print(nothing)}99aa06d3014798d86001c324468d497f`);
});

test("Hasher.hash() by default is XXH3-64 and XXH64 of another implementation in one, each with its part of the seed", async () => {
  const hasher = await create("xxh3-xxh64");
  for (const length of [0, 1, 3, 4, 8, 16, 17, 31, 32, 33, 128, 129, 240, 241, 1024, 1025, 4096, 10_000]) {
    const part = INPUT.subarray(0, length);
    const expected = print(part) + littleEndian(xxh3.xxh64(part, SEED_XXH3) ^ xxh64(part, SEED_XXH64));
    expect({ length, digest: hex(hasher.hash(part)) }).toEqual({ length, digest: expected });
  }
});

test("Bun.hash.xxHash64() with a seed of all 64 bits equals @node-rs/xxhash", () => {
  for (const seed of [0n, 1n, 0xffff_ffffn, 0x1_0000_0000n, 0x8000_0000_0000_0000n, 0xffff_ffff_ffff_ffffn]) {
    expect({ seed, hash: Bun.hash.xxHash64(INPUT, seed) }).toEqual({ seed, hash: xxh64(INPUT, seed) });
  }
});

test("Bun.hash.xxHash3() with a seed of 32 bits equals @node-rs/xxhash", () => {
  for (const seed of [0n, 1n, 0x8000_0000n, 0xffff_ffffn]) {
    expect({ seed, hash: Bun.hash.xxHash3(INPUT, seed) }).toEqual({ seed, hash: xxh3.xxh64(INPUT, seed) });
  }
});

test("gmac() gives the tags that NIST publishes for AES-128-GCM with additional data alone", () => {
  // gcmEncryptExtIV128.rsp of the CAVP's gcmtestvectors, PTlen = 0, and test case 1 of McGrew and Viega.
  const published = [
    [
      "77be63708971c4e240d1cb79e8d77feb",
      "e0e00f19fed7ba0136a797f3",
      "7a43ec1d9c0a5a78a0b16533a6213cab",
      "209fcc8d3675ed938e9c7166709dd946",
    ],
    ["00".repeat(16), "00".repeat(12), "", "58e2fccefa7e3061367f1d57a4e7455a"],
  ] as const;
  for (const [key, nonce, data, tag] of published) {
    const [k, n, d] = [key, nonce, data].map((text) => Buffer.from(text, "hex"));
    expect(hex(gmac(k ?? INPUT, n ?? INPUT, d ?? INPUT))).toBe(tag);
  }
});

/** GMAC after NIST SP 800-38D with a nonce of zeros, bit by bit over GF(2^128); AES of one block is node:crypto's. */
function plainGmac(key: Uint8Array, data: Uint8Array): string {
  const encrypt = (block: Uint8Array) => {
    const cipher = createCipheriv("aes-128-ecb", key, null).setAutoPadding(false);
    return BigInt(`0x${cipher.update(block).toString("hex")}`);
  };
  const h = encrypt(new Uint8Array(16));
  const multiply = (x: bigint) => {
    let [z, v] = [0n, h];
    for (let bit = 127n; bit >= 0n; bit--) {
      if (((x >> bit) & 1n) === 1n) z ^= v;
      v = (v & 1n) === 1n ? (v >> 1n) ^ (0xe1n << 120n) : v >> 1n;
    }
    return z;
  };
  let y = 0n;
  for (let i = 0; i < data.length; i += 16) {
    const block = Buffer.alloc(16);
    block.set(data.subarray(i, i + 16));
    y = multiply(y ^ BigInt(`0x${block.toString("hex")}`));
  }
  y = multiply(y ^ (BigInt(data.length * 8) << 64n));
  const first = Buffer.alloc(16);
  first[15] = 1;
  return (y ^ encrypt(first)).toString(16).padStart(32, "0");
}

test("Hasher.hash() of gmac is the tag under the last 16 bytes of the seed, of another implementation", async () => {
  const hasher = await create("gmac");
  for (const length of [0, 1, 15, 16, 17, 31, 4096, 10_000]) {
    const part = INPUT.subarray(0, length);
    const expected = print(part) + plainGmac(SEED.subarray(12), part);
    expect({ length, digest: hex(hasher.hash(part)) }).toEqual({ length, digest: expected });
  }
});

test("Hasher.hash() depends on every byte of its part of the seed, and on no other", async () => {
  for (const name of HASH_NAMES) {
    const [from, to] = SEEDED.get(name) ?? [0, 0];
    const alone = hex((await create(name)).hash(INPUT));
    const digests = new Set<string>();
    for (let i = 0; i < SEED_SIZE; i++) {
      const digest = hex((await create(name, undefined, seedChangedAt(i))).hash(INPUT));
      if (i >= from && i < to) digests.add(digest);
      else expect({ name, i, digest }).toEqual({ name, i, digest: alone });
    }
    expect({ name, digests: digests.add(alone).size }).toEqual({ name, digests: to - from + 1 });
  }
});

test("Hasher.create() reads a seed that lies within a larger buffer", async () => {
  const buffer = Uint8Array.of(9, 9, 9, ...SEED, 9, 9, 9);
  const hasher = await create("xxh3-xxh64", undefined, buffer.subarray(3, 3 + SEED_SIZE));
  expect(hex(hasher.hash(INPUT))).toBe(hex((await create("xxh3-xxh64")).hash(INPUT)));
});

test("Hasher.create() refuses a seed of another size", async () => {
  for (const size of [0, 8, 12, SEED_SIZE - 1, SEED_SIZE + 1]) {
    const creating = create("xxh3-xxh64", undefined, new Uint8Array(size));
    await expect(creating).rejects.toThrow(new RangeError(`Invalid seed of ${size} bytes`));
  }
});

test("blockPrint() is what each hash of a block begins with, in every run", async () => {
  for (const name of HASH_NAMES) {
    for (const seed of [SEED, seedChangedAt(0), seedChangedAt(SEED_SIZE - 1)]) {
      const hash = (await create(name, undefined, seed)).hash(INPUT);
      expect({ name, print: hex(hash.subarray(0, PRINT_SIZE)) }).toEqual({ name, print: print(INPUT) });
    }
  }
  expect(littleEndian(blockPrint(INPUT))).toBe(print(INPUT));
});

test("Hasher.hashSize is that of the print and each hash, and at least 128 bits", async () => {
  const sizes = new Map<HashName, number>();
  for (const name of HASH_NAMES) sizes.set(name, (await create(name)).hashSize);
  expect(Object.fromEntries(sizes)).toEqual({
    gmac: 24,
    "xxh3-xxh64": 16,
    xxh128: 24,
    sha256: 40,
    sha512: 72,
    blake2b512: 72,
    md5: 24,
    sha1: 28,
  });
});

test("Hasher.hash() with an additional hash is one digest after the other", async () => {
  const both = await create("sha256", "md5");
  expect(both.hashSize).toBe(PRINT_SIZE + 48);
  const expected = createHash("sha256").update(INPUT).digest("hex") + createHash("md5").update(INPUT).digest("hex");
  expect(hex(both.hash(INPUT))).toBe(print(INPUT) + expected);
  const fast = (await create("xxh3-xxh64")).hash(INPUT).subarray(PRINT_SIZE);
  expect(hex((await create("md5", "xxh3-xxh64")).hash(INPUT))).toBe(hex((await create("md5")).hash(INPUT)) + hex(fast));
});

/** A copy of bytes in shared memory, somewhere within it. */
function shared(input: Uint8Array): Uint8Array<SharedArrayBuffer> {
  const copy = new Uint8Array(new SharedArrayBuffer(input.length + 20), 7, input.length);
  copy.set(input);
  return copy;
}

test("Hasher.hashEach() is the digests of the blocks one after the other, a short last one included", async () => {
  for (const name of HASH_NAMES) {
    const hasher = await create(name, "sha1");
    const input = Buffer.alloc(3 * 4096 + 5, 3);
    const blocks = [0, 1, 2, 3].map((i) => input.subarray(i * 4096, (i + 1) * 4096));
    expect(hex(hasher.hashEach(input, 4096))).toBe(blocks.map((block) => hex(hasher.hash(block))).join(""));
    expect(hasher.hashEach(new Uint8Array(0), 4096).length).toBe(0);
  }
});

test("hashBlocks() is the same on a thread as here, whichever hash, many at once", async () => {
  for (const name of HASH_NAMES) {
    for (const additional of [undefined, "blake2b512"] as const) {
      const hasher = await create(name, additional);
      const inputs = Array.from({ length: 12 }, (_, i) => Buffer.alloc(2 * 4096 + i, i + 1));
      const hashes = await Promise.all(inputs.map((input) => hashBlocks(hasher, shared(input), 4096)));
      expect(hashes.map(hex)).toEqual(inputs.map((input) => hex(hasher.hashEach(input, 4096))));
      expect(hex(await hashBlocks(hasher, INPUT, 4096))).toBe(hex(hasher.hashEach(INPUT, 4096)));
    }
  }
});

test("Hasher.hash() returns new bytes each time", async () => {
  const hasher = await create("xxh3-xxh64");
  const first = hasher.hash(INPUT);
  const before = hex(first);
  hasher.hash(Buffer.from("other"));
  expect(hex(first)).toBe(before);
});

test("Hasher.zeroHash() equals the hash of that many zeros, also the second time", async () => {
  for (const name of HASH_NAMES) {
    const hasher = await create(name, "md5");
    for (const length of [1, 4096, 65536, 4096, 1]) {
      const expected = hex(hasher.hash(new Uint8Array(length)));
      expect({ name, length, digest: hex(hasher.zeroHash(length)) }).toEqual({ name, length, digest: expected });
    }
  }
});

test("Hasher.leafHashes() has one hash a leaf, the short last one included", async () => {
  const hasher = await create("sha256");
  const cases: [length: number, leaves: number][] = [
    [0, 0],
    [1, 1],
    [4095, 1],
    [4096, 1],
    [4097, 2],
    [10_000, 3],
    [1 << 20, 256],
  ];
  for (const [length, leaves] of cases) {
    const block = Buffer.alloc(length, 5);
    expect(hasher.leafHashes(block, 4).length).toBe(4 * leaves);
    expect(hasher.leafHashes(block, 8).length).toBe(8 * leaves);
  }
});

test("Hasher.leafHashes() are the XXH3-64 of the leaves under the seed, of another implementation", async () => {
  const hasher = await create("md5");
  const leaves = [INPUT.subarray(0, 4096), INPUT.subarray(4096, 8192), INPUT.subarray(8192)];
  expect(hex(hasher.leafHashes(INPUT, 8))).toBe(littleEndian(...leaves.map((leaf) => xxh3.xxh64(leaf, SEED_XXH3))));
});

test("Hasher.leafHashes() of 4 bytes are the low half of those of 8", async () => {
  const hasher = await create("xxh3-xxh64");
  const wide = Buffer.from(hasher.leafHashes(INPUT, 8));
  const low = Buffer.concat([wide.subarray(0, 4), wide.subarray(8, 12), wide.subarray(16, 20)]);
  expect(hex(hasher.leafHashes(INPUT, 4))).toBe(low.toString("hex"));
});

test("Hasher.leafHashes() change with the seed and with each leaf alone", async () => {
  const hasher = await create("sha256");
  const reseeded = await create("sha256", undefined, seedChangedAt(0));
  expect(hex(reseeded.leafHashes(INPUT, 8))).not.toBe(hex(hasher.leafHashes(INPUT, 8)));
  const changed = Buffer.from(INPUT);
  changed[5000] = (changed[5000] ?? 0) ^ 1;
  const [before, after] = [hasher.leafHashes(INPUT, 4), hasher.leafHashes(changed, 4)];
  expect(hex(after.subarray(0, 4))).toBe(hex(before.subarray(0, 4)));
  expect(hex(after.subarray(4, 8))).not.toBe(hex(before.subarray(4, 8)));
  expect(hex(after.subarray(8))).toBe(hex(before.subarray(8)));
});
