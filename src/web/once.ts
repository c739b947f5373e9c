/** Ranges of a body that comes only as a whole: it is read once, and what is wanted of it is kept as it comes by. */
import { type ByteRange, endOf } from "../sync/ranges.ts";

interface Wanted {
  readonly range: ByteRange;
  readonly settle: PromiseWithResolvers<Uint8Array>;
}

export class RangesOfOne {
  readonly #open: (offset: number) => AsyncGenerator<Uint8Array>;
  #wanted: Wanted[] = [];
  #pieces: AsyncGenerator<Uint8Array> | undefined;
  #piece: Uint8Array = new Uint8Array();
  /** Where in the body the piece begins. */
  #offset = 0;
  #isReading = false;

  /** `open` gives all from an offset on. */
  constructor(open: (offset: number) => AsyncGenerator<Uint8Array>) {
    this.#open = open;
  }

  read(range: ByteRange): Promise<Uint8Array> {
    const settle = Promise.withResolvers<Uint8Array>();
    const at = this.#wanted.findLastIndex((one) => one.range.offset <= range.offset) + 1;
    this.#wanted.splice(at, 0, { range, settle });
    if (!this.#isReading) void this.#readAll();
    return settle.promise;
  }

  async close(): Promise<void> {
    await this.#pieces?.return(undefined);
  }

  async #readAll(): Promise<void> {
    this.#isReading = true;
    // What is asked for in the same turn may come in any order.
    await new Promise((resolve) => setTimeout(resolve, 0));
    for (let next = this.#takeNext(); next !== undefined; next = this.#takeNext()) {
      try {
        next.settle.resolve(await this.#take(next.range));
      } catch (error) {
        this.#pieces = undefined;
        next.settle.reject(error);
      }
    }
    this.#isReading = false;
  }

  /** The lowest that is still to come, or if there is none the lowest that has gone by. */
  #takeNext(): Wanted | undefined {
    const ahead = this.#wanted.findIndex(({ range }) => range.offset >= this.#offset);
    return this.#wanted.splice(Math.max(0, ahead), 1)[0];
  }

  async #take(range: ByteRange): Promise<Uint8Array> {
    if (this.#pieces === undefined || range.offset < this.#offset) {
      await this.close();
      this.#pieces = this.#open(range.offset);
      this.#offset = range.offset;
      this.#piece = new Uint8Array();
    }
    const bytes = new Uint8Array(range.length);
    for (let done = 0; done < range.length; ) {
      const skipped = Math.min(this.#piece.length, range.offset + done - this.#offset);
      this.#piece = this.#piece.subarray(skipped);
      this.#offset += skipped;
      const part = this.#piece.subarray(0, range.length - done);
      // The rest of the piece stays for what follows.
      if (this.#offset === range.offset + done && part.length > 0) {
        bytes.set(part, done);
        done += part.length;
        continue;
      }
      const next = await this.#pieces.next();
      if (next.done === true) throw new RangeError(`The body ends at ${this.#offset}, before ${endOf(range)}`);
      this.#piece = next.value;
    }
    return bytes;
  }
}
