/** Makes single blocks of the destination equal to the source, many at once. */
import { VerificationError } from "../errors.ts";
import { type BlockLayout, countLeaves, equalBytes, leafCount } from "./blocks.ts";
import type { Verdict } from "./compare.ts";
import { type BlockData, type Endpoint, LEAF_HASH_SIZE, type LeafFilter } from "./endpoint.ts";
import { LeafPolicy } from "./leaf-policy.ts";
import type { LaneStatistics } from "./statistics.ts";
import { Window } from "./window.ts";

/**
 * Differing blocks on their way at once. Their data is bounded by the endpoints; this bounds the round trips: at 100 ms
 * and 1 MiB blocks that nearly all differ in a few leaves, two trips each, 4096 keep 20 GB/s going.
 */
const BLOCKS_IN_FLIGHT = 4096;

type Differing = Extract<Verdict, { kind: "differ" }>;

export class Copier {
  readonly #source: Endpoint;
  readonly #destination: Endpoint;
  readonly #layout: BlockLayout;
  readonly #statistics: LaneStatistics;
  readonly #dryRun: boolean;
  readonly #gate = new Window(BLOCKS_IN_FLIGHT);
  readonly #policy = new LeafPolicy();
  readonly #inFlight = new Map<number, Promise<void>>();
  #failure: { readonly cause: unknown } | undefined;

  constructor(
    source: Endpoint,
    destination: Endpoint,
    layout: BlockLayout,
    statistics: LaneStatistics,
    dryRun: boolean,
  ) {
    this.#source = source;
    this.#destination = destination;
    this.#layout = layout;
    this.#statistics = statistics;
    this.#dryRun = dryRun;
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
        this.#gate.fail(cause);
      })
      .finally(() => {
        this.#inFlight.delete(block.index);
        this.#gate.give();
        settled();
      });
    this.#inFlight.set(block.index, work);
  }

  /** Waits for every started block. @throws the first failure of any block. */
  async finish(): Promise<void> {
    await Promise.all(this.#inFlight.values());
    this.check();
  }

  async #copy(block: Differing): Promise<void> {
    const { index } = block;
    if (this.#dryRun && !block.destinationZero) {
      this.#statistics.blocksDiffering++;
      return;
    }
    const filter = await this.#filter(block);
    const data = await this.#source.read(index, filter);
    if (block.sourceHash !== undefined && !equalBytes(block.sourceHash, data.hash)) this.#statistics.blocksChanged++;
    const touched = countLeaves(data.leaves) + countLeaves(data.zeros);
    const leaves = leafCount(this.#layout.lengthOf(index));
    if (filter.kind === "differing") this.#policy.observe(touched, leaves);
    if (touched === 0 && filter.kind === "nonzero") {
      data.release();
      this.#statistics.blocksMatching++;
      this.#statistics.blocksZero++;
      return;
    }
    if (this.#dryRun) {
      data.release();
      this.#statistics.blocksDiffering++;
      return;
    }
    if (equalBytes(data.hash, this.#source.description.zeroHash)) this.#statistics.blocksZero++;
    if (!(await this.#write(index, data))) await this.#copyAgain(index);
    this.#statistics.blocksDiffering++;
  }

  async #filter(block: Differing): Promise<LeafFilter> {
    if (block.destinationZero) return { kind: "nonzero" };
    const leaves = leafCount(this.#layout.lengthOf(block.index));
    if (leaves === 1 || !this.#policy.pays()) return { kind: "all" };
    return { kind: "differing", hashes: await this.#destination.leafHashes(block.index, LEAF_HASH_SIZE) };
  }

  async #write(index: number, data: BlockData): Promise<boolean> {
    const touched = countLeaves(data.leaves) + countLeaves(data.zeros);
    const outcome = await this.#destination.write(index, data);
    this.#statistics.leavesWritten += touched;
    this.#statistics.bytesWritten += outcome.bytesWritten;
    return outcome.proved;
  }

  /** The whole block once more: two leaves may have had one hash (1 in 2^32), or the source changed in between. */
  async #copyAgain(index: number): Promise<void> {
    if (await this.#write(index, await this.#source.read(index, { kind: "all" }))) return;
    const offset = this.#layout.offsetOf(index);
    const label = JSON.stringify(this.#destination.description.label);
    throw new VerificationError(
      `Cannot verify ${this.#layout.lengthOf(index)} bytes at offset ${offset} of ${label}: it does not hold what was written`,
      { hint: "something else writes to it, or the device is failing: look at the kernel's messages (dmesg)" },
    );
  }
}
