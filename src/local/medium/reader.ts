/**
 * Reads a file or device: plainly by a job on a thread, or with all the care a failing one needs, and around the page cache once that
 * was asked for.
 */
import { gone, isMediumError, readBackFailed, transferFailed, VerificationError } from "../../errors.ts";
import { quote } from "../../name.ts";
import { LEAF_SIZE } from "../../sync/blocks.ts";
import type { ByteRange } from "../../sync/ranges.ts";
import type { Descriptor } from "./descriptor.ts";
import { DIRECT_LENGTH, directBuffer } from "./direct.ts";
import { Vitals } from "./vitals.ts";

/**
 * A hole is read in pieces of this length: what fresh page cache takes in larger folios it also has to make zero at once. Of
 * 2 GiB of hole 1 MiB at a time took 4.5 to 14 s, 256 KiB 2.2, this 1.7 to 2.6; data is as fast either way.
 */
const HOLE_PIECE = 128 << 10;

export interface ReadOptions {
  /** Much of it may be holes. */
  readonly holes: boolean;
  /** Only whether all of it can be read is of interest, not which place cannot: that takes further failed reads. */
  readonly whole: boolean;
}

const WITH_PLACE: ReadOptions = { holes: false, whole: false };

export class Reader {
  readonly #file: Descriptor;
  readonly #label: string;
  readonly #writable: boolean;
  readonly #sizeBytes: () => number;
  readonly #vitals: Vitals;
  /** Plain reads have succeeded so far: the medium is not failing. */
  #plain = true;
  /** Reads go around the page cache, and were seen to work. */
  #direct = false;
  bytesRead = 0;

  /** `sizeBytes` tells the size that the run knows, `hasItsSize` whether the kernel still gives it the size it had. */
  constructor(
    file: Descriptor,
    label: string,
    { writable }: { readonly writable: boolean },
    sizeBytes: () => number,
    hasItsSize: () => boolean,
  ) {
    this.#file = file;
    this.#label = label;
    this.#writable = writable;
    this.#sizeBytes = sizeBytes;
    this.#vitals = new Vitals(file, hasItsSize, { writable });
  }

  /**
   * Fills `buffer` from `offset` on.
   * @throws {IoError} when a part cannot be read; {VerificationError} when it ends before that, so became shorter.
   */
  async read(buffer: Buffer, offset: number, { holes, whole }: ReadOptions = WITH_PLACE): Promise<void> {
    const step = holes && !this.#file.isDirect ? HOLE_PIECE : buffer.length;
    let done = 0;
    while (done < buffer.length) {
      const count = await this.#readSome(buffer.subarray(0, done + step), done, offset + done, whole);
      if (count === 0) {
        throw new VerificationError(
          `Cannot read ${buffer.length} bytes at offset ${offset} of ${quote(this.#label)}: it ends at ${offset + done}, so it became shorter during the run`,
          { hint: "nothing may write to it during a run: stop whatever does, or use a snapshot" },
        );
      }
      done += count;
    }
    this.bytesRead += done;
  }

  /**
   * Has `read` read a part with plain calls, all of it at the first attempt; undefined where that did not succeed, or is not to be
   * tried: around the page cache, beyond the end, and once it has failed anywhere, since each attempt of a failing disk takes seconds.
   * `lengthOf` says how much of the part was read, if not all.
   */
  async readBy<T>(
    { offset, length }: ByteRange,
    read: (fd: number) => Promise<T | undefined>,
    lengthOf: (found: T) => number = () => length,
  ): Promise<T | undefined> {
    if (!this.#plain || this.#file.isDirect || offset + length > this.#sizeBytes()) return undefined;
    const found = await this.#file.hold(read);
    if (found === undefined) {
      this.#plain = false;
      return undefined;
    }
    this.#vitals.read(offset);
    this.bytesRead += lengthOf(found);
    return found;
  }

  async #readSome(buffer: Buffer, start: number, offset: number, whole: boolean): Promise<number> {
    const wanted = buffer.length - start;
    try {
      const count = await this.#file.read(buffer, start, offset);
      this.#vitals.read(offset);
      return count;
    } catch (error) {
      if (await this.isGone(error)) throw gone("read", this.#label, error);
      const isFinal = wanted <= LEAF_SIZE || (whole && this.#direct);
      if (isFinal || !isMediumError(error)) {
        if (this.#writable) throw readBackFailed(this.#label, wanted, offset, error);
        throw transferFailed("read", this.#label, wanted, offset, error);
      }
    }
    // By halves, so that the failure is about the place itself and a drive that tries for seconds has to fail at it ten times
    // and not hundreds; the page cache gives up whole groups of pages.
    const isDirect = await this.openDirect();
    const part = whole && isDirect ? wanted : LEAF_SIZE * Math.ceil(wanted / LEAF_SIZE / 2);
    return await this.#readSome(buffer.subarray(0, start + part), start, offset, whole);
  }

  /** See Vitals.isGone(). */
  async isGone(error: unknown): Promise<boolean> {
    return await this.#vitals.isGone(error, this.#sizeBytes());
  }

  /** Has reads go around the page cache from now on. False where the file system or the device does not allow it. */
  async openDirect(): Promise<boolean> {
    // Asked for each bad place, and the first sectors of a dying disk may be bad too.
    if (this.#direct) return true;
    if (!(await this.#file.openDirect())) return false;
    try {
      // Some allow it only until it comes to reading.
      const page = directBuffer(DIRECT_LENGTH);
      await this.#file.read(page.subarray(0, Math.min(this.#sizeBytes(), DIRECT_LENGTH)), 0, 0);
      this.#direct = true;
      return true;
    } catch (error) {
      if (isMediumError(error)) {
        this.#direct = true;
        return true;
      }
      this.#file.closeDirect();
      return false;
    }
  }
}
