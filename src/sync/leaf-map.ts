/**
 * Remembers leaves of two kinds in bounded memory, in whatever order they come: a sparse map that doubles its unit, as
 * often as it must, before it would grow too large.
 */
import { addLeaf, hasLeaf, LEAF_SIZE, type LeafSet } from "./blocks.ts";
import type { ByteRange } from "./ranges.ts";

/** Units that are remembered together, in 1 KiB; a part of a device that is equal takes no memory. */
const CHUNK = 4096;
/** 32 MiB: enough for every leaf of 512 GiB, or for scattered ones in 32,768 places. */
const MAX_CHUNKS = 1 << 15;

export type LeafKind = "differ" | "zero";

export interface LeafRange extends ByteRange {
  readonly kind: LeafKind;
}

/** The units that differ, and behind them those that are zero. */
type Chunk = LeafSet;
type Chunks = Map<number, Chunk>;

const PLACE: Readonly<Record<LeafKind, number>> = { differ: 0, zero: CHUNK };

/** A unit that holds both kinds differs. */
function kindOf(chunk: Chunk, unit: number): LeafKind | undefined {
  if (hasLeaf(chunk, PLACE.differ + unit)) return "differ";
  return hasLeaf(chunk, PLACE.zero + unit) ? "zero" : undefined;
}

/** Whether the eight units from `unit` on, a multiple of eight, are all of a kind. */
function areEight(chunk: Chunk, unit: number, kind: LeafKind | undefined): boolean {
  const [differ, zero] = [chunk[(PLACE.differ + unit) >> 3], chunk[(PLACE.zero + unit) >> 3]];
  return kind === "differ" ? differ === 0xff : differ === 0 && zero === (kind === "zero" ? 0xff : 0);
}

/** Ranges in ascending order; `unit` is bytes. Those of neighbouring chunks are not joined. */
function* rangesOf(chunks: Chunks, unit: number): Generator<LeafRange> {
  for (const number of [...chunks.keys()].sort((a, b) => a - b)) {
    const chunk = chunks.get(number);
    if (chunk === undefined) continue;
    for (let i = 0; i < CHUNK; ) {
      const kind = kindOf(chunk, i);
      const first = i++;
      while (i < CHUNK && kindOf(chunk, i) === kind) i += i % 8 === 0 && areEight(chunk, i, kind) ? 8 : 1;
      if (kind !== undefined) yield { kind, offset: (number * CHUNK + first) * unit, length: (i - first) * unit };
    }
  }
}

export class LeafMap {
  readonly #maxChunks: number;
  #unit = LEAF_SIZE;
  #chunks: Chunks = new Map();

  /** Takes at most `maxChunks` KiB. */
  constructor(maxChunks = MAX_CHUNKS) {
    this.#maxChunks = maxChunks;
  }

  /** What is told apart, in bytes: LEAF_SIZE until neighbours had to be merged, then a power of two of it. */
  get unit(): number {
    return this.#unit;
  }

  /** Remembers the leaves that a range touches. */
  add({ kind, offset, length }: LeafRange): void {
    const end = Math.ceil((offset + length) / this.#unit);
    for (let unit = Math.floor(offset / this.#unit); unit < end; ) {
      const number = Math.floor(unit / CHUNK);
      const chunk = this.#chunks.get(number) ?? new Uint8Array((2 * CHUNK) / 8);
      this.#chunks.set(number, chunk);
      for (const last = Math.min(end, (number + 1) * CHUNK); unit < last; unit++)
        addLeaf(chunk, PLACE[kind] + (unit % CHUNK));
    }
    while (this.#chunks.size > this.#maxChunks) this.merge();
  }

  /** Doubles the unit. */
  merge(): void {
    const [chunks, unit] = [this.#chunks, this.#unit];
    this.#chunks = new Map();
    this.#unit *= 2;
    for (const range of rangesOf(chunks, unit)) this.add(range);
  }

  /** In ascending order and whole units, neighbours of one kind not always joined. */
  ranges(): Generator<LeafRange> {
    return rangesOf(this.#chunks, this.#unit);
  }
}
