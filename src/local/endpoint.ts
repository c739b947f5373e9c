/** An endpoint on this machine: a device, a hasher and a pool of buffers. */

import { IoError, sourceChanged, VerificationError } from "../errors.ts";
import { quote } from "../name.ts";
import { onAbort } from "../sync/abort.ts";
import { ahead } from "../sync/ahead.ts";
import { BlockLayout, type BlockRange, equalBytes, leavesIn, type SectorSet, sectorsIn } from "../sync/blocks.ts";
import {
  type BlockData,
  type CacheBypass,
  type Counters,
  type Description,
  type Endpoint,
  LEAF_HASH_SIZE,
  type LeafFilter,
  type LeafHashSize,
  type Run,
  type Salvage,
  type ScanOptions,
  type WriteOutcome,
} from "../sync/endpoint.ts";
import type { Facts } from "../sync/facts.ts";
import type { HashChoice } from "../sync/spec.ts";
import type { Compare } from "../sync/verdicts.ts";
import { type Fitted, fit } from "./fitting.ts";
import { type Claim, checkWritten, openClaimed } from "./guard/claim.ts";
import { factsOf } from "./guard/facts.ts";
import type { RunLock } from "./guard/run-lock.ts";
import { aside } from "./kernel/aside.ts";
import type { Device } from "./medium/device.ts";
import { rereadPartitions } from "./medium/partitions.ts";
import type { ReadOptions } from "./medium/reader.ts";
import type { LocalSpec, Surroundings } from "./opening.ts";
import { checkUndo } from "./undo/undo.ts";
import { compareBytes, type Lender, type Lent } from "./work/compare-bytes.ts";
import { Hasher } from "./work/hash.ts";
import type { Blocks } from "./work/job.ts";
import { hashBlocks, scanBlocks, selectBlocks } from "./work/jobs.ts";
import { KnownBlocks } from "./work/known.ts";
import { READ_LENGTH } from "./work/pieces.ts";
import { BufferPool } from "./work/pool.ts";
import { type LentSalvage, patchBlock, salvageBlock } from "./work/salvage.ts";
import { scanDevice } from "./work/scan.ts";
import { selectLeaves, selectZeros } from "./work/select.ts";
import { writeLeaves } from "./work/write.ts";

/**
 * Memory of an endpoint's buffers: what a scan reads ahead and the blocks on their way. With 5,243 pages changed in 2 GiB
 * 6 to 24 MiB were equally fast.
 */
const POOL_BYTES = 16 << 20;
const MIN_POOL_BUFFERS = 3;
/**
 * Reads in flight of a scan: 2 GiB equal on both sides of a pipe took 0.71 s with 2, 0.65 with 4, 0.69 with 8 (2 cores);
 * with SHA-256 on two threads 4 gave 2.0 GB/s, 6 gave 2.3, 8 gave 2.2.
 */
const SCAN_DEPTH = 8;
/** The page cache is dropped in steps of this length, so that the call is rare. */
const DROP_LENGTH = 32 << 20;

export class LocalEndpoint implements Endpoint, Lender {
  readonly description: Description;
  readonly known: KnownBlocks;
  readonly #spec: LocalSpec;
  readonly #onNote: Surroundings["onNote"];
  readonly #hasher: Hasher;
  readonly #pool: BufferPool;
  readonly #signal: AbortSignal;
  readonly #aborting: Disposable;
  readonly #depth: number;
  #device: Device | undefined;
  #lock: RunLock | undefined;
  /** Is told what is about to be overwritten, and waited for. */
  #layout: BlockLayout;
  /** Settles when prepare() has fitted a destination. */
  #fitted: Promise<void> = Promise.resolve();
  /** What prepare() has made of a destination. */
  #as: Fitted | undefined;
  #written = false;
  #closed = false;
  /** Bytes before this were dropped from the page cache, or are none of this endpoint's business. */
  #droppedTo = 0;
  /** How blocks are read now. */
  #reads: ReadOptions = { holes: false, whole: false };
  /** Where the blocks that this endpoint is about end. */
  #end = Number.POSITIVE_INFINITY;

