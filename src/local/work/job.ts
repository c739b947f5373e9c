/**
 * What is done with bytes on threads: read and hashed, or read on both sides and compared, with plain system calls into memory
 * of the thread's own, while what was read is warm in the cache. Anything but a full read at the first attempt is left to the
 * careful path, so nothing here says why.
 */
import fs from "node:fs";
import { systemCode } from "../../errors.ts";
import { addLeaf, emptyLeafSet, equalBytes, LEAF_SIZE, leafCount, leafRuns } from "../../sync/blocks.ts";
import { type BlockData, LEAF_HASH_SIZE, type LeafFilter } from "../../sync/endpoint.ts";
import type { ByteRange } from "../../sync/ranges.ts";
import type { HashChoice } from "../../sync/spec.ts";
import type { SharedMemory } from "../kernel/threads.ts";
import { inPieces, WRITE_PIECE } from "../medium/piece.ts";
import { blockPrint, type Hasher } from "./hash.ts";
import type { Known } from "./known.ts";
import { differingLeaves, selectLeaves } from "./select.ts";
import { isZero } from "./zero.ts";

/** What a thread needs besides a job. */
export interface Tools {
  readonly hasherOf: (choice: HashChoice) => Promise<Hasher>;
  readonly memoryOf: (number: SharedMemory) => SharedArrayBuffer;
}

/** Neighbouring blocks, where they lie in a device or in memory; a descriptor of theirs must stay open until the answer. */
export interface Blocks extends ByteRange {
  /** The last block may be short. */
  readonly blockSize: number;
}

export interface ScanJob extends Blocks {
  readonly kind: "scan";
  readonly fd: number;
  readonly choice: HashChoice;
  /** Hash their leaves too. */
  readonly leaves: boolean;
}

/** Of a side that is a hole there the descriptor is undefined, and nothing is read. */
export interface CompareJob extends Blocks {
  readonly kind: "compare";
  readonly source: number | undefined;
  readonly destination: number | undefined;
  /** Hash the blocks that differ, and their leaves, by this choice. */
  readonly leaves: HashChoice | undefined;
}

/** Bytes that are in memory already. */
export interface HashJob extends Blocks {
  readonly kind: "hash";
  readonly choice: HashChoice;
  readonly memory: SharedMemory;
}

/** Reads blocks into `memory`, from its start on, and leaves there what is wanted of them, as selectLeaves(). */
export interface SelectJob extends Blocks {
  readonly kind: "select";
  readonly fd: number;
  readonly memory: SharedMemory;
  readonly filter: LeafFilter;
  readonly choice: HashChoice;
  /** Of the blocks when they were compared: then only the leaves that differ are read. */
  readonly known: Known | undefined;
}

/** Writes bytes that are in memory already. */
export interface WriteJob {
  readonly kind: "write";
  readonly fd: number;
  readonly offset: number;
  readonly memory: SharedMemory;
  readonly start: number;
  readonly length: number;
}

export type Job = ScanJob | CompareJob | HashJob | SelectJob | WriteJob;

/** How two blocks compare; what the destination holds matters only where they differ. */
export const PAIRS = ["equal", "equal zeros", "differ", "differ from zeros"] as const;
export type PairKind = (typeof PAIRS)[number];

/** The prints of both blocks in turn; of equal ones that of the destination is not computed. */
export interface Pairs {
  readonly kinds: Uint8Array;
  readonly prints: BigUint64Array;
  /** What else is known of either side's blocks that differ, if it was asked for; of others all is zero. */
  readonly known: { readonly source: Known; readonly destination: Known } | undefined;
}

/** Room for what is found out of `length` bytes, with leaf hashes where `hasher` is given. */
function noPairs(length: number, blockSize: number, hasher: Hasher | undefined): Pairs {
  const count = Math.ceil(length / blockSize);
  const nothing = (hashSize: number): Known => ({
    hashes: new Uint8Array(count * hashSize),
    leafHashes: new Uint8Array(leafCount(length) * LEAF_HASH_SIZE),
  });
  const known = hasher && { source: nothing(hasher.hashSize), destination: nothing(0) };
  return { kinds: new Uint8Array(count), prints: new BigUint64Array(2 * count), known };
}

/** "undone": not all of it could be read, or not at the first attempt; or there was no thread. */
export type Outcome = "undone" | Scanned | { readonly pairs: Pairs } | { readonly selected: Selected } | Written;

export interface Scanned {
  readonly hashes: Uint8Array;
  /** LEAF_HASH_SIZE for each leaf, where they were asked for. */
  readonly leafHashes?: Uint8Array | undefined;
}

export interface Selected extends Omit<BlockData, "bytes" | "release"> {
  /** Bytes at the start of the memory. */
  readonly used: number;
  /** Bytes that were read for it. */
  readonly bytesRead: number;
}

/** How far a write came, and what the system said where that is not all. */
export interface Written {
  readonly written: number;
  readonly problem: { readonly code: string; readonly message: string } | undefined;
}

