/** Has threads do what can be done plainly; what takes more care, or finds no thread, is left to the caller. */
import { availableParallelism } from "node:os";
import type { LeafFilter } from "../../sync/endpoint.ts";
import type { HashChoice } from "../../sync/spec.ts";
import { numberOf, Threads } from "../kernel/threads.ts";
import type { Device } from "../medium/device.ts";
import type { Hasher } from "./hash.ts";
import type { Blocks, Job, Outcome, Pairs, Scanned, Selected } from "./job.ts";
import type { Known } from "./known.ts";

/**
 * What is in the page cache keeps a thread for each core busy, at less than a millisecond a job; a disk that seeks, or is far away, wants
 * four reads in flight at least. A thread takes 10 ms to start, 25 ms of processor time, and 4 MB: more than a few blocks take.
 */
const THREADS = new Threads<Job, Outcome>({
  create: () => new Worker(new URL("./job-thread.ts", import.meta.url).href),
  usual: availableParallelism(),
  few: 4,
  most: Math.min(8, Math.max(4, availableParallelism())),
  slowMs: 3,
});

/** Of longer blocks a scan goes the careful way, whose memory is bounded: each thread keeps room for two of what it reads. */
const MAX_PLAIN_BLOCK = 4 << 20;

function isShared(bytes: Uint8Array): bytes is Uint8Array<SharedArrayBuffer> {
  return bytes.buffer instanceof SharedArrayBuffer;
}

/** "undone" where there is no thread to do it, too. */
async function run(job: Job, memory?: SharedArrayBuffer): Promise<Outcome> {
  return (await THREADS.do(job, memory)) ?? "undone";
}

function scannedOf(outcome: Outcome): Scanned | undefined {
  return outcome !== "undone" && "hashes" in outcome ? outcome : undefined;
}

/** Reads and hashes blocks, as hasher.hashEach(), and their `leaves`; undefined where that takes more care than one read. */
export async function scanBlocks(
  device: Device,
  blocks: Blocks,
  hasher: Hasher,
  leaves = false,
): Promise<Scanned | undefined> {
  if (blocks.blockSize > MAX_PLAIN_BLOCK) return undefined;
  return await device.reader.readBy(blocks, async (fd) =>
    scannedOf(await run({ kind: "scan", fd, choice: hasher.choice, leaves, ...blocks })),
  );
}

/**
 * Compares blocks of two devices, of which undefined has a hole there, and hashes those that differ where that is wanted `by` a choice;
 * undefined where that takes more care than one read of either.
 */
export async function compareBlocks(
  source: Device | undefined,
  destination: Device | undefined,
  blocks: Blocks,
  by: HashChoice | undefined,
): Promise<Pairs | undefined> {
  if (blocks.blockSize > MAX_PLAIN_BLOCK) return undefined;
  const compare = async (from: number | undefined, to: number | undefined) => {
    const outcome = await run({ kind: "compare", source: from, destination: to, leaves: by, ...blocks });
    return outcome !== "undone" && "pairs" in outcome ? outcome.pairs : undefined;
  };
  return await readBy(source, blocks, (from) => readBy(destination, blocks, (to) => compare(from, to)));
}

/** Nothing is read where there is no device. */
function readBy<T>(
  device: Device | undefined,
  blocks: Blocks,
  read: (fd: number | undefined) => Promise<T | undefined>,
): Promise<T | undefined> {
  return device === undefined ? read(undefined) : device.reader.readBy(blocks, read);
}

/**
 * As hasher.hashEach(), in another thread when there can be one, the hash is slow and the bytes are in shared memory; they must stay as they
 * are until then.
 */
export async function hashBlocks(hasher: Hasher, bytes: Uint8Array, blockSize: number): Promise<Uint8Array> {
  if (!hasher.isSlow || !isShared(bytes)) return hasher.hashEach(bytes, blockSize);
  const { buffer: memory, byteOffset: offset, length } = bytes;
  const outcome = await run(
    { kind: "hash", choice: hasher.choice, memory: numberOf(memory), offset, length, blockSize },
    memory,
  );
  return scannedOf(outcome)?.hashes ?? hasher.hashEach(bytes, blockSize);
}

/** Shorter writes are not worth a thread's round trip. */
const MIN_WRITE = 64 << 10;

/** As device.write(), on a thread where the bytes are in shared memory; they must stay as they are until then. */
export async function writeBytes(device: Device, bytes: Uint8Array, offset: number): Promise<void> {
  if (!isShared(bytes) || bytes.length < MIN_WRITE) return await device.write(bytes, offset);
  const { buffer: memory, byteOffset: start, length } = bytes;
  const done = await device.writeBy({ offset, length }, async (fd) => {
    const job: Job = { kind: "write", fd, offset, memory: numberOf(memory), start, length };
    const outcome = await run(job, memory);
    if (outcome === "undone" || !("written" in outcome)) return undefined;
    const { written, problem } = outcome;
    return { written, error: problem && Object.assign(new Error(problem.message), { code: problem.code }) };
  });
  if (!done) await device.write(bytes, offset);
}

/**
 * Reads blocks into `memory` and selects leaves, as selectLeaves(), of blocks that are `known` no other leaves; undefined where that
 * takes more care than one read.
 */
export async function selectBlocks(
  device: Device,
  blocks: Blocks,
  memory: Uint8Array,
  filter: LeafFilter,
  hasher: Hasher,
  known: Known | undefined,
): Promise<Selected | undefined> {
  if (!isShared(memory) || memory.byteOffset !== 0) return undefined;
  const select = async (fd: number) => {
    const { choice } = hasher;
    const job: Job = { kind: "select", fd, ...blocks, memory: numberOf(memory.buffer), filter, choice, known };
    const outcome = await run(job, memory.buffer);
    return outcome !== "undone" && "selected" in outcome ? outcome.selected : undefined;
  };
  return await device.reader.readBy(blocks, select, ({ bytesRead }) => bytesRead);
}
