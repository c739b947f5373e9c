/** How far a scan is ahead of its consumer. */
import type { BlockRange } from "../sync/blocks.ts";

/** The runs of a scan that its consumer is not through with yet. */
export class SentRuns {
  /** In ascending order; those before `#head` are done. */
  #runs: BlockRange[] = [];
  #head = 0;
  #blocks = 0;

  /** Blocks in them; what lies between the ranges of a scan does not count. */
  get blocks(): number {
    return this.#blocks;
  }

  /** Adds a run behind the others. */
  add({ first, count }: BlockRange): void {
    if (this.#blocks === 0) {
      this.#runs = [];
      this.#head = 0;
    }
    this.#runs.push({ first, count });
    this.#blocks += count;
  }

  /** No block before `index` is needed any more. */
  advance(index: number): void {
    for (;;) {
      const run = this.#runs[this.#head];
      if (run === undefined || run.first >= index) return;
      const done = Math.min(run.count, index - run.first);
      this.#blocks -= done;
      if (done < run.count) this.#runs[this.#head] = { first: index, count: run.count - done };
      else this.#head++;
    }
  }
}
