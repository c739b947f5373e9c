/** Whether two names of this machine lead to the same bytes, whatever they are called. */
import { shareBytes, wholeOf } from "../../sync/extents.ts";
import { nodeAt, Picture } from "../system/picture.ts";

/**
 * Whether what is written to `path` lands in what `other` leads to: they are one file or device, or one is a loop device
 * over the other, a part of it, or something made of it. Not where a file only lies in the file system of a device: to write
 * the log of a backup to the disk that is backed up is usual. False where nothing is at one of them.
 */
export function writesInto(path: string, other: string): boolean {
  const [own, theirs] = [nodeAt(path), nodeAt(other)];
  if (own === undefined || theirs === undefined) return false;
  const picture = new Picture();
  const ours = [wholeOf(own.identity), ...(own.kind === "device" ? picture.within(own) : [])];
  return shareBytes(ours, [wholeOf(theirs.identity), ...picture.within(theirs)]);
}
