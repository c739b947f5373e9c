/** Who uses a file or block device on this machine: the running system, a mount, swap, a device made of it. */

import type fs from "node:fs";
import { quote } from "../../name.ts";
import { backingIdentity, deviceIdentity, deviceLayers, identityOf } from "./layers.ts";
import { mounts, swaps } from "./mounts.ts";
import { deviceNumber, look, loopDevices, SysDevice } from "./sysfs.ts";

export interface Use {
  /** The name of the refusal it is a reason for. */
  readonly name: "root-disk" | "mounted" | "swap" | "held";
  /** Goes on after "Refused to write to X: ". */
  readonly sentence: string;
  readonly hint: string;
}

/** A device that shares bytes with the one in question. */
interface Relative {
  readonly number: string;
  /** "it", "its partition sdb1", "sdb, the disk it is a part of", "vg0-root above it" */
  readonly words: string;
  /** It was made of the other. */
  readonly above: boolean;
}

const HOLDER_HINT =
  "let go of it first (losetup --detach, dmsetup remove, vgchange --activate n, mdadm --stop); lsblk shows what is above it";

/** Loop devices whose backing is this very device or file. */
function loopsOverIdentity(identity: string): string[] {
  return loopDevices()
    .filter((device) => backingIdentity(device) === identity)
    .map(({ number }) => number);
}

/** The device itself, the disk it is a part of, its partitions, and everything made of any of these. */
function relativesOf(stat: fs.BigIntStats): Relative[] {
  const number = deviceNumber(stat.rdev);
  const own = new SysDevice(number);
  const found: Relative[] = [{ number, words: "it", above: false }];
  const add = (relative: Relative) => {
    if (!found.some((one) => one.number === relative.number)) found.push(relative);
  };
  if (own.disk !== undefined) {
    add({ number: own.disk, words: `${new SysDevice(own.disk).name}, the disk it is a part of,`, above: false });
  }
  for (const part of own.partitions) {
    add({ number: part, words: `its partition ${new SysDevice(part).name}`, above: false });
  }
  for (const relative of found) {
    const device = new SysDevice(relative.number);
    const partitions = relative.above ? device.partitions : [];
    for (const above of [...device.holders, ...loopsOverIdentity(deviceIdentity(relative.number)), ...partitions]) {
      add({ number: above, words: `${new SysDevice(above).name} above it`, above: true });
    }
  }
  return found;
}

/** Every reason not to write to a block device, the weightiest first. */
function usesOfDevice(stat: fs.BigIntStats): Use[] {
  const relatives = relativesOf(stat);
  const uses: Use[] = [];
  const mounted = mounts();
  const root = mounted.findLast(({ point }) => point === "/")?.device;
  const underRoot = root === undefined ? [] : deviceLayers(root).numbers;
  const number = deviceNumber(stat.rdev);
  if (underRoot.includes(number) || (root !== undefined && root === new SysDevice(number).disk)) {
    uses.push({
      name: "root-disk",
      sentence: "the running system is on it",
      hint: "start the machine from something else, such as a rescue system, to overwrite this disk",
    });
  }
  for (const { number: one, words } of relatives) {
    const points = mounted.filter(({ device }) => device === one).map(({ point }) => quote(point));
    if (points.length === 0) continue;
    const sentence = `${words} is mounted on ${points.join(", ")}`;
    uses.push({ name: "mounted", sentence, hint: `unmount it first: umount ${points.join(" ")}` });
  }
  const swapped = swaps().map((path) => ({ path, stat: look(path) }));
  for (const { number: one, words } of relatives) {
    const path = swapped.find((swap) => swap.stat?.isBlockDevice() && deviceNumber(swap.stat.rdev) === one)?.path;
    if (path === undefined) continue;
    uses.push({
      name: "swap",
      sentence: `${words} is used as swap space`,
      hint: `turn it off first: swapoff ${quote(path)}`,
    });
  }
  for (const { number: one, above } of relatives) {
    if (above) uses.push({ name: "held", sentence: `${new SysDevice(one).name} holds it`, hint: HOLDER_HINT });
  }
  return uses;
}

/** Every reason not to write to a regular file. */
function usesOfFile(stat: fs.BigIntStats): Use[] {
  const identity = identityOf(stat);
  const uses: Use[] = [];
  for (const path of swaps()) {
    const swap = look(path);
    if (swap === undefined || identityOf(swap) !== identity) continue;
    uses.push({
      name: "swap",
      sentence: "it is used as swap space",
      hint: `turn it off first: swapoff ${quote(path)}`,
    });
  }
  for (const loop of loopsOverIdentity(identity)) {
    const { name } = new SysDevice(loop);
    const sentence = `the loop device ${name} is attached to it`;
    uses.push({ name: "held", sentence, hint: `detach it first: losetup --detach /dev/${name}` });
  }
  return uses;
}

/** Every reason not to write to what `stat` is of, the weightiest first. */
export function usesOf(stat: fs.BigIntStats): Use[] {
  return stat.isBlockDevice() ? usesOfDevice(stat) : usesOfFile(stat);
}
