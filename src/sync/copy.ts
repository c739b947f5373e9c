/** Makes blocks of the destination equal to the source, small neighbours together and many at once. */
import { notHeld, ReadError } from "../errors.ts";
import { onAbort } from "./abort.ts";
import {
  type BlockLayout,
  type BlockRange,
  countLeaves,
  emptySectorSet,
  equalBytes,
  hasLeaves,
  LEAF_SIZE,
  leafCount,
  otherSectors,
  type SectorSet,
  sectorRuns,
} from "./blocks.ts";
import type { Changes } from "./changes.ts";
import { differingLeaves } from "./differences.ts";
import { type BlockData, type Endpoint, LEAF_HASH_SIZE, type LeafFilter, type Salvage } from "./endpoint.ts";
import { printOf } from "./fingerprint.ts";
import { LeafPolicy } from "./leaf-policy.ts";
import type { Outcomes } from "./outcomes.ts";
import { RangeSet, shifted } from "./ranges.ts";
import type { Rescue } from "./rescue.ts";
import { type Differing, differingPart } from "./verdicts.ts";
import { Window } from "./window.ts";

/**
 * Most differing blocks in flight at once. The endpoints bound the blocks' data; this bounds the round trips: at 100 ms,
 * with 1 MiB blocks that nearly all differ in a few leaves and take two trips each, 4096 sustain 20 GB/s.
 */
const BLOCKS_IN_FLIGHT = 4096;

interface Ends {
  readonly source: Endpoint;
  readonly destination: Endpoint;
}

export interface CopyOptions {
  /** Is as good as a failed block. */
  readonly signal: AbortSignal;
  readonly dryRun: boolean;
  /** undefined: a source that cannot be read ends the run. */
  readonly rescue: Rescue | undefined;
  readonly outcomes: Outcomes;
  /** Whoever wants to know what differs, to the leaf if they are exact. */
  readonly changes: Changes | undefined;
}

/** What blocks hold, of which an endpoint has told the hashes. */
function printsOf({ hashes }: BlockData, count: number): bigint[] {
  const size = hashes.length / count;
  return Array.from({ length: count }, (_, i) => printOf(hashes.subarray(i * size)));
}

export class Copier {
  readonly #source: Endpoint;
  readonly #destination: Endpoint;
  readonly #layout: BlockLayout;
  readonly #dryRun: boolean;
  readonly #rescue: Rescue | undefined;
  readonly #outcomes: Outcomes;
  readonly #changes: Changes | undefined;
  readonly #aborting: Disposable;
  readonly #gate = new Window(BLOCKS_IN_FLIGHT);
  readonly #policy = new LeafPolicy();
  readonly #inFlight = new Map<number, Promise<void>>();
  #deferred = new RangeSet();
  #failure: { readonly cause: unknown } | undefined;
  /** Rejects at the first failure of any block. */
  readonly #broken = Promise.withResolvers<never>();

  constructor(
    { source, destination }: Ends,
    layout: BlockLayout,
    { signal, dryRun, rescue, outcomes, changes }: CopyOptions,
  ) {
    this.#source = source;
    this.#destination = destination;
    this.#layout = layout;
    this.#dryRun = dryRun;
    this.#rescue = rescue;
    this.#outcomes = outcomes;
    this.#changes = changes;
    this.#broken.promise.catch(() => undefined);
    this.#aborting = onAbort(signal, () => this.#fail(signal.reason));
  }

  [Symbol.dispose](): void {
    this.#aborting[Symbol.dispose]();
  }

