/** Goes through the blocks of a device in order, with many reads in flight. */
import { ReadError } from "../../errors.ts";
import type { BlockLayout, BlockRange } from "../../sync/blocks.ts";
import type { Run, ScanOptions } from "../../sync/endpoint.ts";
import type { Lender } from "./compare-bytes.ts";
import type { Hasher } from "./hash.ts";
import { hashBlocks, scanBlocks } from "./jobs.ts";
import { JobSize, piecesOf, readsOf } from "./pieces.ts";

/** See Endpoint.scan(). @throws {ReadError} for what cannot be read, unless that is tolerated. */
export async function* scanDevice(
  lender: Lender,
  layout: BlockLayout,
  hasher: Hasher,
  ranges: readonly BlockRange[],
  options: ScanOptions,
  signal: AbortSignal,
): AsyncGenerator<Run> {
  const queue: Promise<Found>[] = [];
  const size = new JobSize(lender.blockSize, options.ahead);
  const pieces = piecesOf(ranges, layout, lender.device, options, size);
  try {
    for (;;) {
      signal.throwIfAborted();
      while (queue.length < lender.readDepth) {
        const next = await pieces.next();
        if (next.done === true) break;
        const { kind, first, count } = next.value;
        const found: Promise<Found> =
          kind === "data" && options.hashed
            ? size.time(hashRun(lender, hasher, { first, count }, options.tolerant))
            : Promise.resolve({ runs: [next.value] });
        // A failed read is reported when its turn comes, not as an unhandled rejection before.
        found.catch(() => undefined);
        queue.push(found);
      }
      const found = await queue.shift();
      if (found === undefined) return;
      for (const run of found.runs) {
        if (run.kind === "hashed" && found.leafHashes !== undefined)
          lender.known.keep(run, { hashes: run.hashes, leafHashes: found.leafHashes });
        // The destination's holes are not asked about.
        else if (run.kind === "hole" && options.hashed && !lender.writes) lender.known.keepZeros(run);
        yield run;
      }
    }
  } finally {
    await Promise.allSettled(queue);
  }
}

interface Found {
  readonly runs: readonly Run[];
  /** Of the one run there is then. */
  readonly leafHashes?: Uint8Array | undefined;
}

/** Hashed runs; where a part cannot be read and that is tolerated, a run for each block. */
async function hashRun(lender: Lender, hasher: Hasher, run: BlockRange, tolerant: boolean): Promise<Found> {
  const scanned = await scanBlocks(lender.device, lender.placeOf(run), hasher, lender.known.areWanted(run));
  if (scanned !== undefined) {
    const { hashes, leafHashes } = scanned;
    return { runs: [{ kind: "hashed", ...run, hashes }], leafHashes };
  }
  const runs: Run[] = [];
  for (const part of readsOf(run, lender.blockSize))
    runs.push(...(await hashCarefully(lender, hasher, part, tolerant)));
  return { runs };
}

/** As hashRun(), of what one read takes. */
async function hashCarefully(
  lender: Lender,
  hasher: Hasher,
  run: BlockRange,
  tolerant: boolean,
): Promise<readonly Run[]> {
  try {
    const { bytes, release } = await lender.lend(run.first, run.count);
    try {
      return [{ kind: "hashed", ...run, hashes: await hashBlocks(hasher, bytes, lender.blockSize) }];
    } finally {
      release();
    }
  } catch (error) {
    if (!tolerant || !(error instanceof ReadError)) throw error;
  }
  if (run.count === 1) return [{ kind: "unreadable", first: run.first, count: 1 }];
  const found: Run[] = [];
  for (let i = 0; i < run.count; i++)
    found.push(...(await hashCarefully(lender, hasher, { first: run.first + i, count: 1 }, tolerant)));
  return found;
}
