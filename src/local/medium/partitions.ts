/**
 * Lets the kernel know about the partition table that a run has written. That can be anywhere: the parts of an extended
 * partition are a chain of records throughout it, a GPT has a copy at the disk's end, others (Amiga, LDM) have places of
 * their own (block/partitions/ of the kernel). So whatever was written to a whole disk, the kernel reads its table anew, as udev
 * has it do for every program that wrote to one.
 */
import { quote } from "../../name.ts";
import type { Device } from "./device.ts";

const OUTCOMES = {
  done: (disk: string) => `The kernel reread the partition table of ${disk}`,
  busy: (disk: string) =>
    `The kernel cannot reread the partition table of ${disk} while one of its partitions is in use: run partprobe later, or restart`,
  impossible: (disk: string) => `The kernel does not look for a partition table on ${disk}`,
} as const;

/** For a whole disk. What was written is as good either way, so nothing fails here; `onNote` is told what came of it. */
export async function rereadPartitions(device: Device, onNote: (text: string) => void): Promise<void> {
  onNote(OUTCOMES[await device.rereadPartitions()](quote(device.label)));
}
