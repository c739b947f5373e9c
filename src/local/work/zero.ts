/** Tells zeros from data. Compares with a run of zeros (memcmp, 45 GB/s) instead of looping over bytes. */
import { MAX_BLOCK_SIZE } from "../../sync/blocks.ts";

let zeros: Buffer = Buffer.alloc(4096);

/** True when every byte is zero; `bytes` has at most MAX_BLOCK_SIZE bytes. An empty run is zero. */
export function isZero(bytes: Buffer): boolean {
  if (bytes.length === 0) return true;
  if (bytes[0] !== 0 || bytes[bytes.length - 1] !== 0) return false;
  if (bytes.length > MAX_BLOCK_SIZE) throw new RangeError(`Invalid length ${bytes.length}`);
  if (zeros.length < bytes.length) zeros = Buffer.alloc(bytes.length);
  return bytes.equals(zeros.subarray(0, bytes.length));
}
