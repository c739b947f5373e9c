/** Plain progress: blocksync.py's line, on a timer, with or without a terminal. */

import { formatBytes, formatDuration } from "../format.ts";
import type { LaneStatistics, Statistics } from "../sync/statistics.ts";

/**
 * One lane's line, "[worker 0] same: 46, diff: 128, 174/947,   4.6 MB/s (0:09:23 remaining)"; the rate is that of the
 * whole run so far, in units of 2^20 bytes as blocksync.py counts them. Without `remaining` it is the closing line. A `total` that
 * is null, of a source that does not know its size, is "?", and nothing remains that anybody knew of.
 */
export function progressLine(
  number: number,
  lane: LaneStatistics,
  blockSize: number,
  elapsedMs: number,
  remaining: boolean,
  total: number | null = lane.blocksExpected,
): string {
  const done = lane.blocksDone;
  const counts = `same: ${lane.blocksMatching}, diff: ${lane.blocksDiffering}, ${badText(lane)}${done}/${total ?? "?"}`;
  return `[worker ${number}] ${counts}, ${rateAndRest(done, total, blockSize, elapsedMs, remaining)}`;
}

/**
 * "bad: 2 (1.5 KiB), to retry: 3, " where something cannot be read: areas that are bad, and blocks that could not be read as a
 * whole and come last, sector by sector; "" for most disks.
 */
function badText({ unreadable, kept, blocksDeferred }: LaneStatistics): string {
  const areas = unreadable.count + kept.count;
  const bad = areas === 0 ? "" : `bad: ${areas} (${formatBytes(unreadable.length + kept.length)}), `;
  return blocksDeferred === 0 ? bad : `${bad}to retry: ${blocksDeferred}, `;
}

function rateAndRest(
  done: number,
  total: number | null,
  blockSize: number,
  elapsedMs: number,
  remaining: boolean,
): string {
  const seconds = Math.max(elapsedMs, 1) / 1000;
  const rate = `${((done * blockSize) / seconds / 2 ** 20).toFixed(1).padStart(5)} MB/s`;
  if (!remaining || done === 0 || total === null) return rate;
  return `${rate} (${formatDuration(((total - done) / done) * elapsedMs)} remaining)`;
}

/** What --progress says: a bar where there is a terminal to draw on and lines elsewhere, always lines, or nothing. */
export type ProgressMode = "bar" | "plain" | "none";

/** What is at hand, a line for each lane; `elapsedMs` is that of the run, `verifyingMs` that of the verification. */
export function progressLines(statistics: Statistics, elapsedMs: number, verifyingMs: number): string[] {
  const { phase, lanes, blockSize } = statistics;
  if (phase === "flushing") return ["Flushing to stable storage"];
  // A stream has one lane.
  const total = (lane: LaneStatistics) =>
    lanes.length === 1 ? (statistics.blocksExpected ?? null) : lane.blocksExpected;
  return lanes.map((lane, number) =>
    phase === "verifying"
      ? verifyLine(number, lane, blockSize, verifyingMs)
      : progressLine(number, lane, blockSize, elapsedMs, true, total(lane)),
  );
}

/** "[worker 0] verified: 174/947,   4.6 MB/s (0:09:23 remaining)" */
function verifyLine(number: number, lane: LaneStatistics, blockSize: number, elapsedMs: number): string {
  const { blocksVerified, verifying } = lane;
  const rest = rateAndRest(blocksVerified, verifying.blocksExpected, blockSize, elapsedMs, true);
  return `[worker ${number}] verified: ${blocksVerified}/${verifying.blocksExpected}, ${rest}`;
}

/** Calls `tick` every `intervalMs` until stop() is called. Does not keep the process alive. */
export function startTicking(intervalMs: number, tick: () => void): { stop(): void } {
  const timer = setInterval(tick, intervalMs);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}
