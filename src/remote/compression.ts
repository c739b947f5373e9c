/** Packs and expands the bytes of a frame that carries leaves. */
import { ProtocolError } from "../errors.ts";
import { zstdContentSize } from "./zstd-frame.ts";

export interface Compression {
  /** Returns what to send instead of `bytes`: shorter, or `bytes` themselves. */
  pack(bytes: Uint8Array): Promise<Uint8Array>;
  /** @throws {ProtocolError} unless `body` expands to exactly `length` bytes; checked before anything is allocated. */
  expand(body: Uint8Array, length: number): Promise<Uint8Array>;
}

/** Level 1 runs at 3 GB/s and more, ten times what one ssh connection carries; higher levels gain little on disk images. */
const LEVEL = 1;
/** Up to here the call itself takes 10–50 µs, less than a thread's round trip (60). */
const SYNC_LENGTH = 32 << 10;
/** Shorter leaves cannot get shorter by enough to matter. */
const MIN_LENGTH = 128;
/** What saves less than this share is sent as it is, which spares the other side the expanding. */
const WORTHWHILE = 0.97;
const WEIGHT = 1 / 8;
const PROBE_INTERVAL = 16;

async function expand(body: Uint8Array, length: number): Promise<Uint8Array> {
  if (body.length === length) return body;
  if (zstdContentSize(body) !== length) {
    throw new ProtocolError(`Received ${body.length} bytes of data that do not expand to the ${length} announced`);
  }
  let bytes: Uint8Array;
  try {
    bytes = length <= SYNC_LENGTH ? Bun.zstdDecompressSync(body) : await Bun.zstdDecompress(body);
  } catch (cause) {
    throw new ProtocolError(`Received ${body.length} bytes of compressed data that are damaged`, { cause });
  }
  if (bytes.length !== length) {
    throw new ProtocolError(`Received data that expands to ${bytes.length} bytes where ${length} were announced`);
  }
  return bytes;
}

/**
 * Compresses with zstd as long as it pays: once data has proved incompressible only one frame in PROBE_INTERVAL is
 * tried, so that such data costs next to nothing and a change is noticed.
 */
export function zstdCompression(): Compression {
  let ratio = 0;
  let untried = 0;
  return {
    async pack(bytes) {
      if (bytes.length < MIN_LENGTH) return bytes;
      if (ratio > WORTHWHILE) {
        untried = (untried + 1) % PROBE_INTERVAL;
        if (untried !== 0) return bytes;
      }
      const options = { level: LEVEL };
      const packed =
        bytes.length <= SYNC_LENGTH ? Bun.zstdCompressSync(bytes, options) : await Bun.zstdCompress(bytes, options);
      ratio += (Math.min(1, packed.length / bytes.length) - ratio) * WEIGHT;
      return packed.length < bytes.length * WORTHWHILE ? packed : bytes;
    },
    expand,
  };
}

/** Sends everything as it is, and still expands what the other side chose to compress. */
export const noCompression: Compression = { pack: (bytes) => Promise.resolve(bytes), expand };
