/**
 * What a program or shared library for Linux asks the loader for (elf(5)): which loader, and which libraries. Only the
 * headers are read, and only of files for 64-bit little-endian machines.
 */
import fs from "node:fs";

const PT_LOAD = 1; // elf.h
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NEEDED = 1;
const DT_STRTAB = 5;
const PROGRAM_HEADER_LENGTH = 56;
const DYNAMIC_ENTRY_LENGTH = 16;
/** Of program headers, dynamic entries and names: a file that has more is none of ours. */
const MAX_LENGTH = 1 << 20;

export interface Elf {
  /** Path of the loader; undefined for a library, and for a program that is linked statically. */
  readonly interpreter: string | undefined;
  /** Names, as "libc.so.6", in the file's order. */
  readonly needed: readonly string[];
}

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly length: number;
}

function readAt(fd: number, offset: number, length: number): Buffer {
  if (length > MAX_LENGTH) throw new Error(`a part of ${length} bytes is too long`);
  const bytes = Buffer.alloc(length);
  const count = fs.readSync(fd, bytes, 0, length, offset);
  if (count < length) throw new Error(`it ends before offset ${offset + length}`);
  return bytes;
}

function number(bytes: Buffer, offset: number): number {
  return Number(bytes.readBigUInt64LE(offset));
}

/** The text from `offset` on, to its NUL. */
function textAt(fd: number, offset: number): string {
  const bytes = Buffer.alloc(4096);
  const end = bytes.subarray(0, fs.readSync(fd, bytes, 0, bytes.length, offset)).indexOf(0);
  if (end === -1) throw new Error(`the text at offset ${offset} has no end`);
  return bytes.toString("utf8", 0, end);
}

function segmentsOf(fd: number): Segment[] {
  const header = readAt(fd, 0, 64);
  if (header.toString("latin1", 0, 6) !== "\x7fELF\x02\x01") throw new Error("it is no ELF file of 64 bits");
  const count = header.readUInt16LE(56);
  const table = readAt(fd, number(header, 32), count * PROGRAM_HEADER_LENGTH);
  return Array.from({ length: count }, (_, i) => {
    const entry = table.subarray(i * PROGRAM_HEADER_LENGTH);
    return {
      type: entry.readUInt32LE(0),
      offset: number(entry, 8),
      address: number(entry, 16),
      length: number(entry, 32),
    };
  });
}

function neededOf(fd: number, segments: readonly Segment[]): string[] {
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined) return [];
  const table = readAt(fd, dynamic.offset, dynamic.length);
  const entries = Array.from({ length: Math.floor(table.length / DYNAMIC_ENTRY_LENGTH) }, (_, i) => ({
    tag: number(table, i * DYNAMIC_ENTRY_LENGTH),
    value: number(table, i * DYNAMIC_ENTRY_LENGTH + 8),
  }));
  const names = entries.find(({ tag }) => tag === DT_STRTAB)?.value ?? 0;
  // The names' place is told as an address in memory.
  const around = segments.find(
    ({ type, address, length }) => type === PT_LOAD && names >= address && names < address + length,
  );
  if (around === undefined) throw new Error("the names of its libraries are nowhere");
  const start = names - around.address + around.offset;
  return entries.filter(({ tag }) => tag === DT_NEEDED).map(({ value }) => textAt(fd, start + value));
}

/** @throws {Error} when `path` cannot be read or is not such a file. */
export function readElf(path: string): Elf {
  const fd = fs.openSync(path, "r");
  try {
    const segments = segmentsOf(fd);
    const loader = segments.find(({ type }) => type === PT_INTERP);
    return {
      interpreter: loader === undefined ? undefined : textAt(fd, loader.offset),
      needed: neededOf(fd, segments),
    };
  } catch (error) {
    throw new Error(`Cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  } finally {
    fs.closeSync(fd);
  }
}
