/**
 * What a file or block device is called system-wide, and what it lies within: a partition in its disk, a mapped or RAID
 * device in its members, a loop device in its backing file (sysfs, Documentation/ABI/stable/sysfs-block).
 */
import fs from "node:fs";
import { join } from "node:path";

/** The boot, so that equal numbers mean the same thing only on the same running system. */
function bootId(): string {
  try {
    return fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
}

/** "MAJOR:MINOR" of a device number, as sysfs writes it (gnu_dev_major(3)). */
function deviceNumber(rdev: bigint): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

/** Equal for two names exactly when they mean the same file or device on the same running system. */
export function identityOf(stat: fs.BigIntStats): string {
  const name = stat.isBlockDevice() ? `block ${deviceNumber(stat.rdev)}` : `file ${stat.dev} ${stat.ino}`;
  return `${bootId()} ${name}`;
}

function readLine(path: string): string | undefined {
  try {
    return fs.readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}

function namesIn(path: string): string[] {
  try {
    return fs.readdirSync(path);
  } catch {
    return [];
  }
}

/** The device numbers right below one, and the identity of a file right below it. */
function below(number: string): { numbers: string[]; file: string | undefined } {
  const folder = `/sys/dev/block/${number}`;
  const numbers = namesIn(join(folder, "slaves")).map((name) => readLine(join(folder, "slaves", name, "dev")));
  // The folder is a link into the device tree, where a partition stands in its disk's folder.
  if (readLine(join(folder, "partition")) !== undefined)
    numbers.push(readLine(join(fs.realpathSync(folder), "../dev")));
  const backing = readLine(join(folder, "loop/backing_file"));
  let file: string | undefined;
  try {
    const stat = backing === undefined ? undefined : fs.statSync(backing, { bigint: true });
    if (stat?.isBlockDevice() === true) numbers.push(deviceNumber(stat.rdev));
    else if (stat !== undefined) file = identityOf(stat);
  } catch {
    // The backing file was removed; nothing can be named that way then.
  }
  return { numbers: numbers.filter((value) => value !== undefined), file };
}

/** Paths of the regular files behind a loop device, directly or below others. */
export function backingFilesOf(stat: fs.BigIntStats): string[] {
  if (!stat.isBlockDevice()) return [];
  const queue = [deviceNumber(stat.rdev)];
  const files: string[] = [];
  for (const number of queue) {
    const backing = readLine(`/sys/dev/block/${number}/loop/backing_file`);
    if (backing !== undefined) files.push(backing);
    queue.push(...below(number).numbers.filter((next) => !queue.includes(next)));
  }
  return files;
}

/** Identities of everything that a block device lies within; nothing for a regular file. */
export function layersOf(stat: fs.BigIntStats): string[] {
  if (!stat.isBlockDevice()) return [];
  const found = new Set<string>();
  const queue = [deviceNumber(stat.rdev)];
  const seen = new Set(queue);
  for (const number of queue) {
    const { numbers, file } = below(number);
    if (file !== undefined) found.add(file);
    for (const next of numbers) {
      found.add(`${bootId()} block ${next}`);
      if (!seen.has(next)) queue.push(next);
      seen.add(next);
    }
  }
  return [...found];
}
