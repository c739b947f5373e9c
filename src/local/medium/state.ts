/**
 * What tells that somebody else was at a file or device between two moments, without reading it: its size; a file's times, of
 * which a program can set the one of modification back, but not the one of change (inode(7)); the number that the kernel
 * gives a disk anew whenever another medium, or another file below a loop device, comes under its name.
 *
 * A source's name is not looked at again: what was opened was read to its end. Where the name of a file went elsewhere, by a
 * rename or its removal, its time of change moved; a device is the one that the name led to when the run began.
 */
import type fs from "node:fs";
import { deviceSize, diskSequence } from "../kernel/libc.ts";

export interface State {
  readonly sizeBytes: number;
  /** Nanoseconds since 1970; undefined for a device, whose node's times say nothing of its contents. */
  readonly modifiedNs: bigint | undefined;
  /** As `modifiedNs`. */
  readonly changedNs: bigint | undefined;
  /** Undefined for a file, and before Linux 5.15. */
  readonly sequence: bigint | undefined;
}

/** The state of what is open as `fd`, of which `stat` was asked just now. @throws {Error} when a device has no size. */
export function stateOf(fd: number, stat: fs.BigIntStats): State {
  if (stat.isBlockDevice())
    return {
      sizeBytes: deviceSize(fd),
      modifiedNs: undefined,
      changedNs: undefined,
      sequence: diskSequence(fd),
    };
  const { size, mtimeNs, ctimeNs } = stat;
  return { sizeBytes: Number(size), modifiedNs: mtimeNs, changedNs: ctimeNs, sequence: undefined };
}

/** Ends of a tick of the kernel's clock that a file gets (jiffies, of 10 ms at most), and of ours. */
const CLOCK_MS = 20;

/**
 * How many milliseconds from `nowMs` on a write to a file would not show in its times, because it was written in this very
 * second and its file system keeps whole ones (ext2 and ext3, ext4 with inodes of 128 bytes, HFS+) or every other (FAT):
 * mostly 0. Until 2 s have gone by its times may be the same before and after.
 */
export function unseenMs({ modifiedNs, changedNs }: State, nowMs: number): number {
  if (modifiedNs === undefined || changedNs === undefined) return 0;
  const last = modifiedNs > changedNs ? modifiedNs : changedNs;
  const second = 1_000_000_000n;
  if (modifiedNs % second !== 0n || changedNs % second !== 0n) return 0;
  const stepMs = (last / second) % 2n === 0n ? 2000 : 1000;
  const passedMs = nowMs - Number(last / 1_000_000n);
  return passedMs < 0 || passedMs >= stepMs + CLOCK_MS ? 0 : stepMs + CLOCK_MS - passedMs;
}

/** Whether the readable content has been replaced or has another length; words to follow a colon. */
export function otherSize(before: State, now: State): string | undefined {
  if (now.sequence !== before.sequence) return "its medium, or the file underneath it, was replaced";
  if (now.sizeBytes !== before.sizeBytes) return `it has ${now.sizeBytes} bytes instead of ${before.sizeBytes}`;
  return undefined;
}

/**
 * What tells that something wrote to it, in words that go on after a colon. The time of change alone also moves with a file's
 * mode, owner, links and name: that is no proof, but nothing else would tell of a writer that sets the other time back.
 */
export function otherContents(before: State, now: State): string | undefined {
  const size = otherSize(before, now);
  if (size !== undefined) return size;
  if (now.modifiedNs !== before.modifiedNs) return "something wrote to it";
  if (now.changedNs === before.changedNs) return undefined;
  return "its ctime changed: something wrote to it and set its mtime back, or its mode, owner, links or name changed";
}
