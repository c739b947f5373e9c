/**
 * A regular file or block device held open by one descriptor: opened once, examined through that descriptor, read and
 * written by position, flushed on the descriptor that wrote (an fsync on another one can miss its errors).
 * Every failure names the operation, the offset and the device as the user knows it.
 */
import fs from "node:fs";
import { dirname } from "node:path";
import { IoError, RefusedError, reason, systemCode, VerificationError } from "../errors.ts";
import { Window } from "../sync/window.ts";
import { deviceSize, dropCache, isReadOnlyDevice, nextData, punchHole, zeroDevice } from "./kernel.ts";
import { identityOf, layersOf } from "./layers.ts";

/**
 * Writes to one file take turns in the kernel, and threads that wait for the inode's lock spin: with two in flight a tenth
 * of all CPU time of a fresh copy over a pipe went there. A device has no such lock.
 */
const WRITES_IN_FLIGHT = { file: 1, device: 4 } as const;
/** The kernel waits for the device at each range it makes zero, so short ranges go the way of all data, through the cache. */
const MIN_DEVICE_ZERO = 64 << 10;
/** Written bytes after which a write-back is started. */
const WRITE_BACK_LENGTH = 64 << 20;

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL } = fs.constants;

export type DeviceKind = "file" | "device";

function openDescriptor(path: string, flags: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.open(path, flags, 0o666, (error, fd) => (error ? reject(error) : resolve(fd)));
  });
}

function quote(label: string): string {
  return JSON.stringify(label);
}

/** What stat says of `path`, or undefined when nothing is there. */
export function statPath(path: string, label: string): fs.BigIntStats | undefined {
  try {
    return fs.statSync(path, { bigint: true });
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw new IoError(`Cannot open ${quote(label)}: ${reason(error)}`, { cause: error });
  }
}

/** "file", "device", or in words what else it is. */
export function kindOf(stat: fs.BigIntStats): DeviceKind | { readonly unusable: string } {
  if (stat.isFile()) return "file";
  if (stat.isBlockDevice()) return "device";
  if (stat.isDirectory()) return { unusable: "a directory" };
  if (stat.isCharacterDevice()) return { unusable: "a character device" };
  if (stat.isFIFO()) return { unusable: "a named pipe" };
  if (stat.isSocket()) return { unusable: "a socket" };
  return { unusable: "neither a regular file nor a block device" };
}

/** "join": as "write", for a device that this run has claimed already. */
export type OpenMode = "read" | "write" | "join" | "create";

export class Device {
  readonly label: string;
  readonly kind: DeviceKind;
  /** See Description.identity. */
  readonly identity: string;
  /** See Description.within. */
  readonly within: readonly string[];
  readonly #fd: number;
  #sizeBytes: number;
  readonly #modifiedNs: bigint;
  readonly #directory: string | undefined;
  readonly #pending = new Set<Promise<unknown>>();
  readonly #writers: Window;
  #writingBack: Promise<void> | undefined;
  #writtenBackAt = 0;
  #writeBackFailure: IoError | undefined;
  #closed = false;
  bytesRead = 0;
  bytesWritten = 0;

