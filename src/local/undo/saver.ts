/**
 * Saves what a device holds into an overlay before it is overwritten. Who is about to write waits until the old contents are durable; what
 * many wait for is saved together, and each sync makes the entries of one batch durable together with the data of the next.
 */
import { IoError, ReadError, reason, remedy, systemCode } from "../../errors.ts";
import { quote } from "../../name.ts";
import { type ByteRange, endOf, outward, pieces } from "../../sync/ranges.ts";
import type { Device } from "../medium/device.ts";
import type { Reader } from "../medium/reader.ts";
import { isZero } from "../work/zero.ts";
import type { Overlay } from "./overlay.ts";
import type { Entry } from "./qcow2.ts";

/** Memory for what is read and written at once. */
const BUFFER_BYTES = 1 << 20;
/** Bytes of a batch at most, which bounds its entries; one request may be for more. */
const BATCH_BYTES = 64 << 20;

interface Request {
  /** Whole clusters, as bytes of the disk. */
  readonly ranges: readonly ByteRange[];
  readonly length: number;
  readonly done: PromiseWithResolvers<void>;
}

/** What is in the file, and durable there or soon; entries lead to it after that. */
interface Batch {
  readonly requests: readonly Request[];
  readonly entries: ReadonlyMap<number, Entry>;
}

/** What saving the contents of a device needs of it. */
export type Saved = Pick<Device, "label"> & { readonly reader: Pick<Reader, "read"> };

/** Clusters that were read into the buffer: where in it each is. */
type Filled = [cluster: number, at: number][];

export class Saver {
  readonly #overlay: Overlay;
  readonly #label: string;
  readonly #device: Saved;
  readonly #buffer: Buffer;
  readonly #queue: Request[] = [];
  #working: Promise<void> | undefined;
  #failure: { readonly cause: unknown } | undefined;

  /** `label` is the file's name in messages. */
  constructor(overlay: Overlay, label: string, device: Saved) {
    this.#overlay = overlay;
    this.#label = label;
    this.#device = device;
    this.#buffer = Buffer.alloc(Math.max(BUFFER_BYTES, overlay.geometry.clusterSize));
  }

