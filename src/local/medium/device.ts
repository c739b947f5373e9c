/**
 * A regular file or block device held open by one descriptor: opened once, examined through that descriptor, read and
 * written by position, flushed on the descriptor that wrote (an fsync on another one can miss its errors).
 * Every failure names the operation, the offset and the device as the user knows it.
 */

import fs from "node:fs";
import { setTimeout } from "node:timers/promises";
import { cannot, Failure, gone, IoError, reason, remedy, transferFailed } from "../../errors.ts";
import { quote } from "../../name.ts";
import { dirname } from "../../paths.ts";
import type { CacheBypass } from "../../sync/endpoint.ts";
import type { ByteRange } from "../../sync/ranges.ts";
import { Window } from "../../sync/window.ts";
import { aside } from "../kernel/aside.ts";
import { diskSequence, isReadOnlyDevice, refreshAttributes } from "../kernel/libc.ts";
import { deviceNumber, identityOf, type Node, nodeOf, SysDevice } from "../system/picture.ts";
import { dropCaches, dropCachesOfStack } from "./cache.ts";
import { Descriptor, ofGrowing } from "./descriptor.ts";
import { pieceAfter, WRITE_PIECE } from "./piece.ts";
import { Reader } from "./reader.ts";
import { empty, MAX_SIZE, notOpened, type OpenMode, readOnly, sizeless, tooLong } from "./refusals.ts";
import { type DeviceKind, kindOf, statPath, unusable } from "./stat.ts";
import { otherContents, otherSize, type State, stateOf, unseenMs } from "./state.ts";
import { WriteBack } from "./write-back.ts";

/**
 * Writes to one file take turns in the kernel, and threads that wait for the inode's lock spin: with two in flight a tenth
 * of all CPU time of a fresh copy over a pipe went there. A device has no such lock.
 */
const WRITES_IN_FLIGHT = { file: 1, device: 4 } as const;
/** The kernel waits for the device at each range it makes zero, so short ranges go the way of all data, through the cache. */
const MIN_DEVICE_ZERO = 64 << 10;
/** No one call is for more, so that a run that ends has not much to wait for. */
const ZERO_STEP = 1 << 20;
const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL } = fs.constants;

export class Device {
  readonly label: string;
  readonly kind: DeviceKind;
  /** See Description.identity. */
  readonly identity: string;
  /** What it is in the picture of this machine. */
  readonly node: Node;
  /** "MAJOR:MINOR" of a block device. */
  readonly number: string | undefined;
  readonly reader: Reader;
  readonly #file: Descriptor;
  #sizeBytes: number;
  /** When it was opened. */
  readonly #opened: State;
  readonly #writers: Window;
  readonly #writeBack: WriteBack;
  bytesWritten = 0;

  private constructor(
    file: Descriptor,
    label: string,
    kind: DeviceKind,
    state: State,
    stat: fs.BigIntStats,
    path: string,
    mode: OpenMode,
  ) {
    this.#file = file;
    this.reader = new Reader(
      file,
      label,
      { writable: mode !== "read" },
      () => this.#sizeBytes,
      () => this.#hasItsSize(),
    );
    this.#writers = new Window(WRITES_IN_FLIGHT[kind]);
    this.#writeBack = new WriteBack(file, label, mode === "create" ? dirname(path) : undefined);
    this.label = label;
    this.kind = kind;
    this.#sizeBytes = state.sizeBytes;
    this.#opened = state;
    this.identity = identityOf(stat);
    this.node = nodeOf(file.fd, stat, path);
    this.number = kind === "device" ? deviceNumber(stat.rdev) : undefined;
  }

