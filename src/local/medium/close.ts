/**
 * Finds out whether closing would succeed before it is too late: some file systems (FUSE, NFS, CIFS) report only at
 * close() that they could not store what was written. Bun's close() hides every such error (measured with 1.4.5: EIO,
 * ENOSPC and EDQUOT look like success). The kernel calls the file system's flush() whenever a descriptor is closed
 * (filp_close() in fs/open.c), so closing a copy reports the same error, and the file stays open and claimed.
 */
import fs from "node:fs";
import { constants } from "node:os";
import { aside } from "../kernel/aside.ts";

/** Numbers of file systems (statfs(2)) that have no flush() and so nothing to say at close(), of which most disks are. */
const SILENT: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // xfs
  0x9123683e, // btrfs
  0xf2f52010, // f2fs
  0x01021994, // tmpfs, and devtmpfs, where the nodes of devices are
]);

/**
 * Closes a copy of `fd`, aside: a file system behind a slow network may take as long as it likes.
 * @throws the system's error.
 */
export async function closeCopy(fd: number): Promise<void> {
  if (isSilent(fd)) return;
  const errno = await aside.closeCopyOf(fd);
  if (errno !== 0) throw Object.assign(new Error(`closing it failed with error ${errno}`), { code: codeOf(errno) });
}

function codeOf(errno: number): string | undefined {
  return Object.entries(constants.errno).find(([, value]) => value === errno)?.[0];
}

function isSilent(fd: number): boolean {
  try {
    return fs.fstatSync(fd).isBlockDevice() || SILENT.has(fs.statfsSync(`/proc/self/fd/${fd}`).type);
  } catch {
    return false;
  }
}
