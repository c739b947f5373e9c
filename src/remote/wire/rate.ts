/** --bwlimit: byte streams that carry at most so many bytes a second, in one direction, over all connections. */
import type { ByteSink, ByteSource } from "./streams.ts";

/** Data is let through in portions of this share of a second, so that the rate holds over short times too. */
const PORTIONS_PER_SECOND = 20;
const MIN_PORTION = 1 << 10;
const MAX_PORTION = 1 << 20;

export class RateLimit {
  readonly #bytesPerMs: number;
  readonly portion: number;
  /** When what was let through so far will have gone at the rate. */
  #freeAtMs = 0;

  constructor(bytesPerSecond: number) {
    if (!(bytesPerSecond > 0)) throw new RangeError(`Invalid rate ${bytesPerSecond}`);
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.portion = Math.min(MAX_PORTION, Math.max(MIN_PORTION, Math.floor(bytesPerSecond / PORTIONS_PER_SECOND)));
  }

  /** Resolves when `bytes` more may go; callers take their turns in order. */
  async pass(bytes: number): Promise<void> {
    const now = performance.now();
    const startMs = Math.max(this.#freeAtMs, now);
    this.#freeAtMs = startMs + bytes / this.#bytesPerMs;
    if (startMs > now) await Bun.sleep(startMs - now);
  }
}

export function limitSource(source: ByteSource, limit: RateLimit): ByteSource {
  return {
    async read(keepsLast) {
      const chunk = await source.read(keepsLast);
      // What came is waited for before more is read, so the sender feels it through the full pipe.
      if (chunk !== undefined) await limit.pass(chunk.length);
      return chunk;
    },
  };
}

export function limitSink(sink: ByteSink, limit: RateLimit): ByteSink {
  return {
    async write(bytes) {
      for (let start = 0; start < bytes.length; start += limit.portion) {
        const portion = bytes.subarray(start, start + limit.portion);
        await limit.pass(portion.length);
        await sink.write(portion);
      }
    },
    end: () => sink.end(),
  };
}
