/** What may not be a destination, decided on the machine that owns it before anything is opened for writing. */

import type fs from "node:fs";
import { cannot, type RefusedError, refused, refusedDestination, systemCode } from "../../errors.ts";
import { quote } from "../../name.ts";
import { basename, dirname, join, linkText, realPath } from "../../paths.ts";
import { kindOf, statPath } from "../medium/stat.ts";
import { look } from "../system/picture.ts";

/**
 * Refuses destinations that are neither a regular file nor a block device, and new files under /dev: a mistyped device
 * name would fill the memory behind /dev and look like success. /dev/shm is meant for files. Returns the destination's
 * stat, or undefined when nothing is there.
 * @throws {RefusedError}
 * @throws {IoError} when the path cannot be examined.
 */
export function guardDestination(path: string, label: string): fs.BigIntStats | undefined {
  const stat = statPath(path, label);
  if (stat === undefined) {
    guardNew(path, label);
    return undefined;
  }
  const kind = kindOf(stat);
  if (typeof kind === "object") {
    const hint = "the destination must be a regular file or a block device; for a directory, name a file in it";
    throw refusedDestination(label, "not-a-disk", `it is ${kind.unusable}`, hint);
  }
  return stat;
}

/** What may not be created, at a path where nothing is found. */
function guardNew(path: string, label: string): void {
  const real = realTarget(path, label);
  if (comesAmongDevices(real)) throw missingDevice(label);
  const link = linkedTo(real);
  if (link !== undefined) {
    const why = `it is a symbolic link to ${quote(link)}, which does not exist`;
    throw refusedDestination(
      label,
      "dangling-link",
      why,
      "create the link's target, name the target itself, or remove the link",
    );
  }
  if (path.endsWith("/")) {
    const hint = "leave out the trailing slash to create a file of that name";
    throw refused("create", label, "not-a-disk", "the trailing slash makes it a directory", hint);
  }
}

/** Whether a path without links is where device nodes are; /dev/shm is meant for files. */
export function isAmongDevices(real: string): boolean {
  return (real === "/dev" || real.startsWith("/dev/")) && !real.startsWith("/dev/shm/");
}

/** Whether a new file would be where device nodes are: in /dev, or in its file system where that is mounted once more (chroot). */
export function comesAmongDevices(real: string): boolean {
  if (isAmongDevices(real)) return true;
  if (real.startsWith("/dev/shm/")) return false;
  const [folder, devices, root] = [dirname(real), "/dev", "/"].map((path) => look(path)?.dev);
  return folder !== undefined && folder === devices && devices !== root;
}

/** A path without links that a new one would be at if all of its folders were there; undefined where not even "/" is. */
function nearest(path: string): string | undefined {
  const folder = dirname(path);
  try {
    return join(realPath(folder), basename(path));
  } catch {
    return folder === path ? undefined : nearest(folder);
  }
}

function missingDevice(label: string): RefusedError {
  const hint = "nothing is ever created under /dev; lsblk lists the block devices";
  return refused("create", label, "missing-device", "there is no such device", hint);
}

function realTarget(path: string, label: string): string {
  try {
    return join(realPath(dirname(path)), basename(path));
  } catch (error) {
    const isMissing = systemCode(error) === "ENOENT";
    if (isMissing && comesAmongDevices(nearest(path) ?? path)) throw missingDevice(label);
    const hint = isMissing ? "create its directory first (mkdir -p), or correct the path" : undefined;
    throw cannot("create", label, error, hint);
  }
}

/** What a symbolic link says; undefined for anything else. */
function linkedTo(path: string): string | undefined {
  try {
    return linkText(path);
  } catch {
    return undefined;
  }
}
