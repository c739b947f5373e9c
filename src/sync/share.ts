/** What a lane's blocks need: in which order they are compared, copied, read sector by sector, or believed. */
import { rest } from "./abort.ts";
import { scanAhead } from "./ahead.ts";
import type { BlockLayout, BlockRange } from "./blocks.ts";
import type { Changes } from "./changes.ts";
import { Copier } from "./copy.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Sha256 } from "./fingerprint.ts";
import { Outcomes } from "./outcomes.ts";
import type { Listed, SharedPlan } from "./plan.ts";
import type { BlockRecord } from "./record.ts";
import { type Plan, type Rescue, samplesOf } from "./rescue.ts";
import type { LaneStatistics, Statistics } from "./statistics.ts";
import { type Compare, differingPart } from "./verdicts.ts";

/** One way between the two sides: an endpoint at either end. */
export interface Lane {
  readonly source: Endpoint;
  readonly destination: Endpoint;
}

export interface SyncOptions {
  readonly blockSize: number;
  /** Cut a regular-file destination that is larger than the source. */
  readonly exact: boolean;
  readonly dryRun: boolean;
  /** Ends the run when it is aborted: what is under way comes to its end, and nothing more is begun. */
  readonly signal: AbortSignal;
  /** Rest after each block that was read, in each lane. */
  readonly pauseMs: number;
  /** What is known of a source that cannot be read in places; undefined to stop at the first of them. */
  readonly rescue: Rescue | undefined;
  /** Read both sides again at the end. */
  readonly verify: boolean;
  /** Called when that begins. */
  readonly onVerify: () => void;
  readonly sha256: Sha256;
  /** Look only there, and what is meant of the rest; undefined for everywhere. */
  readonly listed: Listed | undefined;
  /** Is told where the two sides differed; undefined when nobody wants to know. */
  readonly changes: Changes | undefined;
  /** Called when the destination has been made, or made as long as it is to be, and no block was written yet. */
  readonly onPrepared: () => void;
  /** Called when the destination does not hold what a rescue map says, so that it is not believed. */
  readonly onDisbelief: () => void;
}

export class Share {
  readonly #lane: Lane;
  readonly #compare: Compare;
  readonly #layout: BlockLayout;
  readonly #options: SyncOptions;
  readonly #statistics: LaneStatistics;
  readonly #outcomes: Outcomes;
  readonly #plan: Plan;
  readonly #copier: Copier;
  /** Blocks that the destination holds as a whole, by what a rescue map says, and that were not looked at yet. */
  #later: readonly BlockRange[];
  /** Where the comparison is. */
  #position = 0;

  constructor(
    lane: Lane,
    compare: Compare,
    layout: BlockLayout,
    options: SyncOptions,
    statistics: LaneStatistics,
    record: BlockRecord,
    range: BlockRange = statistics.range,
  ) {
    this.#lane = lane;
    this.#compare = compare;
    this.#layout = layout;
    this.#options = options;
    this.#statistics = statistics;
    const { signal, dryRun, rescue, changes } = options;
    const outcomes = new Outcomes(layout, statistics, record, rescue, changes);
    this.#outcomes = outcomes;
    this.#plan = rescue?.plan(layout, range) ?? { compare: [range], salvage: [], later: [] };
    this.#later = this.#plan.later;
    this.#copier = new Copier(lane, layout, { signal, dryRun, rescue, outcomes, changes });
  }

  [Symbol.dispose](): void {
    this.#copier[Symbol.dispose]();
  }

