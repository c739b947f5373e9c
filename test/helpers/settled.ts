/** Waits for what a thread answers: while bun's `rejects` waits for a promise, no thread's message comes in (Bun 1.4.5). */
import { expect } from "bun:test";

/** As expect(), of a promise that is settled by then. */
export async function settled<T>(promise: Promise<T>) {
  await Promise.allSettled([promise]);
  return expect(promise);
}
