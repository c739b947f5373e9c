/**
 * What the blocks hold that both sides were made to agree on: their fingerprint, and where it is kept for each block, so that a
 * verification can tell who changed.
 */
import { addSectors, type BlockLayout, type BlockRange, emptySectorSet, type SectorSet } from "./blocks.ts";
import { Fingerprint, printOf, type Sha256 } from "./fingerprint.ts";
import { type ByteRange, RangeSet, shifted } from "./ranges.ts";

/** Blocks that are remembered together; a part of a sparse image without data takes no memory. */
const CHUNK = 4096;

export interface RecordOptions {
  readonly keep: boolean;
  readonly sha256: Sha256;
  readonly isListed?: boolean;
}

export class BlockRecord {
  readonly #fingerprint: Fingerprint;
  readonly #zero: bigint;
  /** Whether a list says which blocks are believed; else a rescue map. */
  readonly isListed: boolean;
  /** Undefined where only the fingerprint is wanted. */
  readonly #chunks: Map<number, BigUint64Array> | undefined;
  readonly #layout: BlockLayout;
  /** Blocks of which nothing is known as a whole: copied in part, or not read. */
  readonly #salvaged = new RangeSet();
  readonly #believed = new RangeSet();
  /** What is missing in the salvaged ones. */
  readonly #missing = new RangeSet();

  /** `zeroHash` is that of a zero block of full length. With `keep`, 8 bytes a block with data, holds() can be asked. */
  constructor(layout: BlockLayout, zeroHash: Uint8Array, { keep, sha256, isListed = false }: RecordOptions) {
    this.#layout = layout;
    this.#fingerprint = new Fingerprint(layout, zeroHash, sha256);
    this.#zero = printOf(zeroHash);
    this.isListed = isListed;
    if (keep) this.#chunks = new Map();
  }

  /** Notes `count` blocks from `first` on; holes where `prints` is undefined. @throws {RangeError} for one that was noted before, in whatever way. */
  set(first: number, count: number, prints: readonly bigint[] | undefined): void {
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

  /**
   * Notes blocks that cannot be read as a whole and will be copied in part, so nothing is known about them as blocks.
   * Call it at once rather than when they are copied: a part of the fingerprint stays in memory until all of its blocks
   * are noted.
   */
  deferred(range: BlockRange): void {
    this.#noteUnknown(range, this.#salvaged);
  }

  /** Notes the ranges of the source that are missing in a block that was deferred and is copied now. */
  salvaged(missing: readonly ByteRange[]): void {
    for (const range of missing) this.#missing.add(range);
  }

  /** Notes blocks of which nobody has the prints. */
  unknown({ first, count }: BlockRange): void {
    this.#fingerprint.addUnknown(first, count);
  }

  /** Notes blocks that were read on neither side. */
  believed(range: BlockRange): void {
    this.#noteUnknown(range, this.#believed);
  }

  #noteUnknown(range: BlockRange, where: RangeSet): void {
    this.#fingerprint.addUnknown(range.first, range.count);
    where.add(this.#layout.spanOf(range));
  }

  /** What is missing of a block that was copied in part; undefined for any other block. */
  missingOf(index: number): SectorSet | undefined {
    const place = this.#layout.placeOf(index);
    if (this.#salvaged.partsIn(place).length === 0) return undefined;
    const set = emptySectorSet(place.length);
    for (const part of this.#missing.partsIn(place)) addSectors(set, shifted(part, -place.offset));
    return set;
  }

  /** Whether a block was read on neither side. */
  isBelieved(index: number): boolean {
    return this.#believed.partsIn(this.#layout.placeOf(index)).length > 0;
  }

  /** See Fingerprint.value; undefined when a block was salvaged or believed. @throws {RangeError} unless every block was noted. */
  get fingerprint(): string | undefined {
    return this.#fingerprint.value;
  }

  /** See Fingerprint.end(). */
  end(layout: BlockLayout): void {
    this.#fingerprint.end(layout);
  }

  /** Whether a block still has the print that it was noted with. */
  holds(index: number, hash: Uint8Array): boolean {
    const known = this.#chunks?.get(Math.floor(index / CHUNK))?.[index % CHUNK] ?? this.#zero;
    return printOf(hash) === known;
  }
}
