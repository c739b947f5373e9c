/** Block and leaf arithmetic. Offsets, lengths and sizes are bytes; an index counts blocks or leaves from 0. */

import { type ByteRange, endOf, shifted } from "./ranges.ts";

/** The unit that is sent and written: 4 KiB, the page size and the physical sector of current disks. */
export const LEAF_SIZE = 4096;
/** The smallest piece a disk reads or fails to read. */
export const SECTOR_SIZE = 512;
export const DEFAULT_BLOCK_SIZE = 1 << 20;
export const MIN_BLOCK_SIZE = LEAF_SIZE;
export const MAX_BLOCK_SIZE = 16 << 20;

/** Small neighbouring blocks are read, sent, written and proved together up to this length: a call for 4 KiB costs nearly as much as one for 256. */
export const TOGETHER_LENGTH = 1 << 20;

export function isBlockSize(value: number): boolean {
  return Number.isInteger(value) && value >= MIN_BLOCK_SIZE && value <= MAX_BLOCK_SIZE && value % LEAF_SIZE === 0;
}

/** Blocks `first` to `first + count - 1`. */
export interface BlockRange {
  readonly first: number;
  readonly count: number;
}

/** How something of `sizeBytes` falls into blocks; the last one may be short, size 0 has none. */
export class BlockLayout {
  readonly sizeBytes: number;
  readonly blockSize: number;
  readonly blockCount: number;

  constructor(sizeBytes: number, blockSize: number) {
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) throw new RangeError(`Invalid size ${sizeBytes}`);
    if (!isBlockSize(blockSize)) throw new RangeError(`Invalid block size ${blockSize}`);
    this.sizeBytes = sizeBytes;
    this.blockSize = blockSize;
    this.blockCount = Math.ceil(sizeBytes / blockSize);
  }

  /** @throws {RangeError} when the index is not that of a block. */
  lengthOf(index: number): number {
    if (!Number.isInteger(index) || index < 0 || index >= this.blockCount) {
      throw new RangeError(`Block index ${index} is outside 0 to ${this.blockCount - 1}`);
    }
    return Math.min(this.blockSize, this.sizeBytes - index * this.blockSize);
  }

  offsetOf(index: number): number {
    return index * this.blockSize;
  }

  /** @throws {RangeError} as lengthOf(). */
  placeOf(index: number): ByteRange {
    return { offset: this.offsetOf(index), length: this.lengthOf(index) };
  }

  /** The bytes of a range of at least one block. @throws {RangeError} as lengthOf(). */
  spanOf({ first, count }: BlockRange): ByteRange {
    const [offset, last] = [this.offsetOf(first), this.placeOf(first + count - 1)];
    return { offset, length: endOf(last) - offset };
  }

  /** The blocks of a range that begins with one. */
  blocksOf({ offset, length }: ByteRange): BlockRange {
    return { first: offset / this.blockSize, count: Math.ceil(length / this.blockSize) };
  }

  /** The most neighbouring blocks that one request is for. */
  get together(): number {
    return Math.max(1, Math.floor(TOGETHER_LENGTH / this.blockSize));
  }

  /** Cuts a range into parts of `most` blocks at most. */
  *partsOf({ first, count }: BlockRange, most = this.together): Generator<BlockRange> {
    for (let done = 0; done < count; done += most) yield { first: first + done, count: Math.min(most, count - done) };
  }

  /** Blocks of full length; the rest, at most one, is short. */
  get fullBlockCount(): number {
    return Math.floor(this.sizeBytes / this.blockSize);
  }

  /** For something whose end nobody knows yet: as much as there can be. */
  static endless(blockSize: number): BlockLayout {
    return new BlockLayout(Math.floor(Number.MAX_SAFE_INTEGER / blockSize) * blockSize, blockSize);
  }

  get all(): BlockRange {
    return { first: 0, count: this.blockCount };
  }
}

/** Cuts a range into at most `parts` neighbouring ranges of nearly equal length, none of them empty unless it is the only one. */
export function splitRange(range: BlockRange, parts: number): [BlockRange, ...BlockRange[]] {
  const count = Math.max(1, Math.min(parts, range.count));
  const start = (part: number) => range.first + Math.floor((range.count * part) / count);
  const part = (number: number) => ({ first: start(number), count: start(number + 1) - start(number) });
  return [part(0), ...Array.from({ length: count - 1 }, (_, i) => part(i + 1))];
}

export function leafCount(blockLength: number): number {
  return Math.ceil(blockLength / LEAF_SIZE);
}

/** A set of leaves of one block, or of neighbouring ones: bit i % 8 of byte i / 8 stands for leaf i. */
export type LeafSet = Uint8Array;

export function leafSetSize(leaves: number): number {
  return (leaves + 7) >> 3;
}

export function emptyLeafSet(leaves: number): LeafSet {
  return new Uint8Array(leafSetSize(leaves));
}

export function hasLeaf(set: LeafSet, leaf: number): boolean {
  return (((set[leaf >> 3] ?? 0) >> (leaf & 7)) & 1) === 1;
}

export function addLeaf(set: LeafSet, leaf: number): void {
  const byte = leaf >> 3;
  set[byte] = (set[byte] ?? 0) | (1 << (leaf & 7));
}

