/** Giving up work: listens to an AbortSignal, and stops listening when whoever asked for it is done. */

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
  const timer = setTimeout(rested.resolve, Math.min(MAX_TIMEOUT_MS, ms));
  try {
    await unlessAborted(signal, rested.promise);
  } finally {
    clearTimeout(timer);
  }
}