  /**
   * Opens `path` for reading, for writing, or creates it. A block device opened for writing is claimed with O_EXCL, which
   * the kernel refuses while it, or a part of it, is mounted or otherwise claimed (open(2)); the claim lasts until close().
   * `label` is the name used in messages.
   * @throws {RefusedError} for a claimed or read-only device; {IoError} for all else.
   */
  static async open(path: string, label: string, mode: OpenMode): Promise<Device> {
    const expected = statPath(path, label);
    const expectedKind = expected === undefined ? undefined : kindOf(expected);
    if (typeof expectedKind === "object") {
      // Opening a pipe would wait for its other end, and a character device may act on being opened.
      throw unusable(label, expectedKind.unusable);
    }
    const claim = expectedKind === "device" && mode === "write";
    const flags =
      mode === "read" ? O_RDONLY : mode === "create" ? O_RDWR | O_CREAT | O_EXCL : O_RDWR | (claim ? O_EXCL : 0);
    let file: Descriptor;
    try {
      file = await Descriptor.open(path, flags);
    } catch (error) {
      throw notOpened(error, label, mode, expectedKind);
    }
    try {
      const stat = file.stat();
      const kind = kindOf(stat);
      if (typeof kind === "object") throw unusable(label, kind.unusable);
      if (expected !== undefined && identityOf(stat) !== identityOf(expected))
        throw new Error("it was replaced while it was opened");
      if (kind === "device" && mode !== "read" && isReadOnlyDevice(file.fd)) {
        throw readOnly(label);
      }
      const state = stateOf(file.fd, stat);
      if (kind === "device" && state.sizeBytes === 0) throw empty(label);
      if (state.sizeBytes > MAX_SIZE) throw tooLong(label, state.sizeBytes);
      // Where it is joined, other lanes of the run may have begun to fill it.
      const looks = state.sizeBytes === 0 && (mode === "read" || mode === "write");
      if (looks && (await file.read(Buffer.alloc(1), 0, 0)) > 0) throw sizeless(label);
      // What is read from now on shows whether it was written to.
      const unseen = mode === "read" ? unseenMs(state, Date.now()) : 0;
      if (unseen > 0) await setTimeout(unseen);
      return new Device(file, label, kind, state, stat, path, mode);
    } catch (error) {
      await file.close();
      throw error instanceof Failure ? error : cannot("open", label, error);
    }
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Where data is from `offset` on, up to `end` or beyond, as the file system tells of it; a device is all data. */
  async *data(offset: number, end: number): AsyncGenerator<{ readonly start: number; readonly end: number }> {
    const last = Math.min(end, this.#sizeBytes);
    if (this.kind === "device") {
      if (offset < last) yield { start: offset, end: last };
      return;
    }
    for (let position = offset; position < last; ) {
      const found = await this.#file.look((fd) => aside.extents(fd, position, last, this.#sizeBytes));
      for (let i = 0; i + 1 < found.length; i += 2) yield { start: found[i] ?? 0, end: found[i + 1] ?? 0 };
      position = Math.max(position + 1, found.at(-1) ?? last);
    }
  }

  /** Whether there is no data at all, only holes. */
  isBlank(): Promise<boolean> {
    return this.isHole(0, this.#sizeBytes);
  }

  /** Whether there is no data in a range. */
  async isHole(offset: number, length: number): Promise<boolean> {
    const end = offset + length;
    for await (const { start } of this.data(offset, end)) return start >= end;
    return true;
  }

  /**
   * Writes all of `bytes` at `offset`, going on after short writes. Now and then it starts writing back what the page
   * cache holds, so that the disk works from the beginning and a failing one is noticed early.
   * @throws {IoError} at the first offset that fails, or when an earlier write-back failed.
   */
  async write(bytes: Uint8Array, offset: number): Promise<void> {
    await this.writeBy({ offset, length: bytes.length }, async () => {
      let written = 0;
      try {
        let piece = WRITE_PIECE;
        while (written < bytes.length) {
          const begun = performance.now();
          const count = await this.#file.write(bytes.subarray(0, written + piece), written, offset + written);
          if (count === 0) break;
          written += count;
          piece = pieceAfter(performance.now() - begun, piece, bytes.length);
        }
        return { written, error: undefined };
      } catch (error) {
        return { written, error };
      }
    });
  }

  /**
   * As write(), by a call that writes to the descriptor it is given, and tells how far it came and what the system said; or undefined,
   * when it has not tried. Returns whether it has.
   */
  async writeBy(
    { offset, length }: ByteRange,
    write: (fd: number) => Promise<{ readonly written: number; readonly error: unknown } | undefined>,
  ): Promise<boolean> {
    await this.#writers.take();
    try {
      this.#writeBack.check();
      const outcome = await this.#file.hold(write);
      if (outcome === undefined) return false;
      const { written, error } = outcome;
      this.bytesWritten += written;
      if (written < length) {
        const cause = error === undefined ? new Error("the kernel took no byte") : ofGrowing(error);
        if (await this.reader.isGone(cause)) throw gone("write", this.label, cause);
        throw transferFailed("write", this.label, length - written, offset + written, cause);
      }
    } finally {
      this.#writers.give();
    }
    this.#writeBack.begin(this.bytesWritten);
    return true;
  }

  /**
   * Makes a range zero without writing data: a hole in a file, BLKZEROOUT on a device (never BLKDISCARD, which promises
   * no zeros). With `discard` a device that can forget data and read zeros afterwards does so: for a device punching a
   * hole means exactly that, and fails where it cannot be promised (fallocate(2), blkdev_fallocate() in block/fops.c).
   * False where nothing of that is possible, or not worth the wait, and zeros must be written.
   */
  async zero(offset: number, length: number, discard: boolean): Promise<boolean> {
    if (this.kind === "device" && length < MIN_DEVICE_ZERO) return false;
    for (let done = 0; done < length; done += ZERO_STEP) {
      const [start, step] = [offset + done, Math.min(ZERO_STEP, length - done)];
      const zeroed = await this.#file.hold(async (fd) =>
        this.kind === "file"
          ? await aside.punchHole(fd, start, step)
          : (discard && (await aside.punchHole(fd, start, step))) || (await aside.zeroDevice(fd, start, step)),
      );
      if (!zeroed) return false;
    }
    return true;
  }

  async dropCache(offset: number, length: number): Promise<void> {
    await this.#file.look((fd) => aside.dropCache(fd, offset, length));
  }

  /** See dropCachesOfStack(). */
  async forgetStack(): Promise<void> {
    await dropCachesOfStack(this.#file);
  }

  /**
   * Has later reads come from the medium: around the page cache, or where that cannot be, after emptying it. What was
   * written is flushed already. The caches of files below, behind a loop device, are emptied too.
   */
  async bypassCache(): Promise<CacheBypass> {
    const all = await dropCaches(this.#file, { lost: false });
    const direct = await this.reader.openDirect();
    if (!all) return "partly";
    return direct ? "direct" : "dropped";
  }

  /** Grows or cuts a regular file. @throws {IoError} */
  async resize(sizeBytes: number): Promise<void> {
    if (sizeBytes > MAX_SIZE) throw tooLong(this.label, sizeBytes);
    try {
      await this.#file.truncate(sizeBytes);
    } catch (cause) {
      throw new IoError(`Cannot make ${quote(this.label)} ${sizeBytes} bytes long: ${reason(cause)}`, {
        cause,
        hint: remedy(cause),
      });
    }
    this.#sizeBytes = sizeBytes;
  }

  /** As flush(), for what was written so far; the run goes on. */
  async flushData(): Promise<void> {
    await this.#writeBack.flushData(this.bytesWritten);
  }

  /** Waits until all that was written is on stable storage. @throws {IoError}, which is final: data may be lost. */
  async flush(): Promise<void> {
    await this.#writeBack.flush();
  }

  /** For looks that are no part of a run (facts.ts). */
  get file(): Descriptor {
    return this.#file;
  }

  /** Of a block device's sectors; 0 for a file, and where nobody knows. */
  get sectorBytes(): number {
    return this.number === undefined ? 0 : new SysDevice(this.number).sectorBytes;
  }

  get isWholeDisk(): boolean {
    return this.number !== undefined && !new SysDevice(this.number).isPartition;
  }

  async rereadPartitions(): Promise<"done" | "busy" | "impossible"> {
    return await this.#file.look(aside.rereadPartitions);
  }

  /** What tells that a source is not what it was when it was opened, as otherContents(); undefined for nothing. */
  changed(): string | undefined {
    return this.#differs(otherContents, this.#opened);
  }

  /** As changed(), for a destination, which this run writes to and gives its size. */
  resized(): string | undefined {
    return this.#differs(otherSize, { ...this.#opened, sizeBytes: this.#sizeBytes });
  }

  /** A reader that was reset may call the same medium another one, so that its number alone does not tell that it is gone. */
  #hasItsSize(): boolean {
    if (this.kind === "file") return true;
    return (
      this.#differs((before, now) => (before.sizeBytes === now.sizeBytes ? undefined : "size"), this.#opened) ===
      undefined
    );
  }

  #differs(how: typeof otherSize, before: State): string | undefined {
    try {
      refreshAttributes(this.#file.fd);
      return how(before, stateOf(this.#file.fd, this.#file.stat()));
    } catch (error) {
      return `it is gone (${reason(error)})`;
    }
  }

  /** Whether `stat`, asked just now, is of this very file or device, the disk behind its number included. */
  isWhat(stat: fs.BigIntStats): boolean {
    if (identityOf(stat) !== identityOf(this.#file.stat())) return false;
    if (this.number === undefined) return true;
    const there = new SysDevice(this.number).sequence;
    const sequence = diskSequence(this.#file.fd);
    return there === undefined || sequence === undefined || there === sequence;
  }

  /** Closes after the operations under way. */
  async close(): Promise<void> {
    await this.#writeBack.end();
    await this.#file.close();
  }
}
