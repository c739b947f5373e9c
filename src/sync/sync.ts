/**
 * The algorithm, once: scan both sides, copy what differs, flush, confirm. It sees endpoints only, so push, pull, local
 * and remote to remote are this code with different endpoints plugged in.
 */

import { sourceChanged } from "../errors.ts";
import { BlockLayout } from "./blocks.ts";
import { compareOf, compareWithNothing } from "./compare.ts";
import type { CacheBypass, Description } from "./endpoint.ts";
import { checkHashes, checkSame, type Identities } from "./pair.ts";
import { SharedPlan } from "./plan.ts";
import { BlockRecord } from "./record.ts";
import { checkHeld, copyLater, type Lane, Share, type SyncOptions } from "./share.ts";
import type { Statistics } from "./statistics.ts";
import type { Compare } from "./verdicts.ts";
import { checkFindings, type Findings, verifyRanges } from "./verify.ts";

export type { Lane, SyncOptions } from "./share.ts";

export function layoutOf(source: Description, blockSize: number): BlockLayout {
  return new BlockLayout(source.sizeBytes, blockSize);
}

/**
 * Makes the destination equal to the source and durable, or with dryRun only counts. Fills in `statistics` as it goes.
 * Each lane does its share, all at once: the first through `first`, the others through what `openLane` opens (number 1,
 * 2, …). Whoever opens also closes, including what is still being opened when another lane has failed.
 * @throws {Failure} the first in any lane, or the reason of an aborted signal; what was written until then stays
 * written.
 */
export async function synchronize(
  first: Lane,
  options: SyncOptions,
  statistics: Statistics,
  openLane: (number: number) => Promise<Lane>,
): Promise<void> {
  const layout = layoutOf(first.source.description, options.blockSize);
  checkHashes(first.source.description, first.destination.description);
  // The scans are asked for right behind, which spares a round trip.
  const preparing = prepareLane(first, layout, options).then((identities) => {
    options.onPrepared();
    return identities;
  });
  const lanes: [Lane, ...Lane[]] = [first];
  const shares: Share[] = [];
  using owned = new DisposableStack();
  const { rescue, sha256 } = options;
  // One that is told by its hashes alone proves itself.
  const keep = options.verify && first.source.printless !== true;
  const record = new BlockRecord(layout, first.source.description.zeroHash, {
    keep,
    sha256,
    isListed: options.listed !== undefined,
  });
  const { blank } = first.destination.description;
  const goesOn = rescue?.believes === true;
  const plan = rescue === undefined ? new SharedPlan(layout, options.listed, statistics.lanes) : undefined;
  await Promise.all([
    preparing,
    ...statistics.lanes.map(async (share, number) => {
      let lane = first;
      if (number > 0) {
        // Opened before, it would find no destination yet, or one of the old size.
        const identities = await preparing;
        lane = await openLane(number);
        lanes[number] = lane;
        for (const end of [lane.source, lane.destination]) checkHashes(first.source.description, end.description);
        checkSame(identities, await prepareLane(lane, layout, options));
      }
      const { source, destination } = lane;
      const compare: Compare = blank
        ? (...args) => compareWithNothing(source, ...args)
        : compareOf(source, destination);
      shares[number] = owned.use(new Share(lane, compare, layout, options, share, record));
      if (plan !== undefined) await shares[number].copyShared(plan);
      else if (!goesOn) await shares[number].copyFirst();
    }),
  ]).catch((error: unknown) => {
    plan?.end();
    throw error;
  });
  shares[0]?.believe(plan?.others ?? []);
  if (rescue !== undefined && goesOn) {
    await checkHeld(shares, rescue, options.onDisbelief);
    await Promise.all(shares.map((share) => share.copyFirst()));
    await copyLater(shares, rescue, statistics);
  }
  await finish(lanes, layout, options, statistics, record);
}

/** Makes durable what the lanes have written, and confirms it. */
export async function finish(
  lanes: readonly [Lane, ...Lane[]],
  layout: BlockLayout,
  options: SyncOptions,
  statistics: Statistics,
  record: BlockRecord,
): Promise<void> {
  const { signal } = options;
  const [first] = lanes;
  signal.throwIfAborted();
  const flush = () => Promise.all(lanes.map((lane) => (options.dryRun ? undefined : lane.destination.flush())));
  if (!options.dryRun) statistics.phase = "flushing";
  const settle = () => Promise.all([first.source.confirmUnchanged(), countReads(lanes, statistics)]);
  if (options.verify) {
    await flush();
    statistics.phase = "verifying";
    options.onVerify();
    statistics.verified = await verify(lanes, layout, statistics, record, options);
    // Reading everything took its time.
    await Promise.all([first.destination.confirmUnchanged(), settle()]);
  } else {
    // At once, since each may be a round trip.
    await Promise.all([flush(), settle()]);
  }
  const { blocksChanged } = statistics;
  if (blocksChanged > 0) {
    const blocks = blocksChanged === 1 ? "1 block" : `${blocksChanged} blocks`;
    throw sourceChanged(first.source.description.label, `: ${blocks} changed after being compared`);
  }
  statistics.sourceFingerprint = record.fingerprint;
  // Each block that matched was compared, each that was written was read back.
  if (!options.dryRun) statistics.destinationFingerprint = statistics.sourceFingerprint;
}

/** Has the lanes read everything again, shared as the blocks to copy were. @throws {VerificationError} */
async function verify(
  lanes: readonly [Lane, ...Lane[]],
  layout: BlockLayout,
  statistics: Statistics,
  record: BlockRecord,
  { signal, listed }: SyncOptions,
): Promise<CacheBypass> {
  const bypasses = await Promise.all(lanes.map((lane) => lane.destination.bypassCache()));
  const takers = statistics.lanes.map(({ verifying }) => verifying);
  // What may hold anything is not asked for.
  const plan = new SharedPlan(layout, listed?.meaning === "used" ? listed : undefined, takers);
  const findings = await Promise.all(
    statistics.lanes.map(async (share, number) => {
      const { source, destination } = lanes[number] ?? lanes[0];
      const onBlocks = (count: number) => {
        share.blocksVerified += count;
      };
      const appetite = plan.appetite(performance.now());
      const found: Findings[] = [];
      for (;;) {
        const piece = plan.take(share.verifying, appetite.piece);
        if (piece.length === 0) return found;
        found.push(await verifyRanges(source, destination, layout, piece, record, signal, onBlocks));
        appetite.learn(false, 0, performance.now());
      }
    }),
  ).catch((error: unknown) => {
    plan.end();
    throw error;
  });
  const [{ source, destination }] = lanes;
  checkFindings(findings.flat(), source.description.label, destination.description.label);
  return bypasses.find((bypass) => bypass === "partly") ?? bypasses.find((bypass) => bypass === "dropped") ?? "direct";
}

export async function prepareLane(
  lane: Lane,
  layout: BlockLayout,
  { exact }: { readonly exact: boolean },
): Promise<Identities> {
  const [source, destination] = await Promise.all([
    lane.source.prepare(layout.sizeBytes, { exact }),
    lane.destination.prepare(layout.sizeBytes, { exact }),
  ]);
  return { source, destination };
}

/** Asks all ends what they have read so far. @throws {Failure} of an end that does not tell. */
export async function countReads(lanes: readonly Lane[], statistics: Statistics): Promise<void> {
  const ends = lanes.flatMap((lane) => [lane.source, lane.destination]);
  const counters = await Promise.all(ends.map((end) => end.counters()));
  statistics.countRead(counters.reduce((total, { bytesRead }) => total + bytesRead, 0));
}
