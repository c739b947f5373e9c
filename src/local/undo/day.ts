/**
 * The disk of a day, read in order through its undo file: what that has not, the next newer file of the chain has, and what none of
 * them has, the disk itself, which was not written to there since. So a disk can be read while it is made what it was that day, as
 * long as each place is read before it is written to.
 */
import fs from "node:fs";
import { cannot, IoError, VerificationError } from "../../errors.ts";
import { bytesOf, quote } from "../../name.ts";
import { dirname, join } from "../../paths.ts";
import { areOfTwo, markOf } from "../guard/mark.ts";
import { deviceSize } from "../kernel/libc.ts";
import { Descriptor } from "../medium/descriptor.ts";
import { identityOf } from "../system/picture.ts";
import { headAt } from "./chain.ts";
import { examine } from "./history.ts";
import { type Geometry, geometryOf, type Head, isSet, offsetOf, tableBytes } from "./qcow2.ts";

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = fs.constants;
/** A virtual disk has whole sectors. */
const SECTOR = 512;

interface Part {
  readonly start: number;
  readonly end: number;
  /** Where it is in the file, "zero" for what reads as zeros, undefined for what the file has not. */
  readonly place: number | "zero" | undefined;
}

/** One file of the chain. */
class Layer {
  readonly path: string;
  readonly head: Head;
  readonly #file: Descriptor;
  readonly #geometry: Geometry;
  readonly #l1: Buffer;
  readonly #table: Buffer;
  #tableNumber: number | undefined;
  bytesRead = 0;

  private constructor(path: string, head: Head, file: Descriptor, l1: Buffer) {
    this.path = path;
    this.head = head;
    this.#file = file;
    this.#geometry = geometryOf(head.sizeBytes);
    this.#l1 = l1;
    this.#table = Buffer.alloc(this.#geometry.clusterSize);
  }

  /** @throws {IoError} {VerificationError} for a file that is not whole. */
  static async open(path: string, head: Head): Promise<Layer> {
    const { problem } = await examine(path, head);
    if (problem !== undefined) throw broken(path, problem);
    const { l1Entries, l1Offset } = geometryOf(head.sizeBytes);
    const file = await opened(path, O_NOFOLLOW);
    const l1 = Buffer.alloc(tableBytes(l1Entries));
    if (await file.fill(l1, l1Offset)) return new Layer(path, head, file, l1);
    await file.close();
    throw broken(path, "it is cut short");
  }

  /** Bytes of the disk that it shows, which the format has in whole sectors. */
  get endBytes(): number {
    return Math.ceil(this.head.sizeBytes / SECTOR) * SECTOR;
  }

  /** What the file has of a range within its disk, neighbours that lie one after the other as one part. */
  async *parts(start: number, end: number): AsyncGenerator<Part> {
    const { clusterSize } = this.#geometry;
    let part: Part | undefined;
    for (let at = start; at < end; ) {
      const cluster = Math.floor(at / clusterSize);
      const until = Math.min(end, (cluster + 1) * clusterSize);
      const place = await this.#placeOf(cluster, at - cluster * clusterSize);
      if (part !== undefined && goesOn(part, place)) part = { ...part, end: until };
      else {
        if (part !== undefined) yield part;
        part = { start: at, end: until, place };
      }
      at = until;
    }
    if (part !== undefined) yield part;
  }

