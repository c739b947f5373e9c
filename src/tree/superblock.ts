/**
 * The superblock of a dm-verity file: 512 bytes at its start, little-endian (struct verity_sb in cryptsetup's lib/verity/verity.c).
 * Pure.
 */
import { LEAF_SIZE } from "../sync/blocks.ts";
import { MAX_SALT_SIZE } from "../sync/spec.ts";
import { MAX_LEAVES } from "./layout.ts";

export const SUPERBLOCK_SIZE = 512;
const MAGIC = "verity\0\0";
const VERSION = 1;
/** 1 is salt ‖ data; 0 was Chrome OS's. */
const HASH_TYPE = 1;
const ALGORITHM = "sha256";
const AT = {
  version: 8,
  hashType: 12,
  uuid: 16,
  algorithm: 32,
  dataBlock: 64,
  hashBlock: 68,
  blocks: 72,
  saltSize: 80,
  salt: 88,
} as const;
const UUID_SIZE = 16;

/** A name, filled up with zeros. */
function padded(text: string, length: number): Buffer {
  return Buffer.concat([Buffer.from(text), Buffer.alloc(length - text.length)]);
}

/**
 * Of a tree without salt over `leaves` leaves. Its UUID says nothing that the root does not: its first bytes in the form of version 8
 * (RFC 9562), so that the same image always has the same file.
 */
export function encodeSuperblock(leaves: number, root: Uint8Array): Uint8Array {
  const block = Buffer.alloc(SUPERBLOCK_SIZE);
  block.write(MAGIC, "latin1");
  block.writeUInt32LE(VERSION, AT.version);
  block.writeUInt32LE(HASH_TYPE, AT.hashType);
  block.set(root.subarray(0, UUID_SIZE), AT.uuid);
  block.writeUInt8((block.readUInt8(AT.uuid + 6) & 0x0f) | 0x80, AT.uuid + 6);
  block.writeUInt8((block.readUInt8(AT.uuid + 8) & 0x3f) | 0x80, AT.uuid + 8);
  block.write(ALGORITHM, AT.algorithm, "latin1");
  block.writeUInt32LE(LEAF_SIZE, AT.dataBlock);
  block.writeUInt32LE(LEAF_SIZE, AT.hashBlock);
  block.writeBigUInt64LE(BigInt(leaves), AT.blocks);
  return block;
}

export function hasMagic(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0, MAGIC.length)).equals(Buffer.from(MAGIC, "latin1"));
}

/** What stands in the way of using a tree, in words that go on after "it ". */
export interface Unusable {
  readonly problem: string;
}

/** What a superblock tells of a tree. */
export interface TreeShape {
  readonly leaves: number;
  /** What every hash begins with, at most MAX_SALT_SIZE bytes. */
  readonly salt: Uint8Array;
}

/** Of a tree of our kind, SHA-256 of a salt and 4 KiB; or what else it is. `bytes` has all of a superblock. */
export function readSuperblock(bytes: Uint8Array): TreeShape | Unusable {
  const block = Buffer.from(bytes.buffer, bytes.byteOffset, SUPERBLOCK_SIZE);
  if (!hasMagic(block)) return { problem: "does not begin as a dm-verity file does" };
  const version = block.readUInt32LE(AT.version);
  if (version !== VERSION) return { problem: `has version ${version}, not ${VERSION}` };
  const hashType = block.readUInt32LE(AT.hashType);
  if (hashType !== HASH_TYPE) return { problem: `has hash type ${hashType}, not ${HASH_TYPE}` };
  const algorithm = block.subarray(AT.algorithm, AT.dataBlock);
  if (!algorithm.equals(padded(ALGORITHM, algorithm.length))) return { problem: "was not made with SHA-256" };
  const sizes = [block.readUInt32LE(AT.dataBlock), block.readUInt32LE(AT.hashBlock)];
  if (sizes.some((size) => size !== LEAF_SIZE))
    return { problem: `has blocks of ${sizes.join(" and ")} bytes, not ${LEAF_SIZE}` };
  const saltSize = block.readUInt16LE(AT.saltSize);
  if (saltSize > MAX_SALT_SIZE) return { problem: `claims to have a salt of ${saltSize} bytes` };
  const isEmpty = (start: number, end: number) => block.subarray(start, end).every((byte) => byte === 0);
  if (!isEmpty(AT.saltSize + 2, AT.salt) || !isEmpty(AT.salt + saltSize, SUPERBLOCK_SIZE))
    return { problem: "has something where its superblock is empty" };
  const leaves = block.readBigUInt64LE(AT.blocks);
  if (leaves < 1n || leaves > BigInt(MAX_LEAVES)) return { problem: `claims to be over ${leaves} blocks` };
  return { leaves: Number(leaves), salt: Uint8Array.from(block.subarray(AT.salt, AT.salt + saltSize)) };
}
