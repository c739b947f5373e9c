/** Who can have written a file, for what is believed or run because of what it says. */
import type fs from "node:fs";

const ROOT = 0;

/** Whether this user alone can write there, or with `orRoot` root besides. */
export function isPrivate({ uid, mode }: fs.Stats, orRoot = false): boolean {
  return (uid === process.geteuid?.() || (orRoot && uid === ROOT)) && (mode & 0o022) === 0;
}
