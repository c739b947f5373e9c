/**
 * The wire between the running blocksync (the controller) and the one it started elsewhere (serve). This comment is the
 * only specification; protocol.test.ts pins it with golden frames. Pure: no I/O here.
 *
 * PREAMBLE. Each side first sends one line and reads the other's, at most PREAMBLE_LIMIT bytes with its newline:
 *
 *     blocksync PROTOCOL VERSION BUILD[ aes]\n    e.g. "blocksync 1 X.Y.Z 4f1d0c9a2b7e aes\n"
 *
 * "aes" is there when the processor has the instructions that "gmac" is fast with. The three values must be equal on both sides; BUILD is a digest of the sources, so there is no version skew.
 *
 * A serve that sshd starts as a forced command (serve --only) sits where the controller expects the script that finds the
 * program: before the controller's line it leaves out one line of 64 hexadecimal digits, which was meant for that script,
 * and the controller takes serve's line as the sign that no script is needed.
 *
 * What the controller may add to its line, and the stream in which frames travel then, is specified in handshake.ts and
 * lasting-stream.ts.
 *
 * FRAMES follow in both directions until the end. Integers are little-endian. A frame is a header of HEADER_SIZE bytes,
 * a head (the message's fields) and a body (bulk bytes, may be empty):
 *
 *     offset 0  u32  header checksum   low half of XXH64(header bytes 4 to 23, seed 0)
 *            4  u32  head length       at most MAX_HEAD_LENGTH
 *            8  u32  body length       at most MAX_BODY_LENGTH
 *           12  u32  id                of the request, repeated in every reply to it
 *           16  u8   type              see MessageType
 *           17  u8   three zero bytes
 *           20  u32  content checksum  low half of XXH64(head, seed 0) XOR low half of XXH3-64(body, seed 0)
 *
 * The header's checksum is verified before any of its lengths is used, and the content's before a field is read. Only
 * write and block may have a body longer than MAX_HASHES_LENGTH.
 *
 * FIELDS in a head follow each other without padding: u8; u32; u64 (at most 2^53 - 1); bytes (u32 length, then they);
 * text (bytes holding UTF-8); name (bytes, whatever a path may have); bool (u8, 0 or 1). A head with bytes left over is an error.
 *
 * EITHER WAY, with the id 0:
 *
 *     alive       timeout u32, seconds, 1 to MAX_TIMEOUT_SECONDS; no reply
 *
 * The controller sends one at once, and serve takes over its timeout; DEFAULT_TIMEOUT_SECONDS apply until then. From then
 * on each side sends one when it has sent nothing else for a quarter of the timeout. A side that waits to read, and gets
 * no byte for the timeout, gives up.
 *
 * REQUESTS, controller to serve, each answered by the reply named or by `failed`; they may overlap. A serve with too much
 * unanswered reads no further until the answers of some were taken. A request that breaks these rules is answered by a last
 * `failed`, and serve ends.
 *
 *     open        spec                                                                     → opened
 *                 Once, first of all. The path is the only one serve ever touches, but for the file that undo names.
 *     prepare     size u64, exact bool                                                     → prepared
 *                 Once, before any request that names a block. Only what was opened to write or join may be written.
 *     scan        window u64, hashed bool, tolerant bool,
 *                 read holes bool                                                          → run …, then done
 *                 The body has the ranges in ascending order, each first u64 and count u64, at least 1. At most `window` blocks
 *                 are sent that no `advance` is beyond; no run is a hole when those are to be read.
 *     advance     index u64; no reply
 *     leaf hashes blocks, size u8 (4 or 8)                                                 → leaves
 *     read        blocks, filter u8 (0 all, 1 nonzero, 2 differing), body: leaf hashes     → block
 *     write       blocks, data                                                             → written
 *     salvage     index u64, retries u32 (at most MAX_RETRIES), known sectors bytes        → salvaged
 *     patch       index u64, sectors bytes, body: the sectors' bytes                       → patched
 *     bypass      –                                                                        → bypassed
 *     counters    –                                                                        → counted
 *     confirm     –                                                                        → done
 *     checkpoint  –                                                                        → done
 *     flush       –                                                                        → done
 *
 * REPLIES, serve to controller:
 *
 *     opened      kind u8 (0 file, 1 device, 2 missing), size u64, identity text, within text (at most 96 lines
 *                 "START END = IDENTITY", see sync/extents.ts), blank bool, zero hash bytes (at least 16), facts
 *     prepared    identity text ("" for what does not exist yet)
 *     run         kind u8 (0 hashed, 1 hole, 2 data, 3 unreadable), first u64, count u64, body: `count` hashes when hashed
 *     leaves      body: the hashes
 *     block       data
 *     written     proved bool, bytes written u64
 *     salvaged    sectors bytes, body: the sectors' bytes
 *     patched     bytes written u64
 *     bypassed    how u8 (0 direct, 1 dropped, 2 partly)
 *     counted     bytes read u64, bytes written u64
 *     done        –
 *     failed      kind text (a FailureKind), message text, hint text ("" for none; of a bug its stack)
 *
 * where `spec` is: path name (not empty, no NUL byte), label name, access u8 (0 read, 1 rehearse, 2 write, 3 join), block
 * size u32, hash u8, additional bool, and if so hash u8 (0 xxh3-xxh64, 1 xxh128, 2 sha256, 3 sha512, 4 blake2b512, 5 md5,
 * 6 sha1, 7 gmac), seed bytes (28, and the salt of a hash tree behind them, at most 256), drop cache bool, discard bool, compress bool, count u32 (at most 5), that many times: allowed
 * refusal u8 (0 mounted, 1 held, 2 in-use, 3 locked, 4 unseen), examine u8 (0 nothing, 1 itself, 2 partitions), undo bool, and if
 * so path name (not empty, no NUL byte), label name, run bytes (16), chain bool; none for what is opened to read or join;
 *
 * `facts` is: known bool, and if so name text, model text, serial text, transport text, sector size u32, partition
 * bool, links u64, writer text, zero bool, count u32 (at most MAX_SIGNATURES), that many times: type text; then count u32
 * (at most MAX_CONTENTS), that many times: name text, size u64, readable bool, and if so count u32 (at most
 * MAX_SIGNATURES), that many times: type text, label text, uuid text, note text, sector size u32, end u64;
 *
 * `blocks` is: first u64, count u32, at least 1 and, if it is more, no longer together than TOGETHER_LENGTH (sync/blocks.ts);
 *
 * and `data` is: hashes bytes (of each block), leaves bytes, zeros bytes (leaf sets, bit i % 8 of byte i / 8 for leaf i), expanded
 * length u32, and as body the leaves' bytes: as they are when the body is as long as that, else one zstd frame that
 * expands to that length and says so in its header. Sector sets are like leaf sets, of sectors of 512 bytes.
 */
