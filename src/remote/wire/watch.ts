/**
 * Tells a far side that has gone silent from one that is only slow, or that we ourselves do not listen to. It sits right
 * on the two byte streams of a connection, below any rate limit, and counts the time in which we wait for the far side
 * and nothing moves:
 *
 * - While we read, only bytes that come are a sign of life; what we write may just fill a buffer on the way.
 * - While we do not read, because what came is not used up yet (a slow disk, --pause), the silence is our own and no
 *   time is counted; unless a write is stuck as well, for then neither side gets on.
 *
 * Until the far side is blocksync, not even bytes that come are a sign of life: they are part of an answer of a few lines,
 * and who sends one byte at a time could put off its end for hours.
 *
 * Time is counted in ticks, so that a machine that slept, or a process that was stopped, has lost one tick of patience
 * and not all of it.
 */
import type { Failure } from "../../errors.ts";
import type { ByteSink, ByteSource } from "./streams.ts";

const TICKS = 8;

interface Wait {
  readonly kind: "read" | "write";
  readonly reject: (cause: unknown) => void;
}

export class Watch {
  readonly #waits = new Set<Wait>();
  #limitMs: number | undefined;
  #explain: ((printed: boolean) => Failure) | undefined;
  /** Bytes that come begin the count anew. */
  #bytesCount = true;
  /** Some came since the limit was set. */
  #printed = false;
  #failure: Failure | undefined;
  #timer: Timer | undefined;
  #idleTicks = 0;

  /**
   * From now on the far side may be silent for `limitMs` (or, with undefined, for ever); reads and writes under way or
   * begun after that fail with what `explain` returns, which is told whether bytes came since. Noticed at most a quarter of
   * the limit late. Without `bytesCount` so long is all there is for what is read, until the next call.
   */
  expect(limitMs: number | undefined, explain: (printed: boolean) => Failure, bytesCount = true): void {
    this.#idleTicks = 0;
    this.#explain = explain;
    this.#bytesCount = bytesCount;
    this.#printed = false;
    if (limitMs === this.#limitMs) return;
    this.stop();
    this.#limitMs = limitMs;
    if (limitMs !== undefined) this.#timer = setInterval(() => this.#tick(), limitMs / TICKS).unref();
  }

  /** Ends the counting; the streams can still be used. */
  stop(): void {
    clearInterval(this.#timer);
    this.#limitMs = undefined;
  }

  /** Another sign of life than bytes on the streams: a line of ssh's standard error. */
  heard(): void {
    this.#idleTicks = 0;
  }

  source(source: ByteSource): ByteSource {
    return { read: (keepsLast) => this.#waitFor("read", () => source.read(keepsLast)) };
  }

  sink(sink: ByteSink): ByteSink {
    return { write: (bytes) => this.#waitFor("write", () => sink.write(bytes)), end: () => sink.end() };
  }

  get #isReading(): boolean {
    for (const { kind } of this.#waits) if (kind === "read") return true;
    return false;
  }

  #waitFor<Value>(kind: Wait["kind"], start: () => Promise<Value>): Promise<Value> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      const wait = { kind, reject };
      this.#waits.add(wait);
      const settled = () => {
        this.#waits.delete(wait);
        if (kind === "read") this.#printed = true;
        if (kind === "read" ? this.#bytesCount : !this.#isReading) this.#idleTicks = 0;
      };
      start().then(
        (value) => {
          settled();
          resolve(value);
        },
        (cause: unknown) => {
          settled();
          reject(cause);
        },
      );
    });
  }

  #tick(): void {
    this.#idleTicks = this.#waits.size === 0 ? 0 : this.#idleTicks + 1;
    // The first tick of a wait may come right after its beginning.
    if (this.#idleTicks <= TICKS || this.#explain === undefined) return;
    this.stop();
    this.#failure = this.#explain(this.#printed);
    for (const { reject } of this.#waits) reject(this.#failure);
  }
}