  private constructor(
    fd: number,
    label: string,
    kind: DeviceKind,
    sizeBytes: number,
    stat: fs.BigIntStats,
    directory: string | undefined,
  ) {
    this.#fd = fd;
    this.#writers = new Window(WRITES_IN_FLIGHT[kind]);
    this.#directory = directory;
    this.label = label;
    this.kind = kind;
    this.#sizeBytes = sizeBytes;
    this.#modifiedNs = stat.mtimeNs;
    this.identity = identityOf(stat);
    this.within = layersOf(stat);
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
      throw new IoError(`Cannot open ${quote(label)}: it is ${expectedKind.unusable}`);
    }
    const claim = expectedKind === "device" && mode === "write";
    const flags =
      mode === "read" ? O_RDONLY : mode === "create" ? O_RDWR | O_CREAT | O_EXCL : O_RDWR | (claim ? O_EXCL : 0);
    let fd: number;
    try {
      fd = await openDescriptor(path, flags);
    } catch (error) {
      const action = mode === "create" ? "create" : "open";
      if (claim && systemCode(error) === "EBUSY") {
        throw new RefusedError(`Refused to write to ${quote(label)}: the device is mounted or in use (in-use)`, {
          cause: error,
          hint: "unmount it and whatever uses it (lsblk, swapon, dmsetup ls show what), then run again",
        });
      }
      if (
        expectedKind === "device" &&
        (mode === "write" || mode === "join") &&
        ["EROFS", "EACCES"].includes(systemCode(error) ?? "") &&
        isRoot()
      ) {
        throw new RefusedError(`Refused to write to ${quote(label)}: the device is read-only (read-only)`, {
          cause: error,
        });
      }
      throw new IoError(`Cannot ${action} ${quote(label)}: ${reason(error)}`, { cause: error });
    }
    try {
      const stat = fs.fstatSync(fd, { bigint: true });
      const kind = kindOf(stat);
      if (typeof kind === "object") throw new Error(`it is ${kind.unusable}`);
      if (expectedKind !== undefined && kind !== expectedKind) throw new Error("it was replaced while it was opened");
      if (kind === "device" && mode !== "read" && isReadOnlyDevice(fd)) {
        throw new RefusedError(`Refused to write to ${quote(label)}: the device is read-only (read-only)`);
      }
      const directory = mode === "create" ? dirname(path) : undefined;
      return new Device(fd, label, kind, kind === "device" ? deviceSize(fd) : Number(stat.size), stat, directory);
    } catch (error) {
      fs.closeSync(fd);
      if (error instanceof RefusedError) throw error;
      throw new IoError(`Cannot open ${quote(label)}: ${reason(error)}`, { cause: error });
    }
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Data from `offset` on, as nextData() of kernel.ts; a device is all data. */
  nextData(offset: number): { start: number; end: number } | undefined {
    if (offset >= this.#sizeBytes) return undefined;
    if (this.kind === "device") return { start: offset, end: this.#sizeBytes };
    return nextData(this.#fd, offset, this.#sizeBytes);
  }

  /**
   * Fills `buffer` from `offset` on.
   * @throws {IoError} when a part cannot be read; {VerificationError} when it ends before that, so became shorter.
   */
  async read(buffer: Buffer, offset: number): Promise<void> {
    let done = 0;
    while (done < buffer.length) {
      const count = await this.#readSome(buffer, done, offset + done);
      if (count === 0) {
        throw new VerificationError(
          `Cannot read ${buffer.length} bytes at offset ${offset} of ${quote(this.label)}: it ends at ${offset + done}, it became shorter during the run`,
          { hint: "nothing may write to it during a run: stop what does, or use a snapshot" },
        );
      }
      done += count;
    }
    this.bytesRead += done;
  }

  #readSome(buffer: Buffer, start: number, offset: number): Promise<number> {
    return this.#track((resolve, reject) => {
      fs.read(this.#fd, buffer, start, buffer.length - start, offset, (error, count) => {
        if (error === null) resolve(count);
        else if (systemCode(error) === "EINTR") resolve(this.#readSome(buffer, start, offset));
        else reject(this.#failure("read", buffer.length - start, offset, error));
      });
    });
  }

  /**
   * Writes all of `bytes` at `offset`, going on after short writes. Now and then it starts writing back what the page
   * cache holds, so that the disk works from the beginning and a failing one is noticed early.
   * @throws {IoError} at the first offset that fails, or when an earlier write-back failed.
   */
  async write(bytes: Uint8Array, offset: number): Promise<void> {
    await this.#writers.take();
    try {
      if (this.#writeBackFailure !== undefined) throw this.#writeBackFailure;
      let done = 0;
      while (done < bytes.length) {
        const count = await this.#writeSome(bytes, done, offset + done);
        if (count === 0)
          throw this.#failure("write", bytes.length - done, offset + done, new Error("the kernel took no byte"));
        done += count;
        this.bytesWritten += count;
      }
    } finally {
      this.#writers.give();
    }
    if (this.bytesWritten - this.#writtenBackAt >= WRITE_BACK_LENGTH) this.#writeBack();
  }

  #writeBack(): void {
    if (this.#writingBack !== undefined) return;
    this.#writtenBackAt = this.bytesWritten;
    this.#writingBack = this.#track<void>((resolve, reject) => {
      fs.fdatasync(this.#fd, (error) => (error === null ? resolve() : reject(error)));
    })
      .catch((error: unknown) => {
        this.#writeBackFailure = this.#flushFailure(error);
      })
      .finally(() => {
        this.#writingBack = undefined;
      });
  }

  #writeSome(bytes: Uint8Array, start: number, offset: number): Promise<number> {
    return this.#track((resolve, reject) => {
      fs.write(this.#fd, bytes, start, bytes.length - start, offset, (error, count) => {
        if (error === null) resolve(count);
        else if (systemCode(error) === "EINTR") resolve(this.#writeSome(bytes, start, offset));
        else reject(this.#failure("write", bytes.length - start, offset, error));
      });
    });
  }

