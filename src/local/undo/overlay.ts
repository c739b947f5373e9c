/**
 * An overlay file while it grows: clusters, tables and refcounts are added at its end, and entries lead to them later. Everything is
 * written in such an order that the file is whole wherever a run ends, if sync() stands between what the callers are told to keep
 * apart; what no entry leads to yet is unused space ("leaked clusters" of `qemu-img check`), no error.
 */
import { IoError } from "../../errors.ts";
import { quote } from "../../name.ts";
import type { Descriptor } from "../medium/descriptor.ts";
import { WRITE_PIECE } from "../medium/piece.ts";
import {
  type Entry,
  encodeHead,
  entriesOf,
  type Geometry,
  geometryOf,
  type Head,
  isSet,
  offsetOf,
  setEntry,
  setPlainEntry,
  tableBytes,
  usedOnce,
} from "./qcow2.ts";

/** Memory for tables of the second level that were used last. */
const TABLES_BYTES = 4 << 20;
const MIN_TABLES = 4;
/** Refcounts are made for so much of the file at once: each time costs two syncs. */
const AHEAD = 64 << 20;

/** What an overlay needs of a file. */
export type OverlayFile = Pick<Descriptor, "read" | "write" | "truncate" | "flush" | "flushData" | "stat">;

export class Overlay {
  readonly geometry: Geometry;
  readonly #file: OverlayFile;
  readonly #label: string;
  readonly #l1: Buffer;
  /** By their number, the one that was used last behind. */
  readonly #tables = new Map<number, Buffer>();
  /** Where tables are that no entry leads to yet. */
  readonly #unlinked = new Map<number, number>();
  /** Where what comes next is added, in bytes; the beginning of a cluster. */
  #end: number;
  /** Bytes of the file that have a refcount. */
  #covered = 0;

  private constructor(file: OverlayFile, label: string, geometry: Geometry) {
    this.geometry = geometry;
    this.#file = file;
    this.#label = label;
    this.#l1 = Buffer.alloc(tableBytes(geometry.l1Entries));
    this.#end = geometry.tablesEnd;
  }

