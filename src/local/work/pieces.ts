/** What a scan has to look at, cut into pieces of one read. */
import { type BlockLayout, type BlockRange, TOGETHER_LENGTH } from "../../sync/blocks.ts";
import type { Run, ScanOptions } from "../../sync/endpoint.ts";
import type { Device } from "../medium/device.ts";

/** What is read with care is read so much at once, if it is in small blocks. */
export const READ_LENGTH = TOGETHER_LENGTH;
/** What a thread is given at once at most: two equal files of 2 GiB took 0.46 s by 1 MiB, 0.42 by 2, 0.39 by 4, 0.37 by 8 and 16 (2 cores). */
const MAX_JOB_LENGTH = 8 << 20;
/** A job that takes less can be longer; one that takes more should be shorter, so that progress is seen and an interruption is heard. */
const SHORT_MS = 10;
const LONG_MS = 100;

/** Blocks that a job is for at most. */
export function mostBlocks(blockSize: number): number {
  return Math.max(1, Math.floor(MAX_JOB_LENGTH / blockSize));
}

/** How much a thread is given at once: what is read quickly in longer jobs than what is slow. */
export class JobSize {
  readonly #blockSize: number;
  readonly #most: number;
  #length = READ_LENGTH;

  /** Of blocks of `blockSize`, of which a scan may be `ahead` ones ahead. */
  constructor(blockSize: number, ahead: number) {
    this.#blockSize = blockSize;
    this.#most = Math.min(MAX_JOB_LENGTH, ahead * blockSize);
  }

  /** Blocks of the next job. */
  get blocks(): number {
    return Math.max(1, Math.floor(Math.min(this.#length, this.#most) / this.#blockSize));
  }

  /** Waits for a job, and learns from how long that takes. */
  async time<T>(job: Promise<T>): Promise<T> {
    const begun = performance.now();
    const result = await job;
    const elapsedMs = performance.now() - begun;
    if (elapsedMs < SHORT_MS) this.#length = Math.min(MAX_JOB_LENGTH, this.#length * 2);
    else if (elapsedMs > LONG_MS) this.#length = Math.max(READ_LENGTH, this.#length / 2);
    return result;
  }
}

/** Cuts a range into parts of one careful read. */
export function* readsOf({ first, count }: BlockRange, blockSize: number): Generator<BlockRange> {
  const together = Math.max(1, Math.floor(READ_LENGTH / blockSize));
  for (let done = 0; done < count; done += together)
    yield { first: first + done, count: Math.min(together, count - done) };
}

type Piece = Extract<Run, { kind: "hole" | "data" }>;

/** Holes as the device tells of them, unless they are to be read, and data; what is to be hashed is cut as `size` says. */
export async function* piecesOf(
  ranges: readonly BlockRange[],
  layout: BlockLayout,
  device: Device,
  { hashed, readHoles }: ScanOptions,
  size: JobSize,
): AsyncGenerator<Piece> {
  for (const range of ranges) {
    const together = () => (hashed ? size.blocks : range.count);
    yield* readHoles ? cut(range, together) : holesAndData(range, layout, device, together);
  }
}

function* cut({ first, count }: BlockRange, together: () => number): Generator<Piece> {
  for (let done = 0; done < count; ) {
    const part = Math.min(together(), count - done);
    yield { kind: "data", first: first + done, count: part };
    done += part;
  }
}

async function* holesAndData(
  range: BlockRange,
  { blockSize, fullBlockCount }: BlockLayout,
  device: Device,
  together: () => number,
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
