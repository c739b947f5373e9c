/**
 * Block and leaf hashes. Block hashes are what equality is decided by, so no choice is below 128 bits. Each begins with the
 * block's print, XXH3-64 without a seed, which is the same in every run and so makes the fingerprint (sync/fingerprint.ts).
 *
 * "gmac" is AES-128-GMAC (NIST SP 800-38D) under a key that is random for each run: of any two different blocks, whoever chose
 * them, the chance of a match without the key is at most 2^-112 for 1 MiB (its length in AES blocks / 2^128). The nonce is the
 * same for all blocks: what a repeated one gives away, it gives to who sees the tags, and they stay inside the run's connection.
 * "xxh3-xxh64" is for processors without AES instructions: 64 bits that two different functions make under a random seed. That is
 * against accidents, the same ones in two runs too, and no defence against someone who chooses the contents: pairs of blocks can be
 * made that collide under one seed in twelve (measured). With another --hash the whole digest asked for follows.
 *
 * Speeds on 1 MiB in cache (2-core x86-64, Bun 1.4.5): XXH3-64 60, GMAC 23 to 26, XXH64 12–14, xxh3-xxh64 8; SHA-256 1.8; xxh128 of
 * @node-rs/xxhash 1.7–2, of hash-wasm 5–6 GB/s. They are loaded only when asked for.
 */
import { loadCrypto } from "../../builtin.ts";
import { LEAF_SIZE, leafCount } from "../../sync/blocks.ts";
import { type LeafHashSize, PRINT_SIZE } from "../../sync/endpoint.ts";
import type { Sha256 } from "../../sync/fingerprint.ts";
import { type HashChoice, type HashName, SEED_SIZE } from "../../sync/spec.ts";

const GMAC_KEY_OFFSET = 12;
const GMAC_NONCE = new Uint8Array(12);

/** A function from bytes to digest, `size` bytes, written to `out` at `offset`. */
interface Digest {
  readonly size: number;
  /** Whether a disk reads faster than one core computes it. */
  readonly slow: boolean;
  digest(bytes: Uint8Array, out: Uint8Array, offset: number): void;
}

function fastDigest(seed: DataView): Digest {
  // Bun's XXH3 takes the low 32 bits of the seed only (measured), its XXH64 all 64.
  const seed3 = BigInt(seed.getUint32(0, true));
  const seed64 = seed.getBigUint64(4, true);
  return {
    size: 8,
    slow: false,
    digest(bytes, out, offset) {
      const view = new DataView(out.buffer, out.byteOffset + offset, 8);
      view.setBigUint64(0, xxh3(bytes, seed3) ^ Bun.hash.xxHash64(bytes, seed64), true);
    },
  };
}

/** The tag of GMAC, 16 bytes. `key` has 16 bytes, `nonce` 12. */
export function gmac(key: Uint8Array, nonce: Uint8Array, bytes: Uint8Array): Uint8Array {
  const cipher = loadCrypto().createCipheriv("aes-128-gcm", key, nonce).setAAD(bytes);
  cipher.final();
  return cipher.getAuthTag();
}

function gmacDigest(seed: DataView): Digest {
  const key = new Uint8Array(seed.buffer, seed.byteOffset + GMAC_KEY_OFFSET, 16);
  return { size: 16, slow: false, digest: (bytes, out, offset) => out.set(gmac(key, GMAC_NONCE, bytes), offset) };
}

type Xxh128 = (input: Uint8Array) => bigint;

/** XXH128 without a seed; loaded once in a process (or thread). */
let xxh128: Promise<Xxh128> | undefined;

/** The native one, in a program what loadInner() of libc.ts loads; it needs libgcc_s (measured). Else WebAssembly's. */
async function loadXxh128(): Promise<Xxh128> {
  try {
    const { xxh3 } = await import("@node-rs/xxhash");
    return xxh3.xxh128;
  } catch {
    const { wasmXxh128 } = await import("./xxh128-wasm.ts");
    return await wasmXxh128();
  }
}

async function xxh128Digest(): Promise<Digest> {
  xxh128 ??= loadXxh128();
  const hash = await xxh128;
  return {
    size: 16,
    slow: false,
    digest(bytes, out, offset) {
      const value = hash(bytes);
      const view = new DataView(out.buffer, out.byteOffset + offset, 16);
      view.setBigUint64(0, value >> 64n, false);
      view.setBigUint64(8, value & 0xffff_ffff_ffff_ffffn, false);
    },
  };
}

function cryptoDigest(name: "sha256" | "sha512" | "blake2b512" | "md5" | "sha1", size: number): Digest {
  return {
    size,
    slow: true,
    digest(bytes, out, offset) {
      // Bun's digest(target) wants a target of 64 bytes whatever the hash, so the result is copied.
      out.set(Bun.CryptoHasher.hash(name, bytes), offset);
    },
  };
}

function saltedDigest(salt: Uint8Array): Digest {
  const hash = saltedSha256(salt);
  return { size: 32, slow: true, digest: (bytes, out, offset) => out.set(hash(bytes), offset) };
}

async function createDigest(name: HashName, seed: DataView, salt: Uint8Array | undefined): Promise<Digest> {
  if (salt !== undefined && name !== "sha256") throw new RangeError(`Salt for ${name}`);
  switch (name) {
    case "gmac":
      return gmacDigest(seed);
    case "xxh3-xxh64":
      return fastDigest(seed);
    case "xxh128":
      return await xxh128Digest();
    case "sha256":
      return salt === undefined ? cryptoDigest(name, 32) : saltedDigest(salt);
    case "sha512":
    case "blake2b512":
      return cryptoDigest(name, 64);
    case "md5":
      return cryptoDigest(name, 16);
    case "sha1":
      return cryptoDigest(name, 20);
  }
}

