/** The things of the picture: block devices, known by their number, and files, known by file system and inode. */
import fs from "node:fs";
import { bytesOf } from "../../name.ts";
import { mountIdOf } from "./mounts.ts";
import { deviceNumber, look, readLine } from "./sysfs.ts";

export interface DeviceNode {
  readonly kind: "device";
  readonly identity: string;
  /** "MAJOR:MINOR" */
  readonly number: string;
}

export interface FileNode {
  readonly kind: "file";
  readonly identity: string;
  /** "MAJOR:MINOR" of its file system as stat tells it. */
  readonly number: string;
  /** The mount by which it was found; undefined where nobody could tell. */
  readonly mountId: string | undefined;
  /** Where it can be opened, which is no part of what it is; undefined where it has no such name. */
  readonly path: string | undefined;
}

export type Node = DeviceNode | FileNode;

let boot: string | undefined;

/** The boot, so that equal numbers mean the same thing only on the same running system. */
function bootId(): string {
  boot ??= readLine("/proc/sys/kernel/random/boot_id") ?? "";
  return boot;
}

export function deviceNode(number: string): DeviceNode {
  return { kind: "device", identity: `${bootId()} block ${number}`, number };
}

/** The identity of a file by the numbers that stat tells. */
export function fileIdentity(dev: bigint, ino: bigint): string {
  return `${bootId()} file ${dev} ${ino}`;
}

/** Equal for two names exactly when they mean the same file or device on the same running system. */
export function identityOf(stat: fs.BigIntStats): string {
  return stat.isBlockDevice() ? deviceNode(deviceNumber(stat.rdev)).identity : fileIdentity(stat.dev, stat.ino);
}

/** What is open behind `fd`. */
export function nodeOf(fd: number, stat: fs.BigIntStats, path: string | undefined): Node {
  if (stat.isBlockDevice()) return deviceNode(deviceNumber(stat.rdev));
  const number = deviceNumber(stat.dev);
  return { kind: "file", identity: identityOf(stat), number, mountId: mountIdOf(fd), path };
}

/** Only to be examined, which needs no permission to read and does nothing to a device (open(2)). */
const O_PATH = 0o10000000;

/** What `use` makes of the file, folder or node at `path`, opened with `flags`; undefined where it cannot be opened. */
export function withOpen<T>(path: string, use: (fd: number) => T, flags = O_PATH): T | undefined {
  let fd: number;
  try {
    fd = fs.openSync(bytesOf(path), flags | fs.constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    return use(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** Undefined where the file system does not answer any more, as of a FUSE program that has ended since (ECONNABORTED). */
function statOf(fd: number): fs.BigIntStats | undefined {
  try {
    return fs.fstatSync(fd, { bigint: true });
  } catch {
    return undefined;
  }
}

/** The block device, file or folder at `path`; undefined where nothing of that is found. */
export function nodeAt(path: string): Node | undefined {
  const stat = look(path);
  if (stat === undefined) return undefined;
  if (stat.isBlockDevice()) return deviceNode(deviceNumber(stat.rdev));
  return withOpen(path, (fd) => {
    const found = statOf(fd);
    return found === undefined ? undefined : nodeOf(fd, found, path);
  });
}
