/**
 * System calls that node:fs does not have, made aside: on threads of their own, since a file system or device may take its time
 * with each (a lock over NFS, SEEK_DATA on ZFS, BLKZEROOUT), and the JavaScript thread hears signals and keeps connections
 * alive meanwhile. A call costs 0.1 ms there and back, the first one 5 ms more (measured).
 */
import { type AsideName, CALLS, LOCK_KINDS, LOCK_OUTCOMES, TABLE_OUTCOMES } from "./aside-calls.ts";
import type { LockOutcome } from "./libc.ts";

export interface AsideCall {
  readonly id: number;
  readonly name: AsideName;
  readonly words: readonly number[];
}

export type AsideAnswer =
  | { readonly id: number; readonly result: readonly number[] }
  | { readonly id: number; readonly problem: string };

interface Thread {
  readonly worker: Worker;
  readonly pending: Map<number, PromiseWithResolvers<readonly number[]>>;
  /** When it began what it does now, as performance.now() tells it. */
  begunAt: number;
}

/** As many calls as may be slow at once; with more they wait for each other. */
const MAX_THREADS = 8;
/** What takes longer is slow, and not waited for by the next call; a thread is started in 5 to 10 ms. */
const SLOW_MS = 50;

const threads: Thread[] = [];
let nextId = 1;

/** Undefined where the system allows no more (ulimit -u, TasksMax= of systemd). */
function startThread(): Thread | undefined {
  let worker: Worker;
  try {
    worker = new Worker(new URL("./aside-thread.ts", import.meta.url).href);
  } catch {
    return undefined;
  }
  const thread: Thread = { worker, pending: new Map(), begunAt: performance.now() };
  const end = (problem: string) => {
    if (threads.includes(thread)) threads.splice(threads.indexOf(thread), 1);
    for (const waiting of thread.pending.values()) waiting.reject(new Error(problem));
    thread.pending.clear();
  };
  worker.onmessage = (event: MessageEvent<AsideAnswer>) => {
    const answer = event.data;
    const waiting = thread.pending.get(answer.id);
    thread.pending.delete(answer.id);
    thread.begunAt = performance.now();
    if ("result" in answer) waiting?.resolve(answer.result);
    else waiting?.reject(new Error(answer.problem));
  };
  worker.onerror = (event) => end(event.message);
  worker.addEventListener("close", () => end("the thread ended"));
  threads.push(thread);
  return thread;
}

/** The thread with the least to do, and another one where all have been at one call for long. */
function leastBusy(): Thread | undefined {
  const now = performance.now();
  const quick = threads.filter(({ pending, begunAt }) => pending.size === 0 || now - begunAt < SLOW_MS);
  const started = quick.length === 0 && threads.length < MAX_THREADS ? startThread() : undefined;
  const [first, ...others] = started !== undefined ? [started] : quick.length === 0 ? threads : quick;
  if (first === undefined) return undefined;
  const thread = others.reduce((least, one) => (one.pending.size < least.pending.size ? one : least), first);
  if (thread.pending.size === 0) thread.begunAt = now;
  return thread;
}

/** The descriptor must stay open until then (Descriptor.look(), hold()). */
async function call(name: AsideName, ...words: readonly number[]): Promise<readonly number[]> {
  const thread = leastBusy();
  // Without a thread everything waits for it.
  if (thread === undefined) return CALLS[name](...words);
  const waiting = Promise.withResolvers<readonly number[]>();
  const id = nextId++;
  thread.pending.set(id, waiting);
  const sent: AsideCall = { id, name, words };
  thread.worker.postMessage(sent);
  return await waiting.promise;
}

async function isTrue(name: AsideName, ...words: readonly number[]): Promise<boolean> {
  return (await call(name, ...words))[0] === 1;
}

async function lockOutcome(name: AsideName, ...words: readonly number[]): Promise<LockOutcome> {
  return LOCK_OUTCOMES[(await call(name, ...words))[0] ?? -1] ?? "busy";
}

/** Functions of kernel.ts, by the same names. */
export const aside = {
  /** Starts the first thread, so that the first call finds it running. */
  begin: (): void => {
    if (threads.length === 0) startThread();
  },
  /** Start and end of each piece of data from `offset` on, in turn, some of those before `end`; odd, see aside-thread.ts. */
  extents: (fd: number, offset: number, end: number, sizeBytes: number) => call("extents", fd, offset, end, sizeBytes),
  punchHole: (fd: number, offset: number, length: number) => isTrue("punchHole", fd, offset, length),
  zeroDevice: (fd: number, offset: number, length: number) => isTrue("zeroDevice", fd, offset, length),
  dropCache: async (fd: number, offset: number, length: number): Promise<void> => {
    await call("dropCache", fd, offset, length);
  },
  dropBuffers: async (fd: number): Promise<void> => {
    await call("dropBuffers", fd);
  },
  rereadPartitions: async (fd: number) => TABLE_OUTCOMES[(await call("rereadPartitions", fd))[0] ?? -1] ?? "impossible",
  lockFile: (fd: number, take: boolean) => lockOutcome("lockFile", fd, Number(take)),
  lockBytes: (fd: number, kind: (typeof LOCK_KINDS)[number]) => lockOutcome("lockBytes", fd, LOCK_KINDS.indexOf(kind)),
  closeCopyOf: async (fd: number): Promise<number> => {
    const [errno] = await call("closeCopyOf", fd);
    if (errno === undefined) throw new RangeError("closing a copy tells an error's number");
    return errno;
  },
  hasLockedBytes: (fd: number, start = 0, length = 0) => isTrue("hasLockedBytes", fd, start, length),
};
