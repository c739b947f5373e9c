/** Why a file or device that could be opened is not used. */
import { type RefusedError, refused, refusedDestination } from "../errors.ts";

/** A card reader without a card, a loop or nbd device with nothing attached: equal to nothing would mean cut to nothing. */
export function empty(label: string): RefusedError {
  const hint = "put a medium in, or attach what it stands for (losetup, nbd-client): lsblk shows a size then";
  return refused("use", label, "no-medium", "the device has a size of 0 bytes", hint);
}

/** What the kernel makes up while it is read (proc(5)), and files of some FUSE file systems: equal to nothing they are not. */
export function sizeless(label: string): RefusedError {
  const hint = "copy it to a file first (cat), and name that";
  return refused("use", label, "no-size", "it says that it has 0 bytes, and more can be read", hint);
}

export function readOnly(label: string): RefusedError {
  const hint = "take off its write protection: the switch of a card, or blockdev --setrw";
  return refusedDestination(label, "read-only", "the device is read-only", hint);
}
