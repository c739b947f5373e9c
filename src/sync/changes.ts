/**
 * Where in a device a run found differences, for the change map. Memory is bounded whatever the size: a fixed number of
 * cells with exact byte counts and, on request, a LeafMap that is exact to the leaf. Ranges may be added in any order.
 */
import {
  type BlockLayout,
  type BlockRange,
  equalBytes,
  LEAF_SIZE,
  type LeafSet,
  leafCount,
  leafRuns,
} from "./blocks.ts";
import { LeafMap } from "./leaf-map.ts";
import { type ByteRange, joinedAlike, overlaid, rounded, shifted } from "./ranges.ts";

/** "zero": differs, and is all zero in the source. */
export type ChangeKind = "differ" | "zero" | "unreadable";

export interface ChangeRange extends ByteRange {
  readonly kind: ChangeKind;
}

/** A part of the device with the bytes of each kind in it. */
export interface Cell extends ByteRange, Readonly<Record<ChangeKind, number>> {}

const MAX_CELLS = 4096;
/** Ranges that are listed; with more of them neighbours are merged. A file of as many has 60 MB. */
const MAX_RANGES = 1 << 20;

export interface ChangesOptions {
  /** Know every differing leaf, whatever has to be asked for it; else whole blocks may stand for their leaves. */
  readonly exact: boolean;
  /** The wide hash that a leaf of `length` zero bytes has in this run. */
  readonly zeroLeafHash: (length: number) => Uint8Array;
}

export class Changes {
  readonly sizeBytes: number;
  readonly exact: boolean;
  readonly #zeroLeafHash: (length: number) => Uint8Array;
  /** Of each cell but the last one, which may be short. */
  readonly #cellSize: number;
  readonly #counts: Readonly<Record<ChangeKind, Float64Array>>;
  readonly #leaves: LeafMap | undefined;
  /** What is known to the byte, in the order in which it came; kept with #leaves only. */
  #bytes: ChangeRange[] = [];
  /** What is told apart of #bytes. */
  #bytesUnit = 1;
  #blockwise = false;

