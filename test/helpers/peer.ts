/**
 * A second implementation of the wire, written from the comment in src/remote/wire/protocol.ts alone, with the xxHash of
 * @node-rs/xxhash: it can make every frame, also those that no honest side would.
 */
import { xxh3, xxh64 } from "@node-rs/xxhash";

export const Type = {
  open: 1,
  prepare: 2,
  scan: 3,
  advance: 4,
  leafHashes: 5,
  read: 6,
  write: 7,
  counters: 8,
  confirm: 9,
  flush: 10,
  alive: 11,
  salvage: 12,
  patch: 13,
  bypass: 14,
  checkpoint: 15,
  opened: 32,
  run: 33,
  leaves: 34,
  block: 35,
  written: 36,
  counted: 37,
  done: 38,
  failed: 39,
  prepared: 40,
  salvaged: 42,
  patched: 43,
  bypassed: 44,
} as const;

/** Fields of a head, one after the other. */
export const u8 = (value: number) => Buffer.from([value]);
export const bool = (value: boolean) => u8(value ? 1 : 0);
export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
export const field = (value: Uint8Array) => Buffer.concat([u32(value.length), value]);
export const text = (value: string) => field(Buffer.from(value));

export interface Lie {
  readonly headLength?: number;
  readonly bodyLength?: number;
  readonly reserved?: readonly [number, number, number];
  readonly headerChecksum?: number;
  readonly contentChecksum?: number;
}

const low = (value: bigint) => Number(value & 0xffff_ffffn);

/** A frame; `lie` replaces fields of its header, whose checksum is made afterwards unless it is replaced too. */
export function frame(
  type: number,
  id: number,
  head: readonly Uint8Array[],
  body: Uint8Array = Buffer.alloc(0),
  lie: Lie = {},
): Buffer {
  const fields = Buffer.concat(head);
  const header = Buffer.alloc(24);
  header.writeUInt32LE(lie.headLength ?? fields.length, 4);
  header.writeUInt32LE(lie.bodyLength ?? body.length, 8);
  header.writeUInt32LE(id, 12);
  header.writeUInt8(type, 16);
  header.set(lie.reserved ?? [0, 0, 0], 17);
  const content = (low(xxh64(fields, 0n)) ^ low(xxh3.xxh64(body, 0n))) >>> 0;
  header.writeUInt32LE(lie.contentChecksum ?? content, 20);
  header.writeUInt32LE(lie.headerChecksum ?? low(xxh64(header.subarray(4), 0n)), 0);
  return Buffer.concat([header, fields, body]);
}

export interface Parsed {
  readonly type: number;
  readonly id: number;
  readonly head: Buffer;
  readonly body: Buffer;
}

/** Takes whole frames off the front of `bytes`; returns them and what is left. */
export function parse(bytes: Buffer): { readonly frames: Parsed[]; readonly rest: Buffer } {
  const frames: Parsed[] = [];
  let start = 0;
  while (bytes.length - start >= 24) {
    const [headLength, bodyLength] = [bytes.readUInt32LE(start + 4), bytes.readUInt32LE(start + 8)];
    const end = start + 24 + headLength + bodyLength;
    if (bytes.length < end) break;
    const head = bytes.subarray(start + 24, start + 24 + headLength);
    frames.push({
      type: bytes[start + 16] ?? 0,
      id: bytes.readUInt32LE(start + 12),
      head,
      body: bytes.subarray(start + 24 + headLength, end),
    });
    start = end;
  }
  return { frames, rest: bytes.subarray(start) };
}

export interface Opening {
  readonly access: (typeof ACCESS)[number];
  readonly path: string;
  readonly blockSize?: number;
  readonly label?: string;
  readonly seed?: Uint8Array;
}

const ACCESS = ["read", "rehearse", "write", "join"] as const;

/** Requests as an honest controller makes them. */
export const ask = {
  alive: (seconds: number) => frame(Type.alive, 0, [u32(seconds)]),
  /** Hashes by xxh3-xxh64 alone, drops no cache, discards nothing, compresses, overrides no refusal, looks at nothing. */
  open: (id: number, { access, path, blockSize = 65_536, label = "label", seed = Buffer.alloc(28, 7) }: Opening) =>
    frame(Type.open, id, [
      text(path),
      text(label),
      u8(ACCESS.indexOf(access)),
      u32(blockSize),
      u8(0),
      bool(false),
      field(seed),
      ...[false, false, true].map(bool),
      u32(0),
      u8(0),
      bool(false),
    ]),
  prepare: (id: number, size: number | bigint) => frame(Type.prepare, id, [u64(size), bool(false)]),
  scan: (id: number, first: number | bigint, count: number | bigint, window: number | bigint = 16) =>
    frame(Type.scan, id, [u64(window), bool(true), bool(false), bool(false)], Buffer.concat([u64(first), u64(count)])),
  advance: (index: number | bigint) => frame(Type.advance, 0, [u64(index)]),
  leafHashes: (id: number, index: number | bigint, size = 4) =>
    frame(Type.leafHashes, id, [u64(index), u32(1), u8(size)]),
  read: (id: number, index: number | bigint, filter = 0, hashes = Buffer.alloc(0)) =>
    frame(Type.read, id, [u64(index), u32(1), u8(filter)], hashes),
  /** The first leaf of a block of 16, unless told otherwise. */
  write: (id: number, index: number | bigint, data: Partial<WriteFields> = {}, lie: Lie = {}) => {
    const body = data.body ?? Buffer.alloc(4096, 1);
    const head = [u64(index), u32(1), ...dataFields({ ...data, body })];
    return frame(Type.write, id, head, body, lie);
  },
  /** `sectors` of 512 bytes, as a set. */
  salvage: (id: number, index: number | bigint, known: Uint8Array, retries = 0) =>
    frame(Type.salvage, id, [u64(index), u32(retries), field(known)]),
  patch: (id: number, index: number | bigint, sectors: Uint8Array, body: Uint8Array) =>
    frame(Type.patch, id, [u64(index), field(sectors)], body),
  bypass: (id: number) => frame(Type.bypass, id, []),
  counters: (id: number) => frame(Type.counters, id, []),
  flush: (id: number) => frame(Type.flush, id, []),
};

export interface WriteFields {
  readonly hash: Uint8Array;
  readonly leaves: Uint8Array;
  readonly zeros: Uint8Array;
  readonly length: number;
  readonly body: Uint8Array;
}

export function dataFields({ hash, leaves, zeros, length, body }: Partial<WriteFields>): Buffer[] {
  const none = Buffer.alloc(2);
  return [
    field(hash ?? Buffer.alloc(16)),
    field(leaves ?? Buffer.from([1, 0])),
    field(zeros ?? none),
    u32(length ?? body?.length ?? 0),
  ];
}
