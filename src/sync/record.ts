/**
 * What every block of a side holds, by its print, as a run finds out: for the fingerprint, and where it is kept so that a
 * verification can tell who changed.
 *
 * The fingerprint stands for the bytes of a side: the XXH128 of the XXH128s of each CHUNK blocks' prints, size and block
 * size, all little-endian, the last two of 64 bits. It is the same in every run with the same block size. Nothing is decided
 * by it: it is for people to compare, and no defence against forgery.
 */
import type { BlockLayout, SectorSet } from "./blocks.ts";
import { PRINT_SIZE } from "./endpoint.ts";
import { xxh128 } from "./xxh128.ts";

/** Blocks that are hashed, and kept, together; a part of a sparse image without data takes no memory. */
const CHUNK = 4096;
/** Bytes of an XXH128. */
const DIGEST_SIZE = 16;

/** The print that a block's digest begins with. */
export function printOf(hash: Uint8Array): bigint {
  return new DataView(hash.buffer, hash.byteOffset, PRINT_SIZE).getBigUint64(0, true);
}

interface Chunk {
  readonly prints: BigUint64Array;
  /** Blocks of it that are not known yet. */
  missing: number;
}

export class BlockRecord {
  readonly #layout: BlockLayout;
  readonly #zero: bigint;
  readonly #keep: boolean;
  readonly #chunks = new Map<number, Chunk>();
  /** XXH128s of the chunks that are complete. */
  readonly #digests = new Map<number, bigint>();
  #zeroDigest: bigint | undefined;
  readonly #salvaged = new Map<number, SectorSet>();

  /** `zeroHash` is that of a zero block of full length. With `keep` holds() can be asked. */
  constructor(layout: BlockLayout, zeroHash: Uint8Array, { keep }: { readonly keep: boolean }) {
    this.#layout = layout;
    this.#zero = printOf(zeroHash);
    this.#keep = keep;
  }

  /** Notes a block; each is noted once, in whatever way. */
  set(index: number, print: bigint): void {
    const number = Math.floor(index / CHUNK);
    const chunk = this.#chunk(number);
    chunk.prints[index % CHUNK] = print;
    this.#known(number, chunk, 1);
  }

  /** Notes `count` blocks from `first` on; holes where `prints` is undefined. */
  setEach(first: number, count: number, prints: readonly bigint[] | undefined): void {
    if (prints === undefined) this.#setZeros(first, count);
    else for (const [i, print] of prints.entries()) this.set(first + i, print);
  }

  #setZeros(first: number, count: number): void {
    const end = first + count;
    for (let position = first; position < end; ) {
      const number = Math.floor(position / CHUNK);
      const part = Math.min(end, (number + 1) * CHUNK) - position;
      if (part === CHUNK) this.#digests.set(number, this.#digestOfZeros());
      else this.#known(number, this.#chunk(number), part);
      position += part;
    }
  }

  /** A chunk begins as zeros. */
  #chunk(number: number): Chunk {
    let chunk = this.#chunks.get(number);
    if (chunk === undefined) {
      const count = Math.min(CHUNK, this.#layout.blockCount - number * CHUNK);
      chunk = { prints: new BigUint64Array(count).fill(this.#zero), missing: count };
      this.#chunks.set(number, chunk);
    }
    return chunk;
  }

  #known(number: number, chunk: Chunk, count: number): void {
    chunk.missing -= count;
    if (chunk.missing > 0) return;
    const digest = digestOf(chunk.prints);
    this.#digests.set(number, digest);
    // What is not there is taken for zeros, and a disk may be full of them.
    if (!this.#keep || digest === this.#digestOfZeros()) this.#chunks.delete(number);
  }

  #digestOfZeros(): bigint {
    this.#zeroDigest ??= digestOf(new BigUint64Array(CHUNK).fill(this.#zero));
    return this.#zeroDigest;
  }

  /** 32 hexadecimal digits; undefined when a block was salvaged. @throws {RangeError} when one was not noted at all. */
  fingerprint(): string | undefined {
    if (this.#salvaged.size > 0) return undefined;
    const { blockCount, sizeBytes, blockSize } = this.#layout;
    const count = Math.ceil(blockCount / CHUNK);
    if (this.#digests.size !== count) throw new RangeError("A block was neither compared nor copied");
    const words = new BigUint64Array((count * DIGEST_SIZE) / 8 + 2);
    for (const [number, digest] of this.#digests) {
      words[number * 2] = BigInt.asUintN(64, digest);
      words[number * 2 + 1] = digest >> 64n;
    }
    words.set([BigInt(sizeBytes), BigInt(blockSize)], count * 2);
    return digestOf(words)
      .toString(16)
      .padStart(DIGEST_SIZE * 2, "0");
  }

  /** Notes a block that was copied in part, without its sectors `missing`: nothing is known of it as a whole. */
  salvaged(index: number, missing: SectorSet): void {
    this.#salvaged.set(index, missing);
  }

  /** What is missing of a block that was copied in part. */
  missingOf(index: number): SectorSet | undefined {
    return this.#salvaged.get(index);
  }

  /** Whether a block still has the hash that it was noted with. */
  holds(index: number, hash: Uint8Array): boolean {
    const known = this.#chunks.get(Math.floor(index / CHUNK))?.prints[index % CHUNK] ?? this.#zero;
    return printOf(hash) === known;
  }
}

function digestOf(words: BigUint64Array): bigint {
  return xxh128(new Uint8Array(words.buffer));
}
