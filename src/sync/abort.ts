/** Giving up work: listens to an AbortSignal, and stops listening when whoever asked for it is done. */
import { UnreachableError } from "../errors.ts";

/** Has `act` called when `signal` is aborted, at once where it is, until disposed of. */
export function onAbort(signal: AbortSignal, act: () => void): Disposable {
  if (signal.aborted) act();
  else signal.addEventListener("abort", act, { once: true });
  return { [Symbol.dispose]: () => signal.removeEventListener("abort", act) };
}

/**
 * Waits for `work`, but no longer than until `signal` is aborted, when nobody looks at what becomes of `work`.
 * @throws the signal's reason.
 */
export async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  using _ = onAbort(signal, () => aborted.reject(signal.reason));
  return await Promise.race([work, aborted.promise]);
}

/** setTimeout() takes 31 bits. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** @throws the signal's reason as soon as it is aborted. */
export async function rest(ms: number, signal: AbortSignal): Promise<void> {
  const rested = Promise.withResolvers<void>();
  const timer = setTimeout(rested.resolve, Math.max(0, Math.min(MAX_TIMEOUT_MS, ms)));
  try {
    await unlessAborted(signal, rested.promise);
  } finally {
    clearTimeout(timer);
  }
}

/** Time is counted in these, so that a machine that slept, or a process that was stopped, has lost one of them. */
const TICK_MS = 500;

/** A time that is over when this process was awake for so long. */
export class AwakeTime implements Disposable {
  readonly #late = new AbortController();
  readonly #ticking: Timer;
  #leftMs: number;

  constructor(ms: number) {
    this.#leftMs = ms;
    this.#ticking = setInterval(() => {
      this.#leftMs -= TICK_MS;
      if (this.#leftMs > 0) return;
      clearInterval(this.#ticking);
      this.#late.abort(new UnreachableError("it was too late"));
    }, TICK_MS);
  }

  get leftMs(): number {
    return Math.max(0, this.#leftMs);
  }

  /** Aborted when it is over. */
  get late(): AbortSignal {
    return this.#late.signal;
  }

  /** It is never over then. */
  [Symbol.dispose](): void {
    clearInterval(this.#ticking);
  }
}
