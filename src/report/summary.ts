/** What a person reads when a run is over: what it came to, what it took, and what to do next. */
import { formatBytes, formatElapsed } from "../format.ts";
import type { Statistics } from "../sync/statistics.ts";

/** What crossed all connections, in bytes, from this machine's view. */
export interface WireBytes {
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Copies of the program, which the other two leave out. */
  readonly bytesBootstrapped: number;
  /** From web servers, hash trees among it. */
  readonly bytesFetched: number;
}

export type Task = "sync" | "dry run" | "compare";

/** What a run saves of what it overwrites. */
export interface Undo {
  /** The file, on the destination's machine. */
  readonly path: string;
  /** What puts it back. */
  readonly restore: string;
}

/** How a run stands, or how it ended. */
export interface Stand {
  readonly statistics: Statistics;
  readonly elapsedMs: number;
  readonly task: Task;
  /** The two sides, where the first line has to stand alone; else "". */
  readonly names: string;
  readonly undo?: Undo | undefined;
}

export interface Finished extends Stand {
  readonly traffic: WireBytes;
  /** What became of the destination's size, or a dry run would make of it; that compare's sizes differ. */
  readonly sizes: string | undefined;
  /** The destination goes on beyond what was made equal. */
  readonly isLonger?: boolean;
  /** What compare found to differ of what both sides have. */
  readonly bytesDiffering?: number;
  /** What to do now, where something is left to do. */
  readonly next: string | undefined;
}

/** A sentence, then what was read, sent and saved, what is there now, how far it was proved, and what comes next. */
export function summaryLines(finished: Finished): string[] {
  const { statistics, elapsedMs, task, names, traffic, next } = finished;
  const { sizeBytes, bytesRead } = statistics;
  const rate = formatBytes(Math.round((sizeBytes * 1000) / Math.max(elapsedMs, 1)));
  const rows: (readonly [name: string, text: string | undefined])[] = [
    ["read", `${formatBytes(bytesRead)} from both sides`],
    ["wire", wireText(traffic)],
    ["size", task === "sync" ? finished.sizes : undefined],
    ["saved", task === "sync" ? savedText(finished) : undefined],
    ["fingerprint", fingerprintText(finished)],
    ["verified", task === "sync" ? verifiedText(statistics) : undefined],
    ["undo", undoText(finished.undo)],
    ["next", next],
  ];
  return [
    `Completed in ${formatElapsed(elapsedMs)}${sizeBytes === 0 ? "" : ` (${rate}/s)`}: ${names}${resultText(finished)}`,
    ...rows.flatMap(([name, text]) => (text === undefined ? [] : [`  ${name.padEnd(11)}  ${text}`])),
  ];
}

/** How far a run came that failed. */
export function stoppedLine({ statistics, elapsedMs, task, names, undo }: Stand): string {
  const { blocksDone, expectedBytes, bytesWritten } = statistics;
  const of = expectedBytes === undefined ? "" : ` of ${formatBytes(expectedBytes)}`;
  const done = `${formatBytes(statistics.bytesOf(blocksDone))}${of} done`;
  const written = task === "sync" ? `, ${formatBytes(bytesWritten)} written` : "";
  return `Stopped after ${formatElapsed(elapsedMs)}: ${names}${done}${written}${undo === undefined ? "" : `\n  ${"undo".padEnd(11)}  ${undoText(undo)}`}`;
}

function resultText(finished: Finished): string {
  const { task, sizes } = finished;
  if (task === "sync") return syncResult(finished);
  const change = sizes === undefined ? "" : `; ${sizes}`;
  return `${differText(finished)}${change}${task === "dry run" ? "; nothing was written (dry run)" : ""}`;
}

/** A dry run knows which blocks differ, and not how much of them. */
function differText({ statistics, task, bytesDiffering }: Finished): string {
  const { sizeBytes, blocksDiffering, sourceUnreadableBytes } = statistics;
  const size = formatBytes(sizeBytes);
  const unreadable = `${formatBytes(sourceUnreadableBytes)} that cannot be read`;
  const bad = sourceUnreadableBytes === 0 ? "" : ` except for ${unreadable}`;
  if (blocksDiffering === 0) return `${size} equal${bad}`;
  const differing = bytesDiffering ?? statistics.bytesOf(blocksDiffering);
  return `${task === "dry run" ? "up to " : ""}${formatBytes(differing)} of ${size} differ${sourceUnreadableBytes === 0 ? "" : `, besides ${unreadable}`}`;
}

