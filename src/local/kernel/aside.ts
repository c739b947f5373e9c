/**
 * System calls that node:fs does not have, made aside: on threads of their own, since a file system or device may take its time
 * with each (a lock over NFS, SEEK_DATA on ZFS, BLKZEROOUT), and the JavaScript thread hears signals and keeps connections
 * alive meanwhile. A call costs 0.1 ms there and back, the first one 5 ms more (measured).
 */
import { type AsideName, CALLS, LOCK_KINDS, LOCK_OUTCOMES, TABLE_OUTCOMES } from "./aside-calls.ts";
import type { LockOutcome } from "./libc.ts";
import { Threads } from "./threads.ts";

export interface AsideCall {
  readonly name: AsideName;
  readonly words: readonly number[];
}

/**
 * As many calls as may be slow at once; with more they wait for each other. What takes longer than 50 ms is slow; a thread is
 * started in 5 to 10 ms.
 */
const threads = new Threads<AsideCall, readonly number[]>({
  create: () => new Worker(new URL("./aside-thread.ts", import.meta.url).href),
  most: 8,
  slowMs: 50,
});

/** The descriptor must stay open until then (Descriptor.look(), hold()). */
async function call(name: AsideName, ...words: readonly number[]): Promise<readonly number[]> {
  // Without a thread everything waits for it.
  return (await threads.do({ name, words })) ?? CALLS[name](...words);
}

async function isTrue(name: AsideName, ...words: readonly number[]): Promise<boolean> {
  return (await call(name, ...words))[0] === 1;
}

async function lockOutcome(name: AsideName, ...words: readonly number[]): Promise<LockOutcome> {
  return LOCK_OUTCOMES[(await call(name, ...words))[0] ?? -1] ?? "busy";
}

/** Functions of libc.ts, by the same names. */
export const aside = {
  /** Starts the first thread, so that the first call finds it running. */
  begin: (): void => threads.begin(),
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
