/**
 * The qcow2 format as far as an overlay needs it: version 3, no snapshots, no compression, refcounts of 16 bits, all numbers big
 * endian (QEMU, docs/interop/qcow2.txt). Pure.
 */
import { bytesOf, nameOf } from "../../name.ts";
import { RUN_ID_SIZE } from "../../sync/spec.ts";
import { MARK_SIZE } from "../guard/mark.ts";

const MAGIC = 0x514649fb;
const VERSION = 3;
const HEADER_LENGTH = 104;
const REFCOUNT_ORDER = 4;
const REFCOUNT_BYTES = 2;
/** Of an entry of any table. */
const ENTRY_BYTES = 8;
/** What QEMU opens at most (QCOW_MAX_L1_SIZE and QCOW_MAX_REFTABLE_SIZE in block/qcow2.h). */
const MAX_L1_BYTES = 32 << 20;
const MAX_REFCOUNT_TABLE_BYTES = 8 << 20;
/** A virtual disk has whole sectors. */
const SECTOR = 512;
/** Leaves where QEMU's limits allow it, which is up to nearly 8 TiB; up to 1 PiB, and beyond. */
const CLUSTER_BITS = [12, 16, 21] as const;
/** Longest name of a backing file (docs/interop/qcow2.txt). */
export const MAX_BACKING_BYTES = 1023;

/** Where things are in an overlay, by the size of its disk alone. Offsets are bytes in the file, and begin clusters. */
export interface Geometry {
  /** Of the disk that it shows, in bytes; the format rounds it up to sectors. */
  readonly sizeBytes: number;
  /** What is saved together, in bytes. */
  readonly clusterSize: number;
  readonly clusterBits: number;
  /** Clusters of the disk that one table of the second level is for. */
  readonly clustersPerTable: number;
  readonly l1Offset: number;
  readonly l1Entries: number;
  readonly refcountTableOffset: number;
  readonly refcountTableClusters: number;
  /** Bytes of the file that one block of refcounts is for. */
  readonly coverage: number;
  /** Where the tables of fixed size end. */
  readonly tablesEnd: number;
}

function geometryWith(sizeBytes: number, clusterBits: number): Geometry {
  const clusterSize = 2 ** clusterBits;
  const clustersPerTable = clusterSize / ENTRY_BYTES;
  const clusters = Math.ceil(sizeBytes / clusterSize);
  const l1Entries = Math.max(1, Math.ceil(clusters / clustersPerTable));
  const l1Clusters = Math.ceil((l1Entries * ENTRY_BYTES) / clusterSize);
  const coverage = (clusterSize / REFCOUNT_BYTES) * clusterSize;
  // All that there can be but the refcounts, with one entry in a hundred for them and for what broken off runs leave unused.
  const mostClusters = clusters + l1Entries + l1Clusters + 1;
  const entries = Math.ceil((mostClusters * clusterSize * 1.01) / coverage);
  const refcountTableClusters = 1 + Math.ceil((entries * ENTRY_BYTES) / clusterSize);
  const l1Offset = (1 + refcountTableClusters) * clusterSize;
  return {
    sizeBytes,
    clusterSize,
    clusterBits,
    clustersPerTable,
    l1Offset,
    l1Entries,
    refcountTableOffset: clusterSize,
    refcountTableClusters,
    coverage,
    tablesEnd: l1Offset + l1Clusters * clusterSize,
  };
}

/** For a disk of so many bytes, at most 2^53. */
export function geometryOf(sizeBytes: number): Geometry {
  const all = CLUSTER_BITS.map((bits) => geometryWith(sizeBytes, bits));
  const fits = ({ l1Entries, refcountTableClusters, clusterSize }: Geometry) =>
    l1Entries * ENTRY_BYTES <= MAX_L1_BYTES && refcountTableClusters * clusterSize <= MAX_REFCOUNT_TABLE_BYTES;
  const found = all.find(fits);
  if (found === undefined) throw new RangeError(`No overlay shows ${sizeBytes} bytes`);
  return found;
}

/** Entry of a cluster that is zero, whatever the backing file has there. */
const ZERO: Entry = 0;
/** Where a cluster or table is in the file; 0 for a cluster that is all zeros. */
export type Entry = number;

/** Writes an entry: of something that is in the file once (bit 63), or reads as zeros (bit 0). */
export function setEntry(table: Buffer, index: number, entry: Entry): void {
  const at = index * ENTRY_BYTES;
  table.writeUInt32BE(entry === ZERO ? 0 : (0x8000_0000 | Math.floor(entry / 2 ** 32)) >>> 0, at);
  table.writeUInt32BE(entry === ZERO ? 1 : entry % 2 ** 32, at + 4);
}

/** As setEntry(), of the table of refcount blocks, which has no such bits. */
export function setPlainEntry(table: Buffer, index: number, offset: number): void {
  table.writeBigUInt64BE(BigInt(offset), index * ENTRY_BYTES);
}

export function isSet(table: Buffer, index: number): boolean {
  const at = index * ENTRY_BYTES;
  return (table.readUInt32BE(at) | table.readUInt32BE(at + 4)) !== 0;
}

/** The offset that an entry gives; bits 9 to 55. */
export function offsetOf(table: Buffer, index: number): number {
  return Number(table.readBigUInt64BE(index * ENTRY_BYTES) & 0x00ff_ffff_ffff_fe00n);
}

