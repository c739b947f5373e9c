/**
 * An open file as the kernel sees it: single system calls that may be short, off the JavaScript thread, begun again when a
 * signal interrupted them, and waited for before it is closed. They reject with the system's own errors.
 */
import fs from "node:fs";
import { systemCode } from "../../errors.ts";
import { bytesOf } from "../../name.ts";
import { softLimit } from "../kernel/limits.ts";
import { directUnits, directView } from "./direct.ts";

type Callback = (error: Error | null, count?: number) => void;

/** What a write or a change of size fails with: a limit of the process told from one of the file system, which is EFBIG too (getrlimit(2)). */
export function ofGrowing(error: unknown): unknown {
  if (systemCode(error) !== "EFBIG" || softLimit("Max file size") === undefined) return error;
  return Object.assign(new Error("File size limit exceeded", { cause: error }), { code: "RLIMIT_FSIZE" });
}

export class Descriptor {
  readonly fd: number;
  #direct: number | undefined;
  #pending = 0;
  /** Calls under way that write nothing and are not waited for. */
  #looking = 0;
  #onIdle: (() => void) | undefined;
  #closed = false;

  private constructor(fd: number) {
    this.fd = fd;
  }

  /** `permissions` are those of a file that is created, before the umask. */
  static open(path: string, flags: number, permissions = 0o666): Promise<Descriptor> {
    return new Promise((resolve, reject) => {
      fs.open(bytesOf(path), flags, permissions, (error, fd) => (error ? reject(error) : resolve(new Descriptor(fd))));
    });
  }

  stat(): fs.BigIntStats {
    return fs.fstatSync(this.fd, { bigint: true });
  }

  /** Reads some bytes from `offset` on into the buffer from `start` on; returns how many, 0 at the end. */
  read(buffer: Buffer, start: number, offset: number): Promise<number> {
    if (this.#direct !== undefined) return this.#readDirect(this.#direct, buffer, start, offset);
    return this.#call((done) => fs.read(this.fd, buffer, start, buffer.length - start, offset, done));
  }

  async #readDirect(direct: number, buffer: Buffer, start: number, offset: number): Promise<number> {
    const wanted = buffer.length - start;
    for (const unit of directUnits(wanted)) {
      const view = directView(buffer, start, offset, unit);
      if (view === undefined) continue;
      try {
        return Math.min(wanted, await this.#call((done) => fs.read(direct, view, 0, view.length, offset, done)));
      } catch (error) {
        // Sectors of this disk are longer, or shorter, than that.
        if (systemCode(error) !== "EINVAL") throw error;
      }
    }
    return await this.#call((done) => fs.read(this.fd, buffer, start, wanted, offset, done));
  }

  /** Fills the buffer from `offset` on; false where that does not succeed at once. */
  async fill(buffer: Buffer, offset: number): Promise<boolean> {
    try {
      for (let done = 0; done < buffer.length; ) {
        const count = await this.read(buffer, done, offset + done);
        if (count === 0) return false;
        done += count;
      }
      return true;
    } catch {
      return false;
    }
  }

  /** Writes some of `bytes` from `start` on, at `offset`; returns how many. */
  write(bytes: Uint8Array, start: number, offset: number): Promise<number> {
    return this.#grow((done) => fs.write(this.fd, bytes, start, bytes.length - start, offset, done));
  }

  async truncate(sizeBytes: number): Promise<void> {
    await this.#grow((done) => fs.ftruncate(this.fd, sizeBytes, done));
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

  /** Whether reads go around the page cache. */
  get isDirect(): boolean {
    return this.#direct !== undefined;
  }

  closeDirect(): void {
    if (this.#direct !== undefined) fs.closeSync(this.#direct);
    this.#direct = undefined;
  }

  async #grow(start: (done: Callback) => void): Promise<number> {
    try {
      return await this.#call(start);
    } catch (error) {
      throw ofGrowing(error);
    }
  }

  #call(start: (done: Callback) => void): Promise<number> {
    if (this.#closed) return Promise.reject(new Error("it is closed"));
    this.#pending++;
    return new Promise<number>((resolve, reject) => {
      const end = (error: unknown, count: number) => {
        this.#pending--;
        if (this.#pending === 0) this.#onIdle?.();
        if (error === null) resolve(count);
        else reject(error);
      };
      const attempt = () => {
        try {
          start((error, count = 0) => {
            if (error !== null && systemCode(error) === "EINTR") attempt();
            else end(error, count);
          });
        } catch (error) {
          end(error, 0);
        }
      };
      attempt();
    });
  }

  /** What `call` asks aside (aside.ts), which changes nothing: close() leaves the file open until then and does not wait. */
  async look<T>(call: (fd: number) => Promise<T>): Promise<T> {
    if (this.#closed) throw new Error("it is closed");
    this.#looking++;
    try {
      return await call(this.fd);
    } finally {
      this.#looking--;
      if (this.#closed && this.#pending === 0) this.#closeIdle();
    }
  }

  /** As look(), for what close() waits for. */
  async hold<T>(call: (fd: number) => Promise<T>): Promise<T> {
    if (this.#closed) throw new Error("it is closed");
    this.#pending++;
    try {
      return await call(this.fd);
    } finally {
      this.#pending--;
      if (this.#pending === 0) this.#onIdle?.();
    }
  }

  /** Closes after the calls under way: the number of a closed descriptor may be another file's at once. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#pending > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    this.closeDirect();
    this.#closeIdle();
  }

  #closeIdle(): void {
    if (this.#looking === 0) fs.closeSync(this.fd);
  }
}
