/** What a run has done so far. Written by the algorithm, read by whoever reports. */
import { type BlockLayout, type BlockRange, splitRange } from "./blocks.ts";
import type { CacheBypass } from "./endpoint.ts";
import { addRange, type ByteRange } from "./ranges.ts";

/** What one lane has done of its share. */
export class LaneStatistics {
  readonly range: BlockRange;
  blocksMatching = 0;
  blocksDiffering = 0;
  /** Blocks among the others that are all zero in the source and needed no data. */
  blocksZero = 0;
  leavesWritten = 0;
  bytesWritten = 0;
  /** Blocks whose source was seen to change between comparing and copying. */
  blocksChanged = 0;
  /** What could not be read of the source, in ascending order. */
  readonly unreadable: ByteRange[] = [];
  /** What could not be read either, but is in the destination already, as a map says. */
  rescuedBytes = 0;
  /** Blocks that were read again at the end. */
  blocksVerified = 0;

  constructor(range: BlockRange) {
    this.range = range;
  }

  get blocksDone(): number {
    return this.blocksMatching + this.blocksDiffering;
  }
}

export class Statistics {
  readonly sizeBytes: number;
  readonly blockSize: number;
  readonly blocksTotal: number;
  /** Their ranges follow each other and are the whole. */
  readonly lanes: readonly [LaneStatistics, ...LaneStatistics[]];
  /** What the run is at: comparing and copying, waiting for the final flush, or reading both sides again. */
  phase: "comparing" | "flushing" | "verifying" = "comparing";
  /** Of source and destination together; known at the end. */
  bytesRead = 0;
  /**
   * Of the side's first `sizeBytes` (see fingerprint.ts); known at the end, undefined when a block of it is not known as a whole.
   * Equal for sides that are equal.
   */
  sourceFingerprint: string | undefined;
  destinationFingerprint: string | undefined;
  /** How both sides were read again and found equal, once they were. */
  verified: CacheBypass | undefined;

  /** `lanes` is what was asked for; there are never more than blocks. */
  constructor(layout: BlockLayout, lanes: number) {
    this.sizeBytes = layout.sizeBytes;
    this.blockSize = layout.blockSize;
    this.blocksTotal = layout.blockCount;
    const [first, ...others] = splitRange(layout.all, lanes);
    this.lanes = [new LaneStatistics(first), ...others.map((range) => new LaneStatistics(range))];
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
    return this.#sum((lane) => lane.leavesWritten);
  }

  get bytesWritten(): number {
    return this.#sum((lane) => lane.bytesWritten);
  }

  /** What could not be read of the source, in ascending order. */
  get unreadable(): ByteRange[] {
    const ranges: ByteRange[] = [];
    for (const range of this.lanes.flatMap((lane) => lane.unreadable)) addRange(ranges, range);
    return ranges;
  }

  get rescuedBytes(): number {
    return this.#sum((lane) => lane.rescuedBytes);
  }

  get sourceUnreadableBytes(): number {
    return this.#sum((lane) => lane.unreadable.reduce((sum, { length }) => sum + length, 0));
  }

  get blocksChanged(): number {
    return this.#sum((lane) => lane.blocksChanged);
  }
}
