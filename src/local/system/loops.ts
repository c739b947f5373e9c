/** Loop devices and what each of them lies over. */
import fs from "node:fs";
import { basename, dirname } from "../../paths.ts";
import { type LoopStatus, loopStatus } from "../kernel/libc.ts";
import { deviceNode, fileIdentity, type Node, nodeAt, withOpen } from "./nodes.ts";
import { deviceNumber, devicesNamed, readLine, type SysDevice } from "./sysfs.ts";

export interface Loop {
  readonly number: string;
  /** What it lies over; undefined where neither the kernel nor a path tells. */
  readonly backing: Node | undefined;
  /** Its bytes are [start, end) of that; `end` is undefined where they go on to its end. */
  readonly start: number;
  readonly end: number | undefined;
}

function statusOf(device: SysDevice): LoopStatus | undefined {
  const { node } = device;
  return node === undefined ? undefined : withOpen(node, loopStatus, fs.constants.O_RDONLY);
}

/**
 * By the kernel's own numbers of it: its path may since be another file's, or nobody's (renamed, removed, under a mount, of
 * another mount namespace).
 */
function backingByStatus({ dev, ino, rdev }: LoopStatus): Node {
  if (rdev !== 0n) return deviceNode(deviceNumber(rdev));
  const identity = fileIdentity(dev, ino);
  return { kind: "file", identity, number: deviceNumber(dev), mountId: undefined, path: undefined };
}

/** By the path alone. A device's name is the kernel's, which in a container can be another's. */
function backingByPath(path: string): Node | undefined {
  const number = dirname(path) === "/dev" ? readLine(`/sys/class/block/${basename(path)}/dev`) : undefined;
  return number === undefined ? nodeAt(path) : deviceNode(number);
}

/**
 * What the loop device with this place in sysfs is attached to; undefined for one that is not attached, and for any other
 * device. Its file's file system is asked, and may not answer.
 */
export function attached(device: SysDevice): Loop | undefined {
  const path = device.backingPath;
  if (path === undefined) return undefined;
  const status = statusOf(device);
  const backing = status === undefined ? backingByPath(path) : backingByStatus(status);
  const { offset, sizeLimit } = status ?? device.backingPart;
  const end = sizeLimit === 0 ? undefined : offset + sizeLimit;
  return { number: device.number, backing, start: offset, end };
}

/** The same, its file with the path that leads there, if it does. */
export function loopOf(device: SysDevice): Loop | undefined {
  const loop = attached(device);
  if (loop?.backing?.kind !== "file") return loop;
  const named = nodeAt(device.backingPath ?? "");
  return named?.identity === loop.backing.identity ? { ...loop, backing: named } : loop;
}

/** All that are attached. */
export function loopDevices(): SysDevice[] {
  // The folder is there while it is attached (loop_sysfs_init() in drivers/block/loop.c); most are not.
  return devicesNamed("loop", "loop").filter(({ backingPath }) => backingPath !== undefined);
}