  async #placeOf(cluster: number, within: number): Promise<Part["place"]> {
    const { clustersPerTable } = this.#geometry;
    const number = Math.floor(cluster / clustersPerTable);
    if (!isSet(this.#l1, number)) return undefined;
    if (this.#tableNumber !== number) {
      this.#tableNumber = undefined;
      await this.read(this.#table, offsetOf(this.#l1, number));
      this.#tableNumber = number;
    }
    const index = cluster % clustersPerTable;
    if (!isSet(this.#table, index)) return undefined;
    const offset = offsetOf(this.#table, index);
    return offset === 0 ? "zero" : offset + within;
  }

  /** @throws {IoError} where there is less. */
  async read(bytes: Buffer, offset: number): Promise<void> {
    await readFrom(this.#file, this.path, bytes, offset);
    this.bytesRead += bytes.length;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

function goesOn({ start, end, place }: Part, next: Part["place"]): boolean {
  return typeof place === "number" && typeof next === "number" ? next === place + (end - start) : next === place;
}

function broken(path: string, problem: string): VerificationError {
  return new VerificationError(`Cannot read the day of the undo file ${quote(path)}: ${problem}`, {
    hint: "blocksync history lists what a folder of undo files still shows",
  });
}

async function opened(path: string, flags: number): Promise<Descriptor> {
  return await Descriptor.open(path, O_RDONLY | O_NONBLOCK | flags).catch((error: unknown) => {
    throw cannot("open", path, error);
  });
}

/** Reads all of it; less is there only if the file was cut. */
async function readFrom(file: Descriptor, label: string, bytes: Buffer, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    let count: number;
    try {
      count = await file.read(bytes, done, offset + done);
    } catch (error) {
      throw cannot("read", label, error);
    }
    if (count === 0)
      throw new IoError(`Cannot read ${bytes.length} bytes at offset ${offset} of ${quote(label)}: it ends before`);
    done += count;
  }
}

export class DayDisk {
  /** The disk, as the newest file of the chain names it. */
  readonly disk: string;
  /** See Description.identity. */
  readonly diskIdentity: string;
  readonly #layers: readonly Layer[];
  readonly #base: Descriptor;
  readonly #before: fs.BigIntStats;
  /** Of the disk now, in bytes. */
  readonly #baseBytes: number;
  #baseRead = 0;

  private constructor(layers: readonly Layer[], disk: string, base: Descriptor, baseBytes: number) {
    this.#layers = layers;
    this.disk = disk;
    this.#base = base;
    this.#before = base.stat();
    this.#baseBytes = baseBytes;
    this.diskIdentity = identityOf(this.#before);
  }

  /** Undefined for what is no undo file. @throws {IoError} {VerificationError} for a chain that does not show its days any more. */
  static async open(path: string): Promise<DayDisk | undefined> {
    if (headAt(path) === undefined) return undefined;
    const layers: Layer[] = [];
    try {
      let at = path;
      for (;;) {
        const head = headAt(at);
        if (head === undefined)
          throw broken(path, `it needs ${quote(at)}, which is not there, or no undo file any more`);
        layers.push(await Layer.open(at, head));
        const { backing } = head;
        if (backing.startsWith("/")) return await DayDisk.#onto(path, layers, head);
        const next = join(dirname(at), backing);
        if (backing.includes("/") || layers.some((layer) => layer.path === next))
          throw broken(path, `it needs ${quote(next)}, which no chain leads to`);
        at = next;
      }
    } catch (error) {
      for (const layer of layers) await layer.close();
      throw error;
    }
  }

  static async #onto(path: string, layers: readonly Layer[], { backing: disk, mark }: Head): Promise<DayDisk> {
    const stat = fs.statSync(bytesOf(disk), { bigint: true, throwIfNoEntry: false });
    if (stat === undefined || !(stat.isFile() || stat.isBlockDevice()))
      throw broken(path, `it needs its disk ${quote(disk)}, which is not there`);
    if (areOfTwo(mark, markOf(stat))) throw broken(path, `${quote(disk)} is another disk than it was`);
    const base = await opened(disk, 0);
    try {
      return new DayDisk(layers, disk, base, sizeOf(base));
    } catch (error) {
      await base.close();
      throw error;
    }
  }

  /** Of that day, in bytes. */
  get sizeBytes(): number {
    return this.#layers[0]?.head.sizeBytes ?? 0;
  }

  /** When the run began that changed it, in ms since 1970. */
  get timeMs(): number {
    return this.#layers[0]?.head.timeMs ?? 0;
  }

  /** Newer files, which rest on the disk too. */
  get newer(): readonly string[] {
    return this.#layers.slice(1).map(({ path }) => path);
  }

  get bytesRead(): number {
    return this.#layers.reduce((sum, layer) => sum + layer.bytesRead, this.#baseRead);
  }

  /** Fills the buffer with what the disk had from `offset` on, all of it within the disk. @throws {IoError} */
  async read(buffer: Buffer, offset: number): Promise<void> {
    await this.#read(0, buffer, offset);
  }

  /** As read(), by the files of the chain from `number` on. */
  async #read(number: number, buffer: Buffer, offset: number): Promise<void> {
    const layer = this.#layers[number];
    if (layer === undefined) return await this.#readBase(buffer, offset);
    // Of a newer disk that was shorter nothing is asked: what it lost is saved by the run that cut it.
    const within = Math.max(0, Math.min(buffer.length, layer.endBytes - offset));
    buffer.fill(0, within);
    for await (const { start, end, place } of layer.parts(offset, offset + within)) {
      const bytes = buffer.subarray(start - offset, end - offset);
      if (place === "zero") bytes.fill(0);
      else if (place === undefined) await this.#read(number + 1, bytes, start);
      else await layer.read(bytes, place);
    }
  }

  async #readBase(buffer: Buffer, offset: number): Promise<void> {
    const there = Math.max(0, Math.min(buffer.length, this.#baseBytes - offset));
    buffer.fill(0, there);
    if (there > 0) await readFrom(this.#base, this.disk, buffer.subarray(0, there), offset);
    this.#baseRead += there;
  }

  /**
   * Checks that no other run has gone on with the chain, or written to the disk. Not for a run that makes the disk itself what it was.
   * @throws {VerificationError}
   */
  confirmUnchanged(): void {
    for (const { path, head } of this.#layers)
      if (headAt(path)?.backing !== head.backing) throw broken(path, "another run has gone on with it meanwhile");
    const { size, mtimeNs } = this.#base.stat();
    if (size !== this.#before.size || mtimeNs !== this.#before.mtimeNs)
      throw broken(this.#layers[0]?.path ?? "", `its disk ${quote(this.disk)} was written to meanwhile`);
  }

  async close(): Promise<void> {
    for (const layer of this.#layers) await layer.close();
    await this.#base.close();
  }
}

/** Bytes of a file or device. */
function sizeOf(file: Descriptor): number {
  const stat = file.stat();
  return stat.isBlockDevice() ? deviceSize(file.fd) : Number(stat.size);
}
