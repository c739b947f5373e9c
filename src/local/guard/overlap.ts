/** Whether two names of this machine lead to the same bytes, whatever they are called. */
import { shareBytes, wholeOf } from "../../sync/extents.ts";
import { nodeAt, Picture } from "../system/picture.ts";

/**
 * Whether a write to `path` lands in what `other` leads to: both are one file or device, or one is a loop device over
 * the other, a partition of it, or a device built on it. A file that merely lies in a device's file system does not
 * count: it is common to write a backup's log to the disk being backed up. False when there is nothing at one of the
 * paths.
 */
export function writesInto(path: string, other: string): boolean {
  const [own, theirs] = [nodeAt(path), nodeAt(other)];
  if (own === undefined || theirs === undefined) return false;
  const picture = new Picture();
  const ours = [wholeOf(own.identity), ...(own.kind === "device" ? picture.within(own) : [])];
  return shareBytes(ours, [wholeOf(theirs.identity), ...picture.within(theirs)]);
}
