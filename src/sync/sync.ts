/**
 * The algorithm, once: scan both sides, copy what differs, flush, confirm. It sees endpoints only, so push, pull, local
 * and remote to remote are this code with different endpoints plugged in.
 */
import { RefusedError, tooSmall, VerificationError } from "../errors.ts";
import { BlockLayout } from "./blocks.ts";
import { type Comparison, compareHashes, compareWithNothing } from "./compare.ts";
import { Copier } from "./copy.ts";
import type { Description, Endpoint } from "./endpoint.ts";
import type { Statistics } from "./statistics.ts";

export interface SyncOptions {
  readonly blockSize: number;
  /** Cut a regular-file destination that is larger than the source. */
  readonly exact: boolean;
  readonly dryRun: boolean;
  /** Rest after each block that was read. */
  readonly pauseMs: number;
}

/** Tells two endpoints' blocks apart; compareHashes() unless the two can do better. */
export type Compare = (source: Endpoint, destination: Endpoint, layout: BlockLayout) => Comparison;

/**
 * Checks, before anything is written, that the pair makes sense. Returns notices for the user.
 * @throws {RefusedError}
 */
export function checkPair(
  source: Description,
  destination: Description,
  options: { readonly exact: boolean },
): string[] {
  const name = JSON.stringify(destination.label);
  if (source.identity !== "" && source.identity === destination.identity) {
    throw new RefusedError(
      `Refused to write to ${name}: it is the same ${source.kind} as the source ${JSON.stringify(source.label)} (same-file)`,
    );
  }
  if (source.within.includes(destination.identity) || destination.within.includes(source.identity)) {
    const relation = source.within.includes(destination.identity) ? "contains" : "lies within";
    throw new RefusedError(
      `Refused to write to ${name}: it ${relation} the source ${JSON.stringify(source.label)} (overlap)`,
      {
        hint: "a partition and its disk, or a loop device and its file, are the same bytes",
      },
    );
  }
  if (destination.kind === "device" && source.sizeBytes > destination.sizeBytes) {
    throw tooSmall(destination.label, source.sizeBytes, destination.sizeBytes);
  }
  const extra = destination.sizeBytes - source.sizeBytes;
  if (extra <= 0) return [];
  if (destination.kind === "device")
    return [`${name} is ${extra} bytes larger than the source; what lies beyond is left alone`];
  if (options.exact) return [];
  return [`${name} is ${extra} bytes larger than the source and keeps its tail; --create-dest would cut it`];
}

/** Whether a dry run would find the size to be changed. */
export function sizeDiffers(
  source: Description,
  destination: Description,
  options: { readonly exact: boolean },
): boolean {
  if (destination.kind === "missing" || destination.sizeBytes < source.sizeBytes) return true;
  return options.exact && destination.kind === "file" && destination.sizeBytes > source.sizeBytes;
}

/** Fails when two ends given the same hash and seed do not hash alike: comparing would be worthless. */
export function checkHashes(source: Description, destination: Description): void {
  const same =
    source.zeroHash.length === destination.zeroHash.length &&
    source.zeroHash.every((byte, i) => byte === destination.zeroHash[i]);
  if (!same) throw new VerificationError("The two sides hash the same bytes differently");
}

export function layoutOf(source: Description, blockSize: number): BlockLayout {
  return new BlockLayout(source.sizeBytes, blockSize);
}

/**
 * Makes `destination` equal to `source` and durable, or with dryRun only counts. `statistics` is filled in as it goes.
 * @throws {Failure} the first that occurred; what was written by then stays written.
 */
export async function synchronize(
  source: Endpoint,
  destination: Endpoint,
  options: SyncOptions,
  statistics: Statistics,
  compare: Compare = compareHashes,
): Promise<void> {
  const layout = layoutOf(source.description, options.blockSize);
  checkHashes(source.description, destination.description);
  const preparation = { exact: options.exact, dryRun: options.dryRun };
  await source.prepare(layout.sizeBytes, preparation);
  await destination.prepare(layout.sizeBytes, preparation);

  const comparison = destination.description.blank
    ? compareWithNothing(source, layout)
    : compare(source, destination, layout);
  const copier = new Copier(source, destination, layout, statistics, options.dryRun);
  let position = 0;
  const advance = () => {
    const done = Math.min(copier.lowest ?? position, position);
    source.advance(done);
    destination.advance(done);
  };
  for await (const verdict of comparison) {
    if (verdict.kind === "match") {
      statistics.blocksMatching += verdict.count;
      if (verdict.zero) statistics.blocksZero += verdict.count;
      position = verdict.first + verdict.count;
    } else {
      await copier.start(verdict, advance);
      position = verdict.index + 1;
    }
    advance();
    copier.check();
    // Holes were not read, so nothing has to recover from it.
    if (options.pauseMs > 0 && !(verdict.kind === "match" && verdict.zero)) {
      await rest(verdict.kind === "match" ? verdict.count : 1, options.pauseMs);
    }
  }
  await copier.finish();
  advance();
  // At once, since each may be a round trip.
  await Promise.all([
    options.dryRun ? undefined : destination.flush(),
    source.confirmUnchanged(),
    countReads(source, destination, statistics),
  ]);
  if (statistics.blocksChanged > 0) {
    throw new VerificationError(
      `The source ${JSON.stringify(source.description.label)} changed during the run: ${statistics.blocksChanged} blocks were not what they had been when they were compared`,
      {
        hint: "the destination may hold a mixture of old and new: stop what writes to the source, or use a snapshot, and run again",
      },
    );
  }
}

/** Asks both ends what they have read so far. */
export async function countReads(source: Endpoint, destination: Endpoint, statistics: Statistics): Promise<void> {
  const [first, second] = await Promise.all([source.counters(), destination.counters()]);
  statistics.bytesRead = first.bytesRead + second.bytesRead;
}

/** setTimeout() takes 31 bits. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

function rest(blocks: number, pauseMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.min(MAX_TIMEOUT_MS, blocks * pauseMs)));
}
