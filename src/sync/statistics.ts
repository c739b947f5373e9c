/** What a run has done so far. Written by the algorithm, read by whoever reports. */
import type { ListMeaning } from "./block-list.ts";
import { type BlockLayout, type BlockRange, splitRange } from "./blocks.ts";
import type { CacheBypass, StreamPart } from "./endpoint.ts";
import type { Taker } from "./plan.ts";
import { type ByteRange, joined, RangeSet } from "./ranges.ts";

/** What one lane has done of its share. */
export class LaneStatistics {
  /** An equal part of all blocks, which it compares where a rescue map is kept. */
  range: BlockRange;
  /** Blocks that it has taken of what all lanes share. */
  blocksTaken = 0;
  /** Blocks that it will have compared at the end, as far as is known. */
  blocksExpected: number;
  blocksMatching = 0;
  blocksDiffering = 0;
  /** Blocks among the others that are all zero in the source and needed no data. */
  blocksZero = 0;
  leavesWritten = 0;
  bytesWritten = 0;
  /** Bytes that were made zero without writing any. */
  bytesZeroed = 0;
  /** Blocks whose source was seen to change between comparing and copying. */
  blocksChanged = 0;
  /** Blocks that were read sector by sector, of which some are missing, and all others were there already. */
  blocksUnreadable = 0;
  /** Blocks that cannot be read as a whole, and are left for the end. */
  blocksDeferred = 0;
  /** Blocks that were not read, since a rescue map says that the destination has them, or a list that they need no look. */
  blocksBelieved = 0;
  /** Bytes that were not read for that reason, in those blocks and in others. */
  bytesBelieved = 0;
  /** What could not be read of the source. */
  readonly unreadable = new RangeSet();
  /** What could not be read either, but was read before: the destination has what it then was. */
  readonly kept = new RangeSet();
  /** Blocks that were read again at the end. */
  blocksVerified = 0;
  /** Of the plan for that. */
  readonly verifying: Taker = { blocksTaken: 0, blocksExpected: 0 };

  constructor(range: BlockRange) {
    this.range = range;
    this.blocksExpected = range.count;
  }

  get blocksDone(): number {
    return this.blocksMatching + this.blocksDiffering + this.blocksUnreadable + this.blocksBelieved;
  }
}

