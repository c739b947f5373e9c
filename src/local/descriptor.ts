/**
 * An open file as the kernel sees it: single system calls that may be short, off the JavaScript thread, begun again when a
 * signal interrupted them, and waited for before it is closed. They reject with the system's own errors.
 */
import fs from "node:fs";
import { systemCode } from "../errors.ts";
import { directUnits, directView } from "./direct.ts";

type Callback = (error: Error | null, count?: number) => void;

export class Descriptor {
  readonly fd: number;
  #direct: number | undefined;
  readonly #pending = new Set<Promise<unknown>>();
  #closed = false;

  private constructor(fd: number) {
    this.fd = fd;
  }

  static open(path: string, flags: number): Promise<Descriptor> {
    return new Promise((resolve, reject) => {
      fs.open(path, flags, 0o666, (error, fd) => (error ? reject(error) : resolve(new Descriptor(fd))));
    });
  }

  stat(): fs.BigIntStats {
    return fs.fstatSync(this.fd, { bigint: true });
  }

  /** Reads some bytes from `offset` on into the buffer from `start` on; returns how many, 0 at the end. */
  async read(buffer: Buffer, start: number, offset: number): Promise<number> {
    const wanted = buffer.length - start;
    const direct = this.#direct;
    for (const unit of direct === undefined ? [] : directUnits(wanted)) {
      const view = directView(buffer, start, offset, unit);
      if (view === undefined || direct === undefined) continue;
      try {
        return Math.min(wanted, await this.#call((done) => fs.read(direct, view, 0, view.length, offset, done)));
      } catch (error) {
        // Sectors of this disk are longer, or shorter, than that.
        if (systemCode(error) !== "EINVAL") throw error;
      }
    }
    return await this.#call((done) => fs.read(this.fd, buffer, start, wanted, offset, done));
  }

  /** Writes some of `bytes` from `start` on, at `offset`; returns how many. */
  write(bytes: Uint8Array, start: number, offset: number): Promise<number> {
    return this.#call((done) => fs.write(this.fd, bytes, start, bytes.length - start, offset, done));
  }

  async truncate(sizeBytes: number): Promise<void> {
    await this.#call((done) => fs.ftruncate(this.fd, sizeBytes, done));
  }

  async flush(): Promise<void> {
    await this.#call((done) => fs.fsync(this.fd, done));
  }

  /** As flush(), without what is only about the file's times. */
  async flushData(): Promise<void> {
    await this.#call((done) => fs.fdatasync(this.fd, done));
  }

  /** Has reads go around the page cache where memory and offset allow it; false where the file system does not. */
  async openDirect(): Promise<boolean> {
    if (this.#direct !== undefined) return true;
    try {
      // The same inode, even if its name leads elsewhere by now (proc(5)).
      const path = `/proc/self/fd/${this.fd}`;
      const opened = await Descriptor.open(path, fs.constants.O_RDONLY | fs.constants.O_DIRECT);
      // Another read that failed may have been quicker.
      if (this.#direct === undefined) this.#direct = opened.fd;
      else await opened.close();
      return true;
    } catch {
      return false;
    }
  }

  closeDirect(): void {
    if (this.#direct !== undefined) fs.closeSync(this.#direct);
    this.#direct = undefined;
  }

  #call(start: (done: Callback) => void): Promise<number> {
    if (this.#closed) return Promise.reject(new Error("it is closed"));
    const call = new Promise<number>((resolve, reject) => {
      start((error, count = 0) => {
        if (error === null) resolve(count);
        else if (systemCode(error) === "EINTR") resolve(this.#call(start));
        else reject(error);
      });
    });
    this.#pending.add(call);
    const done = () => this.#pending.delete(call);
    call.then(done, done);
    return call;
  }

  /** Closes after the calls under way: the number of a closed descriptor may be another file's at once. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.allSettled(this.#pending);
    this.closeDirect();
    fs.closeSync(this.fd);
  }
}