  /** Blocks that match and hold data: a blank disk has all the zeros there are. */
  get #matchingData(): number {
    return this.#statistics.blocksMatching - this.#statistics.blocksZero;
  }

  /**
   * Compares a few of the blocks that, according to a rescue map, the destination holds. It takes more of them until
   * enough hold data, or until so many are unreadable that the source should be spared. Unreadable ones are left for the
   * end.
   */
  async sample(): Promise<"holds" | "differs" | "unknown"> {
    const { blocksDiffering, blocksDeferred } = this.#statistics;
    const matched = this.#matchingData;
    let wanted: number | undefined;
    for (let length = 1; this.#later.length > 0; length *= 2) {
      const { samples, others } = samplesOf(this.#later, length);
      wanted ??= samples.length;
      this.#later = others;
      await this.#copy(samples);
      if (this.#statistics.blocksDiffering > blocksDiffering) return "differs";
      if (this.#matchingData - matched >= wanted) break;
      if (this.#statistics.blocksDeferred - blocksDeferred >= wanted) return "holds";
    }
    return this.#matchingData > matched ? "holds" : "unknown";
  }

  /** What this lane takes of the blocks that all lanes share, until nothing is left. */
  async copyShared(plan: SharedPlan): Promise<void> {
    const statistics = this.#statistics;
    const appetite = plan.appetite(performance.now());
    for (;;) {
      const piece = plan.take(statistics, appetite.piece);
      if (piece.length === 0) break;
      const differing = await this.#start(piece);
      await this.#copier.settle(appetite.underWay);
      appetite.learn(differing > 0, statistics.blocksDiffering, performance.now());
    }
    await this.#finish();
  }

  /** All blocks but those that are held, and what is bad last. */
  async copyFirst(): Promise<void> {
    for (const range of this.#plan.salvage) this.#copier.defer(range);
    await this.#copy(this.#plan.compare);
    await this.#copier.salvage();
  }

  /** Those that are held, and were not looked at yet. */
  async copyLater(): Promise<void> {
    await this.#copy(this.#later);
    await this.#copier.salvage();
  }

  /** Makes the blocks equal that are in the ranges, in ascending order, but for those that cannot be read as a whole. */
  async #copy(ranges: readonly BlockRange[]): Promise<void> {
    await this.#start(ranges);
    await this.#finish();
  }

  /** No block before the ones under way is needed any more. */
  #advance(): void {
    const done = Math.min(this.#copier.lowest ?? this.#position, this.#position);
    this.#lane.source.advance(done);
    this.#lane.destination.advance(done);
  }

  async #finish(): Promise<void> {
    await this.#copier.finish();
    this.#advance();
  }

  /** As #copy(), but some may still be under way at the end. Returns how many differ. */
  async #start(ranges: readonly BlockRange[]): Promise<number> {
    const { dryRun, rescue, pauseMs, signal } = this.#options;
    const copier = this.#copier;
    const tolerant = { source: rescue !== undefined, destination: !dryRun };
    const ahead = scanAhead(this.#layout.blockSize, pauseMs);
    // Who rests after each block takes them one by one.
    const together = pauseMs > 0 ? 1 : this.#layout.together;
    const advance = () => this.#advance();
    let differing = 0;
    this.#position = ranges[0]?.first ?? 0;
    for await (const verdict of this.#compare(ranges, { tolerant, ahead })) {
      if (verdict.kind === "match") this.#outcomes.matched(verdict);
      else if (verdict.kind === "unreadable") copier.defer(verdict);
      else differing += verdict.count;
      const parts = verdict.kind === "differ" ? this.#layout.partsOf(verdict, together) : [verdict];
      for (const { first, count } of parts) {
        if (verdict.kind === "differ") await copier.start(differingPart(verdict, { first, count }), advance);
        this.#position = first + count;
        advance();
        copier.check();
        // Holes were not read, so nothing has to recover from it.
        if (pauseMs > 0 && !(verdict.kind === "match" && verdict.zero)) await rest(count * pauseMs, signal);
      }
    }
    return differing;
  }

  /** Takes it that the destination holds the blocks, those that are left unless told, and reads them on neither side. */
  believe(blocks: readonly BlockRange[] = this.#later): void {
    for (const range of blocks) this.#outcomes.believed(range);
  }
}

/**
 * Checks whether the destination holds what an earlier run's rescue map says, before anything is taken from the map: the
 * name may lead to another disk by now. What the check did not see is not believed either.
 */
export async function checkHeld(shares: readonly Share[], rescue: Rescue, onDisbelief: () => void): Promise<void> {
  const found = await Promise.all(shares.map((share) => share.sample()));
  const differs = found.includes("differs");
  if (differs) onDisbelief();
  if (differs || !found.includes("holds")) rescue.believeNothing();
}

/** What an earlier run's rescue map says that the destination holds: see rescue.ts for when that is believed. */
export async function copyLater(shares: readonly Share[], rescue: Rescue, statistics: Statistics): Promise<void> {
  if (rescue.believes && statistics.unreadableAreas > 0) {
    for (const share of shares) share.believe();
    return;
  }
  rescue.believeNothing();
  await Promise.all(shares.map((share) => share.copyLater()));
}
