/** What a comparison says of blocks, whatever it compares them by. */
import type { BlockRange } from "./blocks.ts";

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

/** Verdicts in ascending order, without gap or overlap. */
export type Comparison = AsyncIterable<Verdict>;

export interface CompareOptions {
  /** On which sides a block that cannot be read is a verdict and not a failure. */
  readonly tolerant: { readonly source: boolean; readonly destination: boolean };
  /** See ScanOptions.ahead. */
  readonly ahead: number;
}

/** Tells the blocks of a range of two endpoints apart. */
export type Compare = (range: BlockRange, options: CompareOptions) => Comparison;

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