  /** Makes an empty file an overlay that has nothing of its own, and durable. */
  static async create(file: OverlayFile, label: string, head: Head): Promise<Overlay> {
    const overlay = new Overlay(file, label, geometryOf(head.sizeBytes));
    await file.truncate(overlay.#end);
    await overlay.#addRefcounts(0, () => Promise.resolve());
    // The header last: before it the file is nothing, and then all of it.
    await overlay.#write(encodeHead(head), 0);
    await file.flush();
    return overlay;
  }

  /** Goes on with a file that create() has made for `head`, after a run that was broken off anywhere. */
  static async reopen(file: OverlayFile, label: string, head: Head): Promise<Overlay> {
    const overlay = new Overlay(file, label, geometryOf(head.sizeBytes));
    const { l1Offset, refcountTableOffset, refcountTableClusters, clusterSize, coverage, tablesEnd } = overlay.geometry;
    // What the page cache shows may not be durable yet.
    await file.flush();
    await overlay.#read(overlay.#l1, l1Offset);
    const refcounts = Buffer.alloc(refcountTableClusters * clusterSize);
    await overlay.#read(refcounts, refcountTableOffset);
    let blocks = 0;
    while (tableBytes(blocks) < refcounts.length && isSet(refcounts, blocks)) blocks++;
    overlay.#covered = blocks * coverage;
    const size = Number(file.stat().size);
    overlay.#end = Math.max(tablesEnd, Math.ceil(size / clusterSize) * clusterSize);
    await overlay.#addRefcounts(0, () => overlay.sync());
    return overlay;
  }

  /** Adds whole clusters; returns where. No entry may lead there before a sync(). */
  async append(bytes: Uint8Array): Promise<number> {
    await this.#addRefcounts(bytes.length, () => this.sync());
    const offset = this.#end;
    this.#end += bytes.length;
    await this.#write(bytes, offset);
    return offset;
  }

  /** Adds the table of the second level that is for a cluster, where there is none; no entry may be made in it before a sync(). */
  async addTable(cluster: number): Promise<void> {
    const number = Math.floor(cluster / this.geometry.clustersPerTable);
    if (this.#placeOf(number) !== undefined) return;
    this.#unlinked.set(number, await this.append(new Uint8Array(this.geometry.clusterSize)));
  }

  /** Which clusters are in the file, of those that one table is for. Lent until the next call of any method. */
  async isSaved(cluster: number): Promise<(other: number) => boolean> {
    const { clustersPerTable } = this.geometry;
    const table = await this.#table(Math.floor(cluster / clustersPerTable));
    return (other) => table !== undefined && isSet(table, other % clustersPerTable);
  }

  /** Has entries lead to what was added before the last sync(); durable after the next one. */
  async enter(entries: ReadonlyMap<number, Entry>): Promise<void> {
    const { clustersPerTable, l1Offset } = this.geometry;
    const byTable = Map.groupBy(entries, ([cluster]) => Math.floor(cluster / clustersPerTable));
    for (const [number, own] of byTable) {
      const place = this.#placeOf(number);
      const table = await this.#table(number);
      if (table === undefined || place === undefined) throw new RangeError("No table was added");
      const indexes = own.map(([cluster]) => cluster % clustersPerTable);
      for (const [cluster, entry] of own) setEntry(table, cluster % clustersPerTable, entry);
      const changed = entriesOf(
        table,
        indexes.reduce((a, b) => Math.min(a, b)),
        indexes.reduce((a, b) => Math.max(a, b)),
      );
      await this.#write(changed.bytes, place + changed.at);
      if (!this.#unlinked.delete(number)) continue;
      setEntry(this.#l1, number, place);
      const { at, bytes } = entriesOf(this.#l1, number, number);
      await this.#write(bytes, l1Offset + at);
    }
  }

  /** Makes durable what was written. @throws {Error} of the system, which is final. */
  async sync(): Promise<void> {
    await this.#file.flushData();
  }

  #placeOf(number: number): number | undefined {
    return this.#unlinked.get(number) ?? (isSet(this.#l1, number) ? offsetOf(this.#l1, number) : undefined);
  }

  async #table(number: number): Promise<Buffer | undefined> {
    const known = this.#tables.get(number);
    const place = this.#placeOf(number);
    if (place === undefined) return undefined;
    const table = known ?? Buffer.alloc(this.geometry.clusterSize);
    if (known === undefined) await this.#read(table, place);
    this.#tables.delete(number);
    this.#tables.set(number, table);
    const most = Math.max(MIN_TABLES, TABLES_BYTES / this.geometry.clusterSize);
    const [oldest] = this.#tables.keys();
    if (this.#tables.size > most && oldest !== undefined) this.#tables.delete(oldest);
    return table;
  }

  /** Sees to it that what is added next, `length` bytes of it, has refcounts; `settle` makes durable what must be before they are found. */
  async #addRefcounts(length: number, settle: () => Promise<void>): Promise<void> {
    const { clusterSize, coverage, refcountTableOffset, refcountTableClusters } = this.geometry;
    if (this.#end + length <= this.#covered) return;
    // They are for themselves too.
    const missing = Math.ceil((this.#end + length - this.#covered) / (coverage - clusterSize));
    const count = Math.max(missing, Math.ceil(AHEAD / coverage));
    const [first, offset] = [this.#covered / coverage, this.#end];
    if (tableBytes(first + count) > refcountTableClusters * clusterSize) throw this.#failed("its tables are full");
    const block = usedOnce(clusterSize);
    for (let i = 0; i < count; i++) await this.#write(block, offset + i * clusterSize);
    this.#end += count * clusterSize;
    await settle();
    const entries = Buffer.alloc(tableBytes(count));
    for (let i = 0; i < count; i++) setPlainEntry(entries, i, offset + i * clusterSize);
    await this.#write(entries, refcountTableOffset + tableBytes(first));
    await settle();
    this.#covered += count * coverage;
  }

  async #write(bytes: Uint8Array, offset: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const count = await this.#file.write(bytes.subarray(0, done + WRITE_PIECE), done, offset + done);
      if (count === 0) throw this.#failed("the kernel took no byte");
      done += count;
    }
  }

  #failed(why: string): IoError {
    return new IoError(`Cannot use the undo file ${quote(this.#label)}: ${why}`);
  }

  /** @throws {IoError} where there is less. */
  async #read(buffer: Buffer, offset: number): Promise<void> {
    for (let done = 0; done < buffer.length; ) {
      const count = await this.#file.read(buffer, done, offset + done);
      if (count === 0) throw this.#failed("it is shorter than it was");
      done += count;
    }
  }
}
