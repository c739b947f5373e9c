/** Scans that continue while their consumer waits for something else, such as an answer from a distant far side. */
import type { Run } from "./endpoint.ts";
import { Window } from "./window.ts";

/**
 * How far a scan may be ahead of its consumer, in bytes: at a round trip of 100 ms this allows 40 GB/s. It holds no memory
 * but 16 bytes a block, which the second limit bounds for small blocks.
 */
const AHEAD_BYTES = 4 * 2 ** 30;
const AHEAD_BLOCKS = 1 << 16;
/**
 * With a pause after each block the disk must not be read far ahead in one go: one second's worth of blocks, so that an
 * answer from far away arrives in time, and at least one read of 1 MiB.
 */
const RESTING_MS = 1000;
const RESTING_BYTES = 1 << 20;

/** See ScanOptions.ahead. */
export function scanAhead(blockSize: number, pauseMs: number): number {
  const most = Math.min(AHEAD_BLOCKS, Math.ceil(AHEAD_BYTES / blockSize));
  if (pauseMs === 0) return most;
  return Math.min(most, Math.max(Math.ceil(RESTING_MS / pauseMs), Math.ceil(RESTING_BYTES / blockSize)));
}

/**
 * Pulls the runs before they are asked for, until those not asked for have `blocks` blocks; a longer run waits by itself.
 * Ends the scan when the consumer leaves.
 */
export async function* ahead(runs: AsyncIterable<Run>, blocks: number): AsyncGenerator<Run> {
  const window = new Window(blocks);
  const found: { readonly run: Run; readonly taken: number }[] = [];
  let failure: { readonly cause: unknown } | undefined;
  let ended = false;
  let wake = () => {};
  const pull = async () => {
    try {
      for await (const run of runs) {
        found.push({ run, taken: await window.take(run.count) });
        wake();
      }
    } catch (cause) {
      failure = { cause };
    }
    ended = true;
    wake();
  };
  const pulling = pull();
  try {
    for (;;) {
      const next = found.shift();
      if (next !== undefined) {
        window.give(next.taken);
        yield next.run;
      } else if (ended) {
        if (failure !== undefined) throw failure.cause;
        return;
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    window.fail(new Error("The consumer of the scan has left"));
    await pulling;
  }
}
