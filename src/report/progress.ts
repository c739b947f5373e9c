/** Plain progress: blocksync.py's line, on a timer, with or without a terminal. */
import type { LaneStatistics } from "../sync/statistics.ts";
import { formatDuration } from "./format.ts";

/**
 * One lane's line, "[worker 0] same: 46, diff: 128, 174/947,   4.6 MB/s (0:09:23 remaining)"; the rate is that of the whole run so far, in
 * units of 2^20 bytes as blocksync.py counts them. Without `remaining` it is the closing line.
 */
export function progressLine(
  number: number,
  lane: LaneStatistics,
  blockSize: number,
  elapsedMs: number,
  remaining: boolean,
): string {
  const done = lane.blocksDone;
  const total = lane.range.count;
  const seconds = Math.max(elapsedMs, 1) / 1000;
  const rate = (done * blockSize) / seconds / 2 ** 20;
  const counts = `same: ${lane.blocksMatching}, diff: ${lane.blocksDiffering}, ${done}/${total}`;
  const line = `[worker ${number}] ${counts}, ${rate.toFixed(1).padStart(5)} MB/s`;
  if (!remaining || done === 0) return line;
  const left = ((total - done) / done) * elapsedMs;
  return `${line} (${formatDuration(left)} remaining)`;
}

/** Calls `tick` every `intervalMs` until stop() is called. Does not keep the process alive. */
export function startTicking(intervalMs: number, tick: () => void): { stop(): void } {
  const timer = setInterval(tick, intervalMs);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}
