/**
 * Watches compressed bytes of zstd for what its decoder in Bun does not tell (1.4.5, measured): an end in the middle of a frame, and
 * something else behind the last one. RFC 8878, 3.1.
 */
import type { ByteSource } from "../remote/wire/streams.ts";

const MAGIC = 0xfd2fb528;
/** The lowest four bits of a skippable frame's are free. */
const SKIPPABLE = 0x184d2a5;

/** What is said of compressed bytes that are not whole. */
export const TOO_EARLY = "it ends too early";

/** What comes next: a field of `wanted` bytes that is looked at, or bytes that are not. */
type Step = (field: Uint8Array) => void;

export class ZstdFrames implements ByteSource {
  readonly #source: ByteSource;
  /** The field that is being collected, 14 bytes at most. */
  #field: number[] = [];
  #wanted = 4;
  #step: Step = (field) => this.#magic(field);
  /** Bytes that are passed before the next field. */
  #passing = 0;
  /** Nothing of a frame has come since the last one ended. */
  #isBetween = true;
  #frames = 0;
  #hasChecksum = false;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** The bytes as they come. @throws {Error} where they are no zstd, or end too early. */
  async read(): Promise<Uint8Array | undefined> {
    const bytes = await this.#source.read();
    if (bytes === undefined) {
      if (!this.#isBetween || this.#frames === 0 || this.#passing > 0) throw new Error(TOO_EARLY);
      return undefined;
    }
    this.#watch(bytes);
    return bytes;
  }

  #watch(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.#passing > 0) {
        const count = Math.min(this.#passing, bytes.length - at);
        this.#passing -= count;
        at += count;
        continue;
      }
      this.#field.push(bytes[at++] ?? 0);
      this.#isBetween = false;
      if (this.#field.length < this.#wanted) continue;
      const field = Uint8Array.from(this.#field);
      this.#field = [];
      this.#step(field);
    }
  }

  #expect(wanted: number, step: Step, passing = 0): void {
    this.#wanted = wanted;
    this.#step = step;
    this.#passing = passing;
  }

  #magic(field: Uint8Array): void {
    const magic = littleEndian(field);
    if (magic === MAGIC) this.#expect(1, (descriptor) => this.#descriptor(descriptor));
    else if (magic >>> 4 === SKIPPABLE) this.#expect(4, (length) => this.#frameEnds(littleEndian(length)));
    else throw new Error(this.#frames === 0 ? "it is not zstd" : "something that is not zstd follows it");
  }

  /** Frame_Header_Descriptor: what the header has besides. */
  #descriptor([flags = 0]: Uint8Array): void {
    const sizeFlag = flags >> 6;
    const isSingle = (flags & 0x20) !== 0;
    this.#hasChecksum = (flags & 0x04) !== 0;
    const size = sizeFlag === 0 ? (isSingle ? 1 : 0) : 1 << sizeFlag;
    const dictionary = [0, 1, 2, 4][flags & 3] ?? 0;
    this.#expect(3, (block) => this.#block(block), (isSingle ? 0 : 1) + dictionary + size);
  }

  /** Block_Header: the last one of its frame or not, its type, and its size. */
  #block(field: Uint8Array): void {
    const header = littleEndian(field);
    const type = (header >> 1) & 3;
    // A block of type 1 is one byte, repeated.
    const length = type === 1 ? 1 : header >> 3;
    if ((header & 1) === 0) this.#expect(3, (block) => this.#block(block), length);
    else this.#frameEnds(length + (this.#hasChecksum ? 4 : 0));
  }

  /** After `length` more bytes. */
  #frameEnds(length: number): void {
    this.#expect(4, (field) => this.#magic(field), length);
    this.#frames++;
    this.#isBetween = true;
  }
}

/** Up to four bytes. */
function littleEndian(field: Uint8Array): number {
  return field.reduce((value, byte, i) => value + byte * 2 ** (8 * i), 0);
}