/** Why bytes were not read. */
const BELIEVED = {
  rescued: "not read again since the rescue map lists it as rescued",
  used: "not looked at since --used-blocks does not list it",
  changed: "taken to be equal since --changed-blocks does not list it",
} as const;

function syncResult({ statistics, isLonger }: Finished): string {
  const { sizeBytes, sourceUnreadableBytes, bytesKept, bytesBelieved, bytesWritten, bytesZeroed, listed } = statistics;
  const size = formatBytes(sizeBytes - (listed === undefined ? 0 : bytesBelieved));
  const bad =
    sourceUnreadableBytes === 0 ? "" : ` except for ${formatBytes(sourceUnreadableBytes)} that cannot be read`;
  const kept = bytesKept === 0 ? "" : ` (the destination has ${formatBytes(bytesKept)} of it from an earlier run)`;
  const equal = isLonger === true ? `the destination is equal in its first ${size}` : `${size} equal`;
  return [
    `${equal}${bad}${kept}`,
    ...(bytesBelieved === 0 ? [] : [`${formatBytes(bytesBelieved)} ${BELIEVED[listed ?? "rescued"]}`]),
    bytesWritten + bytesZeroed === 0 ? "nothing written" : `${formatBytes(bytesWritten)} written`,
    ...(bytesZeroed === 0 ? [] : [`${formatBytes(bytesZeroed)} zeroed`]),
  ].join(", ");
}

/** Undefined where nothing is sent. */
function wireText({ bytesSent, bytesReceived, bytesBootstrapped, bytesFetched }: WireBytes): string | undefined {
  const fetched = bytesFetched === 0 ? undefined : `${formatBytes(bytesFetched)} fetched`;
  if (bytesSent + bytesReceived === 0) return fetched;
  const program = bytesBootstrapped === 0 ? "" : `; ${formatBytes(bytesBootstrapped)} once, for blocksync itself`;
  const wire = `${formatBytes(bytesSent)} sent, ${formatBytes(bytesReceived)} received${program}`;
  return fetched === undefined ? wire : `${fetched}; ${wire}`;
}

/** Of what is done, what was not sent, or where there is no connection not written. */
function savedText({ statistics, traffic: { bytesSent, bytesReceived } }: Finished): string {
  const { sizeBytes, blocksDone, bytesWritten } = statistics;
  const wire = bytesSent + bytesReceived;
  const saved = Math.max(0, statistics.bytesOf(blocksDone) - (wire || bytesWritten));
  const percent = sizeBytes === 0 ? 0 : Math.floor((saved / sizeBytes) * 1000) / 10;
  return `${formatBytes(saved)} (${percent}%) not ${wire > 0 ? "sent" : "written"}`;
}

function undoText(undo: Undo | undefined): string | undefined {
  return undo === undefined ? undefined : `${undo.restore} restores what was there before`;
}

/** Undefined where not every byte is known. */
function fingerprintText({ statistics, task }: Finished): string | undefined {
  const { sourceFingerprint: source, destinationFingerprint: destination, blocksDiffering } = statistics;
  if (source === undefined) return undefined;
  if (task === "dry run") return `${source} of the source`;
  return task === "compare" && blocksDiffering > 0 ? `${source} and ${destination}` : `${source} on both sides`;
}

function verifiedText({ verified, blocksDiffering, isStream }: Statistics): string {
  const again = isStream ? "the destination read again" : "both sides read again, the destination";
  if (verified === "direct") return `${again}${isStream ? "," : ""} past its page cache`;
  if (verified === "dropped") return `${again}${isStream ? "," : ""} after its page cache was dropped`;
  if (verified === "partly")
    return `${isStream ? "the destination" : "both sides"} read again, but a page cache below the destination may have answered`;
  const written = blocksDiffering === 0 ? "nothing was written" : "written blocks were read back";
  return `${written}; --verify reads ${isStream ? "the destination" : "both sides"} again`;
}
