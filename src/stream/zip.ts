/**
 * A zip file that holds one file, read from its beginning to its end (APPNOTE.TXT 6.3.10, 4.3). Where the one file's bytes end has to be
 * said in front of them, as all programs do that write to a file.
 */
import type { Transform } from "node:stream";
import { loadZlib } from "../builtin.ts";
import { ByteReader, type ByteSource } from "../remote/wire/streams.ts";
import { TOO_EARLY } from "./zstd-frames.ts";

const HEADER_LENGTH = 30;
const AT = { signature: 0, flags: 6, method: 8, crc: 14, packed: 18, size: 22, name: 26, extra: 28 } as const;
const SIGNATURE = 0x04034b50;
/** The extra field that has the sizes of what is longer than 4 GiB, and what stands in their places then. */
const ZIP64 = 1;
const IN_ZIP64 = 0xffff_ffff;
const ENCRYPTED = 1;
/** The sizes stand behind the bytes. */
const SIZES_BEHIND = 8;
const STORED = 0;
const DEFLATED = 8;
/** Of the list of files behind it, which is all there may be. */
const LIST = Buffer.from("PK\x01\x02", "latin1");

interface Header {
  readonly method: number;
  readonly crc: number;
  readonly packedBytes: number;
  readonly sizeBytes: number;
}

/** @throws {Error} for what is no zip file, or one of a kind that cannot be read in order. */
async function readHeader(reader: ByteReader): Promise<Header> {
  const head = await filled(reader, HEADER_LENGTH);
  if (head.readUInt32LE(AT.signature) !== SIGNATURE) throw new Error("it does not begin as a zip file does");
  const [flags, method] = [head.readUInt16LE(AT.flags), head.readUInt16LE(AT.method)];
  if ((flags & ENCRYPTED) !== 0) throw new Error("it is encrypted");
  if ((flags & SIZES_BEHIND) !== 0) throw new Error("it was written to a pipe, and says its size too late");
  if (method !== STORED && method !== DEFLATED) throw new Error(`it is packed by method ${method}, not by deflate`);
  await filled(reader, head.readUInt16LE(AT.name));
  const extra = await filled(reader, head.readUInt16LE(AT.extra));
  const [packed, size] = [head.readUInt32LE(AT.packed), head.readUInt32LE(AT.size)];
  const crc = head.readUInt32LE(AT.crc);
  if (packed !== IN_ZIP64 && size !== IN_ZIP64) return { method, crc, packedBytes: packed, sizeBytes: size };
  const long = zip64Of(extra);
  if (long === undefined) throw new Error("it does not say how long it is");
  return { method, crc, ...long };
}

/** Both sizes, which stand in a header together. */
function zip64Of(extra: Buffer): Pick<Header, "packedBytes" | "sizeBytes"> | undefined {
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) !== ZIP64 || extra.readUInt16LE(at + 2) < 16 || at + 20 > extra.length) continue;
    const [sizeBytes, packedBytes] = [4, 12].map((offset) => Number(extra.readBigUInt64LE(at + offset)));
    if (sizeBytes === undefined || packedBytes === undefined) return undefined;
    return Number.isSafeInteger(sizeBytes) && Number.isSafeInteger(packedBytes)
      ? { sizeBytes, packedBytes }
      : undefined;
  }
  return undefined;
}

/** `length` is at most 65,535. */
async function filled(reader: ByteReader, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  if ((await reader.fill(bytes)) < length) throw new Error(TOO_EARLY);
  return bytes;
}

/** The packed bytes of the file, and no more. */
class Packed implements ByteSource {
  readonly #reader: ByteReader;
  /** Bytes of it that are still to come. */
  left: number;

  constructor(reader: ByteReader, length: number) {
    this.#reader = reader;
    this.left = length;
  }

  async read(): Promise<Uint8Array | undefined> {
    if (this.left === 0) return undefined;
    const bytes = await this.#reader.read();
    if (bytes === undefined) throw new Error(TOO_EARLY);
    const own = bytes.subarray(0, this.left);
    if (own.length < bytes.length) this.#reader.putBack(bytes.subarray(own.length));
    this.left -= own.length;
    return own;
  }
}

/** Makes of packed bytes what `transform` gives for them. */
type Through = (source: ByteSource, transform: Transform) => Unzipping;

interface Unzipping {
  readonly bytes: ByteSource;
  close(): Promise<void>;
}

export class ZipOfOne implements ByteSource {
  readonly #reader: ByteReader;
  readonly #through: Through;
  readonly #chunkBytes: number;
  #opening: Promise<{ readonly header: Header; readonly packed: Packed; readonly unzipping: Unzipping }> | undefined;
  #crc = 0;
  #sizeBytes = 0;

  /** `chunkBytes` is what a decoder gives at once. */
  constructor(source: ByteSource, through: Through, chunkBytes: number) {
    this.#reader = new ByteReader(source);
    this.#through = through;
    this.#chunkBytes = chunkBytes;
  }

  /** The next bytes of the file, until the next call. @throws {Error} where something is not as the zip file says. */
  async read(): Promise<Uint8Array | undefined> {
    this.#opening ??= this.#open();
    const { header, packed, unzipping } = await this.#opening;
    const bytes = await unzipping.bytes.read();
    if (bytes !== undefined) {
      this.#crc = loadZlib().crc32(bytes, this.#crc);
      this.#sizeBytes += bytes.length;
      if (this.#sizeBytes > header.sizeBytes) throw new Error("it is longer than it says");
      return bytes;
    }
    if (this.#sizeBytes !== header.sizeBytes) throw new Error(TOO_EARLY);
    if (packed.left > 0) throw new Error("it has something behind its last block");
    if (this.#crc !== header.crc) throw new Error("its checksum is wrong");
    if (!(await this.#reader.peek(LIST.length)).equals(LIST)) throw new Error("it holds more than one file");
    while ((await this.#reader.read()) !== undefined);
    return undefined;
  }

  async #open() {
    const header = await readHeader(this.#reader);
    const packed = new Packed(this.#reader, header.packedBytes);
    const stored = { bytes: packed, close: () => Promise.resolve() };
    const unzipping =
      header.method === STORED
        ? stored
        : this.#through(packed, loadZlib().createInflateRaw({ chunkSize: this.#chunkBytes }));
    return { header, packed, unzipping };
  }

  async close(): Promise<void> {
    const opened = await this.#opening?.catch(() => undefined);
    await opened?.unzipping.close();
  }
}
