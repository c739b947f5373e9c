/** The bar: what a run has come to, as lines of a terminal. Pure; plain ASCII, so that any console and locale shows it. */
import { formatBytes, formatDuration } from "../format.ts";

/** What the bar shows of a run at one moment. */
export interface BarState {
  readonly phase: "comparing" | "flushing" | "verifying";
  /** Of the current phase. */
  readonly doneBytes: number;
  /** undefined for a source that does not know it. */
  readonly sizeBytes: number | undefined;
  /** In whole blocks, as are those that differ. */
  readonly sameBytes: number;
  readonly differBytes: number;
  readonly writtenBytes: number;
  /** Areas of the source that cannot be read, and their bytes. */
  readonly badAreas: number;
  readonly badBytes: number;
  /** Blocks that cannot be read as a whole, and come last, sector by sector. */
  readonly retryBytes: number;
  /** Of the device, whatever of it had to be read; in bytes a second. */
  readonly rate: number;
  /** Both ways together; undefined where there is no connection. */
  readonly wireRate: number | undefined;
  readonly elapsedMs: number;
  readonly remainingMs: number | undefined;
  /** What each lane has done of its share in this phase, from 0 to 1. */
  readonly lanes: readonly number[];
}

/** A part of a line; of those that do not fit, the one with the highest rank goes first. */
interface Part {
  readonly text: string;
  readonly rank: number;
}

/** Narrower, the bar says less than its percentage. */
const LEAST_BAR = 8;
/** Where the bar goes. */
const BAR: Part = { text: " ".repeat(LEAST_BAR), rank: 0 };

/** The lines, at most `columns` wide, first the bar itself. `colour` is for the part of the bar that is done. */
export function barLines(state: BarState, columns: number, colour: boolean): string[] {
  const lines = [mainLine(state, columns, colour), countLine(state, columns)];
  if (state.lanes.length > 1) lines.push(laneLine(state.lanes, columns));
  return lines;
}

/** One line about something of which a part is done: "Copying blocksync to nas [====>     ]  40%  13.6 of 34.1 MiB". */
export function stageLine(text: string, done: number, total: number, columns: number, colour: boolean): string {
  const amount = amountText(done, total);
  const share = total === 0 ? 1 : done / total;
  return withBar([{ text, rank: 0 }], share, [part(percent(share), 1), part(amount, 2)], columns, colour);
}

function mainLine(state: BarState, columns: number, colour: boolean): string {
  const { phase, doneBytes, sizeBytes, rate, elapsedMs, remainingMs } = state;
  if (sizeBytes === undefined) {
    const parts = [
      part(`${formatBytes(doneBytes).padStart(AMOUNT_WIDTH)} so far`, 0),
      part(rateText(rate).padStart(RATE_WIDTH), 1),
    ];
    return join(fitting(parts, columns, " "), " ");
  }
  const share = sizeBytes === 0 ? 1 : doneBytes / sizeBytes;
  const amount = amountText(doneBytes, sizeBytes);
  if (phase === "flushing") {
    const words = [part("flushing", 0), part("to stable storage", 2)];
    const parts = [part(percent(share), 0), ...words, part(amount, 3), part(formatDuration(elapsedMs), 1)];
    return join(fitting(parts, columns, " "), " ");
  }
  const left = remainingMs === undefined ? "-:--:--" : formatDuration(remainingMs);
  const before = [part(percent(share), 0), ...(phase === "verifying" ? [part("verifying", 1)] : [])];
  const after = [part(amount, 3), part(rateText(rate).padStart(RATE_WIDTH), 2), part(`${left} left`, 0)];
  return withBar(before, share, after, columns, colour);
}

function countLine(state: BarState, columns: number): string {
  const { sameBytes, differBytes, writtenBytes, badAreas, badBytes, retryBytes, wireRate, elapsedMs } = state;
  const parts = [
    part(`${formatDuration(elapsedMs)} elapsed`, 4),
    part(`${formatBytes(sameBytes)} same`, 6),
    part(`${formatBytes(differBytes)} differ`, 1),
    ...(badAreas === 0 ? [] : [part(`${badAreas} bad (${formatBytes(badBytes)})`, 0)]),
    ...(retryBytes === 0 ? [] : [part(`${formatBytes(retryBytes)} to retry`, 2)]),
    part(`${formatBytes(writtenBytes)} written`, 3),
    ...(wireRate === undefined ? [] : [part(`wire ${rateText(wireRate)}`, 5)]),
  ];
  return ` ${join(fitting(parts, columns - 1, ", "), ", ")}`;
}

/** "lanes 43% 41% 44%", as many as fit. */
function laneLine(lanes: readonly number[], columns: number): string {
  const words = [" lanes", ...lanes.map((share) => percent(share))];
  while (words.join(" ").length > columns && words.length > 2) words.pop();
  return words.join(" ");
}

function part(text: string, rank: number): Part {
  return { text, rank };
}

/** The parts with a bar between them that takes what is left. */
function withBar(
  before: readonly Part[],
  share: number,
  after: readonly Part[],
  columns: number,
  colour: boolean,
): string {
  const parts = fitting([...before, BAR, ...after], columns, " ");
  const room = Math.max(LEAST_BAR, columns - widthOf(parts, " ") + LEAST_BAR);
  return join(
    parts.map((one) => (one === BAR ? part(barText(share, room, colour), 0) : one)),
    " ",
  );
}

function barText(share: number, width: number, colour: boolean): string {
  const room = width - 2;
  const filled = Math.min(room, Math.floor(share * room));
  const head = filled === room || filled === 0 ? "" : ">";
  const done = "=".repeat(filled - head.length) + head;
  return `[${colour && done !== "" ? `\x1b[32m${done}\x1b[39m` : done}${" ".repeat(room - filled)}]`;
}

function join(parts: readonly Part[], gap: string): string {
  return parts.map(({ text }) => text).join(gap);
}

function widthOf(parts: readonly Part[], gap: string): number {
  return Bun.stringWidth(join(parts, gap));
}

/** Those with the lowest ranks that fit together, in their order; none where not even one of a higher rank than 0 does. */
function fitting(parts: readonly Part[], columns: number, gap: string): readonly Part[] {
  const highest = Math.max(...parts.map(({ rank }) => rank));
  if (highest <= 0 || widthOf(parts, gap) <= columns) return parts;
  return fitting(
    parts.filter(({ rank }) => rank < highest),
    columns,
    gap,
  );
}

/** " 42%", rounded down: all is done at 100. */
function percent(share: number): string {
  return `${Math.floor(share * 100)}%`.padStart(4);
}

const AMOUNT_WIDTH = "1023.9 MiB".length;

/** "420.3 MiB of 1.0 GiB", always as wide. */
function amountText(done: number, total: number): string {
  return `${formatBytes(done).padStart(AMOUNT_WIDTH)} of ${formatBytes(total)}`;
}

/** The longest rate there is, so that what stands before one does not move. */
const RATE_WIDTH = "1023.9 MiB/s".length;

/** "182.3 MiB/s" */
function rateText(bytesPerSecond: number): string {
  return `${formatBytes(Math.round(bytesPerSecond))}/s`;
}
