/** What a comparison says of blocks, whatever it compares them by. */
import type { BlockRange } from "./blocks.ts";

/** Two sides hold something else there. */
export interface Differing extends BlockRange {
  readonly kind: "differ";
  /**
   * What the destination has there: some data, zeros only, so that only the source's other leaves need to be sent, or
   * what cannot be read, so that nothing in it can be kept.
   */
  readonly destination: "data" | "zero" | "unreadable";
  /** `count` prints of either side; undefined for what was not read yet, or cannot be. */
  readonly sourcePrints: readonly bigint[] | undefined;
  readonly destinationPrints: readonly bigint[] | undefined;
}

/** What is said of some of the blocks. */
export function differingPart(verdict: Differing, { first, count }: BlockRange): Differing {
  const start = first - verdict.first;
  const part = (prints: readonly bigint[] | undefined) => prints?.slice(start, start + count);
  const { sourcePrints, destinationPrints } = verdict;
  return {
    ...verdict,
    first,
    count,
    sourcePrints: part(sourcePrints),
    destinationPrints: part(destinationPrints),
  };
}

export type Verdict =
  | {
      readonly kind: "match";
      readonly first: number;
      readonly count: number;
      readonly zero: boolean;
      /** `count` prints; undefined for what is a hole on both sides. */
      readonly prints: readonly bigint[] | undefined;
    }
  | Differing
  /** The source cannot be read there, wholly or in part. */
  | { readonly kind: "unreadable"; readonly first: number; readonly count: number };

/** Verdicts in ascending order, without gap in a range or overlap. */
export type Comparison = AsyncIterable<Verdict>;

export interface CompareOptions {
  /** On which sides a block that cannot be read is a verdict and not a failure. */
  readonly tolerant: { readonly source: boolean; readonly destination: boolean };
  /** See ScanOptions.ahead. */
  readonly ahead: number;
}

/** Tells the blocks of ranges, in ascending order, of two endpoints apart. */
export type Compare = (ranges: readonly BlockRange[], options: CompareOptions) => Comparison;

interface Matching {
  readonly kind: "match";
  readonly first: number;
  count: number;
  readonly zero: boolean;
  readonly prints: bigint[];
}

interface Growing extends Differing {
  count: number;
  readonly destination: "data" | "zero";
  readonly sourcePrints: bigint[];
  readonly destinationPrints: bigint[];
}

/** Verdicts in order on blocks of which each follows the last, neighbours alike in one. */
export class Verdicts {
  readonly all: Verdict[] = [];
  #match: Matching | undefined;
  #differ: Growing | undefined;

  match(index: number, zero: boolean, print: bigint): void {
    this.#differ = undefined;
    if (this.#match?.zero !== zero) {
      this.#match = { kind: "match", first: index, count: 0, zero, prints: [] };
      this.all.push(this.#match);
    }
    this.#match.count++;
    this.#match.prints.push(print);
  }

  differ(index: number, destination: Growing["destination"], sourcePrint: bigint, destinationPrint: bigint): void {
    this.#match = undefined;
    if (this.#differ?.destination !== destination) {
      this.#differ = { kind: "differ", first: index, count: 0, destination, sourcePrints: [], destinationPrints: [] };
      this.all.push(this.#differ);
    }
    this.#differ.count++;
    this.#differ.sourcePrints.push(sourcePrint);
    this.#differ.destinationPrints.push(destinationPrint);
  }
}
