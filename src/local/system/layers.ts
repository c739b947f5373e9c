/**
 * What a file or block device is called system-wide, and what it lies within: a partition in its disk, a mapped or RAID
 * device in its members, a loop device in its backing file, a file in the device of its file system.
 */
import type fs from "node:fs";
import { dirname } from "../../paths.ts";
import { mounts } from "./mounts.ts";
import { deviceNumber, look, readLine, SysDevice } from "./sysfs.ts";

/** The boot, so that equal numbers mean the same thing only on the same running system. */
function bootId(): string {
  return readLine("/proc/sys/kernel/random/boot_id") ?? "";
}

/** The identity of a block device by its number. */
export function deviceIdentity(number: string): string {
  return `${bootId()} block ${number}`;
}

/** Equal for two names exactly when they mean the same file or device on the same running system. */
export function identityOf(stat: fs.BigIntStats): string {
  if (stat.isBlockDevice()) return deviceIdentity(deviceNumber(stat.rdev));
  return `${bootId()} file ${stat.dev} ${stat.ino}`;
}

/** The device number of the file system that a file is in; undefined where it is in none of a block device. */
export function fileSystemDevice(stat: fs.BigIntStats): string | undefined {
  const number = deviceNumber(stat.dev);
  if (!number.startsWith("0:")) return number;
  return mounts().find((mount) => mount.number === number)?.device;
}

/** The device numbers right below one, and the identity of a file right below it. */
function below(number: string): { numbers: string[]; file: string | undefined } {
  const device = new SysDevice(number);
  const { members, disk, backingNumber, backingFile } = device;
  const holding = backingFile === undefined ? undefined : fileSystemDevice(backingFile);
  const numbers = [...members, disk, backingNumber, holding].filter((one) => one !== undefined);
  return { numbers, file: backingFile === undefined ? undefined : identityOf(backingFile) };
}

/** The identity of the file or device that a loop device lies over. */
export function backingIdentity({ backingNumber, backingFile }: SysDevice): string | undefined {
  if (backingNumber !== undefined) return deviceIdentity(backingNumber);
  return backingFile === undefined ? undefined : identityOf(backingFile);
}

/** Paths of the files and devices behind the loop devices that a file or device lies on, from above to below. */
export function backingFilesOf(stat: fs.BigIntStats): string[] {
  const start = stat.isBlockDevice() ? deviceNumber(stat.rdev) : fileSystemDevice(stat);
  if (start === undefined) return [];
  const { numbers } = deviceLayers(start);
  return numbers.map((number) => new SysDevice(number).backingPath).filter((path) => path !== undefined);
}

/** The numbers of a device and of all devices it lies within, and the identities of files on the way down. */
export function deviceLayers(number: string): { numbers: string[]; files: string[] } {
  const numbers = [number];
  const files: string[] = [];
  for (const next of numbers) {
    const found = below(next);
    if (found.file !== undefined) files.push(found.file);
    numbers.push(...found.numbers.filter((one) => !numbers.includes(one)));
  }
  return { numbers, files };
}

/** Identities of everything that a file or block device lies within. */
export function layersOf(stat: fs.BigIntStats): string[] {
  const own = stat.isBlockDevice() ? deviceNumber(stat.rdev) : undefined;
  const start = own ?? fileSystemDevice(stat);
  if (start === undefined) return [];
  const { numbers, files } = deviceLayers(start);
  return [...files, ...numbers.filter((one) => one !== own).map(deviceIdentity)];
}

/** Identities of everything that a file to be created at `path` will lie within. */
export function layersOfNew(path: string): string[] {
  const folder = look(dirname(path));
  return folder === undefined ? [] : layersOf(folder);
}
