/** Work that is given up: what hears an AbortSignal, and is taken away from it again by whoever had it heard. */

/** Has `act` called when `signal` is aborted, at once where it is, until disposed of. */
export function onAbort(signal: AbortSignal, act: () => void): Disposable {
  if (signal.aborted) act();
  else signal.addEventListener("abort", act, { once: true });
  return { [Symbol.dispose]: () => signal.removeEventListener("abort", act) };
}

/** As `work`, but no longer than until `signal` is aborted. @throws the signal's reason then; what `work` comes to is nobody's business. */
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
