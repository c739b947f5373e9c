/** The directory that holds all the benchmark makes, and is gone when the benchmark is. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, statfsSync, statSync } from "node:fs";
import { join } from "node:path";
import { changePages, makeCompressibleImage, makeRandomImage, makeSparseImage } from "./images.ts";
import { must } from "./process.ts";

/** At most two images and a destination exist at once; the rest is for the small image and blocksync's far copy. */
const IMAGES_AT_ONCE = 3;
const SMALL_MIB = 256;
const REST_MIB = 512;

export class Workspace implements Disposable {
  readonly path: string;
  readonly sizeMib: number;
  readonly #signal: AbortSignal;
  readonly #made = new Set<string>();

  /** @throws {Error} when there is not enough room. */
  constructor(parent: string, sizeMib: number, signal: AbortSignal) {
    const { bavail, bsize } = statfsSync(parent);
    const needed = IMAGES_AT_ONCE * sizeMib + REST_MIB;
    const free = Math.floor((bavail * bsize) / 2 ** 20);
    if (free < needed) throw new Error(`${parent} has ${free} MiB free, ${needed} are needed: choose --size or --dir`);
    // The real path, since that is by what the kernel knows the programs that run in there.
    this.path = mkdtempSync(join(realpathSync(parent), "blocksync-bench-"));
    this.sizeMib = sizeMib;
    this.#signal = signal;
  }

  get sizeBytes(): number {
    return this.sizeMib * 2 ** 20;
  }

  /** The one file that is written to. */
  get destination(): string {
    return join(this.path, "destination.img");
  }

  get randomImage(): string {
    return join(this.path, "random.img");
  }

  /** Random, too; for links on which the large one would take minutes. */
  get smallImage(): string {
    return join(this.path, "small.img");
  }

  get smallMib(): number {
    return Math.min(this.sizeMib, SMALL_MIB);
  }

  get compressibleImage(): string {
    return join(this.path, "compressible.img");
  }

  /** Where blocksync keeps its copy of itself on the far side; in the home directory it would stay. */
  get remoteDirectory(): string {
    return join(this.path, "remote");
  }

  /** Nothing but a hole. */
  get hole(): string {
    return join(this.path, "hole.img");
  }

  /** A directory of its own inside. */
  subdirectory(name: string): string {
    const path = join(this.path, name);
    mkdirSync(path, { mode: 0o700 });
    return path;
  }

  /** Makes a file once, when a case first needs it. */
  async #need(path: string, make: () => Promise<unknown>): Promise<void> {
    if (this.#made.has(path)) return;
    await make();
    this.#made.add(path);
  }

  needRandomImage(): Promise<void> {
    return this.#need(this.randomImage, () => makeRandomImage(this.randomImage, this.sizeMib, this.#signal));
  }

  needSmallImage(): Promise<void> {
    return this.#need(this.smallImage, () => makeRandomImage(this.smallImage, this.smallMib, this.#signal));
  }

  needCompressibleImage(): Promise<void> {
    const path = this.compressibleImage;
    return this.#need(path, () => makeCompressibleImage(path, this.sizeMib, this.#signal));
  }

  needHole(): Promise<void> {
    return this.#need(this.hole, () => must(["truncate", "-s", String(this.sizeBytes), this.hole], this.#signal));
  }

  /** A sparse file of this size, of which `name` tells several apart; they take next to no room. */
  sparseImage(name: string, sizeBytes: number): string {
    return join(this.path, `sparse-${name}-${sizeBytes}.img`);
  }

  needSparseImage(name: string, sizeBytes: number): Promise<void> {
    const path = this.sparseImage(name, sizeBytes);
    return this.#need(path, () => makeSparseImage(path, sizeBytes, this.#signal));
  }

  async needEqualPair(): Promise<void> {
    await this.needRandomImage();
    await this.copyToDestination(this.randomImage);
  }

  async copyToDestination(source: string): Promise<void> {
    await must(["cp", "--sparse=never", "--reflink=never", source, this.destination], this.#signal);
  }

  /** The pair; a page that is not on the disk yet would stay. */
  async dropFromCache(): Promise<void> {
    for (const path of [this.randomImage, this.destination]) {
      await must(["sync", path], this.#signal);
      // Of no bytes: advises the kernel to drop the cache of the whole file (dd(1)).
      await must(["dd", `if=${path}`, "iflag=nocache", "count=0"], this.#signal);
    }
  }

  removeDestination(): void {
    rmSync(this.destination, { force: true });
  }

  async changeDestination(pages: readonly number[]): Promise<void> {
    await changePages(this.destination, pages, this.#signal);
  }

  /** Bytes the destination takes on the disk. */
  allocatedBytes(): number {
    return statSync(this.destination).blocks * 512;
  }

  [Symbol.dispose](): void {
    // The far side of an interrupted run may still be adding files.
    rmSync(this.path, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}
