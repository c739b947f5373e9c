/**
 * What is known of a source that cannot be read in places: what an earlier run's rescue map says, what this run has found, what is
 * to be read in which order, and the rescue map that says so at any moment.
 *
 * A map calls an area "+" when the destination holds it. That is never taken back: what was rescued stays where it is, even
 * if the source cannot be read there any more. Whether it is believed, so that it need not be read again, is the one rule:
 *
 * - A map that leaves nothing to be tried (only "+" and, unless they are to be tried again, "-") is finished: everything but "-"
 *   is read and compared again, and what cannot be read now is said, although the destination has it.
 * - A map that leaves something is gone on with: first what it leaves. If nothing of the source is bad after that, the rest is
 *   compared too, so that success always means that everything was compared. While something is bad the source is one that
 *   may not live for long: what is "+" is not read again, but for a few samples, which come first.
 */
import { addSectors, type BlockLayout, type BlockRange, emptySectorSet, type SectorSet } from "./blocks.ts";
import {
  type ByteRange,
  endOf,
  inward,
  outward,
  RangeSet,
  shifted,
  totalLength,
  union,
  within,
  without,
} from "./ranges.ts";
import { areasWith, mergedAreas, type RescueArea } from "./rescue-map.ts";

export interface RescueOptions {
  /** What earlier runs found out, for all of the source (fitRescueMap()). */
  readonly map: readonly RescueArea[];
  /** How long the destination was at the start, 0 when it held nothing: what lies beyond was rescued into another one. */
  readonly heldBytes: number;
  /** Times that a bad sector is tried again; undefined for none, and those that the map calls bad not at all. */
  readonly retries: number | undefined;
}

/** Blocks of a share, in ascending order. */
export interface Plan {
  readonly compare: readonly BlockRange[];
  /** In which a place is known to be bad: they are read last, and sector by sector at once. */
  readonly salvage: readonly BlockRange[];
  /** Which the destination holds as a whole; see above. */
  readonly later: readonly BlockRange[];
}

/** What became of the sectors of a block that were not read. */
export interface Missing {
  readonly bad: readonly ByteRange[];
  /** Which could not be read, and of which the destination holds what was read before. */
  readonly kept: readonly ByteRange[];
  /** Which were not tried, as the destination holds them. */
  readonly believed: readonly ByteRange[];
}

/** One block in so many is compared of those that are believed, at least one and at most MOST_SAMPLES. */
const SAMPLE_SHARE = 32;
const MOST_SAMPLES = 8;

export class Rescue {
  readonly #all: readonly ByteRange[];
  readonly #map: readonly RescueArea[];
  readonly #held = new RangeSet();
  readonly #hopeless = new RangeSet();
  readonly #retries: number;
  readonly #goesOn: boolean;
  #believes: boolean;
  /** In the destination by what this run did, or found there. */
  readonly #done = new RangeSet();
  readonly #bad = new RangeSet();
  /** Blocks of which a part could not be read, and which were not read sector by sector yet. */
  readonly #failed = new RangeSet();

  constructor({ map, heldBytes, retries }: RescueOptions) {
    const sizeBytes = map.reduce((end, area) => Math.max(end, endOf(area)), 0);
    this.#all = [{ offset: 0, length: sizeBytes }];
    this.#map = map;
    const held = within(areasWith(map, "+"), [{ offset: 0, length: Math.min(heldBytes, sizeBytes) }]);
    for (const range of held) this.#held.add(range);
    if (retries === undefined) for (const range of areasWith(map, "-")) this.#hopeless.add(range);
    this.#retries = retries ?? 0;
    this.#goesOn = totalLength(held) + this.#hopeless.length < sizeBytes;
    this.#believes = this.#goesOn;
  }

  get retries(): number {
    return this.#retries;
  }

