/**
 * Gets what was written to a file or device onto stable storage, and sees to it that what did not get there is not taken for
 * written later: after a failed write-back the kernel keeps the pages, marks them clean and tells the error once
 * (https://wiki.postgresql.org/wiki/Fsync_Errors), so that a second run would find in the cache what no disk holds.
 */
import { IoError, reason } from "../../errors.ts";
import { quote } from "../../name.ts";
import { dropCaches } from "./cache.ts";
import { closeCopy } from "./close.ts";
import type { Descriptor } from "./descriptor.ts";
import { flushFolder } from "./folder.ts";

/** Written bytes after which a write-back is started. */
const WRITE_BACK_LENGTH = 64 << 20;
export class WriteBack {
  readonly #file: Descriptor;
  readonly #label: string;
  /** What a file was created in, which is to be flushed too. */
  readonly #directory: string | undefined;
  #underWay: Promise<void> | undefined;
  #begunAt = 0;
  #failure: IoError | undefined;

  constructor(file: Descriptor, label: string, directory: string | undefined) {
    this.#file = file;
    this.#label = label;
    this.#directory = directory;
  }

  /** @throws {IoError} when an earlier write-back failed. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Starts writing back what the page cache holds, if `bytesWritten`, the bytes written in all, say that it is time. */
  begin(bytesWritten: number): void {
    if (this.#underWay === undefined && bytesWritten - this.#begunAt >= WRITE_BACK_LENGTH) this.#start(bytesWritten);
  }

  /** Waits until what was written so far is on stable storage; the run goes on. @throws {IoError}, as flush(). */
  async flushData(bytesWritten: number): Promise<void> {
    await this.#underWay;
    this.check();
    if (this.#underWay === undefined) this.#start(bytesWritten);
    await this.#underWay;
    this.check();
  }

  #start(bytesWritten: number): void {
    this.#begunAt = bytesWritten;
    this.#underWay = this.#file
      .flushData()
      .catch(async (error: unknown) => {
        // Set first: nothing more is to be written into the cache that is dropped.
        this.#failure = this.#lost(error, true);
        this.#failure = this.#lost(error, await dropCaches(this.#file, { lost: true }));
      })
      .finally(() => {
        this.#underWay = undefined;
      });
  }

  /** Waits until all that was written is on stable storage. @throws {IoError}, which is final: data may be lost. */
  async flush(): Promise<void> {
    // The kernel tells each open file of a failed write-back once: the one under way may be the one that is told.
    await this.#underWay;
    try {
      await this.#file.flush();
      await closeCopy(this.#file.fd);
      this.check();
    } catch (error) {
      const whole = await dropCaches(this.#file, { lost: true });
      this.#failure ??= this.#lost(error, whole);
      throw this.#failure;
    }
    if (this.#directory !== undefined) await flushFolder(this.#directory, this.#label);
  }

  /** To be called before the file is closed: drops what was written after a write-back had failed, and lost with it. */
  async end(): Promise<void> {
    await this.#underWay;
    if (this.#failure !== undefined) await dropCaches(this.#file, { lost: true });
  }

  #lost(cause: unknown, dropped: boolean): IoError {
    const next = dropped
      ? "fix the cause and run again: the lost data was dropped from the page cache too, so the next run rewrites it"
      : "fix the cause, drop the page cache, which may still show the lost data (echo 3 >/proc/sys/vm/drop_caches), and run again";
    const text = `Cannot flush ${quote(this.#label)}: ${reason(cause)}; some of what was written is lost`;
    return new IoError(text, { cause, hint: `check the kernel log (dmesg), ${next}` });
  }
}
