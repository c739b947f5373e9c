/** What the runs of a case came to, and the arithmetic that all reports and goals share. Pure. */
import type { Case, Contender } from "./case.ts";
import type { Peaks } from "./memory.ts";

/** The counts of blocksync's own summary. */
export interface Summary {
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly bytesWritten: number;
  readonly blocksDiffering: number;
}

export interface Result {
  readonly contender: Contender;
  /** One for every timed run. */
  readonly seconds: readonly number[];
  /** Set when any run failed, also the one that was not timed; then no time counts. */
  readonly failure: string | undefined;
  /** The largest of all timed runs; only of blocksync. */
  readonly peaks: Peaks | undefined;
  /** Of blocksync's last run. */
  readonly summary: Summary | undefined;
  /** What the destination took on the disk afterwards, where the case asks for it. */
  readonly allocatedBytes: number | undefined;
}

export interface CaseResult {
  readonly case: Case;
  readonly results: readonly Result[];
  /** Contenders whose program is not here. */
  readonly absent: readonly string[];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((first, second) => first - second);
  const middle = Math.floor(sorted.length / 2);
  const [upper = Number.NaN, lower = upper] = [sorted[middle], sorted[sorted.length % 2 === 0 ? middle - 1 : middle]];
  return (upper + lower) / 2;
}

/** undefined when any run failed: then no time counts. */
export function medianOf(result: Result | undefined): number | undefined {
  if (result === undefined || result.failure !== undefined || result.seconds.length === 0) return undefined;
  return median(result.seconds);
}

export function resultOf({ results }: CaseResult, name: string): Result | undefined {
  return results.find(({ contender }) => contender.name === name);
}

/** blocksync's result, for all others are compared with it. */
export function ours(result: CaseResult): Result | undefined {
  return resultOf(result, result.case.contenders[0].name);
}

/** `first` is so many times `second`; undefined unless both are known. */
export function quotient(first: number | undefined, second: number | undefined): number | undefined {
  return first === undefined || second === undefined ? undefined : first / second;
}

/** `first` is so much above `second`; undefined unless both are known. */
export function difference(first: number | undefined, second: number | undefined): number | undefined {
  return first === undefined || second === undefined ? undefined : first - second;
}

/** The largest of either side; undefined when none is known. */
export function largestPeak(results: readonly Result[]): number | undefined {
  const peaks = results.flatMap(({ peaks }) => (peaks === undefined ? [] : [peaks.hereBytes, peaks.thereBytes]));
  return peaks.length === 0 ? undefined : Math.max(...peaks);
}
