/**
 * Looks at a zstd frame without expanding it (RFC 8878, section 3.1.1), so that what a peer sent can be refused before
 * it costs memory: Bun expands any number of frames one after the other to whatever they hold (measured).
 */

const MAGIC = 0xfd2fb528;
const RLE_BLOCK = 1;
const RESERVED_BLOCK = 3;
const BLOCK_HEADER_SIZE = 3;

/**
 * The size that `bytes`, exactly one complete frame, says it expands to. undefined when they are anything else, or the
 * frame does not say its size or needs a dictionary.
 */
export function zstdContentSize(bytes: Uint8Array): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 6 || view.getUint32(0, true) !== MAGIC) return undefined;
  const descriptor = view.getUint8(4);
  const singleSegment = (descriptor & 0x20) !== 0;
  const hasReservedBit = (descriptor & 0x08) !== 0;
  const hasDictionary = (descriptor & 0x03) !== 0;
  if (hasReservedBit || hasDictionary) return undefined;
  const sizeFlag = descriptor >> 6;
  const sizeLength = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << sizeFlag;
  const sizeStart = 5 + (singleSegment ? 0 : 1);
  if (sizeLength === 0 || bytes.length < sizeStart + sizeLength) return undefined;
  const end = frameEnd(view, sizeStart + sizeLength) + ((descriptor & 0x04) !== 0 ? 4 : 0);
  if (end !== bytes.length) return undefined;
  switch (sizeLength) {
    case 1:
      return view.getUint8(sizeStart);
    case 2:
      return view.getUint16(sizeStart, true) + 256;
    case 4:
      return view.getUint32(sizeStart, true);
    default: {
      const size = Number(view.getBigUint64(sizeStart, true));
      return Number.isSafeInteger(size) ? size : undefined;
    }
  }
}

/** Walks the blocks from `start`; returns where the last one ends, NaN when one is damaged or incomplete. */
function frameEnd(view: DataView, start: number): number {
  let position = start;
  while (position + BLOCK_HEADER_SIZE <= view.byteLength) {
    const header = view.getUint8(position) | (view.getUint8(position + 1) << 8) | (view.getUint8(position + 2) << 16);
    const type = (header >> 1) & 3;
    if (type === RESERVED_BLOCK) return Number.NaN;
    position += BLOCK_HEADER_SIZE + (type === RLE_BLOCK ? 1 : header >> 3);
    if ((header & 1) !== 0) return position;
  }
  return Number.NaN;
}
