/** Many small ranges, fetched together where they lie close to each other, over several connections. */
import { type ByteRange, endOf } from "../sync/ranges.ts";

/** Requests under way at once; each has a connection, which is kept for the next. */
const CONNECTIONS = 6;
/** Longer ranges are not joined to others. */
const MAX_REQUEST = 1 << 20;
/** Of what is fetched so much may lie between what is wanted: one part in sixteen. A request costs a round trip, a gap bytes. */
const GAP_SHARE = 1 / 16;

interface Wanted {
  readonly range: ByteRange;
  readonly settle: PromiseWithResolvers<Uint8Array>;
}

export class JoinedRanges {
  readonly #fetch: (range: ByteRange) => Promise<Uint8Array>;
  /** In ascending order. */
  #wanted: Wanted[] = [];
  #active = 0;
  #isScheduled = false;

  constructor(fetch: (range: ByteRange) => Promise<Uint8Array>) {
    this.#fetch = fetch;
  }

  read(range: ByteRange): Promise<Uint8Array> {
    const settle = Promise.withResolvers<Uint8Array>();
    const at = this.#wanted.findLastIndex((one) => one.range.offset <= range.offset) + 1;
    this.#wanted.splice(at, 0, { range, settle });
    this.#schedule();
    return settle.promise;
  }

  /** What is asked for in the same turn may be joined. */
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setTimeout(() => {
      this.#isScheduled = false;
      while (this.#active < CONNECTIONS && this.#wanted.length > 0) void this.#fetchNext();
    }, 0);
  }

  async #fetchNext(): Promise<void> {
    const together = this.#takeNext();
    const [first, last] = [together[0], together.at(-1)];
    if (first === undefined || last === undefined) return;
    const { offset } = first.range;
    this.#active++;
    try {
      const bytes = await this.#fetch({ offset, length: endOf(last.range) - offset });
      for (const { range, settle } of together)
        settle.resolve(bytes.subarray(range.offset - offset, endOf(range) - offset));
    } catch (error) {
      for (const { settle } of together) settle.reject(error);
    } finally {
      this.#active--;
      this.#schedule();
    }
  }

  /** The lowest range, and those behind it that are worth fetching with it. */
  #takeNext(): Wanted[] {
    let gaps = 0;
    let count = 0;
    let end = this.#wanted[0]?.range.offset ?? 0;
    const start = end;
    for (const { range } of this.#wanted) {
      const length = Math.max(end, endOf(range)) - start;
      const more = gaps + Math.max(0, range.offset - end);
      // One that ends within another would need a longer memory than it is worth.
      if (count > 0 && (length > MAX_REQUEST || more > length * GAP_SHARE || endOf(range) < end)) break;
      gaps = more;
      end = start + length;
      count++;
    }
    return this.#wanted.splice(0, count);
  }
}
