/**
 * Lets the kernel know about the partition table that a run has written. That can be anywhere: the parts of an extended
 * partition are a chain of records throughout it, a GPT has a copy at the disk's end, others (Amiga, LDM) have places of
 * their own (block/partitions/ of the kernel). So whatever was written to a whole disk, the kernel reads its table anew, as udev
 * has it do for every program that wrote to one.
 */
import { quote } from "../../name.ts";
import type { Device } from "./device.ts";

const OUTCOMES = {
  done: "has read the partition table anew",
  busy: "cannot read the partition table anew while a part of it is in use; partprobe or a restart does it later",
  impossible: "looks for no partition table there",
} as const;

/** For a whole disk. What was written is as good either way, so nothing fails here; `onNote` is told what came of it. */
export async function rereadPartitions(device: Device, onNote: (text: string) => void): Promise<void> {
  onNote(`The kernel of ${quote(device.label)} ${OUTCOMES[await device.rereadPartitions()]}`);
}