  constructor(sizeBytes: number, { exact, zeroLeafHash }: ChangesOptions) {
    this.sizeBytes = sizeBytes;
    this.exact = exact;
    this.#zeroLeafHash = zeroLeafHash;
    this.#cellSize = Math.max(1, Math.ceil(leafCount(sizeBytes) / MAX_CELLS)) * LEAF_SIZE;
    const count = Math.ceil(sizeBytes / this.#cellSize);
    const none = () => new Float64Array(count);
    this.#counts = { differ: none(), zero: none(), unreadable: none() };
    this.#leaves = exact ? new LeafMap() : undefined;
  }

  /** Whether a leaf of `length` bytes with this wide hash is all zero. */
  isZeroLeaf(hash: Uint8Array, length: number): boolean {
    return equalBytes(hash, this.#zeroLeafHash(length));
  }

  /** Adds leaves of blocks: those that differ, and disjoint from them those that moreover are all zero in the source. */
  addLeaves(layout: BlockLayout, blocks: BlockRange, differ: LeafSet, zero: LeafSet): void {
    const place = layout.spanOf(blocks);
    const add = (kind: "differ" | "zero", set: LeafSet) => {
      for (const run of leafRuns(set, place.length)) {
        const { offset, length } = shifted(run, place.offset);
        this.#count(kind, offset, length);
        this.#leaves?.add({ kind, offset, length });
      }
    };
    add("differ", differ);
    add("zero", zero);
  }

  /** Adds differing blocks of which no more is known. */
  addBlocks(layout: BlockLayout, blocks: BlockRange): void {
    this.#blockwise = true;
    this.add("differ", layout.spanOf(blocks));
  }

  /** Whether blocks stand for the leaves in them that differ. */
  get blockwise(): boolean {
    return this.#blockwise;
  }

  /** Adds what is known to the byte and lies in no block whose leaves are added. */
  add(kind: ChangeKind, { offset, length }: ByteRange): void {
    this.#count(kind, offset, length);
    if (!this.exact) return;
    this.#bytes.push({ kind, offset, length });
    if (this.#bytes.length <= 2 * MAX_RANGES) return;
    this.#bytes = sorted(this.#bytes);
    do {
      this.#bytesUnit = Math.max(LEAF_SIZE, 2 * this.#bytesUnit);
      this.#bytes = coarser(this.#bytes, this.#bytesUnit, this.sizeBytes);
    } while (this.#bytes.length > MAX_RANGES);
  }

  /** The same changes, of something that ends at `sizeBytes`: exact ones that were made for the most there could be. */
  ended(sizeBytes: number): Changes {
    const ended = new Changes(sizeBytes, { exact: true, zeroLeafHash: this.#zeroLeafHash });
    ended.#blockwise = this.#blockwise;
    for (const { kind, offset, length } of this.ranges().ranges) {
      const range = { kind, offset, length: Math.min(length, sizeBytes - offset) };
      if (range.kind === "unreadable") throw new RangeError("A stream is read, or it is not");
      ended.#count(kind, range.offset, range.length);
      ended.#leaves?.add({ ...range, kind: range.kind });
    }
    return ended;
  }

  #count(kind: ChangeKind, offset: number, length: number): void {
    const counts = this.#counts[kind];
    const end = offset + length;
    for (let cell = Math.floor(offset / this.#cellSize); cell * this.#cellSize < end; cell++) {
      const start = cell * this.#cellSize;
      const bytes = Math.min(end, start + this.#cellSize) - Math.max(offset, start);
      counts[cell] = (counts[cell] ?? 0) + bytes;
    }
  }

  /** Bytes of each kind. */
  get total(): Cell {
    return this.#sum(0, this.#counts.differ.length);
  }

  #sum(first: number, end: number): Cell {
    const sum = (kind: ChangeKind) =>
      this.#counts[kind].subarray(first, end).reduce((total, bytes) => total + bytes, 0);
    const offset = first * this.#cellSize;
    const length = Math.min(end * this.#cellSize, this.sizeBytes) - offset;
    return { offset, length, differ: sum("differ"), zero: sum("zero"), unreadable: sum("unreadable") };
  }

  /** The device in at most `most` (at least 1) cells of nearly equal length, none empty; none for a size of 0. */
  cells(most: number): Cell[] {
    const fine = this.#counts.differ.length;
    const count = Math.min(fine, most);
    const start = (cell: number) => Math.floor((cell * fine) / count);
    return Array.from({ length: count }, (_, cell) => this.#sum(start(cell), start(cell + 1)));
  }

  /**
   * Everything that was added to exact changes, in ascending order, neighbours of one kind joined. `unit` is what is told
   * apart, in bytes: more than LEAF_SIZE when so much differs that neighbours were merged.
   */
  ranges(): { readonly unit: number; readonly ranges: Generator<ChangeRange> } {
    if (this.#leaves === undefined) throw new RangeError("Only exact changes have ranges");
    const leaves = this.#leaves;
    let bytes = [...rounded(sorted(this.#bytes), 1, this.sizeBytes)];
    const ranges = () => joined(overlaid(leaves.ranges(), bytes, this.sizeBytes));
    while (exceeds(ranges(), MAX_RANGES)) {
      leaves.merge();
      bytes = coarser(bytes, leaves.unit, this.sizeBytes);
    }
    return { unit: Math.max(leaves.unit, this.#bytesUnit), ranges: ranges() };
  }
}

function sorted(ranges: readonly ChangeRange[]): ChangeRange[] {
  return ranges.toSorted((a, b) => a.offset - b.offset);
}

/** The ranges in whole units, where they meet as unreadable if one of them is. */
function coarser(ranges: readonly ChangeRange[], unit: number, sizeBytes: number): ChangeRange[] {
  const isBad = ({ kind }: ChangeRange) => kind === "unreadable";
  const bad = [...rounded(ranges.filter(isBad), unit, sizeBytes)];
  const others = rounded(
    ranges.filter((range) => !isBad(range)),
    unit,
    sizeBytes,
  );
  return [...joined(overlaid(others, bad, sizeBytes))];
}

function joined(ranges: Iterable<ChangeRange>): Generator<ChangeRange> {
  return joinedAlike(ranges, (one, other) => one.kind === other.kind);
}

function exceeds(ranges: Iterable<unknown>, most: number): boolean {
  let count = 0;
  for (const _ of ranges) if (++count > most) return true;
  return false;
}
