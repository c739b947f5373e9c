/**
 * Decides block by block what matches. Both sides scan their blocks in order; nothing is asked per block. A Comparison
 * is anything that yields verdicts in order; here are the one by hashes, which works for any two endpoints, and the one
 * for a destination that is known to be empty, which reads nothing.
 */
import { type BlockRange, equalBytes } from "./blocks.ts";
import type { Endpoint, Run } from "./endpoint.ts";
import { printOf } from "./fingerprint.ts";

export type Verdict =
  | {
      readonly kind: "match";
      readonly first: number;
      readonly count: number;
      readonly zero: boolean;
      /** `count` prints; undefined for what is a hole on both sides. */
      readonly prints: readonly bigint[] | undefined;
    }
  | {
      readonly kind: "differ";
      readonly index: number;
      /**
       * What the destination has there: some data, zeros only, so that only the source's other leaves need to be sent, or
       * what cannot be read, so that nothing in it can be kept.
       */
      readonly destination: "data" | "zero" | "unreadable";
      /** The prints of the two blocks; undefined for what was not read yet, or cannot be. */
      readonly sourcePrint: bigint | undefined;
      readonly destinationPrint: bigint | undefined;
    }
  /** The source cannot be read there, wholly or in part. */
  | { readonly kind: "unreadable"; readonly first: number; readonly count: number };

export type Comparison = AsyncIterable<Verdict>;

export interface CompareOptions {
  /** On which sides a block that cannot be read is a verdict and not a failure. */
  readonly tolerant: { readonly source: boolean; readonly destination: boolean };
  /** See ScanOptions.ahead. */
  readonly ahead: number;
}

/** Tells two endpoints' blocks of a range apart; compareHashes() unless the two can do better. */
export type Compare = (
  source: Endpoint,
  destination: Endpoint,
  range: BlockRange,
  options: CompareOptions,
) => Comparison;

/** A part that lies within one run of either side. */
export interface RunPair {
  readonly first: number;
  readonly count: number;
  readonly source: Run;
  readonly destination: Run;
}

/** Walks two scans of the same range side by side. */
export async function* pairRuns(
  sourceRuns: AsyncIterable<Run>,
  destinationRuns: AsyncIterable<Run>,
): AsyncGenerator<RunPair> {
  const sources = sourceRuns[Symbol.asyncIterator]();
  const destinations = destinationRuns[Symbol.asyncIterator]();
  let source: Run | undefined;
  let destination: Run | undefined;
  let position = 0;
  try {
    for (;;) {
      const needed = [];
      if (source === undefined)
        needed.push(sources.next().then((next) => (source = next.done === true ? undefined : next.value)));
      if (destination === undefined) {
        needed.push(destinations.next().then((next) => (destination = next.done === true ? undefined : next.value)));
      }
      if (needed.length > 0) await Promise.all(needed);
      if (source === undefined || destination === undefined) {
        if (source !== destination) throw new RangeError("The two sides scanned ranges of different length");
        return;
      }
      position = Math.max(position, source.first);
      const sourceEnd = source.first + source.count;
      const destinationEnd = destination.first + destination.count;
      const end = Math.min(sourceEnd, destinationEnd);
      yield { first: position, count: end - position, source, destination };
      position = end;
      if (sourceEnd === end) source = undefined;
      if (destinationEnd === end) destination = undefined;
    }
  } finally {
    await Promise.all([sources.return?.(), destinations.return?.()]);
  }
}

/** The digest of one block of a run that was hashed or is a hole. */
export function hashAt(run: Run, index: number, zeroHash: Uint8Array): Uint8Array {
  if (run.kind === "hole") return zeroHash;
  if (run.kind !== "hashed") throw new RangeError("A comparison by hashes needs hashed scans");
  const size = zeroHash.length;
  return run.hashes.subarray((index - run.first) * size, (index - run.first + 1) * size);
}

/** Verdicts in order, neighbouring matches in one. */
export class Verdicts {
  readonly all: Verdict[] = [];
  #match: { readonly kind: "match"; first: number; count: number; zero: boolean; prints: bigint[] } | undefined;

  match(index: number, zero: boolean, print: bigint): void {
    if (this.#match?.zero !== zero) {
      this.#match = { kind: "match", first: index, count: 0, zero, prints: [] };
      this.all.push(this.#match);
    }
    this.#match.count++;
    this.#match.prints.push(print);
  }

  add(verdict: Verdict): void {
    this.#match = undefined;
    this.all.push(verdict);
  }
}

/** Compares by hashes; neighbouring matches of one run come as one verdict. */
export async function* compareHashes(
  source: Endpoint,
  destination: Endpoint,
  range: BlockRange,
  { tolerant, ahead }: CompareOptions,
): Comparison {
  const { zeroHash } = source.description;
  const sourceRuns = source.scan(range, { hashed: true, tolerant: tolerant.source, readHoles: false, ahead });
  const destinationRuns = destination.scan(range, {
    hashed: true,
    tolerant: tolerant.destination,
    readHoles: false,
    ahead,
  });
  for await (const pair of pairRuns(sourceRuns, destinationRuns)) {
    if (pair.source.kind === "unreadable" || pair.destination.kind === "unreadable") {
      yield* unreadablePair(pair, zeroHash);
      continue;
    }
    if (pair.source.kind === "hole" && pair.destination.kind === "hole") {
      yield { kind: "match", first: pair.first, count: pair.count, zero: true, prints: undefined };
      continue;
    }
    yield* comparePair(pair, zeroHash);
  }
}

function* unreadablePair(pair: RunPair, zeroHash: Uint8Array): Generator<Verdict> {
  if (pair.source.kind === "unreadable") {
    yield { kind: "unreadable", first: pair.first, count: pair.count };
    return;
  }
  for (let index = pair.first; index < pair.first + pair.count; index++) {
    const sourcePrint = printOf(hashAt(pair.source, index, zeroHash));
    yield { kind: "differ", index, destination: "unreadable", sourcePrint, destinationPrint: undefined };
  }
}

function comparePair(pair: RunPair, zeroHash: Uint8Array): Verdict[] {
  const verdicts = new Verdicts();
  for (let index = pair.first; index < pair.first + pair.count; index++) {
    const sourceHash = hashAt(pair.source, index, zeroHash);
    const destinationHash = hashAt(pair.destination, index, zeroHash);
    const sourcePrint = printOf(sourceHash);
    if (equalBytes(sourceHash, destinationHash)) {
      verdicts.match(index, equalBytes(sourceHash, zeroHash), sourcePrint);
      continue;
    }
    const destination = equalBytes(destinationHash, zeroHash) ? "zero" : "data";
    verdicts.add({ kind: "differ", index, destination, sourcePrint, destinationPrint: printOf(destinationHash) });
  }
  return verdicts.all;
}

/** For a destination without any data: what is no hole in the source may differ, and is only read once, to be sent. */
export async function* compareWithNothing(
  source: Endpoint,
  _destination: Endpoint,
  range: BlockRange,
  { tolerant, ahead }: CompareOptions,
): Comparison {
  const options = { hashed: false, tolerant: tolerant.source, readHoles: false, ahead };
  for await (const run of source.scan(range, options)) {
    if (run.kind === "hole") {
      yield { kind: "match", first: run.first, count: run.count, zero: true, prints: undefined };
      continue;
    }
    for (let index = run.first; index < run.first + run.count; index++) {
      yield { kind: "differ", index, destination: "zero", sourcePrint: undefined, destinationPrint: undefined };
    }
  }
}