/** The bytes of a table that hold entries `first` to `last`. */
export function entriesOf(table: Buffer, first: number, last: number): { readonly at: number; readonly bytes: Buffer } {
  const at = first * ENTRY_BYTES;
  return { at, bytes: table.subarray(at, (last + 1) * ENTRY_BYTES) };
}

export function tableBytes(entries: number): number {
  return entries * ENTRY_BYTES;
}

/** A block of refcounts by which each of its clusters is used once. */
export function usedOnce(clusterSize: number): Buffer {
  return Buffer.alloc(clusterSize, Buffer.of(0, 1));
}

/** What a header says besides where things are. */
export interface Head {
  /** RUN_ID_SIZE bytes, by which a run that starts over knows its own file. */
  readonly run: Uint8Array;
  /** When it was made, in ms since 1970. */
  readonly timeMs: number;
  /** Of the disk, in bytes. */
  readonly sizeBytes: number;
  /** Of the disk, MARK_SIZE bytes (guard/mark.ts). */
  readonly mark: Uint8Array;
  /** What has the clusters that this file has not: the disk by its absolute path, or an overlay in the same folder. At most MAX_BACKING_BYTES. */
  readonly backing: string;
}

/** Types of header extensions: the backing file's format, and our own, which others leave alone. */
const BACKING_FORMAT = 0xe279_2aca;
const OWN = 0x6273_796e;
const OWN_AT = HEADER_LENGTH + 16;
const OWN_LENGTH = 64;
const MARK_AT = OWN_AT + 40;
const END_AT = OWN_AT + 8 + OWN_LENGTH;
const SHORT_NAME_AT = END_AT + 8;
/** The latest time that there is (ECMA-262, Time Values). */
const MAX_TIME_MS = 8.64e15;
/** All that a header has to say is in so many bytes: a longest name lies behind the first sector. */
export const HEAD_LENGTH = 2048;

/** What is written at once to give a file another backing file, whose name is short: one sector, which a disk writes as a whole or not. */
export function encodeRebased(head: Head, backing: string): Buffer {
  const sector = encodeHead({ ...head, backing }).subarray(0, SECTOR);
  if (SHORT_NAME_AT + bytesOf(backing).length > SECTOR) throw new RangeError("The name is too long");
  return sector;
}

/**
 * HEAD_LENGTH bytes. A name that fits into the first sector is in it, so that one write of a sector gives the file another backing file.
 */
export function encodeHead({ run, timeMs, sizeBytes, mark, backing }: Head): Buffer {
  const geometry = geometryOf(sizeBytes);
  const name = bytesOf(backing);
  const nameAt = SHORT_NAME_AT + name.length <= SECTOR ? SHORT_NAME_AT : SECTOR;
  const head = Buffer.alloc(HEAD_LENGTH);
  const u32 = (value: number, at: number) => head.writeUInt32BE(value, at);
  const u64 = (value: number, at: number) => head.writeBigUInt64BE(BigInt(value), at);
  u32(MAGIC, 0);
  u32(VERSION, 4);
  u64(nameAt, 8);
  u32(name.length, 16);
  u32(geometry.clusterBits, 20);
  u64(Math.ceil(sizeBytes / SECTOR) * SECTOR, 24);
  u32(geometry.l1Entries, 36);
  u64(geometry.l1Offset, 40);
  u64(geometry.refcountTableOffset, 48);
  u32(geometry.refcountTableClusters, 56);
  u32(REFCOUNT_ORDER, 96);
  u32(HEADER_LENGTH, 100);
  u32(BACKING_FORMAT, HEADER_LENGTH);
  const format = backing.startsWith("/") ? "raw" : "qcow2";
  u32(format.length, HEADER_LENGTH + 4);
  head.write(format, HEADER_LENGTH + 8);
  u32(OWN, OWN_AT);
  u32(OWN_LENGTH, OWN_AT + 4);
  head.set(run, OWN_AT + 8);
  u64(sizeBytes, OWN_AT + 24);
  u64(timeMs, OWN_AT + 32);
  head.set(mark, MARK_AT);
  head.set(name, nameAt);
  return head;
}

/** What encodeHead() wrote; undefined for anything else. */
export function decodeHead(head: Buffer): Head | undefined {
  if (head.length !== HEAD_LENGTH || head.readUInt32BE(0) !== MAGIC || head.readUInt32BE(OWN_AT) !== OWN)
    return undefined;
  const [nameAt, length] = [Number(head.readBigUInt64BE(8)), head.readUInt32BE(16)];
  const [sizeBytes, timeMs] = [OWN_AT + 24, OWN_AT + 32].map((at) => Number(head.readBigUInt64BE(at)));
  if (sizeBytes === undefined || timeMs === undefined || sizeBytes > Number.MAX_SAFE_INTEGER) return undefined;
  if (length > MAX_BACKING_BYTES || nameAt > HEAD_LENGTH - length || timeMs > MAX_TIME_MS) return undefined;
  const name = head.subarray(nameAt, nameAt + length);
  if (name.includes(0)) return undefined;
  const found = {
    run: Uint8Array.from(head.subarray(OWN_AT + 8, OWN_AT + 8 + RUN_ID_SIZE)),
    timeMs,
    sizeBytes,
    mark: Uint8Array.from(head.subarray(MARK_AT, MARK_AT + MARK_SIZE)),
    backing: nameOf(name),
  };
  // Whatever else it says has to follow from that; behind the first sector a longer name may have stood.
  const said = nameAt < SECTOR ? SECTOR : HEAD_LENGTH;
  return encodeHead(found).subarray(0, said).equals(head.subarray(0, said)) ? found : undefined;
}
