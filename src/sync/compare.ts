/**
 * Decides block by block what matches. Both sides scan their blocks in order; nothing is asked per block. Here are the
 * comparison by hashes, which works for any two endpoints, and the one with a destination that is known to be empty, which
 * reads nothing.
 */
import { type BlockRange, equalBytes } from "./blocks.ts";
import { type Endpoint, PRINT_SIZE, type Run } from "./endpoint.ts";
import { printOf } from "./fingerprint.ts";
import { type Compare, type CompareOptions, type Comparison, type Verdict, Verdicts } from "./verdicts.ts";

/** How the blocks of these two are told apart best. */
export function compareOf(source: Endpoint, destination: Endpoint): Compare {
  return (
    source.compareWith?.(destination) ?? ((ranges, options) => compareHashes(source, destination, ranges, options))
  );
}

/** A part that lies within one run of either side. */
export interface RunPair {
  readonly first: number;
  readonly count: number;
  readonly source: Run;
  readonly destination: Run;
}

/** Walks two scans of the same ranges side by side. */
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

/** Compares by hashes; neighbours alike in one run come as one verdict. */
export async function* compareHashes(
  source: Endpoint,
  destination: Endpoint,
  ranges: readonly BlockRange[],
  { tolerant, ahead }: CompareOptions,
): Comparison {
  const { zeroHash } = source.description;
  const printless = source.printless === true;
  const sourceRuns = source.scan(ranges, { hashed: true, tolerant: tolerant.source, readHoles: false, ahead });
  const destinationRuns = destination.scan(ranges, {
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
    yield* printless ? compareWithoutPrints(pair, zeroHash) : comparePair(pair, zeroHash);
  }
}

/** As comparePair(), of a source that tells no prints: of what is equal the destination's is as good. */
function* compareWithoutPrints(
  { first, count, source, destination }: RunPair,
  zeroHash: Uint8Array,
): Generator<Verdict> {
  const digest = (run: Run, index: number) => hashAt(run, index, zeroHash).subarray(PRINT_SIZE);
  const zero = zeroHash.subarray(PRINT_SIZE);
  const kindOf = (index: number) => {
    const there = digest(destination, index);
    const isZero = equalBytes(there, zero);
    const equal = equalBytes(digest(source, index), there);
    return `${equal ? "match" : "differ"} ${isZero ? "zero" : "data"}` as const;
  };
  for (let index = first; index < first + count; ) {
    const kind = kindOf(index);
    let end = index + 1;
    while (end < first + count && kindOf(end) === kind) end++;
    const part = { first: index, count: end - index };
    const prints = Array.from({ length: part.count }, (_, i) => printOf(hashAt(destination, part.first + i, zeroHash)));
    if (kind === "match zero" || kind === "match data")
      yield { kind: "match", ...part, zero: kind === "match zero", prints };
    else {
      const held = kind === "differ zero" ? "zero" : "data";
      yield { kind: "differ", ...part, destination: held, sourcePrints: undefined, destinationPrints: prints };
    }
    index = end;
  }
}

function* unreadablePair(pair: RunPair, zeroHash: Uint8Array): Generator<Verdict> {
  if (pair.source.kind === "unreadable") {
    yield { kind: "unreadable", first: pair.first, count: pair.count };
    return;
  }
  const { first, count } = pair;
  const sourcePrints = Array.from({ length: count }, (_, i) => printOf(hashAt(pair.source, first + i, zeroHash)));
  yield { kind: "differ", first, count, destination: "unreadable", sourcePrints, destinationPrints: undefined };
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
    verdicts.differ(index, destination, sourcePrint, printOf(destinationHash));
  }
  return verdicts.all;
}

/**
 * For a destination without any data: whatever is not a hole in the source may differ, so it is read only once, when it
 * is sent.
 */
export async function* compareWithNothing(
  source: Endpoint,
  ranges: readonly BlockRange[],
  { tolerant, ahead }: CompareOptions,
): Comparison {
  const options = { hashed: false, tolerant: tolerant.source, readHoles: false, ahead };
  for await (const run of source.scan(ranges, options)) {
    if (run.kind === "hole") {
      yield { kind: "match", first: run.first, count: run.count, zero: true, prints: undefined };
      continue;
    }
    const { first, count } = run;
    yield { kind: "differ", first, count, destination: "zero", sourcePrints: undefined, destinationPrints: undefined };
  }
}
