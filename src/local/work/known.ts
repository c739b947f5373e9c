/**
 * What was found out of blocks while they were compared, kept until they are copied: the destination then reads nothing again to tell
 * its leaf hashes, and the source reads only the leaves it sends, of a hole none. Of 2 GiB with 5,000 pages changed, over a pipe, that
 * left 6.2 GiB of 9.5 to read; of a hole over 2 GiB of data 2.2 GiB of 8.3.
 */
import { type BlockRange, LEAF_SIZE } from "../../sync/blocks.ts";
import { LEAF_HASH_SIZE } from "../../sync/endpoint.ts";
import type { Hasher } from "./hash.ts";

/** Digests of blocks and of their leaves, LEAF_HASH_SIZE each, at the moment they were read. */
export interface Known {
  readonly hashes: Uint8Array;
  readonly leafHashes: Uint8Array;
}

/** `digests` is undefined for blocks of zeros. */
interface KnownRun extends BlockRange {
  readonly digests: Known | undefined;
  /** Which blocks were asked for: what is written meanwhile is known no more, and the next to ask may be here for that reason. */
  readonly taken: Uint8Array;
}

/** Leaf hashes of 4 GiB; more blocks than are under way at once with the usual block size. */
const MAX_LEAF_HASH_BYTES = 4 << 20;
/** Leaf hashes cost a third of what it costs to read blocks again (measured), so they are made where a quarter of the blocks differ. */
const WORTH = 1 / 4;
/** Blocks after which older ones count half. */
const REMEMBERED = 256;

export class KnownBlocks {
  readonly #blockSize: number;
  readonly #hasher: Hasher;
  /** In ascending order; those before `#head` are forgotten. */
  #runs: KnownRun[] = [];
  #head = 0;
  #leafHashBytes = 0;
  #zeros: Known | undefined;
  #looked = 0;
  #asked = 0;

  constructor(blockSize: number, hasher: Hasher) {
    this.#blockSize = blockSize;
    this.#hasher = hasher;
  }

  /** Says of blocks that are going to be looked at whether their leaf hashes are worth being made, by how many were asked for lately. */
  areWanted({ count }: BlockRange): boolean {
    if (this.#looked > REMEMBERED) {
      this.#looked /= 2;
      this.#asked /= 2;
    }
    this.#looked += count;
    return this.#asked >= this.#looked * WORTH;
  }

  /** Takes over the digests of blocks that follow those of the last call, or, in a scan that begins anew, come before them. */
  keep({ first, count }: BlockRange, digests: Known): void {
    this.#add({ first, count, digests, taken: new Uint8Array(count) });
    this.#leafHashBytes += digests.leafHashes.length;
    while (this.#leafHashBytes > MAX_LEAF_HASH_BYTES) this.#forget();
  }

  /** As keep(), of blocks of full length that are a hole of a source. */
  keepZeros({ first, count }: BlockRange): void {
    this.#add({ first, count, digests: undefined, taken: new Uint8Array() });
  }

  #add(run: KnownRun): void {
    const last = this.#runs.at(-1);
    if (last !== undefined && run.first < last.first + last.count) this.clear();
    this.#runs.push(run);
  }

  /** What is known of blocks that differ, once, in memory of its own; undefined unless all of them are known. */
  take({ first, count }: BlockRange): Known | undefined {
    this.#asked += count;
    const run = this.#runAt(first);
    if (run?.digests === undefined || first + count > run.first + run.count) return undefined;
    const [start, end] = [first - run.first, first - run.first + count];
    if (run.taken.subarray(start, end).includes(1)) return undefined;
    run.taken.fill(1, start, end);
    const { hashes, leafHashes } = run.digests;
    const hashSize = hashes.length / run.count;
    const leafBytes = (this.#blockSize / LEAF_SIZE) * LEAF_HASH_SIZE;
    return {
      hashes: hashes.slice(start * hashSize, end * hashSize),
      // The last block of all may have fewer leaves.
      leafHashes: leafHashes.slice(start * leafBytes, end * leafBytes),
    };
  }

  /** The digests of blocks that are a hole, in memory of its own; undefined unless all of them are known to be. */
  zeros({ first, count }: BlockRange): Known | undefined {
    const run = this.#runAt(first);
    if (run === undefined || run.digests !== undefined || first + count > run.first + run.count) return undefined;
    this.#zeros ??= {
      hashes: this.#hasher.zeroHash(this.#blockSize),
      leafHashes: this.#hasher.leafHashes(new Uint8Array(this.#blockSize), LEAF_HASH_SIZE),
    };
    const { hashes, leafHashes } = this.#zeros;
    return { hashes: repeated(hashes, count), leafHashes: repeated(leafHashes, count) };
  }

  /** The last run that does not begin behind the block, if it has that. */
  #runAt(index: number): KnownRun | undefined {
    let [low, high] = [this.#head, this.#runs.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#runs[middle]?.first ?? 0) <= index) low = middle + 1;
      else high = middle;
    }
    const run = low > this.#head ? this.#runs[low - 1] : undefined;
    return run !== undefined && index < run.first + run.count ? run : undefined;
  }

  /** Forgets what nobody will ask for any more: the blocks before `index`. */
  advance(index: number): void {
    for (;;) {
      const run = this.#runs[this.#head];
      if (run === undefined || run.first + run.count > index) return;
      this.#forget();
    }
  }

  #forget(): void {
    this.#leafHashBytes -= this.#runs[this.#head]?.digests?.leafHashes.length ?? 0;
    this.#head++;
    // Now and then, since it moves all that is left.
    if (this.#head < 64 || this.#head * 2 < this.#runs.length) return;
    this.#runs.splice(0, this.#head);
    this.#head = 0;
  }

  clear(): void {
    this.#runs = [];
    this.#head = 0;
    this.#leafHashBytes = 0;
  }
}

function repeated(bytes: Uint8Array, count: number): Uint8Array {
  const all = new Uint8Array(bytes.length * count);
  for (let i = 0; i < count; i++) all.set(bytes, i * bytes.length);
  return all;
}
