/** Lets the kernel know about the partition table that a run has written. */
import { quote } from "../name.ts";
import type { Device } from "./device.ts";

/** Tables begin in the first sectors: the header of a GPT is the second one, which has at most 4096 bytes. */
export const PARTITION_TABLE_LENGTH = 8 << 10;

const OUTCOMES = {
  done: "has read the partition table anew",
  busy: "cannot read the partition table anew while a part of it is in use; partprobe or a restart does it later",
  impossible: "looks for no partition table there",
} as const;

/** What was written is as good either way, so nothing fails here; `onNote` is told what came of it. */
export function rereadPartitions(device: Device, onNote: (text: string) => void): void {
  if (!device.isWholeDisk) return;
  onNote(`The kernel of ${quote(device.label)} ${OUTCOMES[device.rereadPartitions()]}`);
}