import { ProtocolError } from "../../errors.ts";
import { bytesOf, nameOf } from "../../name.ts";
import { MAX_BLOCK_SIZE } from "../../sync/blocks.ts";

export const PROTOCOL_VERSION = 1;
export const PREAMBLE_LIMIT = 256;
const PREAMBLE = /^blocksync (\d+) (\S+) (\S+)(?: (aes))?$/;
export const HEADER_SIZE = 24;
export const DEFAULT_TIMEOUT_SECONDS = 60;
export const MAX_TIMEOUT_SECONDS = 3600;
/** Room for the longest path and message; 256 hashes of 136 bytes are 34 KiB. */
export const MAX_HEAD_LENGTH = 64 << 10;
export const MAX_BODY_LENGTH = MAX_BLOCK_SIZE;
/** 256 hashes of 136 bytes are 34 KiB, 4096 leaf hashes of 8 are 32. */
export const MAX_HASHES_LENGTH = 64 << 10;

export const MessageType = {
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
export type MessageType = (typeof MessageType)[keyof typeof MessageType];

const BULK: ReadonlySet<MessageType> = new Set([
  MessageType.block,
  MessageType.write,
  MessageType.salvaged,
  MessageType.patch,
]);
const TYPES: ReadonlySet<number> = new Set(Object.values(MessageType));

function isMessageType(value: number): value is MessageType {
  return TYPES.has(value);
}

/** Whether messages of this type carry the data of a block. */
export function isBulk(type: MessageType): boolean {
  return BULK.has(type);
}

export interface Frame {
  readonly type: MessageType;
  readonly id: number;
  readonly head: Uint8Array;
  readonly body: Uint8Array;
}

export interface FrameHeader {
  readonly type: MessageType;
  readonly id: number;
  readonly headLength: number;
  readonly bodyLength: number;
  readonly contentChecksum: number;
}

export const NO_BYTES = new Uint8Array(0);

function low32(value: bigint): number {
  return Number(value & 0xffff_ffffn);
}

function contentChecksum(head: Uint8Array, body: Uint8Array): number {
  return (low32(Bun.hash.xxHash64(head)) ^ low32(Bun.hash.xxHash3(body))) >>> 0;
}

/** Returns header and head in one piece; the body is sent right after it as it is. */
export function encodeFrame(frame: Frame): Uint8Array {
  if (frame.head.length > MAX_HEAD_LENGTH) throw new RangeError(`Invalid head of ${frame.head.length} bytes`);
  const maxBodyLength = isBulk(frame.type) ? MAX_BODY_LENGTH : MAX_HASHES_LENGTH;
  if (frame.body.length > maxBodyLength) throw new RangeError(`Invalid body of ${frame.body.length} bytes`);
  const bytes = new Uint8Array(HEADER_SIZE + frame.head.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(4, frame.head.length, true);
  view.setUint32(8, frame.body.length, true);
  view.setUint32(12, frame.id, true);
  view.setUint8(16, frame.type);
  view.setUint32(20, contentChecksum(frame.head, frame.body), true);
  view.setUint32(0, low32(Bun.hash.xxHash64(bytes.subarray(4, HEADER_SIZE))), true);
  bytes.set(frame.head, HEADER_SIZE);
  return bytes;
}

/** @throws {ProtocolError} unless checksum, type, reserved bytes and lengths are right. */
export function decodeHeader(bytes: Uint8Array): FrameHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_SIZE);
  if (view.getUint32(0, true) !== low32(Bun.hash.xxHash64(bytes.subarray(4, HEADER_SIZE)))) {
    throw new ProtocolError("Cannot read a frame: its header is damaged");
  }
  const headLength = view.getUint32(4, true);
  const bodyLength = view.getUint32(8, true);
  const type = view.getUint8(16);
  if (!isMessageType(type)) throw new ProtocolError(`Cannot read a frame: ${type} is not a message type`);
  if (view.getUint8(17) !== 0 || view.getUint8(18) !== 0 || view.getUint8(19) !== 0) {
    throw new ProtocolError("Cannot read a frame: its reserved bytes are not zero");
  }
  if (headLength > MAX_HEAD_LENGTH) {
    throw new ProtocolError(`Cannot read a frame: a head of ${headLength} bytes exceeds ${MAX_HEAD_LENGTH}`);
  }
  const maxBodyLength = isBulk(type) ? MAX_BODY_LENGTH : MAX_HASHES_LENGTH;
  if (bodyLength > maxBodyLength) {
    throw new ProtocolError(`Cannot read a frame: a body of ${bodyLength} bytes exceeds ${maxBodyLength}`);
  }
  return { type, id: view.getUint32(12, true), headLength, bodyLength, contentChecksum: view.getUint32(20, true) };
}

