/** The compare command's algorithm: where two endpoints differ, to the leaf, writing nothing. */
import { unlessAborted } from "./abort.ts";
import { scanAhead } from "./ahead.ts";
import {
  addLeaf,
  type BlockLayout,
  type BlockRange,
  emptyLeafSet,
  equalBytes,
  LEAF_SIZE,
  type LeafSet,
  leafCount,
  leafRuns,
} from "./blocks.ts";
import type { Changes } from "./changes.ts";
import { compareOf } from "./compare.ts";
import type { Endpoint } from "./endpoint.ts";
import { WIDE_LEAF_HASH_SIZE } from "./endpoint.ts";
import type { Fingerprint } from "./fingerprint.ts";
import { type ByteRange, Joiner, shifted } from "./ranges.ts";
import type { LaneStatistics } from "./statistics.ts";

/** Questions for the leaves of differing blocks that are under way at once; the answers are kept in order. */
const REQUESTS_IN_FLIGHT = 256;

/** What cannot be read has no result. */
const TOLERANT = { source: false, destination: false };

export interface DifferencesOptions {
  readonly statistics: LaneStatistics;
  /** Are told what each side holds. */
  readonly fingerprints: { readonly a: Fingerprint; readonly b: Fingerprint };
  /** Is told where the two differ. */
  readonly changes: Changes | undefined;
  /** Ends it when it is aborted. */
  readonly signal: AbortSignal;
}

/** Yields what differs, in whole leaves, in ascending order, neighbours joined. Both endpoints are prepared already. */
export async function* differingRanges(
  a: Endpoint,
  b: Endpoint,
  layout: BlockLayout,
  options: DifferencesOptions,
): AsyncGenerator<ByteRange> {
  const joiner = new Joiner<ByteRange>();
  for await (const range of unjoined(a, b, layout, options)) {
    const whole = joiner.push(range);
    if (whole !== undefined) yield whole;
  }
  if (joiner.last !== undefined) yield joiner.last;
}

async function* unjoined(
  a: Endpoint,
  b: Endpoint,
  layout: BlockLayout,
  { statistics, fingerprints, changes, signal }: DifferencesOptions,
): AsyncGenerator<ByteRange> {
  // Answers wait here for their turn; what is settled holds nothing back, or a far scan would wait for it for ever.
  const queue: Promise<ByteRange[]>[] = [];
  const unsettled = new Set<number>();
  let position = 0;
  const advance = () => {
    const done = unsettled.values().next().value ?? position;
    a.advance(done);
    b.advance(done);
  };
  const comparison = compareOf(a, b)([layout.all], { tolerant: TOLERANT, ahead: scanAhead(layout.blockSize, 0) });
  for await (const verdict of comparison) {
    signal.throwIfAborted();
    if (verdict.kind === "unreadable") continue;
    if (verdict.kind === "match") {
      statistics.blocksMatching += verdict.count;
      if (verdict.zero) statistics.blocksZero += verdict.count;
      for (const side of [fingerprints.a, fingerprints.b]) side.addEach(verdict.first, verdict.count, verdict.prints);
      position = verdict.first + verdict.count;
    } else {
      statistics.blocksDiffering += verdict.count;
      for (const [side, prints] of [
        [fingerprints.a, verdict.sourcePrints],
        [fingerprints.b, verdict.destinationPrints],
      ] as const)
        if (prints === undefined) side.addUnknown(verdict.first, verdict.count);
        else side.addEach(verdict.first, verdict.count, prints);
      for (const blocks of layout.partsOf(verdict)) {
        position = blocks.first + blocks.count;
        unsettled.add(blocks.first);
        const ranges = rangesOf(a, b, layout, blocks, changes);
        const settle = () => {
          unsettled.delete(blocks.first);
          advance();
        };
        ranges.then(settle, settle);
        queue.push(ranges);
        if (queue.length >= REQUESTS_IN_FLIGHT) yield* (await queue.shift()) ?? [];
      }
    }
    advance();
  }
  for (const ranges of queue) yield* await unlessAborted(signal, ranges);
  advance();
}

async function rangesOf(
  a: Endpoint,
  b: Endpoint,
  layout: BlockLayout,
  blocks: BlockRange,
  changes: Changes | undefined,
): Promise<ByteRange[]> {
  const { offset, length } = layout.spanOf(blocks);
  if (a.printless === true) {
    // Its blocks are leaves.
    changes?.addBlocks(layout, blocks);
    return [{ offset, length }];
  }
  const differing = await differingLeaves(a, b, layout, blocks, changes);
  return [...leafRuns(differing, length)].map((run) => shifted(run, offset));
}

/** The leaves that differ of neighbouring blocks whose hashes did, which are added to `changes`. */
export async function differingLeaves(
  a: Endpoint,
  b: Endpoint,
  layout: BlockLayout,
  blocks: BlockRange,
  changes: Changes | undefined,
): Promise<LeafSet> {
  const [inA, inB] = await Promise.all([
    a.leafHashes(blocks, WIDE_LEAF_HASH_SIZE),
    b.leafHashes(blocks, WIDE_LEAF_HASH_SIZE),
  ]);
  const { length } = layout.spanOf(blocks);
  const leaves = leafCount(length);
  const leavesOfBlock = layout.blockSize / LEAF_SIZE;
  const [differing, data, zeros] = [emptyLeafSet(leaves), emptyLeafSet(leaves), emptyLeafSet(leaves)];
  const hashOf = (hashes: Uint8Array, leaf: number) =>
    hashes.subarray(leaf * WIDE_LEAF_HASH_SIZE, (leaf + 1) * WIDE_LEAF_HASH_SIZE);
  for (let first = 0; first < leaves; first += leavesOfBlock) {
    const end = Math.min(leaves, first + leavesOfBlock);
    const [start, stop] = [first * WIDE_LEAF_HASH_SIZE, end * WIDE_LEAF_HASH_SIZE];
    // If no leaf differs, the block changed in between or two leaves have one hash.
    const all = equalBytes(inA.subarray(start, stop), inB.subarray(start, stop));
    for (let leaf = first; leaf < end; leaf++) {
      const hash = hashOf(inA, leaf);
      if (!all && equalBytes(hash, hashOf(inB, leaf))) continue;
      addLeaf(differing, leaf);
      const isZero = changes?.isZeroLeaf(hash, Math.min(LEAF_SIZE, length - leaf * LEAF_SIZE)) === true;
      addLeaf(isZero ? zeros : data, leaf);
    }
  }
  changes?.addLeaves(layout, blocks, data, zeros);
  return differing;
}
