/**
 * What the blocks hold that both sides were made to agree on: their fingerprint, and where it is kept for each block, so that a
 * verification can tell who changed.
 */
import type { BlockLayout, SectorSet } from "./blocks.ts";
import { Fingerprint, printOf } from "./fingerprint.ts";

/** Blocks that are remembered together; a part of a sparse image without data takes no memory. */
const CHUNK = 4096;

export class BlockRecord {
  readonly #fingerprint: Fingerprint;
  readonly #zero: bigint;
  /** Undefined where only the fingerprint is wanted. */
  readonly #chunks: Map<number, BigUint64Array> | undefined;
  readonly #salvaged = new Map<number, SectorSet>();

  /** `zeroHash` is that of a zero block of full length. With `keep`, 8 bytes a block with data, holds() can be asked. */
  constructor(layout: BlockLayout, zeroHash: Uint8Array, { keep }: { readonly keep: boolean }) {
    this.#fingerprint = new Fingerprint(layout, zeroHash);
    this.#zero = printOf(zeroHash);
    if (keep) this.#chunks = new Map();
  }

  /** Notes a block; each is noted once, in whatever way. @throws {RangeError} for one that was. */
  set(index: number, print: bigint): void {
    this.#fingerprint.add(index, print);
    this.#remember(index, print);
  }

  /** Notes `count` blocks from `first` on; holes where `prints` is undefined. @throws {RangeError} */
  setEach(first: number, count: number, prints: readonly bigint[] | undefined): void {
    this.#fingerprint.addEach(first, count, prints);
    for (const [i, print] of prints?.entries() ?? []) this.#remember(first + i, print);
  }

  #remember(index: number, print: bigint): void {
    if (this.#chunks === undefined) return;
    const number = Math.floor(index / CHUNK);
    let chunk = this.#chunks.get(number);
    // Zeros are what everything begins as, and a disk may be full of them.
    if (chunk === undefined && print === this.#zero) return;
    chunk ??= new BigUint64Array(CHUNK).fill(this.#zero);
    chunk[index % CHUNK] = print;
    this.#chunks.set(number, chunk);
  }

  /** Notes a block that was copied in part, without its sectors `missing`: nothing is known of it as a whole. */
  salvaged(index: number, missing: SectorSet): void {
    this.set(index, this.#zero);
    this.#salvaged.set(index, missing);
  }

  /** What is missing of a block that was copied in part. */
  missingOf(index: number): SectorSet | undefined {
    return this.#salvaged.get(index);
  }

  /** See Fingerprint.value; undefined when a block was salvaged. @throws {RangeError} unless every block was noted. */
  get fingerprint(): string | undefined {
    const { value } = this.#fingerprint;
    return this.#salvaged.size > 0 ? undefined : value;
  }

  /** Whether a block still has the print that it was noted with. */
  holds(index: number, hash: Uint8Array): boolean {
    const known = this.#chunks?.get(Math.floor(index / CHUNK))?.[index % CHUNK] ?? this.#zero;
    return printOf(hash) === known;
  }
}