/** @throws {ProtocolError} when head and body are not what the header was made for. */
export function checkContent(header: FrameHeader, head: Uint8Array, body: Uint8Array): void {
  if (contentChecksum(head, body) !== header.contentChecksum) {
    throw new ProtocolError("Cannot read a frame: its content is damaged");
  }
}

/** Builds a head field by field. */
export class FieldWriter {
  #bytes = new Uint8Array(128);
  #length = 0;

  #room(length: number): DataView {
    if (this.#length + length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + length));
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
    const view = new DataView(this.#bytes.buffer, this.#length, length);
    this.#length += length;
    return view;
  }

  u8(value: number): this {
    this.#room(1).setUint8(0, value);
    return this;
  }

  bool(value: boolean): this {
    return this.u8(value ? 1 : 0);
  }

  u32(value: number): this {
    this.#room(4).setUint32(0, value, true);
    return this;
  }

  u64(value: number): this {
    this.#room(8).setBigUint64(0, BigInt(value), true);
    return this;
  }

  bytes(value: Uint8Array): this {
    this.u32(value.length);
    const start = this.#length;
    this.#room(value.length);
    this.#bytes.set(value, start);
    return this;
  }

  text(value: string): this {
    return this.bytes(new TextEncoder().encode(value));
  }

  /** `value` as name.ts has it. */
  name(value: string): this {
    return this.bytes(bytesOf(value));
  }

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
}

const BOOLS = [false, true] as const;

/** Takes a head apart; every method throws ProtocolError when the field does not fit. */
export class FieldReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  #advance(length: number): number {
    const start = this.#position;
    if (length > this.#bytes.length - start)
      throw new ProtocolError("Cannot read a message: a field runs past its end");
    this.#position += length;
    return start;
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  /** One of these, by its index. */
  oneOf<Value>(values: readonly Value[]): Value {
    const index = this.u8();
    const value = values[index];
    if (value === undefined)
      throw new ProtocolError(`Cannot read a message: ${index} where at most ${values.length - 1} is allowed`);
    return value;
  }

  bool(): boolean {
    return this.oneOf(BOOLS);
  }

  /** A u32 count, at most `limit`, and then so many items. */
  list<Item>(limit: number, read: () => Item): Item[] {
    const count = this.u32();
    if (count > limit)
      throw new ProtocolError(`Cannot read a message: ${count} items where at most ${limit} are allowed`);
    return Array.from({ length: count }, read);
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  u64(): number {
    const value = this.#view.getBigUint64(this.#advance(8), true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER))
      throw new ProtocolError(`Cannot read a message: ${value} exceeds 2^53 - 1`);
    return Number(value);
  }

  /** A view of the head, not a copy. */
  bytes(): Uint8Array {
    const length = this.u32();
    const start = this.#advance(length);
    return this.#bytes.subarray(start, start + length);
  }

  text(): string {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(this.bytes());
    } catch (cause) {
      if (cause instanceof ProtocolError) throw cause;
      throw new ProtocolError("Cannot read a message: a text is not UTF-8", { cause });
    }
  }

  name(): string {
    return nameOf(this.bytes());
  }

  end(): void {
    const rest = this.#bytes.length - this.#position;
    if (rest !== 0) throw new ProtocolError(`Cannot read a message: ${rest} bytes are left over`);
  }
}

/** Whether who sent a line, without its newline, has AES instructions; undefined for what is no preamble, of whatever version and build. */
export function aesOf(line: string): boolean | undefined {
  const match = PREAMBLE.exec(line);
  return match === null ? undefined : match[4] === "aes";
}

export function encodePreamble(version: string, build: string, hasAes: boolean): Uint8Array {
  return new TextEncoder().encode(`blocksync ${PROTOCOL_VERSION} ${version} ${build}${hasAes ? " aes" : ""}\n`);
}

/** Checks the peer's line, without its newline. @throws {ProtocolError} unless it is the same blocksync. */
export function checkPreamble(line: string, version: string, build: string): void {
  const match = PREAMBLE.exec(line);
  if (match === null) throw new ProtocolError(`Cannot talk to the far side: it does not answer like blocksync`);
  const [, protocol, theirVersion, theirBuild] = match;
  if (protocol === String(PROTOCOL_VERSION) && theirVersion === version && theirBuild === build) return;
  throw new ProtocolError(
    `Cannot talk to the far side: it is blocksync ${theirVersion} (build ${theirBuild}, protocol ${protocol}), this is ${version} (build ${build}, protocol ${PROTOCOL_VERSION})`,
    {
      hint: "install the same build there, or leave out --script and any forced command: blocksync then copies itself there",
    },
  );
}
