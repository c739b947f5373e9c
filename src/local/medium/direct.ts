/** Memory for reads that go around the page cache. */
import { LEAF_SIZE, SECTOR_SIZE } from "../../sync/blocks.ts";

/** What a direct read wants memory, offset and length to be multiples of: enough for every disk (open(2)). */
export const DIRECT_LENGTH = LEAF_SIZE;

/**
 * Room for `length` bytes that are read directly, up to the end of the last whole unit: shared memory begins with a page
 * (measured), where a plain buffer need not.
 */
export function directBuffer(length: number): Buffer {
  const room = new SharedArrayBuffer(Math.ceil(length / DIRECT_LENGTH) * DIRECT_LENGTH);
  return Buffer.from(room, 0, length);
}

/** Units to try for a read of so many bytes: a sector of its own is read as such where the disk knows such short ones. */
export function directUnits(wanted: number): readonly number[] {
  return wanted <= SECTOR_SIZE ? [SECTOR_SIZE, DIRECT_LENGTH] : [DIRECT_LENGTH, SECTOR_SIZE];
}

/**
 * The memory from `start` on for a direct read in whole units: it may reach beyond the buffer's end into the same allocation,
 * where nothing else is. Undefined when the memory or the offset does not allow one.
 */
export function directView(buffer: Buffer, start: number, offset: number, unit: number): Buffer | undefined {
  const place = buffer.byteOffset + start;
  if (place % unit !== 0 || offset % unit !== 0) return undefined;
  const length = Math.ceil((buffer.length - start) / unit) * unit;
  return place + length <= buffer.buffer.byteLength ? Buffer.from(buffer.buffer, place, length) : undefined;
}