  plan(layout: BlockLayout, share: BlockRange): Plan {
    const bytes = share.count === 0 ? [] : [layout.spanOf(share)];
    const bad = wholeBlocks(areasWith(this.#map, "-", "*", "/"), layout);
    const later = this.#goesOn ? blocksWithin(this.#held.all(), layout) : [];
    const compare = without(without(bytes, bad), later);
    const blocks = (ranges: readonly ByteRange[]) => ranges.map((range) => layout.blocksOf(range));
    return {
      compare: blocks(compare),
      salvage: blocks(within(bytes, bad)),
      later: blocks(within(bytes, without(later, bad))),
    };
  }

  /** From now on nothing is believed. */
  believeNothing(): void {
    this.#believes = false;
  }

  /** Sectors of the block that are not to be tried: those that are known to be bad, and those that are `believed`. */
  untried(block: ByteRange, believed: boolean): SectorSet {
    const set = emptySectorSet(block.length);
    const parts = [...this.#hopeless.partsIn(block), ...(believed ? this.#held.partsIn(block) : [])];
    for (const part of parts) addSectors(set, shifted(part, -block.offset));
    return set;
  }

  /** Whether what is held of a block need not be read. */
  get believes(): boolean {
    return this.#believes;
  }

  /** The destination has it, though not for sure after a crash. */
  done(range: ByteRange): void {
    this.#done.add(range);
  }

  /** A block cannot be read as a whole. */
  failed(range: ByteRange): void {
    this.#failed.add(range);
  }

  /** What of `ranges` in a block the destination does not hold. */
  notHeld(block: ByteRange, ranges: readonly ByteRange[]): ByteRange[] {
    return without(ranges, this.#held.partsIn(block));
  }

  /**
   * A block was read sector by sector, but for `missing`, in ascending order, of which what is held may have been `believed`;
   * the rest of it is in the destination.
   */
  salvaged(block: ByteRange, missing: readonly ByteRange[], believed: boolean): Missing {
    for (const range of without([block], missing)) this.#done.add(range);
    const held = this.#held.partsIn(block);
    const bad = without(missing, held);
    for (const range of bad) this.#bad.add(range);
    const there = within(missing, held);
    return believed ? { bad, kept: [], believed: there } : { bad, kept: there, believed: [] };
  }

  /** Grows with whatever becomes known. */
  get known(): number {
    return this.#done.length + this.#bad.length + this.#failed.length;
  }

  /** What is in the destination by this run so far; durable once the destination is flushed after this. */
  get written(): readonly ByteRange[] {
    return this.#done.all();
  }

  /**
   * The map: `durable` is what is safe in the destination by this run. A source that is `gone` failed everywhere, so what
   * failed last says nothing of those places.
   */
  map(durable: readonly ByteRange[], { gone }: { readonly gone: boolean }): RescueArea[] {
    const read = union(this.#held.all(), durable);
    const bad = without(union(this.#bad.all(), areasWith(this.#map, "-")), union(read, this.#done.all()));
    const rest = without(without(this.#all, read), bad);
    const failed = union(areasWith(this.#map, "*"), gone ? [] : this.#failed.all());
    const untrimmed = within(rest, failed);
    const unscraped = within(without(rest, untrimmed), areasWith(this.#map, "/"));
    return mergedAreas([
      [read, "+"],
      [bad, "-"],
      [untrimmed, "*"],
      [unscraped, "/"],
      [without(without(rest, untrimmed), unscraped), "?"],
    ]);
  }
}

/** The blocks that the ranges touch, in bytes. */
function wholeBlocks(ranges: readonly ByteRange[], { blockSize, sizeBytes }: BlockLayout): ByteRange[] {
  const blocks = new RangeSet();
  for (const range of ranges) blocks.add(outward(range, blockSize, sizeBytes));
  return blocks.all();
}

/** The blocks that lie in the ranges as a whole, in bytes. */
function blocksWithin(ranges: readonly ByteRange[], { blockSize, sizeBytes }: BlockLayout): ByteRange[] {
  return ranges.map((range) => inward(range, blockSize, sizeBytes)).filter((range) => range !== undefined);
}

/** A few runs of up to `length` of the blocks, spread evenly, and the others; all of them when that is not many more. */
export function samplesOf(
  ranges: readonly BlockRange[],
  length: number,
): { samples: readonly BlockRange[]; others: readonly BlockRange[] } {
  const total = ranges.reduce((sum, { count }) => sum + count, 0);
  const wanted = Math.min(total, MOST_SAMPLES, Math.max(1, Math.floor(total / SAMPLE_SHARE)));
  if (length > 1 && 2 * wanted * length >= total) return { samples: ranges, others: [] };
  const samples: BlockRange[] = [];
  const others: BlockRange[] = [];
  let before = 0;
  for (const { first, count } of ranges) {
    const end = first + count;
    let position = first;
    while (samples.length < wanted) {
      const place = first + Math.floor(((samples.length + 0.5) * total) / wanted) - before;
      if (place >= end) break;
      if (place > position) others.push({ first: position, count: place - position });
      position = Math.min(place + length, end);
      samples.push({ first: place, count: position - place });
    }
    if (position < end) others.push({ first: position, count: end - position });
    before += count;
  }
  return { samples, others };
}
