/** Reads what an ELF executable or library needs in order to run: 64 bits, little-endian (elf(5)). Pure. */

export interface Elf {
  /** e_machine: 62 x86-64, 183 AArch64. */
  readonly machine: number;
  /** The program that starts it; undefined for a library. */
  readonly interpreter: string | undefined;
  /** Names of the libraries, as they stand there. */
  readonly needed: readonly string[];
  /** Names of the symbol versions it wants of them, such as "GLIBC_2.17". */
  readonly versions: readonly string[];
}

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NEEDED = 1;
const DT_STRTAB = 5;
const DT_VERNEED = 0x6ffffffe;
const DT_VERNEEDNUM = 0x6fffffff;
/** More entries than that in any table of the file mean that it is damaged. */
const MAX_ENTRIES = 10_000;

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  u16(offset: number): number {
    return this.#view.getUint16(offset, true);
  }

  u32(offset: number): number {
    return this.#view.getUint32(offset, true);
  }

  u64(offset: number): number {
    return Number(this.#view.getBigUint64(offset, true));
  }

  /** Up to the next NUL. */
  text(offset: number): string {
    const end = this.#bytes.indexOf(0, offset);
    if (offset > this.#bytes.length || end === -1) throw new RangeError("a name without an end");
    return new TextDecoder("latin1").decode(this.#bytes.subarray(offset, end));
  }
}

function segmentsOf(reader: Reader): Segment[] {
  const start = reader.u64(32);
  const size = reader.u16(54);
  return Array.from({ length: reader.u16(56) }, (_, index) => {
    const at = start + index * size;
    return {
      type: reader.u32(at),
      offset: reader.u64(at + 8),
      address: reader.u64(at + 16),
      size: reader.u64(at + 32),
    };
  });
}

/** The names in the table of needed versions: each library's entry links to those of its versions. */
function versionsAt(reader: Reader, table: number, count: number, strings: number): string[] {
  const names: string[] = [];
  for (let library = table, i = 0; i < count; i++) {
    for (let version = library + reader.u32(library + 8), left = reader.u16(library + 2); left > 0; left--) {
      if (names.length === MAX_ENTRIES) throw new RangeError("too many symbol versions");
      names.push(reader.text(strings + reader.u32(version + 8)));
      version += reader.u32(version + 12);
    }
    library += reader.u32(library + 12);
  }
  return names;
}

/** @throws {RangeError} when it is no ELF file of that kind, or a damaged one. */
export function readElf(bytes: Uint8Array): Elf {
  const magic = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1];
  if (bytes.length < 64 || magic.some((byte, index) => bytes[index] !== byte))
    throw new RangeError("it is no 64-bit little-endian ELF file");
  const reader = new Reader(bytes);
  const segments = segmentsOf(reader);
  const offsetOf = (address: number) => {
    const load = segments.find(
      (one) => one.type === PT_LOAD && one.address <= address && address < one.address + one.size,
    );
    if (load === undefined) throw new RangeError(`nothing is loaded at the address ${address}`);
    return load.offset + address - load.address;
  };
  const interpreter = segments.find(({ type }) => type === PT_INTERP);
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  const entries: [tag: number, value: number][] = [];
  for (let at = dynamic?.offset ?? 0; dynamic !== undefined && at < dynamic.offset + dynamic.size; at += 16) {
    if (entries.length === MAX_ENTRIES) throw new RangeError("too many dynamic entries");
    const tag = reader.u64(at);
    if (tag === 0) break;
    entries.push([tag, reader.u64(at + 8)]);
  }
  const entry = (tag: number) => entries.find(([one]) => one === tag)?.[1];
  const table = entry(DT_STRTAB);
  const strings = table === undefined ? 0 : offsetOf(table);
  const versions = entry(DT_VERNEED);
  return {
    machine: reader.u16(18),
    interpreter: interpreter === undefined ? undefined : reader.text(interpreter.offset),
    needed: entries.filter(([tag]) => tag === DT_NEEDED).map(([, offset]) => reader.text(strings + offset)),
    versions:
      versions === undefined
        ? []
        : versionsAt(reader, offsetOf(versions), Math.min(entry(DT_VERNEEDNUM) ?? 0, MAX_ENTRIES), strings),
  };
}