export class Statistics {
  readonly blockSize: number;
  #layout: BlockLayout;
  /** What a source will have that is read on; undefined for one that knows its size, or has come to its end. */
  #growing: { readonly expectedBytes: number | undefined } | undefined;
  /** Their ranges follow each other and are the whole. */
  readonly lanes: readonly [LaneStatistics, ...LaneStatistics[]];
  /** What the run is at: comparing and copying, waiting for the final flush, or reading both sides again. */
  phase: "comparing" | "flushing" | "verifying" = "comparing";
  /** What earlier passes of the run have read and written, which counts for the whole run. */
  readonly #earlier: {
    readonly read: number;
    readonly written: number;
    readonly zeroed: number;
    readonly leaves: number;
  };
  #bytesRead = 0;
  /** What says which bytes were not looked at; undefined for a rescue map. */
  listed: ListMeaning | undefined;
  /** Whether the source was read once, from its beginning to its end. */
  isStream = false;
  /**
   * Of the side's first `sizeBytes` (see fingerprint.ts); known at the end, undefined when a block of it is not known as a whole.
   * Equal for sides that are equal.
   */
  sourceFingerprint: string | undefined;
  destinationFingerprint: string | undefined;
  /** How both sides were read again and found equal, once they were. */
  verified: CacheBypass | undefined;

  /** `lanes` is what was asked for; there are never more than blocks. `earlier` is of the run's pass before this one. */
  constructor(layout: BlockLayout, lanes: number, earlier?: Statistics) {
    this.#earlier = {
      read: earlier?.bytesRead ?? 0,
      written: earlier?.bytesWritten ?? 0,
      zeroed: earlier?.bytesZeroed ?? 0,
      leaves: earlier?.leavesWritten ?? 0,
    };
    this.#layout = layout;
    this.blockSize = layout.blockSize;
    const [first, ...others] = splitRange(layout.all, lanes);
    this.lanes = [new LaneStatistics(first), ...others.map((range) => new LaneStatistics(range))];
  }

  /** Of a stream what has come so far. */
  get sizeBytes(): number {
    return this.#layout.sizeBytes;
  }

  get blocksTotal(): number {
    return this.#layout.blockCount;
  }

  /** What a stream will have as far as anybody knows; undefined where nobody does. */
  get expectedBytes(): number | undefined {
    if (this.#growing === undefined) return this.sizeBytes;
    const { expectedBytes } = this.#growing;
    return expectedBytes === undefined ? undefined : Math.max(expectedBytes, this.sizeBytes);
  }

  /** As expectedBytes, in blocks. */
  get blocksExpected(): number | undefined {
    const { expectedBytes } = this;
    return expectedBytes === undefined ? undefined : Math.ceil(expectedBytes / this.blockSize);
  }

  /** The source is a stream, which grow() will tell of; `expectedBytes` as StreamPart has them. */
  beginStream(expectedBytes: number | undefined): void {
    this.isStream = true;
    this.#growing = { expectedBytes };
  }

  /** More of a stream has come, which the first lane takes. Returns the further blocks. */
  grow(layout: BlockLayout, { isLast, expectedBytes }: Omit<StreamPart, "endBytes">): BlockRange {
    const first = this.blocksTotal;
    this.#layout = layout;
    this.#growing = isLast ? undefined : { expectedBytes };
    this.lanes[0].range = layout.all;
    return { first, count: layout.blockCount - first };
  }

  /** Of source and destination together, by this pass and those before; known at the end. */
  get bytesRead(): number {
    return this.#earlier.read + this.#bytesRead;
  }

  /** By this pass. */
  countRead(bytes: number): void {
    this.#bytesRead = bytes;
  }

  #sum(count: (lane: LaneStatistics) => number): number {
    return this.lanes.reduce((total, lane) => total + count(lane), 0);
  }

  get blocksMatching(): number {
    return this.#sum((lane) => lane.blocksMatching);
  }

  get blocksDiffering(): number {
    return this.#sum((lane) => lane.blocksDiffering);
  }

  get blocksZero(): number {
    return this.#sum((lane) => lane.blocksZero);
  }

  get blocksDone(): number {
    return this.#sum((lane) => lane.blocksDone);
  }

  get blocksVerified(): number {
    return this.#sum((lane) => lane.blocksVerified);
  }

  get leavesWritten(): number {
    return this.#earlier.leaves + this.#sum((lane) => lane.leavesWritten);
  }

  get bytesWritten(): number {
    return this.#earlier.written + this.#sum((lane) => lane.bytesWritten);
  }

  get bytesZeroed(): number {
    return this.#earlier.zeroed + this.#sum((lane) => lane.bytesZeroed);
  }

  get blocksUnreadable(): number {
    return this.#sum((lane) => lane.blocksUnreadable);
  }

  get blocksDeferred(): number {
    return this.#sum((lane) => lane.blocksDeferred);
  }

  get bytesBelieved(): number {
    return this.#sum((lane) => lane.bytesBelieved);
  }

  /** Bytes in so many blocks, as if each but the last one of all were long. */
  bytesOf(blocks: number): number {
    return Math.min(this.sizeBytes, blocks * this.blockSize);
  }

  /** What could not be read of the source, in ascending order. */
  get unreadable(): ByteRange[] {
    return joined(this.lanes.flatMap((lane) => lane.unreadable.all()));
  }

  /** What could not be read either, but was read before: the destination has what it then was. In ascending order. */
  get kept(): ByteRange[] {
    return joined(this.lanes.flatMap((lane) => lane.kept.all()));
  }

  /** Areas that cannot be read, those of which the destination has something older among them; one across lanes counts twice. */
  get unreadableAreas(): number {
    return this.#sum((lane) => lane.unreadable.count + lane.kept.count);
  }

  /** Bytes in them. */
  get sourceUnreadableBytes(): number {
    return this.#sum((lane) => lane.unreadable.length + lane.kept.length);
  }

  get bytesKept(): number {
    return this.#sum((lane) => lane.kept.length);
  }

  get blocksChanged(): number {
    return this.#sum((lane) => lane.blocksChanged);
  }
}
