/** The figures as tables and as JSON. */
import type { CaseResult, Result } from "./measure.ts";

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((first, second) => first - second);
  const middle = Math.floor(sorted.length / 2);
  const [upper = Number.NaN, lower = upper] = [sorted[middle], sorted[sorted.length % 2 === 0 ? middle - 1 : middle]];
  return (upper + lower) / 2;
}

/** undefined when any run failed: then no time counts. */
function medianOf(result: Result | undefined): number | undefined {
  if (result === undefined || result.failure !== undefined || result.seconds.length === 0) return undefined;
  return median(result.seconds);
}

/** blocksync's result, for all others are compared with it. */
function ours({ results }: CaseResult): Result | undefined {
  return results.find(({ contender }) => contender.name === "blocksync");
}

/** other/blocksync: above 1, blocksync is the faster. undefined unless both did their work. */
function ratio(result: Result, own: Result | undefined): number | undefined {
  const [others, ourOwn] = [medianOf(result), medianOf(own)];
  return others === undefined || ourOwn === undefined ? undefined : others / ourOwn;
}

/** Seconds blocksync takes longer. */
function difference(result: Result, own: Result | undefined): number | undefined {
  const [others, ourOwn] = [medianOf(result), medianOf(own)];
  return others === undefined || ourOwn === undefined ? undefined : ourOwn - others;
}

function comparison(result: Result, own: Result | undefined): string {
  if (result === own) return "1";
  if (result.contender.compareBy === "difference") {
    const seconds = difference(result, own);
    if (seconds === undefined) return "–";
    return `blocksync ${seconds < 0 ? "−" : "+"}${Math.abs(seconds).toFixed(3)} s`;
  }
  return ratio(result, own)?.toFixed(2) ?? "–";
}

function row(result: Result, own: Result | undefined): string[] {
  const middle = medianOf(result);
  if (middle === undefined) return [result.contender.name, "failed", "–", "–"];
  const range = `${Math.min(...result.seconds).toFixed(3)}–${Math.max(...result.seconds).toFixed(3)}`;
  return [result.contender.name, middle.toFixed(3), range, comparison(result, own)];
}

/** A Markdown table that is a table to the eye as well; all columns but the first are numbers. */
function table(rows: readonly (readonly string[])[]): string {
  const [header = [], ...body] = rows;
  const widths = header.map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)));
  const pad = (text: string, column: number) =>
    column === 0 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0);
  const line = (cells: readonly string[]) => `| ${cells.map(pad).join(" | ")} |`;
  const rule = widths.map((width, column) => (column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`));
  return [line(header), `| ${rule.join(" | ")} |`, ...body.map(line)].join("\n");
}

function size(bytes: number): string {
  return bytes < 2 ** 20 ? `${(bytes / 2 ** 10).toFixed(1)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

/** Bytes against the bytes that differ. */
function share(bytes: number, changed: number | undefined): string {
  if (changed === undefined) return size(bytes);
  return `${bytes} bytes (${(bytes / changed).toFixed(3)} × the changed ones)`;
}

function ownRemarks({ case: { changedBytes } }: CaseResult, own: Result | undefined): string[] {
  if (own === undefined || own.failure !== undefined) return [];
  const memory = `peak memory of blocksync here: ${own.maxRssIsBound ? "at most " : ""}${size(own.maxRssBytes)}`;
  if (own.summary === undefined) return [memory];
  const { bytesSent, bytesReceived, bytesWritten } = own.summary;
  const counts = `sent ${share(bytesSent, changedBytes)}, received ${size(bytesReceived)}, wrote ${share(bytesWritten, changedBytes)}`;
  const changed = changedBytes === undefined ? "" : `changed ${changedBytes} bytes; `;
  return [memory, `${changed}blocksync ${counts}`];
}

function sparsenessRemark(result: Result, sizeBytes: number): string[] {
  if (result.allocatedBytes === undefined) return [];
  const kind = result.allocatedBytes < sizeBytes ? "sparse" : "not sparse";
  return [`${result.contender.name} leaves ${size(result.allocatedBytes)} of ${size(sizeBytes)} on the disk: ${kind}`];
}

/** undefined when the case has no goal; a goal that could not be measured is not met. */
function goalMet({ case: { goal }, results }: CaseResult, own: Result | undefined): boolean | undefined {
  if (goal === undefined) return undefined;
  const other = results.find(({ contender }) => contender.name === goal.against);
  return other !== undefined && (ratio(other, own) ?? 0) >= goal.ratio;
}

function goalRemark(result: CaseResult, own: Result | undefined): string[] {
  const { goal } = result.case;
  if (goal === undefined || result.absent.includes(goal.against)) return [];
  const outcome = goalMet(result, own) ? "met" : "NOT met";
  return [`goal, ${goal.against}/blocksync at least ${goal.ratio}: ${outcome}`];
}

function remarks(result: CaseResult, sizeBytes: number): string[] {
  const own = ours(result);
  return [
    ...goalRemark(result, own),
    ...ownRemarks(result, own),
    ...result.results.flatMap((one) => sparsenessRemark(one, sizeBytes)),
    ...result.results.flatMap(({ contender, failure }) =>
      failure === undefined ? [] : [`${contender.name} FAILED: ${failure}`],
    ),
    ...result.absent.map((name) => `${name} is not here and was left out`),
  ];
}

/** One case as Markdown. */
export function caseText(result: CaseResult, sizeBytes: number): string {
  const own = ours(result);
  const header = ["contender", "median s", "min–max s", "ratio to blocksync"];
  return [
    `## ${result.case.name}: ${result.case.title}`,
    "",
    table([header, ...result.results.map((one) => row(one, own))]),
    "",
    ...remarks(result, sizeBytes).map((text) => `- ${text}`),
    "",
  ].join("\n");
}

function resultData(result: Result, own: Result | undefined) {
  const { contender, seconds, failure, maxRssBytes, maxRssIsBound, summary, allocatedBytes } = result;
  const middle = medianOf(result);
  return {
    name: contender.name,
    argv: contender.argv,
    failure: failure ?? null,
    seconds,
    medianSeconds: middle ?? null,
    minSeconds: middle !== undefined ? Math.min(...seconds) : null,
    maxSeconds: middle !== undefined ? Math.max(...seconds) : null,
    ratioToBlocksync: ratio(result, own) ?? null,
    blocksyncLongerBySeconds: difference(result, own) ?? null,
    // Of a shell and of ssh this is not the memory of what did the work, so only blocksync's is told.
    ...(result === own ? { maxRssBytes, maxRssIsBound } : {}),
    summary: summary ?? null,
    allocatedBytes: allocatedBytes ?? null,
  };
}

/** One case as data for JSON. */
export function caseData(result: CaseResult) {
  const own = ours(result);
  const { name, title, goal, changedBytes } = result.case;
  return {
    name,
    title,
    goal: goal === undefined ? null : { ...goal, met: goalMet(result, own) },
    changedBytes: changedBytes ?? null,
    contenders: result.results.map((one) => resultData(one, own)),
    absent: result.absent,
  };
}
