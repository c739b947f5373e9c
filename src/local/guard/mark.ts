/**
 * By what a disk is known again when it has another name: the kernel gives /dev/sdb to whatever comes next. From sysfs alone, which
 * says the same on a rescue system as where udev runs.
 */
import type fs from "node:fs";
import { join } from "../../paths.ts";
import { deviceNumber, SysDevice } from "../system/picture.ts";
import { pageSerial, upwards } from "./facts.ts";

/** Bytes of a mark. */
export const MARK_SIZE = 16;
/** Of what nothing lasting is known: a file, which has its name, or a device without any number of its own. */
export const UNMARKED: Uint8Array = new Uint8Array(MARK_SIZE);

/** What stays of a device over reboots and other names (Documentation/ABI/stable/sysfs-block and testing/sysfs-class-nvme); "" for nothing. */
function lastingText(device: SysDevice): string {
  if (device.disk !== undefined) {
    const disk = lastingText(new SysDevice(device.disk));
    return disk === "" ? "" : `${disk} from ${device.place.start}`;
  }
  const mapped = device.line("dm/uuid");
  if (mapped !== undefined) return mapped;
  const { backingPath: path } = device;
  if (path !== undefined) return path.endsWith(" (deleted)") ? "" : `loop ${path} from ${device.backingPart.offset}`;
  const numbers = [
    device.line("wwid"),
    device.line("device/wwid"),
    device.line("serial"),
    device.line("device/serial"),
    pageSerial(device),
    device.folder?.includes("/usb") === true ? upwards(join(device.folder, ".."), "serial") : undefined,
  ];
  return numbers.find((number) => number !== undefined && number !== "") ?? "";
}

/** MARK_SIZE bytes, equal for one disk under any name and on any boot; UNMARKED where that cannot be known. */
export function markOf(stat: Pick<fs.BigIntStats, "isBlockDevice" | "rdev"> | undefined): Uint8Array {
  if (stat?.isBlockDevice() !== true) return UNMARKED;
  const text = lastingText(new SysDevice(deviceNumber(stat.rdev)));
  if (text === "") return UNMARKED;
  return Uint8Array.from(new Bun.CryptoHasher("sha256").update(text).digest().subarray(0, MARK_SIZE));
}

/** Whether two marks are of two disks; false where either says nothing. */
export function areOfTwo(a: Uint8Array, b: Uint8Array): boolean {
  return isMarked(a) && isMarked(b) && !isSame(a, b);
}

/** Whether two marks are of one disk; false where either says nothing. */
export function areOfOne(a: Uint8Array, b: Uint8Array): boolean {
  return isMarked(a) && isSame(a, b);
}

function isMarked(mark: Uint8Array): boolean {
  return !isSame(mark, UNMARKED);
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.from(a).equals(b);
}
