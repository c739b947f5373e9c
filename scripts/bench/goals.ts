/** What blocksync should reach, as data, and whether it did. Pure. */
import { type CaseResult, difference, largestPeak, medianOf, ours, quotient, resultOf } from "./results.ts";

export interface Goal {
  /** In words, with the limit: "at least 3 × as fast as cmp". */
  readonly text: string;
  readonly bound: "at least" | "at most";
  readonly limit: number;
  /** Contenders without whom nothing can be said. */
  readonly against: readonly string[];
  /** undefined when something it needs failed. */
  measure(result: CaseResult): number | undefined;
  /** The measured value for people. */
  show(value: number): string;
}

export interface Verdict {
  readonly goal: Goal;
  readonly measured: number | undefined;
  readonly outcome: "met" | "not met" | "not measured";
  /** What was measured, in words, or why nothing was. */
  readonly detail: string;
}

const MEMORY_GOAL_BYTES = 160e6;

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function twoDigits(value: number): string {
  return value.toFixed(2);
}

function bytesText(value: number): string {
  return `${Math.round(value)} bytes`;
}

/** Seconds of a contender, or of blocksync. */
function secondsOf(result: CaseResult, name?: string): number | undefined {
  return medianOf(name === undefined ? ours(result) : resultOf(result, name));
}

type Show = Goal["show"];
type Measure = Goal["measure"];

function goal(
  bound: Goal["bound"],
  limit: number,
  text: string,
  measure: Measure,
  show: Show,
  ...against: string[]
): Goal {
  return { text, bound, limit, against, measure, show };
}

/** The other takes at least `limit` times as long. */
export function timesAsFastAs(name: string, limit: number): Goal {
  const measure: Measure = (result) => quotient(secondsOf(result, name), secondsOf(result));
  return goal("at least", limit, `at least ${limit} × as fast as ${name}`, measure, twoDigits, name);
}

/** blocksync takes at most `limit` times as long as the other. */
export function timesAsLongAs(name: string, limit: number): Goal {
  const measure: Measure = (result) => quotient(secondsOf(result), secondsOf(result, name));
  return goal("at most", limit, `at most ${limit} × the time of ${name}`, measure, twoDigits, name);
}

/** For a peer that does the part that cannot be spared. */
export function secondsAbove(name: string, limit: number): Goal {
  const measure: Measure = (result) => difference(secondsOf(result), secondsOf(result, name));
  const show: Show = (value) => `${value.toFixed(3)} s`;
  return goal("at most", limit, `at most ${limit} s above ${name}`, measure, show, name);
}

/** How often the far side was waited for: what the delay of a connection added, in round trips. */
export function roundTrips(withoutDelay: string, roundTripSeconds: number, limit: number): Goal {
  const added: Measure = (result) => difference(secondsOf(result), secondsOf(result, withoutDelay));
  const measure: Measure = (result) => quotient(added(result), roundTripSeconds);
  const show: Show = (value) => `${value.toFixed(2)} round trips`;
  const text = `at most ${limit} round trips above the time of ${withoutDelay}`;
  return goal("at most", limit, text, measure, show, withoutDelay);
}

/** The time a link needs for the changed bytes alone, as a share of the time that was taken. */
export function shareOfLink(changedBytes: number, bytesPerSecond: number, limit: number): Goal {
  const measure: Measure = (result) => quotient(changedBytes / bytesPerSecond, secondsOf(result));
  return goal("at least", limit, `at least ${limit} of the link's rate for the changed bytes`, measure, twoDigits);
}

/** Another contender, which is blocksync too, does the same work faster than the first. */
export function speedup(name: string, limit: number): Goal {
  const measure: Measure = (result) => quotient(secondsOf(result), secondsOf(result, name));
  return goal("at least", limit, `${name} at least ${limit} × as fast as the first`, measure, twoDigits, name);
}

type Pairs = readonly (readonly [from: string, to: string])[];

/** The largest of the growths from one contender to another, each of them blocksync at another size. */
function growth(text: string, limit: number, pairs: Pairs, value: typeof secondsOf): Goal {
  const measure: Measure = (result) => {
    const growths = pairs.map(([from, to]) => quotient(value(result, to), value(result, from)));
    return growths.reduce((most, one) => (most === undefined || one === undefined ? undefined : Math.max(most, one)));
  };
  const show: Show = (value) => `${twoDigits(value)} ×`;
  return goal("at most", limit, `${text} at most ${limit} ×`, measure, show, ...pairs.flat());
}

export function growthOfTime(text: string, limit: number, pairs: Pairs): Goal {
  return growth(text, limit, pairs, secondsOf);
}

export function growthOfMemory(text: string, limit: number, pairs: Pairs): Goal {
  return growth(text, limit, pairs, ({ results }, name) =>
    largestPeak(results.filter(({ contender }) => contender.name === name)),
  );
}

export function sentAtMost(text: string, limit: number): Goal {
  const measure: Measure = (result) => ours(result)?.summary?.bytesSent;
  return goal("at most", limit, `sends at most ${text}, ${bytesText(limit)}`, measure, bytesText);
}

/** Fewer cannot be: the destination is compared with the source. */
export function writesOnly(changedBytes: number): Goal {
  const measure: Measure = (result) => ours(result)?.summary?.bytesWritten;
  const text = `writes the changed bytes only, ${bytesText(changedBytes)}`;
  return goal("at most", changedBytes, text, measure, bytesText);
}

/** The holes of the destination stay holes. */
export function sparse(sizeBytes: number, limit: number): Goal {
  const measure: Measure = (result) => quotient(ours(result)?.allocatedBytes, sizeBytes);
  return goal("at most", limit, `at most ${limit} of the destination on the disk`, measure, twoDigits);
}

/** Of every case, and for every blocksync in it. */
const MEMORY = goal(
  "at most",
  MEMORY_GOAL_BYTES,
  `at most ${MEMORY_GOAL_BYTES / 1e6} MB of memory on either side`,
  ({ results }) => largestPeak(results),
  megabytes,
);

function judge(goal: Goal, result: CaseResult): Verdict {
  const missing = goal.against.find((name) => resultOf(result, name) === undefined);
  if (missing !== undefined) {
    return { goal, measured: undefined, outcome: "not measured", detail: `${missing} is not here` };
  }
  const measured = goal.measure(result);
  // What failed did not reach its goal, whatever the reason.
  if (measured === undefined) return { goal, measured, outcome: "not met", detail: "failed" };
  const met = goal.bound === "at least" ? measured >= goal.limit : measured <= goal.limit;
  return { goal, measured, outcome: met ? "met" : "not met", detail: goal.show(measured) };
}

/** One verdict for each goal of the case, that for memory last. */
export function verdicts(result: CaseResult): Verdict[] {
  return [...(result.case.goals ?? []), MEMORY].map((goal) => judge(goal, result));
}
