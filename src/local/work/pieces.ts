/** What a scan has to look at, cut into pieces of one read. */
import type { BlockLayout, BlockRange } from "../../sync/blocks.ts";
import type { Run, ScanOptions } from "../../sync/endpoint.ts";
import type { Device } from "../medium/device.ts";

/** Small blocks are read together up to this length: a read of 4 KiB costs nearly as much as one of 256 KiB. */
export const READ_LENGTH = 1 << 20;

type Piece = Extract<Run, { kind: "hole" | "data" }>;

/** Holes as the device tells of them, unless they are to be read, and data; what is to be read is cut. */
export function piecesOf(
  range: BlockRange,
  layout: BlockLayout,
  device: Device,
  { hashed, readHoles }: ScanOptions,
): AsyncGenerator<Piece> {
  const together = hashed ? Math.max(1, Math.floor(READ_LENGTH / layout.blockSize)) : range.count;
  return readHoles ? allData(range, together) : holesAndData(range, layout, device, together);
}

function* cut({ first, count }: BlockRange, together: number): Generator<Piece> {
  for (let done = 0; done < count; done += together)
    yield { kind: "data", first: first + done, count: Math.min(together, count - done) };
}

async function* allData(range: BlockRange, together: number): AsyncGenerator<Piece> {
  yield* cut(range, together);
}

async function* holesAndData(
  range: BlockRange,
  { blockSize, fullBlockCount }: BlockLayout,
  device: Device,
  together: number,
): AsyncGenerator<Piece> {
  const end = range.first + range.count;
  let index = range.first;
  for await (const data of device.data(index * blockSize, end * blockSize)) {
    const first = Math.min(end, Math.floor(data.start / blockSize));
    const holeEnd = Math.min(first, Math.max(fullBlockCount, index));
    if (holeEnd > index) yield { kind: "hole", first: index, count: holeEnd - index };
    index = Math.max(index, holeEnd);
    const dataEnd = Math.min(end, Math.ceil(data.end / blockSize));
    if (dataEnd > index) yield* cut({ first: index, count: dataEnd - index }, together);
    index = Math.max(index, dataEnd);
  }
  const holeEnd = Math.min(end, fullBlockCount);
  if (holeEnd > index) yield { kind: "hole", first: index, count: holeEnd - index };
  index = Math.max(index, holeEnd);
  if (end > index) yield* cut({ first: index, count: end - index }, together);
}
