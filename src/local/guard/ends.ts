/** Both ends of a disk, partition or image, and what is taken from them: text and identities without harm to a terminal. Pure. */
import { MAX_FACT_LENGTH, type Signature } from "../../sync/facts.ts";

/** Bytes read from the beginning: the last mark there is a ZFS label's uberblock array, at 128 KiB. */
export const HEAD_LENGTH = 256 << 10;
/** Bytes read from the end: a RAID superblock of version 0.90 lies up to 128 KiB before it. */
export const TAIL_LENGTH = 128 << 10;

/** The two ends of something of `sizeBytes`; the same bytes when it is small. */
export class Ends {
  readonly sizeBytes: number;
  readonly #head: Buffer;
  readonly #tail: Buffer;

  constructor(sizeBytes: number, head: Buffer, tail: Buffer) {
    this.sizeBytes = sizeBytes;
    this.#head = head;
    this.#tail = tail;
  }

  get isZero(): boolean {
    return [this.#head, this.#tail].every((bytes) => !bytes.some((byte) => byte !== 0));
  }

  /** Exactly `length` bytes from `offset` on; undefined where they are not at hand. */
  at(offset: number, length: number): Buffer | undefined {
    if (offset < 0) return undefined;
    if (offset + length <= this.#head.length) return this.#head.subarray(offset, offset + length);
    const start = offset - (this.sizeBytes - this.#tail.length);
    if (start < 0 || start + length > this.#tail.length) return undefined;
    return this.#tail.subarray(start, start + length);
  }

  /** Whether these very characters are at `offset`. */
  has(offset: number, mark: string): boolean {
    return this.at(offset, mark.length)?.equals(Buffer.from(mark, "latin1")) ?? false;
  }
}

/** Text up to its first NUL, without blanks at its ends; a label is no place for a terminal's control sequences. */
export function cleanText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  const text = new TextDecoder().decode(end === -1 ? bytes : bytes.subarray(0, end));
  return text
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?")
    .trim()
    .slice(0, MAX_FACT_LENGTH);
}

/** 16 bytes as a UUID; "" when all are zero. */
export function uuidOf(bytes: Buffer): string {
  const hex = bytes.toString("hex");
  return /^0*$/.test(hex) ? "" : hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** 16 bytes whose first three groups are little-endian, as EFI writes them (UEFI specification, appendix A). */
export function guidOf(bytes: Buffer): string {
  const turned = Buffer.from(bytes);
  turned.subarray(0, 4).reverse();
  turned.subarray(4, 6).reverse();
  turned.subarray(6, 8).reverse();
  return uuidOf(turned);
}

export function hexOf(value: number | bigint, digits: number): string {
  return value === 0 || value === 0n ? "" : value.toString(16).padStart(digits, "0");
}

export function signature(type: string, fields: Partial<Omit<Signature, "type">> = {}): Signature {
  return { type, label: "", uuid: "", note: "", sectorBytes: 0, endBytes: 0, ...fields };
}

/** A number of pieces of some size in bytes; 0 where that is more than any device has, so nonsense. */
export function bytesOfPieces(count: bigint | number, pieceBytes: number): number {
  const bytes = BigInt(count) * BigInt(pieceBytes);
  return bytes <= Number.MAX_SAFE_INTEGER ? Number(bytes) : 0;
}

export type Probe = (ends: Ends) => Signature | undefined;
