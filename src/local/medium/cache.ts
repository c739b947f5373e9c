/** The page caches that lie between a file or device and its medium: its own, and those of the files below loop devices. */
import fs from "node:fs";
import { aside } from "../kernel/aside.ts";
import { nodeOf, Picture } from "../system/picture.ts";
import { Descriptor } from "./descriptor.ts";

/**
 * Drops what is clean in the caches of `file` and of all that lies below it, from above to below. With `lost`, after a failed
 * write-back, what is left to be written is tried first: fsync() may return at an error while other pages are still on their
 * way (file_write_and_wait_range() in mm/filemap.c), and what fails later would stay. Its result is nobody's success.
 * Returns whether every cache was reached; a file below may be out of sight, in another mount namespace or removed.
 */
export async function dropCaches(file: Descriptor, { lost }: { readonly lost: boolean }): Promise<boolean> {
  await dropOne(file, lost);
  let all = true;
  for (const path of backingsOf(file)) {
    const below =
      path === undefined ? undefined : await Descriptor.open(path, fs.constants.O_RDONLY).catch(() => undefined);
    if (below === undefined) {
      all = false;
      continue;
    }
    await dropOne(below, lost);
    await below.close();
  }
  return all;
}

/**
 * To be called before a destination is compared. What is lost in its own cache the next fsync() tells, also after whoever wrote
 * it was killed: an error that nobody was told yet is told to who opens the file later (errseq_sample() in lib/errseq.c). What
 * is lost in the cache of the file below a loop device is told to that device, whose own fsync() at the end of the run tells it
 * too. But a file system between the two may have been told, by the flush of a sync(2) that drops the error, so what lies
 * below one is compared from the medium. Not so the one file below a loop device: of 2 GiB that costs the warm cache.
 */
export async function dropCachesOfStack(file: Descriptor): Promise<void> {
  const own = file.stat().isBlockDevice() ? 1 : 0;
  if (backingsOf(file).length > own) await dropCaches(file, { lost: true });
}

function backingsOf(file: Descriptor): (string | undefined)[] {
  return new Picture().backings(nodeOf(file.fd, file.stat(), undefined));
}

async function dropOne(file: Descriptor, lost: boolean): Promise<void> {
  if (lost) await file.flushData().catch(() => undefined);
  if (file.stat().isBlockDevice()) await file.look(aside.dropBuffers);
  await file.look((fd) => aside.dropCache(fd, 0, 0));
}