/** Whether any of `count` leaves from `first` on is in the set. */
export function hasLeaves(set: LeafSet, first: number, count: number): boolean {
  for (let leaf = first; leaf < first + count; leaf++) if (hasLeaf(set, leaf)) return true;
  return false;
}

export function countLeaves(set: LeafSet): number {
  let count = 0;
  for (let bits of set) for (; bits !== 0; bits &= bits - 1) count++;
  return count;
}

/** Runs of neighbours in a set of pieces of `size` bytes, within the block. */
function* runsOf(set: Uint8Array, blockLength: number, size: number): Generator<ByteRange> {
  const pieces = Math.ceil(blockLength / size);
  let piece = 0;
  while (piece < pieces) {
    if (!hasLeaf(set, piece)) {
      piece++;
      continue;
    }
    const first = piece;
    while (piece < pieces && hasLeaf(set, piece)) piece++;
    const offset = first * size;
    yield { offset, length: Math.min(piece * size, blockLength) - offset };
  }
}

/** Yields each run of neighbouring leaves of the set; offset and length are bytes within the block. */
export function leafRuns(set: LeafSet, blockLength: number): Generator<ByteRange> {
  return runsOf(set, blockLength, LEAF_SIZE);
}

/** Where the leaves of some sets of blocks at a place are; the ranges of one set in ascending order. */
export function leavesIn({ offset, length }: ByteRange, ...sets: readonly LeafSet[]): ByteRange[] {
  return sets.flatMap((set) => [...leafRuns(set, length)].map((run) => shifted(run, offset)));
}

/** Bytes that the leaves of a set have together; only the last leaf of a block may be short. */
export function leafSetLength(set: LeafSet, blockLength: number): number {
  return leafRuns(set, blockLength).reduce((sum, run) => sum + run.length, 0);
}

/** A set of sectors of one block, as a LeafSet is one of leaves; the last sector of a file may be short. */
export type SectorSet = Uint8Array;

export function emptySectorSet(blockLength: number): SectorSet {
  return new Uint8Array(leafSetSize(Math.ceil(blockLength / SECTOR_SIZE)));
}

/** Adds the sectors that a range of the block touches. */
export function addSectors(set: SectorSet, range: ByteRange): void {
  const end = endOf(range);
  for (let sector = Math.floor(range.offset / SECTOR_SIZE); sector * SECTOR_SIZE < end; sector++) addLeaf(set, sector);
}

/** The block's other sectors. */
export function otherSectors(set: SectorSet, blockLength: number): SectorSet {
  const others = emptySectorSet(blockLength);
  for (let sector = 0; sector * SECTOR_SIZE < blockLength; sector++) if (!hasLeaf(set, sector)) addLeaf(others, sector);
  return others;
}

/** Whether any sector of a range is in the set. */
export function hasSectors(set: SectorSet, range: ByteRange): boolean {
  const end = endOf(range);
  for (let sector = Math.floor(range.offset / SECTOR_SIZE); sector * SECTOR_SIZE < end; sector++) {
    if (hasLeaf(set, sector)) return true;
  }
  return false;
}

/** Yields each run of neighbouring sectors of the set, within the block. */
export function sectorRuns(set: SectorSet, blockLength: number): Generator<ByteRange> {
  return runsOf(set, blockLength, SECTOR_SIZE);
}

/** Where the sectors of a block at a place are. */
export function sectorsIn({ offset, length }: ByteRange, set: SectorSet): ByteRange[] {
  return [...sectorRuns(set, length)].map((run) => shifted(run, offset));
}

/** Says what is wrong with a sector set that came from elsewhere, or undefined when it fits the block. */
export function sectorSetProblem(set: SectorSet, blockLength: number): string | undefined {
  const sectors = Math.ceil(blockLength / SECTOR_SIZE);
  if (set.length !== leafSetSize(sectors)) return `a sector set of ${set.length} bytes for ${sectors} sectors`;
  const inside = sectors % 8;
  if (inside !== 0 && (set[set.length - 1] ?? 0) >> inside !== 0) return `a sector beyond the ${sectors} of the block`;
  return undefined;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Says what is wrong with leaf sets and their bytes that came from elsewhere, or undefined when they fit the block. */
export function leafSetProblem(
  data: { readonly leaves: LeafSet; readonly zeros: LeafSet; readonly bytes: Uint8Array },
  blockLength: number,
): string | undefined {
  const leaves = leafCount(blockLength);
  const size = leafSetSize(leaves);
  if (data.leaves.length !== size || data.zeros.length !== size) {
    return `leaf sets of ${data.leaves.length} and ${data.zeros.length} bytes for a block that needs ${size}`;
  }
  for (let byte = 0; byte < size; byte++) {
    const inside = Math.min(8, leaves - byte * 8);
    const used = (data.leaves[byte] ?? 0) | (data.zeros[byte] ?? 0);
    if (used >> inside !== 0) return `a leaf beyond the ${leaves} of the block`;
    if (((data.leaves[byte] ?? 0) & (data.zeros[byte] ?? 0)) !== 0) return "a leaf that is both data and zero";
  }
  const wanted = leafSetLength(data.leaves, blockLength);
  if (data.bytes.length !== wanted) return `${data.bytes.length} bytes of leaves where ${wanted} are announced`;
  return undefined;
}
