/** Remembers for each block which bytes both sides were made to agree on, so that a verification can tell who changed. */

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

  readonly #salvaged = new Set<number>();

  /** All blocks begin as zeros. */
  constructor(zeroHash: Uint8Array) {
    this.#hashSize = zeroHash.length;
    this.#zero = prefix(zeroHash, 0, zeroHash.length);
  }

  /** `hashes` are digests of the blocks from `first` on. */
  set(first: number, hashes: Uint8Array): void {
    for (let i = 0; i * this.#hashSize < hashes.length; i++) {
      const index = first + i;
      const chunk = this.#chunks.get(Math.floor(index / CHUNK)) ?? new BigUint64Array(CHUNK).fill(this.#zero);
      chunk[index % CHUNK] = prefix(hashes, i, this.#hashSize);
      this.#chunks.set(Math.floor(index / CHUNK), chunk);
    }
  }

  /** Notes a block that was copied in part: nothing is known of it as a whole. */
  leaveOut(index: number): void {
    this.#salvaged.add(index);
  }

  leavesOut(index: number): boolean {
    return this.#salvaged.has(index);
  }

  /** Whether a block still has the hash that it was remembered with. */
  holds(index: number, hash: Uint8Array): boolean {
    const known = this.#chunks.get(Math.floor(index / CHUNK))?.[index % CHUNK] ?? this.#zero;
    return prefix(hash, 0, this.#hashSize) === known;
  }
}
