/** Makes single blocks of the destination equal to the source, many at once. */
import { notHeld, ReadError } from "../errors.ts";
import {
  addSectors,
  type BlockLayout,
  countLeaves,
  emptySectorSet,
  equalBytes,
  LEAF_SIZE,
  leafCount,
  otherSectors,
  sectorRuns,
} from "./blocks.ts";
import type { Changes } from "./changes.ts";
import type { Verdict } from "./compare.ts";
import { differingLeaves } from "./differences.ts";
import { type BlockData, type Endpoint, LEAF_HASH_SIZE, type LeafFilter, type Salvage } from "./endpoint.ts";
import { printOf } from "./fingerprint.ts";
import { LeafPolicy } from "./leaf-policy.ts";
import { addRange, type ByteRange, without } from "./ranges.ts";
import type { BlockRecord } from "./record.ts";
import type { LaneStatistics } from "./statistics.ts";
import { Window } from "./window.ts";

/**
 * Differing blocks on their way at once. Their data is bounded by the endpoints; this bounds the round trips: at 100 ms
 * and 1 MiB blocks that nearly all differ in a few leaves, two trips each, 4096 keep 20 GB/s going.
 */
const BLOCKS_IN_FLIGHT = 4096;

type Differing = Extract<Verdict, { kind: "differ" }>;

interface Ends {
  readonly source: Endpoint;
  readonly destination: Endpoint;
}

/** What to do about a source that cannot be read in places: go on, and leave the destination alone there. */
export interface SkipOptions {
  /** Times that a bad sector is tried again. */
  readonly retries: number;
  /** Areas that are known to be bad and not to be tried, in ascending order. */
  readonly known: readonly ByteRange[];
  /** Areas that the destination has already, by whatever means, if they cannot be read now. */
  readonly rescued: readonly ByteRange[];
}

export interface CopyOptions {
  readonly dryRun: boolean;
  /** undefined: a source that cannot be read ends the run. */
  readonly skip: SkipOptions | undefined;
  /** Is told what each differing block holds in the source, which is what it then holds in the destination. */
  readonly record: BlockRecord;
  /** Is told what differed. */
  readonly changes: Changes | undefined;
}

export class Copier {
  readonly #source: Endpoint;
  readonly #destination: Endpoint;
  readonly #layout: BlockLayout;
  readonly #statistics: LaneStatistics;
  readonly #dryRun: boolean;
  readonly #skip: SkipOptions | undefined;
  readonly #record: BlockRecord;
  readonly #changes: Changes | undefined;
  readonly #gate = new Window(BLOCKS_IN_FLIGHT);
  readonly #policy = new LeafPolicy();
  readonly #inFlight = new Map<number, Promise<void>>();
  readonly #deferred: number[] = [];
  #failure: { readonly cause: unknown } | undefined;
  /** Rejects at the first failure of any block. */
  readonly #broken = Promise.withResolvers<never>();

  constructor(
    { source, destination }: Ends,
    layout: BlockLayout,
    statistics: LaneStatistics,
    { dryRun, skip, record, changes }: CopyOptions,
  ) {
    this.#source = source;
    this.#destination = destination;
    this.#layout = layout;
    this.#statistics = statistics;
    this.#dryRun = dryRun;
    this.#skip = skip;
    this.#record = record;
    this.#changes = changes;
    this.#broken.promise.catch(() => undefined);
  }

  /** The lowest block under way, or undefined; blocks are started in ascending order. */
  get lowest(): number | undefined {
    return this.#inFlight.keys().next().value;
  }

  /** @throws the first failure of any block, so that a run that has failed reads no further. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure.cause;
  }

  /** Starts one block once there is room. `settled` runs after it. @throws the first failure of any block. */
  async start(block: Differing, settled: () => void): Promise<void> {
    await this.#gate.take();
    this.check();
    const work = this.#copy(block)
      .catch((cause: unknown) => {
        this.#failure ??= { cause };
        this.#broken.reject(cause);
        this.#gate.fail(cause);
      })
      .finally(() => {
        this.#inFlight.delete(block.index);
        this.#gate.give();
        settled();
      });
    this.#inFlight.set(block.index, work);
  }

  /** Leaves a block that cannot be read as a whole for the end, when all that can be read is safe. */
  defer(index: number): void {
    this.#deferred.push(index);
  }

