/**
 * The locks by which programs agree on who writes to a file or device: flock(2), as udev, partitioning tools and blocksync
 * take it, and locks of bytes (fcntl(2)), as QEMU, VirtualBox, file servers and editors take them. QEMU locks for reading
 * single bytes that stand for what it does and does not let others do (RAW_LOCK_PERM_BASE and RAW_LOCK_SHARED_BASE in its
 * block/file-posix.c), so whoever has all bytes for himself stands in the way of all of it.
 */

import { aside } from "../kernel/aside.ts";
import { hasLockedBytes, isOpenElsewhere, type LockOutcome, lockFile } from "../kernel/libc.ts";
import type { Descriptor } from "../medium/descriptor.ts";

/** Without waiting; each takes its lock, or with false gives it back. */
export interface LockCalls {
  readonly bytes: (take: boolean) => Promise<LockOutcome>;
  readonly file: (take: boolean) => Promise<LockOutcome>;
}

/**
 * Takes both locks. Where flock() is made a lock of bytes (NFS, since Linux 2.6.12: flock(2)), the second of them meets the
 * first one: then one is both. False, with none taken, when another has one of them.
 */
export async function takeBoth({ bytes, file }: LockCalls): Promise<boolean> {
  const taken = await bytes(true);
  if (taken === "busy") return false;
  if ((await file(true)) !== "busy") return true;
  if (taken === "unknown") return false;
  await bytes(false);
  return (await file(true)) !== "busy";
}

/** For what is open for writing. */
export async function tryLock(file: Descriptor): Promise<boolean> {
  return await takeBoth({
    bytes: (take) => file.look((fd) => aside.lockBytes(fd, take ? "exclusive" : "none")),
    file: (take) => file.look((fd) => aside.lockFile(fd, take)),
  });
}

/**
 * For what is open for reading only, and has bytes of what is written: nobody has locked a byte of it, and from now on
 * nobody who asks will take one for writing.
 */
export async function tryLockBeside(file: Descriptor): Promise<boolean> {
  if (await file.look(aside.hasLockedBytes)) return false;
  return (await file.look((fd) => aside.lockBytes(fd, "shared"))) !== "busy";
}

/** The whole disk's lock, by a descriptor that is only for reading (https://systemd.io/BLOCK_DEVICE_LOCKING/). */
export async function tryLockDisk(file: Descriptor): Promise<boolean> {
  return (await file.look((fd) => aside.lockFile(fd, true))) !== "busy";
}

/** Whether another has locked some of what is open behind `fd`, which is not locked by this. */
export function isLocked(fd: number): boolean {
  if (hasLockedBytes(fd) || lockFile(fd, true) === "busy") return true;
  lockFile(fd, false);
  return false;
}

/** QEMU holds the byte of what it does, and 1 is to write. */
const QEMU_WRITES = 101;

/**
 * Who else may write to the file or device behind `fd`, which is open for reading only, as Facts.writer has it; "" where
 * nothing tells. With `byOpening` whoever has it open for writing counts. A file's times do not: what was mapped into memory
 * (mmap(2)) and written to once can be written to again without another word until it is written back.
 */
export function writerOf(fd: number, { byOpening }: { readonly byOpening: boolean }): string {
  if (hasLockedBytes(fd, QEMU_WRITES, 1)) return "another program, such as a virtual machine, has it open for writing";
  if (byOpening && isOpenElsewhere(fd, { forWriting: true })) return "another program has it open for writing";
  return "";
}
