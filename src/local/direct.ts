/** Memory for reads that go around the page cache. */
import { LEAF_SIZE, SECTOR_SIZE } from "../sync/blocks.ts";

/** Direct reads want memory, offset and length to be multiples of this, or of a sector on disks that allow that (open(2)). */
export const DIRECT_LENGTH = LEAF_SIZE;

/**
 * The memory from `start` on as a direct read wants it: it may reach beyond the buffer's end into the same allocation, where
 * nothing else is. Undefined when the memory or the offset does not allow one.
 */
export function directView(buffer: Buffer, start: number, offset: number): Buffer | undefined {
  const place = buffer.byteOffset + start;
  const unit = [DIRECT_LENGTH, SECTOR_SIZE].find((size) => place % size === 0 && offset % size === 0);
  if (unit === undefined) return undefined;
  const wanted = buffer.length - start;
  // A sector of its own is read as such; the end of a block up to a full page.
  const length =
    Math.ceil(wanted / (wanted <= SECTOR_SIZE ? SECTOR_SIZE : unit)) * (wanted <= SECTOR_SIZE ? SECTOR_SIZE : unit);
  return place + length <= buffer.buffer.byteLength ? Buffer.from(buffer.buffer, place, length) : undefined;
}