  /** Waits for every started block, then salvages those that were left. @throws the first failure of any block. */
  async finish(): Promise<void> {
    // The others may be thousands.
    await Promise.race([Promise.all(this.#inFlight.values()), this.#broken.promise]);
    for (const index of this.#deferred.sort((a, b) => a - b)) await this.#salvage(index);
  }

  async #copy(block: Differing): Promise<void> {
    const { index } = block;
    if (this.#dryRun && block.destination !== "zero") {
      await this.#noteUnread(index);
      if (block.sourcePrint === undefined) throw new RangeError("A dry run reads both sides, or the source to copy it");
      this.#record.set(index, block.sourcePrint);
      this.#statistics.blocksDiffering++;
      return;
    }
    const filter = await this.#filter(block);
    const data = await this.#read(index, filter);
    if (data === undefined) {
      this.defer(index);
      return;
    }
    if (this.#failure !== undefined) {
      data.release();
      return;
    }
    const print = printOf(data.hash);
    if (block.sourcePrint !== undefined && block.sourcePrint !== print) this.#statistics.blocksChanged++;
    const touched = countLeaves(data.leaves) + countLeaves(data.zeros);
    const leaves = leafCount(this.#layout.lengthOf(index));
    if (filter.kind === "differing") this.#policy.observe(touched, leaves);
    if (touched === 0 && filter.kind === "nonzero") {
      data.release();
      this.#record.set(index, print);
      this.#statistics.blocksMatching++;
      this.#statistics.blocksZero++;
      return;
    }
    if (this.#dryRun) {
      this.#record.set(index, print);
      this.#changes?.addLeaves(this.#layout, index, data.leaves, data.zeros);
      data.release();
      this.#statistics.blocksDiffering++;
      return;
    }
    if (equalBytes(data.hash, this.#source.description.zeroHash)) this.#statistics.blocksZero++;
    this.#record.set(index, (await this.#write(index, data)) ? print : await this.#copyAgain(index));
    this.#statistics.blocksDiffering++;
  }

  /** Notes a differing block of a dry run; by leaves, which have to be asked for, only for those who want that. */
  async #noteUnread(index: number): Promise<void> {
    const changes = this.#changes;
    if (changes?.exact !== true) {
      changes?.addBlock(this.#layout, index);
      return;
    }
    try {
      await differingLeaves(this.#source, this.#destination, this.#layout, index, changes);
    } catch (error) {
      // A map is no reason for a run to fail.
      if (!(error instanceof ReadError)) throw error;
      changes.addBlock(this.#layout, index);
    }
  }

  /** Undefined for a block that cannot be read when such blocks are to be skipped. */
  async #read(index: number, filter: LeafFilter): Promise<BlockData | undefined> {
    try {
      return await this.#source.read(index, filter);
    } catch (error) {
      if (this.#skip !== undefined && error instanceof ReadError) return undefined;
      throw error;
    }
  }

  async #filter(block: Differing): Promise<LeafFilter> {
    if (block.destination === "zero") return { kind: "nonzero" };
    const leaves = leafCount(this.#layout.lengthOf(block.index));
    if (leaves === 1 || block.destination === "unreadable") return { kind: "all" };
    if (this.#changes?.exact !== true && !this.#policy.pays()) return { kind: "all" };
    try {
      return { kind: "differing", hashes: await this.#destination.leafHashes(block.index, LEAF_HASH_SIZE) };
    } catch (error) {
      // Writing it anew may be what makes it readable again.
      if (error instanceof ReadError) return { kind: "all" };
      throw error;
    }
  }

  async #write(index: number, data: BlockData): Promise<boolean> {
    const touched = countLeaves(data.leaves) + countLeaves(data.zeros);
    const outcome = await this.#destination.write(index, data);
    if (outcome.proved) this.#changes?.addLeaves(this.#layout, index, data.leaves, data.zeros);
    this.#statistics.leavesWritten += touched;
    this.#statistics.bytesWritten += outcome.bytesWritten;
    return outcome.proved;
  }

  /** Copies what can be read of a block, sector by sector, and leaves the destination alone under the rest. */
  async #salvage(index: number): Promise<void> {
    if (this.#skip === undefined) throw new RangeError("Nothing is salvaged unless asked for");
    const offset = this.#layout.offsetOf(index);
    const length = this.#layout.lengthOf(index);
    const known = emptySectorSet(length);
    for (const range of this.#skip.known) {
      const start = Math.max(range.offset - offset, 0);
      const end = Math.min(range.offset + range.length - offset, length);
      if (start < end) addSectors(known, { offset: start, length: end - start });
    }
    const salvage = await this.#source.salvage(index, known, this.#skip.retries);
    const missing = otherSectors(salvage.sectors, length);
    this.#record.salvaged(index, missing);
    const runs = sectorRuns(missing, length).map((run) => ({ offset: offset + run.offset, length: run.length }));
    for (const run of runs) {
      const bad = without([run], this.#skip.rescued);
      for (const part of bad) {
        addRange(this.#statistics.unreadable, part);
        this.#changes?.add("unreadable", part);
      }
      this.#statistics.rescuedBytes += run.length - bad.reduce((sum, part) => sum + part.length, 0);
    }
    const written = this.#dryRun ? 0 : await this.#destination.patch(index, salvage);
    this.#statistics.bytesWritten += written;
    this.#statistics.leavesWritten += Math.ceil(written / LEAF_SIZE);
    if (this.#dryRun ? await this.#holdsSalvaged(index, salvage) : written === 0) {
      this.#statistics.blocksMatching++;
      return;
    }
    this.#statistics.blocksDiffering++;
    // Which of them differed is not known here.
    for (const run of sectorRuns(salvage.sectors, length))
      this.#changes?.add("differ", { offset: offset + run.offset, length: run.length });
  }

  /** Whether the destination, which a dry run leaves as it is, has the salvaged sectors already. */
  async #holdsSalvaged(index: number, salvage: Salvage): Promise<boolean> {
    const length = this.#layout.lengthOf(index);
    if (this.#layout.offsetOf(index) + length > this.#destination.description.sizeBytes) return false;
    const there = await this.#destination.salvage(index, otherSectors(salvage.sectors, length), 0);
    return equalBytes(there.sectors, salvage.sectors) && equalBytes(there.bytes, salvage.bytes);
  }

  /** The whole block once more, returning its print: two leaves may have had one hash (1 in 2^32), or the source changed in between. */
  async #copyAgain(index: number): Promise<bigint> {
    const data = await this.#source.read(index, { kind: "all" });
    const print = printOf(data.hash);
    if (await this.#write(index, data)) return print;
    const offset = this.#layout.offsetOf(index);
    throw notHeld(this.#destination.description.label, offset, this.#layout.lengthOf(index));
  }
}
