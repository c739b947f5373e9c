/**
 * Tells a device that is gone (unplugged, detached, its far side dead) from one with bad sectors: both fail to read, often with
 * the same EIO, but of a device with bad sectors other places can be read, and the kernel knows its size.
 */
import { systemCode } from "../../errors.ts";
import { SECTOR_SIZE } from "../../sync/blocks.ts";
import type { Descriptor } from "./descriptor.ts";
import { directBuffer } from "./direct.ts";

/** Reads that fail one after the other before other places are asked: the sectors of two bad pages. */
const FAILURES = 16;
/** Places all over the device that are asked at least, besides the one that was read last. */
const PLACES = 8;
/** Those that are asked while they fail quickly, as a device that is gone does: of one that is nearly all bad something answers. */
const MOST_PLACES = 256;
const QUICKLY_MS = 5000;
/** Its multiples, without their whole parts, lie evenly however many there are, and at no regular distance. */
const GOLDEN = (Math.sqrt(5) - 1) / 2;
/** What a block device says that is not there any more (errno(3)). */
const GONE: ReadonlySet<string> = new Set(["ENXIO", "ENODEV", "ENOMEDIUM"]);

export class Vitals {
  readonly #file: Descriptor;
  readonly #hasItsSize: () => boolean;
  readonly #writable: boolean;
  #failures = 0;
  #lastRead: number | undefined;
  #asking: Promise<boolean> | undefined;

  /** `hasItsSize` says whether the kernel still gives it the size it had. */
  constructor(file: Descriptor, hasItsSize: () => boolean, { writable }: { readonly writable: boolean }) {
    this.#file = file;
    this.#hasItsSize = hasItsSize;
    this.#writable = writable;
  }

  /** Something was read there. */
  read(offset: number): void {
    this.#failures = 0;
    this.#lastRead = offset;
  }

  /** Says, after a read or write that failed with `error`, whether the device is gone. Costs nothing most of the time. */
  async isGone(error: unknown, sizeBytes: number): Promise<boolean> {
    if (GONE.has(systemCode(error) ?? "") || !this.#hasItsSize()) return true;
    this.#failures++;
    // A disk may refuse to read what was never written (protection information, deallocated blocks): whether it is there the
    // first write tells.
    if (this.#writable && this.#lastRead === undefined) return false;
    if (this.#failures < FAILURES) return false;
    this.#asking ??= this.#isSilent(sizeBytes).finally(() => {
      this.#asking = undefined;
    });
    return await this.#asking;
  }

  async #isSilent(sizeBytes: number): Promise<boolean> {
    const begun = performance.now();
    if (this.#lastRead !== undefined && (await this.#answersAt(this.#lastRead))) return false;
    for (let i = 0; i < MOST_PLACES; i++) {
      if (i >= PLACES && performance.now() - begun > QUICKLY_MS) return true;
      if (await this.#answersAt(Math.floor(sizeBytes * ((i * GOLDEN) % 1)))) return false;
    }
    return true;
  }

  /** Where the page cache cannot be gone around it may answer for the medium; then one that is gone is not found out. */
  async #answersAt(offset: number): Promise<boolean> {
    try {
      await this.#file.read(directBuffer(SECTOR_SIZE), 0, offset - (offset % SECTOR_SIZE));
      this.#failures = 0;
      return true;
    } catch {
      return false;
    }
  }
}
