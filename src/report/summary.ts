/** What a person reads when a run is over: what it came to, what it took, and what to do next. */

import { formatBytes, formatDuration } from "../format.ts";
import type { Statistics } from "../sync/statistics.ts";

/** What crossed all connections, in bytes, from this machine's view. */
export interface WireBytes {
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Copies of the program, which the other two leave out. */
  readonly bytesBootstrapped: number;
}

export interface Finished {
  readonly statistics: Statistics;
  readonly traffic: WireBytes;
  readonly elapsedMs: number;
  readonly task: "sync" | "dry run" | "compare";
  /** What became of the destination's size, or a dry run would make of it; that compare's sizes differ. */
  readonly sizes: string | undefined;
  /** The destination goes on beyond what was made equal. */
  readonly isLonger?: boolean;
  /** What to do now, where something is left to do. */
  readonly next: string | undefined;
}

/** A sentence, then what was read, sent and saved, what is there now, how far it was proved, and what comes next. */
export function summaryLines(finished: Finished): string[] {
  const { elapsedMs, task, next } = finished;
  const rows: (readonly [name: string, text: string | undefined])[] = [
    ["read", readText(finished)],
    ["sent", sentText(finished)],
    ["size", task === "sync" ? finished.sizes : undefined],
    ["saved", task === "sync" ? savedText(finished) : undefined],
    ["fingerprint", fingerprintText(finished)],
    ["verified", task === "sync" ? verifiedText(finished) : undefined],
    ["next", next],
  ];
  return [
    `Completed in ${formatDuration(elapsedMs)}: ${resultText(finished)}`,
    ...rows.flatMap(([name, text]) => (text === undefined ? [] : [`  ${name.padEnd(11)}  ${text}`])),
  ];
}

function resultText(finished: Finished): string {
  const { statistics, task, sizes } = finished;
  if (task === "sync") return syncResult(statistics, finished.isLonger === true);
  const { sizeBytes, sourceUnreadableBytes, blocksDiffering, blocksTotal } = statistics;
  const bad = sourceUnreadableBytes === 0 ? "" : `, ${sourceUnreadableBytes} bytes cannot be read`;
  const differ = `${blocksDiffering} of ${blocksTotal} blocks differ${bad}${sizes === undefined ? "" : `; ${sizes}`}`;
  if (task === "dry run") return `${differ}; nothing was written (dry run)`;
  return blocksDiffering > 0 || sizes !== undefined ? differ : `${formatBytes(sizeBytes)} equal`;
}

/** How far a run came that failed. */
export function stoppedLine(
  { blocksDone, blocksTotal, bytesWritten }: Statistics,
  elapsedMs: number,
  task: Finished["task"],
): string {
  const written = task === "sync" ? `, ${formatBytes(bytesWritten)} written` : "";
  return `Stopped after ${formatDuration(elapsedMs)}: ${blocksDone} of ${blocksTotal} blocks were done${written}`;
}

function syncResult(statistics: Statistics, isLonger: boolean): string {
  const { sizeBytes, sourceUnreadableBytes, blocksDiffering, blocksTotal, bytesWritten } = statistics;
  const equal =
    sourceUnreadableBytes === 0
      ? isLonger
        ? `the destination is equal in its first ${formatBytes(sizeBytes)}`
        : `${formatBytes(sizeBytes)} equal`
      : `equal except for ${sourceUnreadableBytes} bytes that cannot be read`;
  const { bytesKept, bytesBelieved } = statistics;
  const kept = bytesKept === 0 ? "" : `, of which the destination has ${bytesKept} as they were read before`;
  const believed =
    bytesBelieved === 0 ? "" : `, ${formatBytes(bytesBelieved)} not read again as the rescue map has them`;
  return `${equal}${kept}${believed}, ${blocksDiffering} of ${blocksTotal} blocks differed, ${formatBytes(bytesWritten)} written`;
}

function readText({ statistics, elapsedMs }: Finished): string {
  const { bytesRead, blocksZero } = statistics;
  const rate = formatBytes(Math.round((bytesRead * 1000) / Math.max(elapsedMs, 1)));
  const zero = blocksZero === 0 ? "" : `; ${blocksZero} blocks are zero`;
  return `${formatBytes(bytesRead)} of both sides together, ${rate}/s${zero}`;
}

/** Undefined where nothing is sent. */
function sentText({ traffic }: Finished): string | undefined {
  const { bytesSent, bytesReceived, bytesBootstrapped } = traffic;
  if (bytesSent + bytesReceived === 0) return undefined;
  const program = bytesBootstrapped === 0 ? "" : `; ${formatBytes(bytesBootstrapped)} of blocksync itself, once`;
  return `${formatBytes(bytesSent)}, and ${formatBytes(bytesReceived)} received${program}`;
}

function savedText({ statistics, traffic }: Finished): string {
  const { sizeBytes } = statistics;
  const saved = savedBytes(statistics, traffic);
  const percent = sizeBytes === 0 ? 0 : Math.floor((saved / sizeBytes) * 1000) / 10;
  const wire = traffic.bytesSent + traffic.bytesReceived > 0;
  return `${formatBytes(saved)} not ${wire ? "sent" : "written"}, ${percent}% of everything`;
}

/** Of what is done, what was not sent, or where there is no connection not written. */
export function savedBytes(
  statistics: Statistics,
  { bytesSent, bytesReceived }: Pick<WireBytes, "bytesSent" | "bytesReceived">,
): number {
  const done = Math.min(statistics.sizeBytes, statistics.blocksDone * statistics.blockSize);
  return Math.max(0, done - (bytesSent + bytesReceived || statistics.bytesWritten));
}

/** Undefined where not every byte is known. */
function fingerprintText({ statistics, task }: Finished): string | undefined {
  const { sourceFingerprint: source, destinationFingerprint: destination, blocksDiffering } = statistics;
  if (source === undefined) return undefined;
  if (task === "dry run") return `${source} of the source`;
  return task === "compare" && blocksDiffering > 0 ? `${source} and ${destination}` : `${source} on both sides`;
}

function verifiedText({ statistics: { verified, blocksDiffering } }: Finished): string {
  if (verified === "direct") return "both sides read again, the destination around the page cache";
  if (verified === "dropped") return "both sides read again, after the page cache was emptied";
  if (verified === "partly")
    return "both sides read again; a page cache below the destination could not be bypassed and may have answered";
  const written = blocksDiffering === 0 ? "nothing was written" : "written blocks were read back";
  return `${written}; --verify reads both sides again`;
}
