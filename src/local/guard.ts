/** What may not be a destination, decided on the machine that owns it before anything is opened for writing. */
import fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { IoError, RefusedError, reason } from "../errors.ts";
import { kindOf, statPath } from "./stat.ts";

/**
 * Refuses destinations that are neither a regular file nor a block device, and files that would come into being under
 * /dev: a mistyped device name would fill the memory behind /dev and look like success. /dev/shm is meant for files.
 * Returns what stat says of it, undefined when nothing is there.
 * @throws {RefusedError} {IoError} when the path cannot be examined.
 */
export function guardDestination(path: string, label: string): fs.BigIntStats | undefined {
  const name = JSON.stringify(label);
  const stat = statPath(path, label);
  if (stat === undefined) {
    const real = realTarget(path, label);
    if ((real === "/dev" || real.startsWith("/dev/")) && !real.startsWith("/dev/shm/")) {
      throw new RefusedError(`Refused to create ${name}: there is no such device (missing-device)`, {
        hint: "nothing is ever created under /dev; lsblk lists the block devices",
      });
    }
    return undefined;
  }
  const kind = kindOf(stat);
  if (typeof kind === "object") {
    throw new RefusedError(`Refused to write to ${name}: it is ${kind.unusable} (not-a-disk)`, {
      hint: "the destination is a regular file or a block device",
    });
  }
  return stat;
}

function realTarget(path: string, label: string): string {
  try {
    return join(fs.realpathSync(dirname(path)), basename(path));
  } catch (error) {
    throw new IoError(`Cannot create ${JSON.stringify(label)}: ${reason(error)}`, { cause: error });
  }
}