  /**
   * Makes a range zero without writing data: a hole in a file, BLKZEROOUT on a device (never BLKDISCARD, which promises
   * no zeros). With `discard` a device that can forget data and read zeros afterwards does so: for a device punching a
   * hole means exactly that, and fails where it cannot be promised (fallocate(2), blkdev_fallocate() in block/fops.c).
   * False where nothing of that is possible, or not worth the wait, and zeros must be written.
   */
  zero(offset: number, length: number, discard: boolean): boolean {
    if (this.kind === "file") return punchHole(this.#fd, offset, length);
    if (length < MIN_DEVICE_ZERO) return false;
    return (discard && punchHole(this.#fd, offset, length)) || zeroDevice(this.#fd, offset, length);
  }

  dropCache(offset: number, length: number): void {
    dropCache(this.#fd, offset, length);
  }

  /** Grows or cuts a regular file. @throws {IoError} */
  async resize(sizeBytes: number): Promise<void> {
    await this.#track<void>((resolve, reject) => {
      fs.ftruncate(this.#fd, sizeBytes, (error) => {
        if (error === null) resolve();
        else
          reject(
            new IoError(`Cannot make ${quote(this.label)} ${sizeBytes} bytes long: ${reason(error)}`, { cause: error }),
          );
      });
    });
    this.#sizeBytes = sizeBytes;
  }

  /** Waits until all that was written is on stable storage. @throws {IoError}, which is final: data may be lost. */
  async flush(): Promise<void> {
    // The kernel tells each open file of a failed write-back once: the one under way may be the one that is told.
    await this.#writingBack;
    try {
      await this.#fsync(this.#fd);
      if (this.#directory !== undefined) await this.#flushDirectory(this.#directory);
    } catch (error) {
      throw this.#flushFailure(error);
    }
    if (this.#writeBackFailure !== undefined) throw this.#writeBackFailure;
  }

  #flushFailure(cause: unknown): IoError {
    return new IoError(`Cannot flush ${quote(this.label)}: ${reason(cause)}; some of what was written is lost`, {
      cause,
      hint: "look at the kernel's messages (dmesg), then run again: it compares everything anew",
    });
  }

  /** A file that was created is found after a crash only when its directory is on stable storage too (fsync(2)). */
  async #flushDirectory(directory: string): Promise<void> {
    let fd: number;
    try {
      fd = await openDescriptor(directory, O_RDONLY);
    } catch {
      // A directory one may write to but not read; the file itself is safe.
      return;
    }
    try {
      await this.#fsync(fd);
    } finally {
      fs.closeSync(fd);
    }
  }

  #fsync(fd: number): Promise<void> {
    return this.#track((resolve, reject) => fs.fsync(fd, (error) => (error === null ? resolve() : reject(error))));
  }

  #track<Value>(
    start: (resolve: (value: Value | PromiseLike<Value>) => void, reject: (cause: unknown) => void) => void,
  ): Promise<Value> {
    if (this.#closed) return Promise.reject(new IoError(`Cannot use ${quote(this.label)}: it is closed`));
    const operation = new Promise<Value>(start);
    this.#pending.add(operation);
    const done = () => this.#pending.delete(operation);
    operation.then(done, done);
    return operation;
  }

  /** True while size and modification time are what they were when it was opened (devices have neither). */
  isUnchanged(): boolean {
    if (this.kind === "device") return true;
    const stat = fs.fstatSync(this.#fd, { bigint: true });
    return stat.mtimeNs === this.#modifiedNs && Number(stat.size) === this.#sizeBytes;
  }

  /** Closes after the operations under way: the number of a closed descriptor may be another file's at once. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.allSettled(this.#pending);
    fs.closeSync(this.#fd);
  }

  #failure(action: "read" | "write", length: number, offset: number, cause: unknown): IoError {
    return new IoError(
      `Cannot ${action} ${length} bytes at offset ${offset} of ${quote(this.label)}: ${reason(cause)}`,
      {
        cause,
      },
    );
  }
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}