  /**
   * Resolves once what the device held in these ranges, when the overlay was made, is durable in it; to be waited for before any of
   * that is written to. @throws {IoError}, which is final: nothing more may be overwritten.
   */
  async save(ranges: readonly ByteRange[]): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.cause;
    const { sizeBytes, clusterSize } = this.#overlay.geometry;
    const whole = ranges
      .filter(({ offset, length }) => offset < sizeBytes && length > 0)
      .map((range) => outward(range, clusterSize, Math.ceil(sizeBytes / clusterSize) * clusterSize));
    if (whole.length === 0) return;
    const done = Promise.withResolvers<void>();
    this.#queue.push({ ranges: whole, length: whole.reduce((sum, { length }) => sum + length, 0), done });
    this.#working ??= this.#work();
    await done.promise;
  }

  /** Fails who waits, and ends after what is under way. */
  async end(cause: unknown): Promise<void> {
    this.#fail(cause);
    await this.#working;
  }

  #fail(cause: unknown): void {
    this.#failure ??= { cause };
    for (const { done } of this.#queue.splice(0)) done.reject(this.#failure.cause);
  }

  async #work(): Promise<void> {
    let staged: Batch | undefined;
    let taken: readonly Request[] = [];
    try {
      while (this.#queue.length > 0 || staged !== undefined) {
        taken = this.#take();
        const entries = await this.#store(taken, staged?.entries ?? new Map());
        if (staged !== undefined) await this.#overlay.enter(staged.entries);
        await this.#overlay.sync();
        for (const { done } of staged?.requests ?? []) done.resolve();
        staged = taken.length > 0 ? { requests: taken, entries } : undefined;
        taken = [];
      }
    } catch (error) {
      this.#fail(systemCode(error) === undefined ? error : this.#lost(error));
      for (const { done } of [...(staged?.requests ?? []), ...taken]) done.reject(this.#failure?.cause);
    } finally {
      this.#working = undefined;
    }
  }

  /** The next requests that are saved together. */
  #take(): readonly Request[] {
    let length = 0;
    const count = this.#queue.findIndex((request) => {
      length += request.length;
      return length > BATCH_BYTES;
    });
    return this.#queue.splice(0, count === -1 ? this.#queue.length : Math.max(1, count));
  }

  /** Adds to the file what it has not, nor is about to have; returns where that is. */
  async #store(requests: readonly Request[], pending: ReadonlyMap<number, Entry>): Promise<Map<number, Entry>> {
    const { clusterSize, clustersPerTable } = this.#overlay.geometry;
    const entries = new Map<number, Entry>();
    const filled: Filled = [];
    const flush = async () => {
      const offset = filled.length === 0 ? 0 : await this.#overlay.append(this.#filledBytes(filled));
      for (const [cluster, at] of filled.splice(0)) entries.set(cluster, offset + at);
    };
    /** Clusters to be read that follow each other. */
    let first = 0;
    let count = 0;
    const read = async () => {
      for (let done = 0; done < count; ) {
        const room = this.#buffer.length / clusterSize - filled.length;
        if (room === 0) await flush();
        const step = Math.min(count - done, room === 0 ? this.#buffer.length / clusterSize : room);
        for (const zero of await this.#read(first + done, step, filled)) entries.set(zero, 0);
        done += step;
      }
      count = 0;
    };
    const seen = new Set<number>();
    for (const range of requests.flatMap(({ ranges }) => ranges)) {
      const last = endOf(range) / clusterSize;
      for (let cluster = range.offset / clusterSize; cluster < last; ) {
        const tableEnd = Math.min(last, (Math.floor(cluster / clustersPerTable) + 1) * clustersPerTable);
        const isSaved = await this.#overlay.isSaved(cluster);
        const wanted: number[] = [];
        for (; cluster < tableEnd; cluster++) {
          if (!isSaved(cluster) && !pending.has(cluster) && !seen.has(cluster)) wanted.push(cluster);
        }
        for (const one of wanted) {
          seen.add(one);
          if (count > 0 && one !== first + count) await read();
          if (count === 0) first = one;
          count++;
        }
        if (wanted.length > 0) await this.#overlay.addTable(cluster - 1);
      }
    }
    await read();
    await flush();
    return entries;
  }

  #filledBytes(filled: Filled): Buffer {
    return this.#buffer.subarray(0, filled.length * this.#overlay.geometry.clusterSize);
  }

  /** Reads clusters into the buffer, behind what is filled, and leaves out those that are zero; returns these. */
  async #read(first: number, count: number, filled: Filled): Promise<number[]> {
    const { clusterSize, sizeBytes } = this.#overlay.geometry;
    const start = filled.length * clusterSize;
    const bytes = this.#buffer.subarray(start, start + count * clusterSize);
    const offset = first * clusterSize;
    // What lies behind the end of the disk as it was is zero, whatever is there by now.
    const held = bytes.subarray(0, Math.min(bytes.length, sizeBytes - offset));
    await this.#readDevice(held, offset);
    bytes.fill(0, held.length);
    const zeros: number[] = [];
    for (const { offset: at } of pieces({ offset: 0, length: bytes.length }, clusterSize)) {
      const cluster = first + at / clusterSize;
      if (isZero(bytes, at, at + clusterSize)) {
        zeros.push(cluster);
        continue;
      }
      const place = filled.length * clusterSize;
      if (place !== start + at) this.#buffer.copyWithin(place, start + at, start + at + clusterSize);
      filled.push([cluster, place]);
    }
    return zeros;
  }

  async #readDevice(bytes: Buffer, offset: number): Promise<void> {
    try {
      await this.#device.reader.read(bytes, offset, { holes: true, whole: false });
    } catch (cause) {
      if (!(cause instanceof ReadError)) throw cause;
      throw new IoError(
        `Cannot save ${bytes.length} bytes at offset ${offset} of ${quote(this.#device.label)} for --undo: they cannot be read; they were not overwritten`,
        { cause, hint: "without --undo the same command overwrites what cannot be read" },
      );
    }
  }

  #lost(cause: unknown): IoError {
    return new IoError(
      `Cannot write the undo file ${quote(this.#label)}: ${reason(cause)}; nothing was overwritten that it does not hold`,
      {
        cause,
        hint: `qemu-img commit -d with this file restores the destination; to go on, ${remedy(cause) ?? "fix the cause"}, with another --undo file`,
      },
    );
  }
}
