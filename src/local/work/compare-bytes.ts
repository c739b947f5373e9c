/**
 * Compares two endpoints of this machine byte by byte: memcmp and the print of one side run at 45 and 60 GB/s where hashing
 * runs at 8 to 25 on either side. The verdicts are those of the comparison by hashes, so the algorithm is the same from here on.
 */
import { ReadError } from "../../errors.ts";
import type { BlockRange } from "../../sync/blocks.ts";
import { pairRuns, type RunPair } from "../../sync/compare.ts";
import type { Endpoint } from "../../sync/endpoint.ts";
import type { HashChoice } from "../../sync/spec.ts";
import { type CompareOptions, type Comparison, type Verdict, Verdicts } from "../../sync/verdicts.ts";
import type { Device } from "../medium/device.ts";
import { blockPrint } from "./hash.ts";
import { type Blocks, PAIRS, type Pairs, pairsOf } from "./job.ts";
import { compareBlocks } from "./jobs.ts";
import type { KnownBlocks } from "./known.ts";
import { JobSize, readsOf } from "./pieces.ts";

/** Jobs under way: two for each of the four threads that a disk wants. */
const DEPTH = 8;

/** Bytes in memory of this process, until release() is called, once. */
export interface Lent {
  readonly bytes: Buffer;
  readonly release: () => void;
}

/** An endpoint whose blocks are read into memory of this process. */
export interface Lender extends Pick<Endpoint, "scan"> {
  readonly blockSize: number;
  readonly device: Device;
  readonly hashChoice: HashChoice;
  readonly known: KnownBlocks;
  /** Whether it is a destination. */
  readonly writes: boolean;
  placeOf(blocks: BlockRange): Blocks;
  /** How many reads may be in flight at once without waiting for memory. */
  readonly readDepth: number;
  /** Reads neighbouring blocks, READ_LENGTH bytes together or one block. */
  lend(first: number, count: number): Promise<Lent>;
}

export async function* compareBytes(
  source: Lender,
  destination: Lender,
  ranges: readonly BlockRange[],
  { tolerant, ahead }: CompareOptions,
): Comparison {
  const queue: Promise<Compared>[] = [];
  const depth = Math.min(DEPTH, source.readDepth, destination.readDepth);
  const size = new JobSize(source.blockSize, ahead);
  const told = (compared: Compared | undefined): readonly Verdict[] => {
    const { part, verdicts = [], known } = compared ?? {};
    if (part === undefined) return verdicts;
    if (part.source.kind === "hole") source.known.keepZeros(part);
    else if (known !== undefined) source.known.keep(part, known.source);
    if (known !== undefined) destination.known.keep(part, known.destination);
    return verdicts;
  };
  const scan = (endpoint: Lender, isTolerant: boolean) =>
    endpoint.scan(ranges, { hashed: false, tolerant: isTolerant, readHoles: false, ahead });
  try {
    for await (const pair of pairRuns(scan(source, tolerant.source), scan(destination, tolerant.destination))) {
      const isHole = pair.source.kind === "hole" && pair.destination.kind === "hole";
      for (let done = 0; done < pair.count; ) {
        // What is a hole on both sides stays whole.
        const count = Math.min(isHole ? pair.count : size.blocks, pair.count - done);
        const part = { ...pair, first: pair.first + done, count };
        const compared = size.time(comparePart(source, destination, part, tolerant));
        compared.catch(() => undefined);
        queue.push(compared);
        done += count;
        if (queue.length >= depth) yield* told(await queue.shift());
      }
    }
    while (queue.length > 0) yield* told(await queue.shift());
  } finally {
    await Promise.allSettled(queue);
  }
}

interface Compared {
  readonly part: RunPair;
  readonly verdicts: readonly Verdict[];
  readonly known?: Pairs["known"];
}

async function comparePart(
  source: Lender,
  destination: Lender,
  part: RunPair,
  tolerant: CompareOptions["tolerant"],
): Promise<Compared> {
  const { first, count } = part;
  const holes = [part.source, part.destination].map(({ kind }) => kind === "hole");
  if (!holes.includes(false))
    return { part, verdicts: [{ kind: "match", first, count, zero: true, prints: undefined }] };
  const by = source.known.areWanted(part) ? source.hashChoice : undefined;
  // What is a hole is not read.
  const [from, to] = [source, destination].map(({ device }, side) => (holes[side] === true ? undefined : device));
  const pairs = await compareBlocks(from, to, source.placeOf(part), by);
  if (pairs !== undefined) return { part, verdicts: verdictsOf(first, pairs), known: pairs.known };
  const verdicts: Verdict[] = [];
  for (const blocks of readsOf({ first, count }, source.blockSize))
    verdicts.push(...(await compareCarefully(source, destination, blocks, tolerant)));
  return { part, verdicts };
}

async function compareCarefully(
  source: Lender,
  destination: Lender,
  { first, count }: BlockRange,
  tolerant: CompareOptions["tolerant"],
): Promise<Verdict[]> {
  const [mine, theirs] = await Promise.allSettled([source.lend(first, count), destination.lend(first, count)]);
  try {
    if (mine.status === "fulfilled" && theirs.status === "fulfilled")
      return verdictsOf(first, pairsOf(mine.value.bytes, theirs.value.bytes, source.blockSize));
    if (count === 1) {
      if (mine.status === "rejected") {
        if (tolerant.source && mine.reason instanceof ReadError) return [{ kind: "unreadable", first, count: 1 }];
        throw mine.reason;
      }
      if (theirs.status === "rejected" && !(tolerant.destination && theirs.reason instanceof ReadError))
        throw theirs.reason;
      const sourcePrints = [blockPrint(mine.value.bytes)];
      return [{ kind: "differ", first, count, destination: "unreadable", sourcePrints, destinationPrints: undefined }];
    }
  } finally {
    for (const side of [mine, theirs]) if (side.status === "fulfilled") side.value.release();
  }
  const verdicts: Verdict[] = [];
  for (let i = 0; i < count; i++) {
    verdicts.push(...(await compareCarefully(source, destination, { first: first + i, count: 1 }, tolerant)));
  }
  return verdicts;
}

/** What was found out about the blocks from `first` on. */
function verdictsOf(first: number, { kinds, prints }: Pairs): Verdict[] {
  const verdicts = new Verdicts();
  for (const [i, place] of kinds.entries()) {
    const [index, sourcePrint, destinationPrint] = [first + i, prints[2 * i] ?? 0n, prints[2 * i + 1] ?? 0n];
    const kind = PAIRS[place];
    if (kind === "equal" || kind === "equal zeros") verdicts.match(index, kind === "equal zeros", sourcePrint);
    else verdicts.differ(index, kind === "differ" ? "data" : "zero", sourcePrint, destinationPrint);
  }
  return verdicts.all;
}