  private constructor(
    spec: LocalSpec,
    { onNote, sharers, signal }: Surroundings,
    hasher: Hasher,
    { device, lock, picture }: Claim,
    facts: Facts | undefined,
    blank: boolean,
  ) {
    this.#spec = spec;
    this.#onNote = onNote;
    this.#hasher = hasher;
    this.known = new KnownBlocks(spec.blockSize, hasher);
    this.#device = device;
    this.#lock = lock;
    const bufferSize = Math.max(spec.blockSize, READ_LENGTH);
    const buffers = Math.max(MIN_POOL_BUFFERS, Math.floor(POOL_BYTES / sharers / bufferSize));
    this.#pool = new BufferPool(bufferSize, buffers);
    this.#signal = signal;
    this.#aborting = onAbort(signal, () => this.#pool.fail(signal.reason));
    this.#depth = Math.min(SCAN_DEPTH, buffers - 1);
    const sizeBytes = device?.sizeBytes ?? 0;
    this.#layout = new BlockLayout(sizeBytes, spec.blockSize);
    this.description = {
      label: spec.label,
      kind: device?.kind ?? "missing",
      sizeBytes,
      identity: device?.identity ?? "",
      within: device === undefined ? picture.withinNew(spec.path) : picture.within(device.node),
      blank,
      zeroHash: hasher.zeroHash(spec.blockSize),
      facts,
    };
  }

  /** Opens and claims; writes nothing. @throws {RefusedError} {IoError} */
  static async open(spec: LocalSpec, surroundings: Surroundings): Promise<LocalEndpoint> {
    aside.begin();
    const claim = await openClaimed(spec);
    try {
      const { device, picture } = claim;
      if (spec.undo !== undefined) checkUndo(spec.undo, spec, device, picture);
      const facts = device === undefined ? undefined : await factsOf(device, picture, spec);
      const blank = (await device?.isBlank()) ?? true;
      const hasher = await Hasher.create(typeof spec.hash === "function" ? await spec.hash() : spec.hash);
      return new LocalEndpoint(spec, surroundings, hasher, claim, facts, blank);
    } catch (error) {
      await claim.device?.close();
      await claim.lock?.close();
      throw error;
    }
  }

  /** The open device. @throws {IoError} for a destination that does not exist (yet). */
  get device(): Device {
    if (this.#device === undefined) throw new IoError(`Cannot use ${quote(this.#spec.label)}: it does not exist`);
    return this.#device;
  }

  get #closedFailure(): IoError {
    return new IoError(`Cannot use ${quote(this.#spec.label)}: it is closed`);
  }

