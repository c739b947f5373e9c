/** Remembers for each block which bytes both sides were made to agree on, so that a verification can tell who changed. */
import type { SectorSet } from "./blocks.ts";

/** Blocks that are remembered together; a part of a sparse image without data takes no memory. */
const CHUNK = 4096;

/** The first 64 bits of a hash: enough to tell a changed block from one that is as it was. */
function prefix(hash: Uint8Array, index: number, hashSize: number): bigint {
  return new DataView(hash.buffer, hash.byteOffset + index * hashSize, 8).getBigUint64(0, true);
}

export class BlockRecord {
  readonly #zero: bigint;
  readonly #hashSize: number;
  readonly #chunks = new Map<number, BigUint64Array>();
  readonly #salvaged = new Map<number, SectorSet>();

  /** All blocks begin as zeros. */
  constructor(zeroHash: Uint8Array) {
    this.#hashSize = zeroHash.length;
    this.#zero = prefix(zeroHash, 0, zeroHash.length);
  }

  /** `hashes` are digests of the blocks from `first` on. */
  set(first: number, hashes: Uint8Array): void {
    for (let i = 0; i * this.#hashSize < hashes.length; i++) {
      const index = first + i;
      const value = prefix(hashes, i, this.#hashSize);
      let chunk = this.#chunks.get(Math.floor(index / CHUNK));
      // Zeros are what everything begins as, and a disk may be full of them.
      if (chunk === undefined && value === this.#zero) continue;
      chunk ??= new BigUint64Array(CHUNK).fill(this.#zero);
      chunk[index % CHUNK] = value;
      this.#chunks.set(Math.floor(index / CHUNK), chunk);
    }
  }

  /** Notes a block that was copied in part, without its sectors `missing`: nothing is known of it as a whole. */
  salvaged(index: number, missing: SectorSet): void {
    this.#salvaged.set(index, missing);
  }

  /** What is missing of a block that was copied in part. */
  missingOf(index: number): SectorSet | undefined {
    return this.#salvaged.get(index);
  }

  /** Whether a block still has the hash that it was remembered with. */
  holds(index: number, hash: Uint8Array): boolean {
    const known = this.#chunks.get(Math.floor(index / CHUNK))?.[index % CHUNK] ?? this.#zero;
    return prefix(hash, 0, this.#hashSize) === known;
  }
}