  /** Nothing more is begun, and nobody waits for what is under way; the first cause stays. */
  #fail(cause: unknown): void {
    this.#failure ??= { cause };
    this.#broken.reject(cause);
    this.#gate.fail(cause);
  }

  /** The lowest block under way, or undefined; blocks are started in ascending order. */
  get lowest(): number | undefined {
    return this.#inFlight.keys().next().value;
  }

  /** @throws the first failure of any block, so that a run that has failed reads no further. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure.cause;
  }

  /**
   * Starts blocks once there is room, BlockLayout.together at most. `settled` runs after them. @throws the first failure of any
   * block.
   */
  async start(blocks: Differing, settled: () => void): Promise<void> {
    const taken = await this.#gate.take(blocks.count);
    this.check();
    const work = this.#copy(blocks)
      .catch((cause: unknown) => this.#fail(cause))
      .finally(() => {
        this.#inFlight.delete(blocks.first);
        this.#gate.give(taken);
        settled();
      });
    this.#inFlight.set(blocks.first, work);
  }

  /** Waits until no more than so many blocks are under way. @throws the first failure of any block. */
  async settle(blocks: number): Promise<void> {
    if (blocks >= BLOCKS_IN_FLIGHT) return;
    this.#gate.give(await this.#gate.take(BLOCKS_IN_FLIGHT - blocks));
  }

  /** Leaves blocks that cannot be read as a whole for the end, when all that can be read is safe. */
  defer(blocks: BlockRange): void {
    this.#deferred.add(this.#layout.spanOf(blocks));
    this.#outcomes.deferred(blocks);
  }

  /** Waits for every started block. @throws the first failure of any block. */
  async finish(): Promise<void> {
    // The others may be thousands.
    await Promise.race([Promise.all(this.#inFlight.values()), this.#broken.promise]);
    // One that failed since the last block was started is in flight no more.
    this.check();
  }

  /** Salvages the blocks that were left. @throws the first failure of any of them. */
  async salvage(): Promise<void> {
    const deferred = this.#deferred.all();
    this.#deferred = new RangeSet();
    for (const { offset, length } of deferred) {
      const first = offset / this.#layout.blockSize;
      const count = Math.ceil(length / this.#layout.blockSize);
      for (let index = first; index < first + count; index++) {
        this.check();
        await this.#salvage(index);
      }
    }
  }

  async #copy(blocks: Differing): Promise<void> {
    const isUnread = blocks.destination !== "zero" || this.#source.printless === true;
    if (this.#dryRun && isUnread) return await this.#countUnread(blocks);
    const filter = await this.#filter(blocks);
    this.check();
    const data = await this.#read(blocks, filter);
    if (data === undefined) {
      if (blocks.count === 1) return this.defer(blocks);
      // Some of them can be read.
      for (const block of this.#layout.partsOf(blocks, 1)) await this.#copy(differingPart(blocks, block));
      return;
    }
    if (this.#failure !== undefined) {
      data.release();
      return;
    }
    const { leaves, zeros } = data;
    const { length } = this.#layout.spanOf(blocks);
    const touched = countLeaves(leaves) + countLeaves(zeros);
    if (filter.kind === "differing") this.#policy.observe(touched, leafCount(length));
    let prints = printsOf(data, blocks.count);
    const { sourcePrints } = blocks;
    const changed = prints.filter((print, i) => sourcePrints !== undefined && print !== sourcePrints[i]).length;
    const counts = this.#countsOf(blocks, data, filter);
    const isWritten = !this.#dryRun && (touched > 0 || filter.kind !== "nonzero");
    if (this.#dryRun) this.#outcomes.found(blocks, leaves, zeros);
    if (!isWritten) data.release();
    else if (!(await this.#write(blocks, data))) prints = await this.#copyAgain(blocks);
    this.#outcomes.copied(blocks, prints, { ...counts, changed });
  }

  /** How many of the blocks differ; over a destination that is zero only those with something else. */
  #countsOf({ first, count }: BlockRange, { hashes, leaves }: BlockData, filter: LeafFilter) {
    const { zeroHash } = this.#source.description;
    const each = this.#layout.blockSize / LEAF_SIZE;
    let [matching, zero] = [0, 0];
    for (let i = 0; i < count; i++) {
      const hash = hashes.subarray(i * zeroHash.length, (i + 1) * zeroHash.length);
      const held = leafCount(this.#layout.lengthOf(first + i));
      const matches = filter.kind === "nonzero" && !hasLeaves(leaves, i * each, held);
      if (matches) matching++;
      if (matches || equalBytes(hash, zeroHash)) zero++;
    }
    return { matching, differing: count - matching, zero };
  }

  /** Of a dry run, which copies nothing that was compared. */
  async #countUnread(blocks: Differing): Promise<void> {
    const isPrintless = this.#source.printless === true;
    await this.#noteUnread(blocks);
    if (!isPrintless && blocks.sourcePrints === undefined)
      throw new RangeError("A dry run reads both sides, or the source to copy it");
    this.#outcomes.differed(blocks, isPrintless ? undefined : blocks.sourcePrints);
  }

  /** Notes differing blocks of a dry run; by leaves, which have to be asked for, only for those who want that. */
  async #noteUnread(blocks: BlockRange): Promise<void> {
    const changes = this.#changes;
    if (changes?.exact !== true || this.#source.printless === true) return changes?.addBlocks(this.#layout, blocks);
    try {
      await differingLeaves(this.#source, this.#destination, this.#layout, blocks, changes);
    } catch (error) {
      // A change map is no reason for a run to fail.
      if (!(error instanceof ReadError)) throw error;
      if (blocks.count === 1) return changes.addBlocks(this.#layout, blocks);
      for (const block of this.#layout.partsOf(blocks, 1)) await this.#noteUnread(block);
    }
  }

  /** Undefined where some of it cannot be read when such blocks are to be skipped. */
  async #read(blocks: BlockRange, filter: LeafFilter): Promise<BlockData | undefined> {
    try {
      return await this.#source.read(blocks, filter);
    } catch (error) {
      if (this.#rescue !== undefined && error instanceof ReadError) return undefined;
      throw error;
    }
  }

  async #filter(blocks: Differing): Promise<LeafFilter> {
    if (blocks.destination === "zero") return { kind: "nonzero" };
    const { length } = this.#layout.spanOf(blocks);
    if (leafCount(length) === blocks.count || blocks.destination === "unreadable") return { kind: "all" };
    if (this.#changes?.exact !== true && !this.#policy.pays()) return { kind: "all" };
    try {
      return { kind: "differing", hashes: await this.#destination.leafHashes(blocks, LEAF_HASH_SIZE) };
    } catch (error) {
      // Writing it anew may be what makes it readable again.
      if (error instanceof ReadError) return { kind: "all" };
      throw error;
    }
  }

  /** Returns whether the blocks hold then what they should. */
  async #write(blocks: BlockRange, data: BlockData): Promise<boolean> {
    const outcome = await this.#destination.write(blocks, data);
    this.#outcomes.wrote(blocks, data, outcome);
    return outcome.proved;
  }

  /** Copies what can be read of a block, sector by sector, and leaves the destination alone under the rest. */
  async #salvage(index: number): Promise<void> {
    const rescue = this.#rescue;
    if (rescue === undefined) throw new RangeError("Nothing is salvaged unless asked for");
    const block = this.#layout.placeOf(index);
    const { offset, length } = block;
    const missingOf = ({ sectors }: Salvage) =>
      [...sectorRuns(otherSectors(sectors, length), length)].map((run) => shifted(run, offset));
    let believes = rescue.believes;
    let salvage = await this.#readSectors(index, rescue.untried(block, believes), rescue.retries);
    if (believes && rescue.notHeld(block, missingOf(salvage)).length === 0) {
      // Nothing is bad here any more, so all of it can be compared.
      believes = false;
      salvage = await this.#readSectors(index, rescue.untried(block, false), rescue.retries);
    }
    const bytesWritten = this.#dryRun ? 0 : await this.#destination.patch(index, salvage);
    const isThere = this.#dryRun ? await this.#holdsSalvaged(index, salvage) : bytesWritten === 0;
    this.#outcomes.salvaged({ index, salvage, missing: missingOf(salvage), believes, isThere, bytesWritten });
  }

  /** What can be read of the source's block; nobody is asked when nothing is to be tried. */
  async #readSectors(index: number, untried: SectorSet, retries: number): Promise<Salvage> {
    const length = this.#layout.lengthOf(index);
    const [first] = sectorRuns(otherSectors(untried, length), length);
    if (first === undefined) return { sectors: emptySectorSet(length), bytes: new Uint8Array() };
    return await this.#source.salvage(index, untried, retries);
  }

  /** Whether the destination, which a dry run leaves as it is, has the salvaged sectors already. */
  async #holdsSalvaged(index: number, salvage: Salvage): Promise<boolean> {
    const length = this.#layout.lengthOf(index);
    if (this.#layout.offsetOf(index) + length > this.#destination.description.sizeBytes) return false;
    const there = await this.#destination.salvage(index, otherSectors(salvage.sectors, length), 0);
    return equalBytes(there.sectors, salvage.sectors) && equalBytes(there.bytes, salvage.bytes);
  }

  /** Copies whole blocks again and returns their prints: two leaves may have had the same hash (1 in 2^32), or the source changed in between. */
  async #copyAgain(blocks: BlockRange): Promise<bigint[]> {
    const prints: bigint[] = [];
    for (const block of this.#layout.partsOf(blocks, 1)) {
      const data = await this.#source.read(block, { kind: "all" });
      const print = printOf(data.hashes);
      const { offset, length } = this.#layout.spanOf(block);
      if (!(await this.#write(block, data))) throw notHeld(this.#destination.description.label, offset, length);
      prints.push(print);
    }
    return prints;
  }
}
