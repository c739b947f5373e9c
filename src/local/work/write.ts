/** Leaves of blocks onto a device. */
import { leafRuns } from "../../sync/blocks.ts";
import type { BlockData } from "../../sync/endpoint.ts";
import type { ByteRange } from "../../sync/ranges.ts";
import type { Device } from "../medium/device.ts";
import { writeBytes } from "./jobs.ts";

/** Writes the leaves of the blocks at a place, and makes others zero, see Device.zero(). Returns the bytes that were written as data. */
export async function writeLeaves(
  device: Device,
  { offset, length }: ByteRange,
  { leaves, zeros, bytes }: Pick<BlockData, "leaves" | "zeros" | "bytes">,
  discard: boolean,
): Promise<number> {
  let written = 0;
  for (const run of leafRuns(leaves, length)) {
    await writeBytes(device, bytes.subarray(written, written + run.length), offset + run.offset);
    written += run.length;
  }
  for (const run of leafRuns(zeros, length)) {
    if (await device.zero(offset + run.offset, run.length, discard)) continue;
    await device.write(new Uint8Array(run.length), offset + run.offset);
    written += run.length;
  }
  return written;
}
