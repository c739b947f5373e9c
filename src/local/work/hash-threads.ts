/**
 * Hashes on threads, for functions that are slower than a disk on one core: SHA-256 runs at 1.7 GB/s, MD5 and BLAKE2b at
 * 0.7. The bytes lie in shared memory, so only their place is sent.
 */
import { availableParallelism } from "node:os";
import type { HashChoice } from "../../sync/spec.ts";
import { Threads } from "../kernel/threads.ts";
import type { Hasher } from "./hash.ts";

export interface HashJob {
  readonly choice: HashChoice;
  readonly memory: SharedArrayBuffer;
  readonly offset: number;
  readonly length: number;
  readonly blockSize: number;
}

/** As many as a scan has reads in flight; more would have nothing to do. */
const threads = new Threads<HashJob, Uint8Array>({
  create: () => new Worker(new URL("./hash-thread.ts", import.meta.url).href),
  most: Math.min(4, availableParallelism()),
  slowMs: 0,
});

function isShared(bytes: Uint8Array): bytes is Uint8Array<SharedArrayBuffer> {
  return bytes.buffer instanceof SharedArrayBuffer;
}

/**
 * As hasher.hashEach(), in another thread when there can be one, the hash is slow and the bytes are in shared memory; they must
 * stay as they are until then.
 */
export async function hashBlocks(hasher: Hasher, bytes: Uint8Array, blockSize: number): Promise<Uint8Array> {
  if (!hasher.isSlow || !isShared(bytes)) return hasher.hashEach(bytes, blockSize);
  const { buffer: memory, byteOffset: offset, length } = bytes;
  const hashes = await threads.do({ choice: hasher.choice, memory, offset, length, blockSize });
  return hashes ?? hasher.hashEach(bytes, blockSize);
}