function xxh3(bytes: Uint8Array, seed: bigint): bigint {
  return Bun.hash.xxHash3(bytes, seed);
}

/** 32 new bytes. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return Bun.CryptoHasher.hash("sha256", bytes);
}

/** Of the salt and then the bytes; each time 32 new bytes. */
export function saltedSha256(salt: Uint8Array): Sha256 {
  if (salt.length === 0) return sha256;
  const begun = new Bun.CryptoHasher("sha256").update(salt);
  return (bytes) => begun.copy().update(bytes).digest();
}

/** What every hash of the block begins with. */
export function blockPrint(block: Uint8Array): bigint {
  return xxh3(block, 0n);
}

const views = new WeakMap<ArrayBufferLike, Uint8Array[]>();

/** The leaves of a block, at the beginning of memory that is used again the same each time: a new view of each leaf is much to collect. */
function leafViews(block: Uint8Array): readonly Uint8Array[] {
  const { buffer, byteOffset, length } = block;
  const view = (leaf: number) => block.subarray(leaf * LEAF_SIZE, (leaf + 1) * LEAF_SIZE);
  if (byteOffset !== 0 || length % LEAF_SIZE !== 0)
    return Array.from({ length: leafCount(length) }, (_, leaf) => view(leaf));
  const known = views.get(buffer) ?? [];
  if (known.length === 0) views.set(buffer, known);
  while (known.length < length / LEAF_SIZE) known.push(view(known.length));
  return known;
}

/** Hashes whole blocks (their print, then the digests asked for one after the other) and their leaves. */
export class Hasher {
  readonly hashSize: number;
  readonly choice: HashChoice;
  readonly #digests: readonly Digest[];
  readonly #leafSeed: bigint;
  readonly #zeroHashes = new Map<number, Uint8Array>();

  private constructor(digests: readonly Digest[], leafSeed: bigint, choice: HashChoice) {
    this.choice = choice;
    this.#digests = digests;
    this.#leafSeed = leafSeed;
    this.hashSize = digests.reduce((sum, digest) => sum + digest.size, PRINT_SIZE);
  }

  static async create(choice: HashChoice): Promise<Hasher> {
    if (choice.seed.length !== SEED_SIZE) throw new RangeError(`Invalid seed of ${choice.seed.length} bytes`);
    const seed = new DataView(choice.seed.buffer, choice.seed.byteOffset, SEED_SIZE);
    const names = choice.additional === undefined ? [choice.name] : [choice.name, choice.additional];
    const digests = await Promise.all(names.map((name) => createDigest(name, seed, choice.salt)));
    return new Hasher(digests, BigInt(seed.getUint32(0, true)), choice);
  }

  /** Returns `hashSize` new bytes. */
  hash(bytes: Uint8Array): Uint8Array {
    const out = new Uint8Array(this.hashSize);
    this.#hashInto(bytes, out, 0);
    return out;
  }

  #hashInto(bytes: Uint8Array, out: Uint8Array, offset: number): void {
    new DataView(out.buffer, out.byteOffset + offset, PRINT_SIZE).setBigUint64(0, blockPrint(bytes), true);
    let position = offset + PRINT_SIZE;
    for (const digest of this.#digests) {
      digest.digest(bytes, out, position);
      position += digest.size;
    }
  }

  /** Whether a disk reads faster than one core hashes. */
  get isSlow(): boolean {
    return this.#digests.some(({ slow }) => slow);
  }

  /** Digests of neighbouring blocks of `blockSize` bytes, the last one perhaps shorter, one after the other. */
  hashEach(bytes: Uint8Array, blockSize: number): Uint8Array {
    const count = Math.ceil(bytes.length / blockSize);
    const hashes = new Uint8Array(count * this.hashSize);
    for (let i = 0; i < count; i++) {
      this.#hashInto(bytes.subarray(i * blockSize, (i + 1) * blockSize), hashes, i * this.hashSize);
    }
    return hashes;
  }

  /** The hash of `length` zero bytes, computed once for each length. */
  zeroHash(length: number): Uint8Array {
    let hash = this.#zeroHashes.get(length);
    if (hash === undefined) {
      hash = this.hash(new Uint8Array(length));
      this.#zeroHashes.set(length, hash);
    }
    return hash;
  }

  /** The low `size` bytes of the XXH3-64 of each leaf, one after the other. */
  leafHashes(block: Uint8Array, size: LeafHashSize): Uint8Array {
    const leaves = leafCount(block.length);
    const wide = new BigUint64Array(leaves);
    const views = leafViews(block);
    for (let leaf = 0; leaf < leaves; leaf++) wide[leaf] = xxh3(views[leaf] ?? block, this.#leafSeed);
    if (size === 8) return new Uint8Array(wide.buffer);
    const halves = new Uint32Array(wide.buffer);
    const narrow = new Uint32Array(leaves);
    for (let leaf = 0; leaf < leaves; leaf++) narrow[leaf] = halves[leaf * 2] ?? 0;
    return new Uint8Array(narrow.buffer);
  }
}

/** Tells the wide hash that a leaf of zeros has under a run's seed, by its length in bytes; each is computed once. */
export function zeroLeafHashes(seed: Uint8Array): (length: number) => Uint8Array {
  const leafSeed = BigInt(new DataView(seed.buffer, seed.byteOffset, SEED_SIZE).getUint32(0, true));
  const known = new Map<number, Uint8Array>();
  return (length) => {
    const hash = known.get(length) ?? new Uint8Array(BigUint64Array.of(xxh3(new Uint8Array(length), leafSeed)).buffer);
    known.set(length, hash);
    return hash;
  };
}
