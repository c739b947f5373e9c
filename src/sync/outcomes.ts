/**
 * What became of the blocks of a lane. Each is told here once, when it is known, and from here to all who keep something of it: the
 * statistics, the record of what both sides hold, the rescue map and the change map.
 */
import {
  type BlockLayout,
  type BlockRange,
  countLeaves,
  LEAF_SIZE,
  type LeafSet,
  leafSetLength,
  sectorRuns,
} from "./blocks.ts";
import type { Changes } from "./changes.ts";
import type { BlockData, Salvage, WriteOutcome } from "./endpoint.ts";
import { type ByteRange, shifted, totalLength } from "./ranges.ts";
import type { BlockRecord } from "./record.ts";
import type { Rescue } from "./rescue.ts";
import type { LaneStatistics } from "./statistics.ts";
import type { Verdict } from "./verdicts.ts";

/** Blocks by what became of them; those that are zero are among the others. */
export interface Counts {
  readonly matching: number;
  readonly differing: number;
  readonly zero: number;
  /** Whose source changed since it was compared. */
  readonly changed: number;
}

/** A block that was read sector by sector. */
export interface Salvaged {
  readonly index: number;
  readonly salvage: Salvage;
  /** What of it is missing, as places of the source. */
  readonly missing: readonly ByteRange[];
  /** Whether what a rescue map holds of it was not tried. */
  readonly believes: boolean;
  /** Whether the destination had all of the rest. */
  readonly isThere: boolean;
  readonly bytesWritten: number;
}

export class Outcomes {
  readonly #layout: BlockLayout;
  readonly #statistics: LaneStatistics;
  readonly #record: BlockRecord;
  readonly #rescue: Rescue | undefined;
  readonly #changes: Changes | undefined;

  constructor(
    layout: BlockLayout,
    statistics: LaneStatistics,
    record: BlockRecord,
    rescue: Rescue | undefined,
    changes: Changes | undefined,
  ) {
    this.#layout = layout;
    this.#statistics = statistics;
    this.#record = record;
    this.#rescue = rescue;
    this.#changes = changes;
  }

  /** Both sides were read, or are holes, and are equal. */
  matched({ first, count, zero, prints }: Extract<Verdict, { kind: "match" }>): void {
    this.#statistics.blocksMatching += count;
    if (zero) this.#statistics.blocksZero += count;
    this.#hold({ first, count }, prints);
  }

  /** The destination holds what the source does, by their prints; or would without a dry run. */
  copied(blocks: BlockRange, prints: readonly bigint[], { matching, differing, zero, changed }: Counts): void {
    this.#statistics.blocksMatching += matching;
    this.#statistics.blocksDiffering += differing;
    this.#statistics.blocksZero += zero;
    this.#statistics.blocksChanged += changed;
    this.#hold(blocks, prints);
  }

  /** They differ, and a dry run leaves it at that; nobody may have their prints. */
  differed(blocks: BlockRange, prints: readonly bigint[] | undefined): void {
    this.#statistics.blocksDiffering += blocks.count;
    if (prints === undefined) this.#record.unknown(blocks);
    else this.#hold(blocks, prints);
  }

  #hold(blocks: BlockRange, prints: readonly bigint[] | undefined): void {
    this.#record.set(blocks.first, blocks.count, prints);
    this.#rescue?.done(this.#layout.spanOf(blocks));
  }

  /** Leaves of blocks differ, which a dry run found out. */
  found(blocks: BlockRange, leaves: LeafSet, zeros: LeafSet): void {
    this.#changes?.addLeaves(this.#layout, blocks, leaves, zeros);
  }

  /** Leaves of blocks were written, and made zero. What is not proved is written again. */
  wrote(blocks: BlockRange, { leaves, zeros }: BlockData, { proved, bytesWritten }: WriteOutcome): void {
    if (proved) this.found(blocks, leaves, zeros);
    const { length } = this.#layout.spanOf(blocks);
    this.#statistics.leavesWritten += countLeaves(leaves) + countLeaves(zeros);
    this.#statistics.bytesWritten += bytesWritten;
    this.#statistics.bytesZeroed += leafSetLength(leaves, length) + leafSetLength(zeros, length) - bytesWritten;
  }

  /** They cannot be read as a whole, and will be salvaged. */
  deferred(blocks: BlockRange): void {
    this.#statistics.blocksDeferred += blocks.count;
    this.#record.deferred(blocks);
    this.#rescue?.failed(this.#layout.spanOf(blocks));
  }

  /** A block that was deferred was read as far as it can be, and that is in the destination. */
  salvaged({ index, salvage, missing, believes, isThere, bytesWritten }: Salvaged): void {
    const rescue = this.#rescue;
    if (rescue === undefined) throw new RangeError("Nothing is salvaged unless asked for");
    const block = this.#layout.placeOf(index);
    const { bad, kept, believed } = rescue.salvaged(block, missing, believes);
    const statistics = this.#statistics;
    statistics.blocksDeferred--;
    for (const range of bad) statistics.unreadable.add(range);
    for (const range of kept) statistics.kept.add(range);
    statistics.bytesBelieved += totalLength(believed);
    statistics.bytesWritten += bytesWritten;
    statistics.leavesWritten += Math.ceil(bytesWritten / LEAF_SIZE);
    if (!isThere) statistics.blocksDiffering++;
    else if (bad.length + kept.length > 0) statistics.blocksUnreadable++;
    else if (believed.length > 0) statistics.blocksBelieved++;
    else statistics.blocksMatching++;
    this.#record.salvaged(missing);
    for (const range of [...bad, ...kept]) this.#changes?.add("unreadable", range);
    // Which of them differed is not known here.
    const written = isThere ? [] : sectorRuns(salvage.sectors, block.length);
    for (const run of written) this.#changes?.add("differ", shifted(run, block.offset));
  }

  /** It is taken that the destination holds them, and neither side was read. */
  believed(blocks: BlockRange): void {
    this.#statistics.blocksBelieved += blocks.count;
    this.#statistics.bytesBelieved += this.#layout.spanOf(blocks).length;
    this.#record.believed(blocks);
  }
}