  /** The device once prepare() is through with it, which is waited for here and nowhere else. */
  async #ready(): Promise<Device> {
    await this.#fitted;
    return this.device;
  }

  get hashChoice(): HashChoice {
    return this.#hasher.choice;
  }

  get writes(): boolean {
    return this.#spec.access !== "read";
  }

  get blockSize(): number {
    return this.#spec.blockSize;
  }

  placeOf(blocks: BlockRange): Blocks {
    return { ...this.#layout.spanOf(blocks), blockSize: this.#layout.blockSize };
  }

  /** How many reads may be in flight at once without waiting for memory. */
  get readDepth(): number {
    return this.#depth;
  }

  compareWith(destination: Endpoint): Compare | undefined {
    if (!(destination instanceof LocalEndpoint)) return undefined;
    return (ranges, options) => compareBytes(this, destination, ranges, options);
  }

  async lend(first: number, count: number): Promise<Lent> {
    const { blockSize } = this.#layout;
    const buffer = await this.#pool.take();
    try {
      const bytes = buffer.subarray(0, (count - 1) * blockSize + this.#layout.lengthOf(first + count - 1));
      await this.#fill(bytes, this.#layout.offsetOf(first));
      return { bytes, release: () => this.#pool.give(buffer) };
    } catch (error) {
      this.#pool.give(buffer);
      throw error;
    }
  }

  async prepare(sizeBytes: number, { exact }: { readonly exact: boolean }): Promise<string> {
    this.#layout = new BlockLayout(sizeBytes, this.#spec.blockSize);
    if (this.#spec.access === "write") this.#fitted = this.#fit(sizeBytes, exact);
    await this.#fitted;
    return this.#device?.identity ?? "";
  }

  async #fit(sizeBytes: number, exact: boolean): Promise<void> {
    this.#as = await fit(this.#spec, this.#device, sizeBytes, exact, this.#as);
    this.#device = this.#as.device;
    this.#lock ??= this.#as.lock;
  }

  scan(ranges: readonly BlockRange[], options: ScanOptions): AsyncIterable<Run> {
    return ahead(this.#scan(ranges, options), options.ahead);
  }

  async *#scan(ranges: readonly BlockRange[], options: ScanOptions): AsyncIterable<Run> {
    await this.#ready();
    const [first, last] = [ranges[0], ranges.at(-1)];
    if (first === undefined || last === undefined) return;
    this.#droppedTo = this.#layout.offsetOf(first.first);
    this.#end = last.first + last.count;
    // Who goes on without a block looks at its sectors later; of a destination the place is said.
    this.#reads = { holes: options.readHoles, whole: options.tolerant && this.#spec.access === "read" };
    yield* scanDevice(this, this.#layout, this.#hasher, ranges, options, this.#signal);
  }

  /** Reads; what lies beyond the end of a destination that was not grown is zero. */
  async #fill(bytes: Buffer, offset: number): Promise<void> {
    const device = await this.#ready();
    const available = Math.max(0, Math.min(bytes.length, device.sizeBytes - offset));
    if (available < bytes.length && this.#spec.access === "read") {
      throw new VerificationError(`Cannot read ${quote(this.#spec.label)}: it is shorter than the run expects`);
    }
    if (available > 0) await device.reader.read(bytes.subarray(0, available), offset, this.#reads);
    bytes.fill(0, available);
  }

  async leafHashes(blocks: BlockRange, size: LeafHashSize): Promise<Uint8Array> {
    const known = size === LEAF_HASH_SIZE ? this.known.take(blocks) : undefined;
    if (known !== undefined) return known.leafHashes;
    const { bytes, release } = await this.lend(blocks.first, blocks.count);
    try {
      return this.#hasher.leafHashes(bytes, size);
    } finally {
      release();
    }
  }

  async read(blocks: BlockRange, filter: LeafFilter): Promise<BlockData> {
    const zeros = this.known.zeros(blocks);
    if (zeros !== undefined) return selectZeros(zeros, filter);
    const place = this.placeOf(blocks);
    const buffer = await this.#pool.take();
    const release = () => this.#pool.give(buffer);
    const known = filter.kind === "differing" ? this.known.take(blocks) : undefined;
    try {
      const selected = await selectBlocks(await this.#ready(), place, buffer, filter, this.#hasher, known);
      if (selected !== undefined) return { ...selected, bytes: buffer.subarray(0, selected.used), release };
      const bytes = buffer.subarray(0, place.length);
      await this.#fill(bytes, place.offset);
      const hashes = await hashBlocks(this.#hasher, bytes, place.blockSize);
      return selectLeaves(bytes, hashes, filter, this.#hasher, release);
    } catch (error) {
      release();
      throw error;
    }
  }

  async write(blocks: BlockRange, data: BlockData): Promise<WriteOutcome> {
    this.#written = true;
    let bytesWritten: number;
    try {
      const [device, span] = [await this.#ready(), this.#layout.spanOf(blocks)];
      await this.#as?.undo?.save(leavesIn(span, data.leaves, data.zeros));
      bytesWritten = await writeLeaves(device, span, data, this.#spec.discard);
    } finally {
      data.release();
    }
    return { proved: await this.#hold(blocks, data.hashes), bytesWritten };
  }

  /** Whether the blocks have the hashes. Zeros that are a hole are not read: what is read of it is new page cache, and takes longer than data. */
  async #hold(blocks: BlockRange, hashes: Uint8Array): Promise<boolean> {
    const { offset, length } = this.#layout.spanOf(blocks);
    if (this.#areZeros(blocks, hashes) && (await this.device.isHole(offset, length))) return true;
    const quick = await scanBlocks(await this.#ready(), this.placeOf(blocks), this.#hasher);
    if (quick !== undefined) return equalBytes(quick.hashes, hashes);
    const { bytes, release } = await this.lend(blocks.first, blocks.count);
    try {
      return equalBytes(await hashBlocks(this.#hasher, bytes, this.blockSize), hashes);
    } finally {
      release();
    }
  }

  #areZeros({ first, count }: BlockRange, hashes: Uint8Array): boolean {
    const size = this.#hasher.hashSize;
    for (let i = 0; i < count; i++) {
      const zeroHash = this.#hasher.zeroHash(this.#layout.lengthOf(first + i));
      if (!equalBytes(hashes.subarray(i * size, (i + 1) * size), zeroHash)) return false;
    }
    return true;
  }

  async salvage(index: number, known: SectorSet, retries: number): Promise<Salvage> {
    const { sectors, bytes, release } = await this.lendSalvage(index, known, retries);
    try {
      // A copy, which slice() of a Buffer is not: the pool's buffer is the next reader's.
      return { sectors, bytes: Uint8Array.from(bytes) };
    } finally {
      release();
    }
  }

  /** As salvage(), in a buffer of the pool. */
  async lendSalvage(index: number, known: SectorSet, retries: number): Promise<LentSalvage> {
    const check = () => {
      this.#signal.throwIfAborted();
      if (this.#closed) throw this.#closedFailure;
    };
    return await salvageBlock(await this.#ready(), this.#pool, this.#layout.placeOf(index), known, retries, check);
  }

  async patch(index: number, salvage: Salvage): Promise<number> {
    this.#written = true;
    const [device, place] = [await this.#ready(), this.#layout.placeOf(index)];
    await this.#as?.undo?.save(sectorsIn(place, salvage.sectors));
    return await patchBlock(device, this.#pool, place, salvage);
  }

  async bypassCache(): Promise<CacheBypass> {
    this.known.clear();
    return await (await this.#ready()).bypassCache();
  }

  advance(index: number): void {
    this.known.advance(index);
    if (!this.#spec.dropCache || this.#device === undefined) return;
    const done = Math.min(this.#layout.offsetOf(index), this.#device.sizeBytes);
    const finished = index >= Math.min(this.#end, this.#layout.blockCount);
    if (done - this.#droppedTo < DROP_LENGTH && !finished) return;
    // Advice that nobody waits for.
    this.#device.dropCache(this.#droppedTo, done - this.#droppedTo).catch(() => undefined);
    this.#droppedTo = done;
  }

  counters(): Promise<Counters> {
    return Promise.resolve({
      bytesRead: this.#device?.reader.bytesRead ?? 0,
      bytesWritten: this.#device?.bytesWritten ?? 0,
    });
  }

  async confirmUnchanged(): Promise<void> {
    const device = await this.#ready();
    if (this.#spec.access !== "read") return checkWritten(device, this.#spec);
    const how = device.changed();
    if (how !== undefined) throw sourceChanged(this.#spec.label, `: ${how}`);
  }

  async checkpoint(): Promise<void> {
    await this.#fitted;
    await this.#device?.flushData();
  }

  async flush(): Promise<void> {
    const device = await this.#ready();
    await device.flush();
    checkWritten(device, this.#spec);
    // Only clean pages can be dropped, so what was written leaves the cache after the flush.
    if (this.#spec.dropCache) await device.dropCache(0, 0);
    if (this.#written && device.isWholeDisk) {
      await this.#lock?.releaseParts();
      await rereadPartitions(device, this.#onNote);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#aborting[Symbol.dispose]();
    this.#pool.fail(this.#closedFailure);
    // What is being created would otherwise be open after this.
    await this.#fitted.catch(() => undefined);
    await this.#as?.undo?.close();
    await this.#device?.close();
    await this.#lock?.close();
  }
}
