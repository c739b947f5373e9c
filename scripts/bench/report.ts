/** The figures as tables and as JSON. */
import { megabytes, type Verdict, verdicts } from "./goals.ts";
import { type CaseResult, difference, medianOf, ours, quotient, type Result } from "./results.ts";

function comparison(result: Result, own: Result | undefined): string {
  if (result === own) return "1";
  const [others, ourOwn] = [medianOf(result), medianOf(own)];
  switch (result.contender.compareBy) {
    case "nothing":
      return "";
    case "difference": {
      const seconds = difference(ourOwn, others);
      if (seconds === undefined) return "–";
      return `blocksync ${seconds < 0 ? "−" : "+"}${Math.abs(seconds).toFixed(3)} s`;
    }
    case "speedup": {
      const times = quotient(ourOwn, others);
      return times === undefined ? "–" : `${times.toFixed(2)} × as fast`;
    }
    default:
      return quotient(others, ourOwn)?.toFixed(2) ?? "–";
  }
}

/** Only where several rows are blocksync; otherwise its memory is a remark. */
function memoryCells({ peaks }: Result): string[] {
  if (peaks === undefined) return ["", ""];
  if (peaks.thereProcesses === 0) return [megabytes(peaks.hereBytes), ""];
  const several = peaks.thereProcesses > 1 ? `${peaks.thereProcesses} × at most ` : "";
  return [megabytes(peaks.hereBytes), several + megabytes(peaks.thereBytes)];
}

function row(result: Result, own: Result | undefined): string[] {
  const middle = medianOf(result);
  if (middle === undefined) return [result.contender.name, "failed", "–", "–"];
  const range = `${Math.min(...result.seconds).toFixed(3)}–${Math.max(...result.seconds).toFixed(3)}`;
  return [result.contender.name, middle.toFixed(3), range, comparison(result, own)];
}

/** A Markdown table that is a table to the eye as well; all columns but the first ones are numbers. */
function table(rows: readonly (readonly string[])[], textColumns = 1): string {
  const [header = [], ...body] = rows;
  const widths = header.map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)));
  const pad = (text: string, column: number) =>
    column < textColumns ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0);
  const line = (cells: readonly string[]) => `| ${cells.map(pad).join(" | ")} |`;
  const rule = widths.map((width, column) => (column < textColumns ? "-".repeat(width) : `${"-".repeat(width - 1)}:`));
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

function memoryRemark({ peaks }: Result): string[] {
  if (peaks === undefined) return [];
  const processes = peaks.thereProcesses > 1 ? ` in the largest of ${peaks.thereProcesses}` : "";
  const there = peaks.thereProcesses === 0 ? "" : `, ${megabytes(peaks.thereBytes)} there${processes}`;
  return [`peak memory of blocksync: ${megabytes(peaks.hereBytes)} here${there}`];
}

function countsRemark({ case: { changedBytes } }: CaseResult, { summary }: Result): string[] {
  if (summary === undefined) return [];
  const { bytesSent, bytesReceived, bytesWritten } = summary;
  const counts = `sent ${share(bytesSent, changedBytes)}, received ${size(bytesReceived)}, wrote ${share(bytesWritten, changedBytes)}`;
  const changed = changedBytes === undefined ? "" : `changed ${changedBytes} bytes; `;
  return [`${changed}blocksync ${counts}`];
}

function ownRemarks(result: CaseResult, own: Result | undefined): string[] {
  if (own === undefined || own.failure !== undefined) return [];
  return [...(hasMemoryColumns(result) ? [] : memoryRemark(own)), ...countsRemark(result, own)];
}

function sparsenessRemark(result: Result, sizeBytes: number): string[] {
  if (result.allocatedBytes === undefined) return [];
  const kind = result.allocatedBytes < sizeBytes ? "sparse" : "not sparse";
  return [`${result.contender.name} leaves ${size(result.allocatedBytes)} of ${size(sizeBytes)} on the disk: ${kind}`];
}

function goalRemark({ goal, measured, outcome, detail }: Verdict): string {
  return `goal: ${goal.text}: ${outcome} (${measured === undefined ? "" : "measured "}${detail})`;
}

function remarks(result: CaseResult, sizeBytes: number): string[] {
  const own = ours(result);
  return [
    ...verdicts(result).map(goalRemark),
    ...ownRemarks(result, own),
    ...result.results.flatMap((one) => sparsenessRemark(one, sizeBytes)),
    ...result.results.flatMap(({ contender, failure }) =>
      failure === undefined ? [] : [`${contender.name} FAILED: ${failure}`],
    ),
    ...result.absent.map((name) => `${name} is not here and was left out`),
  ];
}

function hasMemoryColumns({ results }: CaseResult): boolean {
  return results.filter(({ contender }) => contender.isBlocksync).length > 1;
}

/** One case as Markdown. */
export function caseText(result: CaseResult, sizeBytes: number): string {
  const own = ours(result);
  const withMemory = hasMemoryColumns(result);
  const first = result.case.contenders[0].name;
  const header = ["contender", "median s", "min–max s", `ratio to ${first}`, ...(withMemory ? ["here", "there"] : [])];
  const rows = result.results.map((one) => [...row(one, own), ...(withMemory ? memoryCells(one) : [])]);
  return [
    `## ${result.case.name}: ${result.case.title}`,
    "",
    table([header, ...rows]),
    "",
    ...remarks(result, sizeBytes).map((text) => `- ${text}`),
    "",
  ].join("\n");
}

/** All goals of all cases as Markdown. */
export function goalsText(results: readonly CaseResult[]): string {
  const rows = results.flatMap((result) =>
    verdicts(result).map(({ goal, outcome, detail }) => [result.case.name, goal.text, detail, outcome]),
  );
  const met = rows.filter(([, , , outcome]) => outcome === "met").length;
  const measured = rows.filter(([, , , outcome]) => outcome !== "not measured").length;
  return [
    `## Goals: ${met} of ${measured} met`,
    "",
    table([["case", "goal", "measured", "outcome"], ...rows], 2),
    "",
  ].join("\n");
}

function resultData(result: Result, own: Result | undefined) {
  const { contender, seconds, failure, peaks, summary, allocatedBytes } = result;
  const [middle, ourOwn] = [medianOf(result), medianOf(own)];
  return {
    name: contender.name,
    argv: contender.argv,
    failure: failure ?? null,
    seconds,
    medianSeconds: middle ?? null,
    minSeconds: middle !== undefined ? Math.min(...seconds) : null,
    maxSeconds: middle !== undefined ? Math.max(...seconds) : null,
    ratioToBlocksync: quotient(middle, ourOwn) ?? null,
    blocksyncLongerBySeconds: difference(ourOwn, middle) ?? null,
    memory: peaks ?? null,
    summary: summary ?? null,
    allocatedBytes: allocatedBytes ?? null,
  };
}

function verdictData({ goal, measured, outcome, detail }: Verdict) {
  const { text, bound, limit } = goal;
  return { text, bound, limit, measured: measured ?? null, outcome, detail };
}

/** One case as data for JSON. */
export function caseData(result: CaseResult) {
  const own = ours(result);
  const { name, title, changedBytes } = result.case;
  return {
    name,
    title,
    goals: verdicts(result).map(verdictData),
    changedBytes: changedBytes ?? null,
    contenders: result.results.map((one) => resultData(one, own)),
    absent: result.absent,
  };
}

/** All goals of all cases as data for JSON. */
export function goalsData(results: readonly CaseResult[]) {
  return results.flatMap((result) =>
    verdicts(result).map((verdict) => ({ case: result.case.name, ...verdictData(verdict) })),
  );
}
