/** The system calls of aside.ts, as they are made in a thread. */
import {
  closeCopyOf,
  dropBuffers,
  dropCache,
  hasLockedBytes,
  type LockOutcome,
  lockBytes,
  lockFile,
  nextData,
  punchHole,
  rereadPartitions,
  zeroDevice,
} from "./libc.ts";

/** The words that libc.ts answers with or takes, of which only the places go from thread to thread. */
export const LOCK_OUTCOMES = ["taken", "busy", "unknown"] as const satisfies readonly LockOutcome[];
export const LOCK_KINDS = ["none", "shared", "exclusive"] as const;
export const TABLE_OUTCOMES = ["done", "busy", "impossible"] as const;

/** What can be called, see libc.ts; the first word is the descriptor. */
export type AsideName =
  | "closeCopyOf"
  | "extents"
  | "punchHole"
  | "zeroDevice"
  | "dropCache"
  | "dropBuffers"
  | "rereadPartitions"
  | "lockFile"
  | "lockBytes"
  | "hasLockedBytes";

/** One answer has so many pieces of data at most, and is given after so long, so that a slow file system shows what it has. */
const MAX_EXTENTS = 1024;
const EXTENTS_MS = 20;

/** Start and end of each piece of data from `offset` on, up to `end`; an odd number says that nothing more comes before that. */
function extents(fd: number, offset: number, end: number, sizeBytes: number): number[] {
  const begun = performance.now();
  const found: number[] = [];
  let position = offset;
  do {
    const data = nextData(fd, position, sizeBytes);
    if (data === undefined) return [...found, end];
    found.push(data.start, data.end);
    // A file that is cut meanwhile must not keep this here.
    position = Math.max(data.end, position + 1);
  } while (position < end && found.length < 2 * MAX_EXTENTS && performance.now() - begun < EXTENTS_MS);
  return found;
}

export const CALLS: Record<AsideName, (...words: number[]) => number[]> = {
  closeCopyOf: (fd = -1) => [closeCopyOf(fd)],
  extents: (fd = -1, offset = 0, end = 0, sizeBytes = 0) => extents(fd, offset, end, sizeBytes),
  punchHole: (fd = -1, offset = 0, length = 0) => [Number(punchHole(fd, offset, length))],
  zeroDevice: (fd = -1, offset = 0, length = 0) => [Number(zeroDevice(fd, offset, length))],
  dropCache: (fd = -1, offset = 0, length = 0) => {
    dropCache(fd, offset, length);
    return [];
  },
  dropBuffers: (fd = -1) => {
    dropBuffers(fd);
    return [];
  },
  rereadPartitions: (fd = -1) => [TABLE_OUTCOMES.indexOf(rereadPartitions(fd))],
  lockFile: (fd = -1, take = 0) => [LOCK_OUTCOMES.indexOf(lockFile(fd, take === 1))],
  lockBytes: (fd = -1, kind = 0) => [LOCK_OUTCOMES.indexOf(lockBytes(fd, LOCK_KINDS[kind] ?? "none"))],
  hasLockedBytes: (fd = -1, start = 0, length = 0) => [Number(hasLockedBytes(fd, start, length))],
};
