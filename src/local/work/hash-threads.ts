/**
 * Hashes on threads, for functions that are slower than a disk on one core: SHA-256 runs at 1.7 GB/s, MD5 and BLAKE2b at
 * 0.7. The bytes lie in shared memory, so only their place is sent.
 */
import { availableParallelism } from "node:os";
import { BugError } from "../../errors.ts";
import type { HashChoice } from "../../sync/spec.ts";
import type { Hasher } from "./hash.ts";

/** As many as a scan has reads in flight; more would have nothing to do. */
const MAX_THREADS = 4;

export interface HashJob {
  readonly id: number;
  readonly choice: HashChoice;
  readonly memory: SharedArrayBuffer;
  readonly offset: number;
  readonly length: number;
  readonly blockSize: number;
}

export type HashAnswer =
  | { readonly id: number; readonly hashes: Uint8Array }
  | { readonly id: number; readonly problem: string };

interface Thread {
  readonly worker: Worker;
  readonly pending: Map<number, PromiseWithResolvers<Uint8Array>>;
}

const threads: Thread[] = [];
let nextId = 1;
/** Whether the system has refused one more: a limit of processes, which threads count as (ulimit -u, TasksMax= of systemd). */
let refused = false;

function startThread(): Thread | undefined {
  let worker: Worker;
  try {
    worker = new Worker(new URL("./hash-thread.ts", import.meta.url).href);
  } catch {
    refused = true;
    return undefined;
  }
  const thread: Thread = { worker, pending: new Map() };
  const end = (problem: string) => {
    if (threads.includes(thread)) threads.splice(threads.indexOf(thread), 1);
    for (const waiting of thread.pending.values()) waiting.reject(new BugError(`Cannot hash: ${problem}`));
    thread.pending.clear();
  };
  worker.onmessage = (event: MessageEvent<HashAnswer>) => {
    const answer = event.data;
    const waiting = thread.pending.get(answer.id);
    thread.pending.delete(answer.id);
    if ("hashes" in answer) waiting?.resolve(answer.hashes);
    else waiting?.reject(new BugError(`Cannot hash: ${answer.problem}`));
  };
  worker.onerror = (event) => end(event.message);
  worker.addEventListener("close", () => end("the thread ended"));
  // Threads keep the process alive until it exits by itself: with unref() the event loop spins, at a third of the speed.
  threads.push(thread);
  return thread;
}

/** The thread with the least to do, undefined for none; the first jobs start them, and all endpoints of the process share them. */
function leastBusy(): Thread | undefined {
  const idle = threads.find(({ pending }) => pending.size === 0);
  if (idle !== undefined) return idle;
  const started =
    !refused && threads.length < Math.min(MAX_THREADS, availableParallelism()) ? startThread() : undefined;
  return started ?? threads.toSorted((one, other) => one.pending.size - other.pending.size)[0];
}

function isShared(bytes: Uint8Array): bytes is Uint8Array<SharedArrayBuffer> {
  return bytes.buffer instanceof SharedArrayBuffer;
}

/**
 * As hasher.hashEach(), in another thread when there can be one, the hash is slow and the bytes are in shared memory; they must stay as they
 * are until then.
 * @throws {BugError} when a thread cannot hash.
 */
export async function hashBlocks(hasher: Hasher, bytes: Uint8Array, blockSize: number): Promise<Uint8Array> {
  if (!hasher.isSlow || !isShared(bytes)) return hasher.hashEach(bytes, blockSize);
  const thread = leastBusy();
  if (thread === undefined) return hasher.hashEach(bytes, blockSize);
  const { worker, pending } = thread;
  const { buffer: memory, byteOffset: offset, length } = bytes;
  const job: HashJob = { id: nextId++, choice: hasher.choice, memory, offset, length, blockSize };
  const waiting = Promise.withResolvers<Uint8Array>();
  pending.set(job.id, waiting);
  worker.postMessage(job);
  return await waiting.promise;
}