/**
 * Read together: what was read is compared and hashed while it is in the processor's second cache, and fresh page cache, of holes
 * too, is not made in large pieces, which the kernel must fill with zeros first. Of two equal files of 2 GiB, warm, pieces of 1 MiB
 * took 0.86 s of CPU time, 256 KiB 0.72, 128 KiB 0.73.
 */
const PIECE = 256 << 10;

/** Memory that a thread reads into, grown to the longest job. */
class Room {
  #bytes: Buffer = Buffer.alloc(0);

  /** `length` bytes, as the last job left them: of no use but for what a read fills. */
  take(length: number): Buffer {
    if (this.#bytes.length < length) this.#bytes = Buffer.alloc(length);
    return this.#bytes.subarray(0, length);
  }
}

const room = new Room();
const otherRoom = new Room();

/** False unless all of it was read. @throws {Error} only for what is no error of the system. */
function readWhole(fd: number, bytes: Buffer, offset: number): boolean {
  try {
    return inPieces(
      bytes.length,
      PIECE,
      (done, length) => fs.readSync(fd, bytes, done, length, offset + done) === length,
    );
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return false;
  }
}

/** Blocks that are held together; small ones, since a read of 4 KiB costs nearly as much as one of 256 KiB. */
const HELD_LENGTH = 1 << 20;

/** Where the parts of a place lie that are held one after the other: whole blocks. */
function* partsOf({ length, blockSize }: Blocks): Generator<ByteRange> {
  const step = blockSize * Math.max(1, Math.floor(HELD_LENGTH / blockSize));
  for (let offset = 0; offset < length; offset += step) yield { offset, length: Math.min(step, length - offset) };
}

function scan(job: ScanJob, hasher: Hasher): Outcome {
  const hashes = new Uint8Array(Math.ceil(job.length / job.blockSize) * hasher.hashSize);
  const leafHashes = job.leaves ? new Uint8Array(leafCount(job.length) * LEAF_HASH_SIZE) : undefined;
  for (const part of partsOf(job)) {
    const bytes = room.take(part.length);
    if (!readWhole(job.fd, bytes, job.offset + part.offset)) return "undone";
    hashes.set(hasher.hashEach(bytes, job.blockSize), (part.offset / job.blockSize) * hasher.hashSize);
    leafHashes?.set(hasher.leafHashes(bytes, LEAF_HASH_SIZE), (part.offset / LEAF_SIZE) * LEAF_HASH_SIZE);
  }
  return { hashes, leafHashes };
}

function compare(job: CompareJob, hasher: Hasher | undefined): Outcome {
  const { blockSize } = job;
  const pairs = noPairs(job.length, blockSize, hasher);
  for (const part of partsOf(job)) {
    const [mine, theirs] = [room.take(part.length), otherRoom.take(part.length)];
    let equal = true;
    const isRead = inPieces(part.length, PIECE, (done, length) => {
      const [a, b] = [mine.subarray(done, done + length), theirs.subarray(done, done + length)];
      const offset = job.offset + part.offset + done;
      if (job.source === undefined) a.fill(0);
      else if (!readWhole(job.source, a, offset)) return false;
      if (job.destination === undefined) b.fill(0);
      else if (!readWhole(job.destination, b, offset)) return false;
      equal &&= a.equals(b);
      return true;
    });
    if (!isRead) return "undone";
    notePairs(mine, theirs, blockSize, equal, pairs, part.offset / blockSize);
    if (hasher !== undefined && !equal) noteKnown(mine, theirs, hasher, pairs, part.offset / blockSize, blockSize);
  }
  return { pairs };
}

/** Notes the digests of the blocks that differ, from `first` on. */
function noteKnown(
  source: Buffer,
  destination: Buffer,
  hasher: Hasher,
  { kinds, known }: Pairs,
  first: number,
  blockSize: number,
): void {
  const leafBytes = (blockSize / LEAF_SIZE) * LEAF_HASH_SIZE;
  for (let start = 0; start < source.length; start += blockSize) {
    const place = first + start / blockSize;
    if (PAIRS[kinds[place] ?? 0] !== "differ" || known === undefined) continue;
    const [a, b] = [source.subarray(start, start + blockSize), destination.subarray(start, start + blockSize)];
    known.source.hashes.set(hasher.hash(a), place * hasher.hashSize);
    known.source.leafHashes.set(hasher.leafHashes(a, LEAF_HASH_SIZE), place * leafBytes);
    known.destination.leafHashes.set(hasher.leafHashes(b, LEAF_HASH_SIZE), place * leafBytes);
  }
}

/** How the blocks of two equally long runs compare that are in memory. */
export function pairsOf(source: Buffer, destination: Buffer, blockSize: number): Pairs {
  const pairs = noPairs(source.length, blockSize, undefined);
  notePairs(source, destination, blockSize, false, pairs, 0);
  return pairs;
}

/** Notes the pairs from `first` on; `equal` when it is known already that all of them are. */
function notePairs(
  source: Buffer,
  destination: Buffer,
  blockSize: number,
  equal: boolean,
  { kinds, prints }: Pairs,
  first: number,
): void {
  for (let start = 0; start < source.length; start += blockSize) {
    const [a, b] = [source.subarray(start, start + blockSize), destination.subarray(start, start + blockSize)];
    const place = first + start / blockSize;
    const isEqual = equal || a.equals(b);
    prints[2 * place] = blockPrint(a);
    if (!isEqual) prints[2 * place + 1] = blockPrint(b);
    kinds[place] = PAIRS.indexOf(kindOf(isEqual, isZero(b)));
  }
}

/** `zero` is said of the destination. */
function kindOf(equal: boolean, zero: boolean): PairKind {
  if (equal) return zero ? "equal zeros" : "equal";
  return zero ? "differ from zeros" : "differ";
}

function select(job: SelectJob, memory: SharedArrayBuffer, hasher: Hasher): Outcome {
  const read = Buffer.from(memory, 0, job.length);
  const quick = selectKnown(job, read, hasher);
  if (quick !== undefined) return { selected: quick };
  if (!readWhole(job.fd, read, job.offset)) return "undone";
  const whole = hasher.hashEach(read, job.blockSize);
  const { hashes, leaves, zeros, bytes } = selectLeaves(read, whole, job.filter, hasher, () => undefined);
  return { selected: { hashes, leaves, zeros, used: bytes.length, bytesRead: job.length } };
}

/** Reads the leaves that differ alone, of blocks that are what they were when they were compared; undefined where that cannot be. */
function selectKnown(
  { fd, offset, length, filter, known }: SelectJob,
  memory: Buffer,
  hasher: Hasher,
): Selected | undefined {
  if (known === undefined || filter.kind !== "differing") return undefined;
  const wanted = differingLeaves(known.leafHashes, filter.hashes);
  const [leaves, zeros] = [emptyLeafSet(leafCount(length)), emptyLeafSet(leafCount(length))];
  let [used, bytesRead] = [0, 0];
  for (const run of leafRuns(wanted, length)) {
    const bytes = memory.subarray(used, used + run.length);
    if (!readWhole(fd, bytes, offset + run.offset)) return undefined;
    bytesRead += run.length;
    const first = run.offset / LEAF_SIZE;
    const hashes = hasher.leafHashes(bytes, LEAF_HASH_SIZE);
    // The source changed in between.
    if (!equalBytes(hashes, known.leafHashes.subarray(first * LEAF_HASH_SIZE, first * LEAF_HASH_SIZE + hashes.length)))
      return undefined;
    for (let start = 0; start < bytes.length; start += LEAF_SIZE) {
      const end = Math.min(start + LEAF_SIZE, bytes.length);
      const isData = !isZero(bytes, start, end);
      addLeaf(isData ? leaves : zeros, first + start / LEAF_SIZE);
      if (!isData) continue;
      bytes.copy(memory, used, start, end);
      used += end - start;
    }
  }
  return { hashes: known.hashes, leaves, zeros, used, bytesRead };
}

function write({ fd, offset, start, length }: WriteJob, memory: SharedArrayBuffer): Outcome {
  const bytes = Buffer.from(memory, start, length);
  let written = 0;
  try {
    inPieces(length, WRITE_PIECE, (done, wanted) => {
      // What is left after a short write the system says at the next one.
      while (written < done + wanted) {
        const count = writeOnce(fd, bytes.subarray(written, done + wanted), offset + written);
        if (count === 0) return false;
        written += count;
      }
      return true;
    });
    return { written, problem: undefined };
  } catch (error) {
    const code = systemCode(error);
    if (code === undefined) throw error;
    return { written, problem: { code, message: error instanceof Error ? error.message : code } };
  }
}

/** Writes some of it at least, unless the system says why not; one that is interrupted begins again. Returns how much. */
function writeOnce(fd: number, bytes: Buffer, offset: number): number {
  for (;;) {
    try {
      return fs.writeSync(fd, bytes, 0, bytes.length, offset);
    } catch (error) {
      if (systemCode(error) !== "EINTR") throw error;
    }
  }
}

function hash({ offset, length, blockSize }: HashJob, memory: SharedArrayBuffer, hasher: Hasher): Outcome {
  return { hashes: hasher.hashEach(new Uint8Array(memory, offset, length), blockSize) };
}

/** Does a job. Waits for the disk, so for threads only. */
export async function perform(job: Job, tools: Tools): Promise<Outcome> {
  switch (job.kind) {
    case "scan":
      return scan(job, await tools.hasherOf(job.choice));
    case "compare":
      return compare(job, job.leaves && (await tools.hasherOf(job.leaves)));
    case "select":
      return select(job, tools.memoryOf(job.memory), await tools.hasherOf(job.choice));
    case "write":
      return write(job, tools.memoryOf(job.memory));
    case "hash":
      return hash(job, tools.memoryOf(job.memory), await tools.hasherOf(job.choice));
  }
}
