/**
 * One number for what a side holds, out of the prints of its blocks: the same in every run over the same bytes with the same
 * block size. It is for people to compare; nothing is decided by it, and it is no defence against forgery.
 *
 * The prints are the leaves of a tree: each FANOUT neighbours have the digest of them one after the other, each FANOUT of
 * those again one, until there is one for all (the digest of nothing when there are no blocks). The fingerprint is the digest
 * of that, the size and the block size. A digest is the first 16 bytes of a SHA-256; prints, size and block size have 8
 * bytes, little-endian.
 */
import { addLeaf, type BlockLayout, emptyLeafSet, hasLeaf, type LeafSet } from "./blocks.ts";
import { PRINT_SIZE } from "./endpoint.ts";

/**
 * Blocks arrive nearly in order, so only a few parts of the tree are open at once: a window of blocks, and one part for
 * each lane.
 */
const FANOUT = 4096;

/** The SHA-256 of bytes. It comes from outside: sync/ has no library of hashes. */
export type Sha256 = (bytes: Uint8Array) => Uint8Array;

/** The print that a block's digest begins with. */
export function printOf(hash: Uint8Array): bigint {
  return new DataView(hash.buffer, hash.byteOffset, PRINT_SIZE).getBigUint64(0, true);
}

/** What stands in the tree: a print, of one word, or a digest, of two. */
type Words = readonly bigint[];

/** A part of the tree that is not known as a whole yet. */
interface Part {
  readonly words: BigUint64Array<ArrayBuffer>;
  readonly known: LeafSet;
  missing: number;
}

export class Fingerprint {
  #layout: BlockLayout;
  /** How many there are on each level: blocks, parts of blocks, parts of those and so on; on the last one. */
  readonly #counts: readonly number[];
  /** What is open above each level, by its number. */
  readonly #open: readonly Map<number, Part>[];
  /** What stands on each level for nothing but zeros. */
  readonly #zeros: Words[];
  readonly #sha256: Sha256;
  #root: Words | undefined;
  #isUnknown = false;

  /** `zeroHash` is that of a zero block of full length. */
  constructor(layout: BlockLayout, zeroHash: Uint8Array, sha256: Sha256) {
    this.#layout = layout;
    this.#sha256 = sha256;
    const counts = [layout.blockCount];
    do counts.push(Math.ceil((counts.at(-1) ?? 0) / FANOUT));
    while ((counts.at(-1) ?? 0) > 1);
    this.#counts = counts;
    this.#open = counts.map(() => new Map());
    this.#zeros = [[printOf(zeroHash)]];
    if (layout.blockCount === 0) this.#root = this.#digestOf(new BigUint64Array(0));
  }

  /** Adds a block; each is added once, in whatever way. @throws {RangeError} for one that was. */
  add(index: number, print: bigint): void {
    this.#add(0, index, [print]);
  }

  /** Adds `count` blocks from `first` on; holes where `prints` is undefined. @throws {RangeError} */
  addEach(first: number, count: number, prints: readonly bigint[] | undefined): void {
    if (prints === undefined) this.#addZeros(0, first, first + count);
    else for (const [i, print] of prints.entries()) this.#add(0, first + i, [print]);
  }

  /** Adds `count` blocks of which nobody knows the prints, and so makes the fingerprint unknown. @throws {RangeError} */
  addUnknown(first: number, count: number): void {
    this.addEach(first, count, undefined);
    this.#isUnknown = true;
  }

  #add(level: number, number: number, words: Words): void {
    if (level === this.#counts.length - 1) {
      if (this.#root !== undefined) throw new RangeError("Blocks were compared twice");
      this.#root = words;
      return;
    }
    const above = Math.floor(number / FANOUT);
    const part = this.#part(level, above);
    const place = number % FANOUT;
    if (hasLeaf(part.known, place)) throw new RangeError("Blocks were compared twice");
    addLeaf(part.known, place);
    part.words.set(words, place * words.length);
    part.missing--;
    if (part.missing > 0) return;
    this.#open[level]?.delete(above);
    this.#add(level + 1, above, this.#digestOf(part.words));
  }

  #part(level: number, above: number): Part {
    const open = this.#open[level]?.get(above);
    if (open !== undefined) return open;
    const count = Math.min(FANOUT, (this.#counts[level] ?? 0) - above * FANOUT);
    const words = new BigUint64Array(level === 0 ? count : 2 * count);
    const part = { words, known: emptyLeafSet(count), missing: count };
    this.#open[level]?.set(above, part);
    return part;
  }

  /** Of a hole of whatever size only the ends are added one by one. */
  #addZeros(level: number, first: number, end: number): void {
    let position = first;
    while (position < end) {
      const whole = position % FANOUT === 0 ? Math.floor((end - position) / FANOUT) : 0;
      if (whole > 0) {
        this.#addZeros(level + 1, position / FANOUT, position / FANOUT + whole);
        position += whole * FANOUT;
      } else {
        this.#add(level, position, this.#zerosOf(level));
        position++;
      }
    }
  }

  #zerosOf(level: number): Words {
    const known = this.#zeros[level];
    if (known !== undefined) return known;
    const below = this.#zerosOf(level - 1);
    const all = BigUint64Array.from({ length: FANOUT * below.length }, (_, i) => below[i % below.length] ?? 0n);
    const zeros = this.#digestOf(all);
    this.#zeros[level] = zeros;
    return zeros;
  }

  #digestOf(words: BigUint64Array<ArrayBuffer>): Words {
    const digest = new DataView(this.#sha256(new Uint8Array(words.buffer)).slice(0, 16).buffer);
    return [digest.getBigUint64(0, true), digest.getBigUint64(8, true)];
  }

  /** Says how much there is after all, where `layout` was made for the most there could be; nothing is added any more. */
  end(layout: BlockLayout): void {
    this.#layout = layout;
    let count = layout.blockCount;
    if (count === 0) this.#root = this.#digestOf(new BigUint64Array(0));
    // The last part of each level was waiting for more.
    for (let level = 0; count > 0; level++) {
      const last = Math.floor((count - 1) / FANOUT);
      const part = this.#open[level]?.get(last);
      const known = count - last * FANOUT;
      const width = level === 0 ? 1 : 2;
      const words = part?.words.slice(0, known * width);
      // Where some are missing, it stays, and value fails.
      if (part !== undefined && part.words.length / width - part.missing === known) this.#open[level]?.delete(last);
      if (level > 0 && count === 1) {
        this.#root = words === undefined ? undefined : [...words];
        return;
      }
      if (words !== undefined) this.#add(level + 1, last, this.#digestOf(words));
      count = last + 1;
    }
  }

  /** 32 hexadecimal digits; undefined where blocks are unknown. @throws {RangeError} unless every block was added. */
  get value(): string | undefined {
    const { sizeBytes, blockSize } = this.#layout;
    if (this.#root === undefined || this.#open.some((parts) => parts.size > 0))
      throw new RangeError("A block was neither compared nor copied");
    if (this.#isUnknown) return undefined;
    const words = BigUint64Array.from([...this.#root, BigInt(sizeBytes), BigInt(blockSize)]);
    return this.#sha256(new Uint8Array(words.buffer)).slice(0, 16).toHex();
  }
}
