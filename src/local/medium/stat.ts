/** What a path leads to, before it is opened. */

import fs from "node:fs";
import { cannot, IoError, systemCode } from "../../errors.ts";
import { bytesOf, quote } from "../../name.ts";

export type DeviceKind = "file" | "device";

/** What stat says of `path`, or undefined when nothing is there. */
export function statPath(path: string, label: string): fs.BigIntStats | undefined {
  try {
    return fs.statSync(bytesOf(path), { bigint: true });
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw cannot("open", label, error);
  }
}

/** "file", "device", or in words what else it is. */
export function kindOf(stat: fs.BigIntStats): DeviceKind | { readonly unusable: string } {
  if (stat.isFile()) return "file";
  if (stat.isBlockDevice()) return "device";
  if (stat.isDirectory()) return { unusable: "a directory" };
  if (stat.isCharacterDevice()) return { unusable: "a character device" };
  if (stat.isFIFO()) return { unusable: "a named pipe" };
  if (stat.isSocket()) return { unusable: "a socket" };
  return { unusable: "neither a regular file nor a block device" };
}

/** What to name instead of what kindOf() found. */
const INSTEAD: Readonly<Record<string, string>> = {
  "a directory": "name a regular file or a block device; to copy the files in a directory use rsync",
  "a named pipe": "blocksync reads blocks in any order, and more than once: save its output to a file and use that",
  "a character device": "name a block device (lsblk shows them) or a regular file; to fill a device with zeros use dd",
};

/** What kindOf() found cannot be read, nor anything in its place. */
export function unusable(label: string, what: string): IoError {
  return new IoError(`Cannot open ${quote(label)}: it is ${what}`, {
    hint: INSTEAD[what] ?? "name a regular file or a block device",
  });
}
