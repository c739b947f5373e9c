/**
 * One number for what a side holds, out of the prints of its blocks: the same in every run over the same bytes with the same
 * block size. It is for people to compare; nothing is decided by it, and it is no defence against forgery.
 *
 * The prints are the leaves of a tree: each FANOUT neighbours have the XXH128 of them one after the other, each FANOUT of
 * those again one, until there is one for all (the XXH128 of nothing when there are no blocks). The fingerprint is the XXH128
 * of that, the size and the block size. Prints, size and block size have 8 bytes, an XXH128 has 16, all little-endian.
 */
import { addLeaf, type BlockLayout, emptyLeafSet, hasLeaf, type LeafSet } from "./blocks.ts";
import { PRINT_SIZE } from "./endpoint.ts";
import { xxh128 } from "./xxh128.ts";

/** Blocks come nearly in order, so that few parts of the tree are open at once: a window of blocks, and one for each lane. */
const FANOUT = 4096;

/** The print that a block's digest begins with. */
export function printOf(hash: Uint8Array): bigint {
  return new DataView(hash.buffer, hash.byteOffset, PRINT_SIZE).getBigUint64(0, true);
}

/** A part of the tree that is not known as a whole yet. */
interface Part {
  /** Prints, or XXH128s of two words each. */
  readonly words: BigUint64Array;
  readonly known: LeafSet;
  missing: number;
}

export class Fingerprint {
  readonly #layout: BlockLayout;
  /** How many there are on each level: blocks, parts of blocks, parts of those and so on; on the last one. */
  readonly #counts: readonly number[];
  /** What is open above each level, by its number. */
  readonly #open: readonly Map<number, Part>[];
  /** What stands on each level for nothing but zeros. */
  readonly #zeros: bigint[];
  #root: bigint | undefined;

  /** `zeroHash` is that of a zero block of full length. */
  constructor(layout: BlockLayout, zeroHash: Uint8Array) {
    this.#layout = layout;
    const counts = [layout.blockCount];
    do counts.push(Math.ceil((counts.at(-1) ?? 0) / FANOUT));
    while ((counts.at(-1) ?? 0) > 1);
    this.#counts = counts;
    this.#open = counts.map(() => new Map());
    this.#zeros = [printOf(zeroHash)];
    if (layout.blockCount === 0) this.#root = digestOf(new BigUint64Array(0));
  }

  /** Adds a block; each is added once, in whatever way. @throws {RangeError} for one that was. */
  add(index: number, print: bigint): void {
    this.#add(0, index, print);
  }

  /** Adds `count` blocks from `first` on; holes where `prints` is undefined. @throws {RangeError} */
  addEach(first: number, count: number, prints: readonly bigint[] | undefined): void {
    if (prints === undefined) this.#addZeros(0, first, first + count);
    else for (const [i, print] of prints.entries()) this.#add(0, first + i, print);
  }

  #add(level: number, number: number, value: bigint): void {
    if (level === this.#counts.length - 1) {
      if (this.#root !== undefined) throw new RangeError("Blocks were compared twice");
      this.#root = value;
      return;
    }
    const above = Math.floor(number / FANOUT);
    const part = this.#part(level, above);
    const place = number % FANOUT;
    if (hasLeaf(part.known, place)) throw new RangeError("Blocks were compared twice");
    addLeaf(part.known, place);
    if (level === 0) part.words[place] = value;
    else part.words.set(wordsOf(value), 2 * place);
    part.missing--;
    if (part.missing > 0) return;
    this.#open[level]?.delete(above);
    this.#add(level + 1, above, digestOf(part.words));
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

  #zerosOf(level: number): bigint {
    const known = this.#zeros[level];
    if (known !== undefined) return known;
    const below = this.#zerosOf(level - 1);
    const words = level === 1 ? [below] : wordsOf(below);
    const zeros = digestOf(
      BigUint64Array.from({ length: FANOUT * words.length }, (_, i) => words[i % words.length] ?? 0n),
    );
    this.#zeros[level] = zeros;
    return zeros;
  }

  /** 32 hexadecimal digits. @throws {RangeError} unless every block was added. */
  get value(): string {
    const { sizeBytes, blockSize } = this.#layout;
    if (this.#root === undefined || this.#open.some((parts) => parts.size > 0))
      throw new RangeError("A block was neither compared nor copied");
    const words = [...wordsOf(this.#root), BigInt(sizeBytes), BigInt(blockSize)];
    return digestOf(BigUint64Array.from(words)).toString(16).padStart(32, "0");
  }
}

/** The low 64 bits of an XXH128, then the high ones. */
function wordsOf(digest: bigint): [low: bigint, high: bigint] {
  return [BigInt.asUintN(64, digest), digest >> 64n];
}

function digestOf(words: BigUint64Array): bigint {
  return xxh128(new Uint8Array(words.buffer));
}
