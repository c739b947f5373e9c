/** Why a file or device is not opened, or could be and is not used. */
import {
  cannot,
  type Failure,
  IoError,
  type RefusedError,
  refused,
  refusedDestination,
  systemCode,
} from "../../errors.ts";
import { quote } from "../../name.ts";
import type { DeviceKind } from "./stat.ts";

/** "join": as "write", for a device that this run has claimed already, or may share with whoever has. */
export type OpenMode = "read" | "write" | "join" | "create";

/** Nothing is there to be read. */
const NOT_FOUND = "check the name (ls, lsblk); in a sync the source comes first, then the destination";

/** What open(2) failed with, for what was `kind` right before; undefined: nothing was there. */
export function notOpened(error: unknown, label: string, mode: OpenMode, kind: DeviceKind | undefined): Failure {
  const code = systemCode(error) ?? "";
  if (kind === "device" && mode === "write" && code === "EBUSY") {
    const hint =
      "stop whatever uses it (lsblk, swapon and dmsetup ls show it, lsns --type mnt a container), then run again";
    return refusedDestination(label, "in-use", "the device is mounted or in use", hint);
  }
  const writes = mode === "write" || mode === "join";
  if (kind === "device" && writes && ["EROFS", "EACCES"].includes(code) && process.getuid?.() === 0)
    return readOnly(label);
  return cannot(mode === "create" ? "create" : "open", label, error, code === "ENOENT" ? NOT_FOUND : undefined);
}

/** A card reader without a card, a loop or nbd device with nothing attached: equal to nothing would mean cut to nothing. */
export function empty(label: string): RefusedError {
  const hint = "insert a medium, or attach the device (losetup, nbd-client); lsblk then shows its size";
  return refused("use", label, "no-medium", "the device has a size of 0 bytes", hint);
}

/** What Bun's ftruncate() takes at most; beyond 2^53 numbers have gaps. */
export const MAX_SIZE = 2 ** 52 - 1;

/** Sparse files can have more (tmpfs, XFS), and devices that are made up (dm-zero). */
export function tooLong(label: string, sizeBytes: number): IoError {
  return new IoError(
    `Cannot use ${quote(label)}: it has ${sizeBytes} bytes, and blocksync supports at most ${MAX_SIZE}`,
    {
      hint: "cut a sparse file to the data it holds (truncate -s)",
    },
  );
}

/** What the kernel makes up while it is read (proc(5)), and files of some FUSE file systems: equal to nothing they are not. */
export function sizeless(label: string): RefusedError {
  const hint = "its content is generated as it is read: save it to a file first (cat) and use that";
  return refused("use", label, "no-size", "it reports a size of 0 bytes but has data", hint);
}

export function readOnly(label: string): RefusedError {
  const hint = "remove the write protection: the switch on a card, or blockdev --setrw";
  return refusedDestination(label, "read-only", "the device is read-only", hint);
}
