/**
 * The locks by which programs agree on who writes to a file or device: flock(2), as udev, partitioning tools and
 * blocksync use it, and byte-range locks (fcntl(2)), as QEMU, VirtualBox, file servers and editors use them. QEMU takes
 * read locks on single bytes that stand for what it does and what it lets nobody else do (RAW_LOCK_PERM_BASE and
 * RAW_LOCK_SHARED_BASE in its block/file-posix.c), so an exclusive lock on all bytes conflicts with every one of them.
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
 * Takes both locks. Where flock() is implemented as a byte-range lock (NFS since Linux 2.6.12: flock(2)), the second
 * would meet the first, so one of them stands for both. Returns false, holding neither, when another program has one.
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
 * For a device opened read-only that shares bytes with the destination: checks that nobody has locked a byte of it, and
 * keeps everybody who asks from taking a write lock from now on.
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
 * Who else may write to the file or device behind `fd`, which is open read-only, in the words of Facts.writer; "" when
 * nothing indicates anybody. With `byOpening` whoever has it open for writing counts. A file's times do not count:
 * memory mapped to it (mmap(2)) that was written to once can be written to again, and the times do not move until it is
 * written back.
 */
export function writerOf(fd: number, { byOpening }: { readonly byOpening: boolean }): string {
  if (hasLockedBytes(fd, QEMU_WRITES, 1)) return "another program, such as a virtual machine, has it open for writing";
  if (byOpening && isOpenElsewhere(fd, { forWriting: true })) return "another program has it open for writing";
  return "";
}
