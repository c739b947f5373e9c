/** Tells zeros from data. Compares with a run of zeros (memcmp, 45 GB/s) instead of looping over bytes. */
import { MAX_BLOCK_SIZE } from "../../sync/blocks.ts";

let zeros: Buffer = Buffer.alloc(4096);

/** True when every byte from `start` to `end` is zero, at most MAX_BLOCK_SIZE of them. An empty run is zero. */
export function isZero(bytes: Buffer, start = 0, end = bytes.length): boolean {
  const length = end - start;
  if (length === 0) return true;
  if (bytes[start] !== 0 || bytes[end - 1] !== 0) return false;
  if (length > MAX_BLOCK_SIZE) throw new RangeError(`Invalid length ${length}`);
  if (zeros.length < length) zeros = Buffer.alloc(length);
  return bytes.compare(zeros, 0, length, start, end) === 0;
}
