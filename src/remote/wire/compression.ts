/** Packs and expands the bytes of a frame that carries leaves. */
import { ProtocolError } from "../../errors.ts";
import { Window } from "../../sync/window.ts";
import { zstdContentSize } from "./zstd-frame.ts";

export interface Compression {
  /** Returns what to send instead of `bytes`: shorter, or `bytes` themselves. */
  pack(bytes: Uint8Array): Promise<Uint8Array>;
  /**
   * Waits while too much is expanded and not released. `body` must stay until the result is released.
   * @throws {ProtocolError} unless `body` expands to exactly `length` bytes; checked before anything is allocated.
   */
  expand(body: Uint8Array, length: number): Promise<Expanded>;
}

export interface Expanded {
  readonly bytes: Uint8Array;
  /** Called once, when the bytes are no longer needed. */
  release(): void;
}

/** Expanded and not yet released: a few kilobytes received may become megabytes. */
const EXPANDED_BYTES = 16 << 20;

/** Level 1: 0.2 to 0.5 GB/s on text and programs, 3 on what cannot be compressed; Bun offers no faster one. */
const OPTIONS = { level: 1 };
/** At once; each holds memory for its state and its result until the garbage collector comes by. */
const THREADS = 4;
/** Up to here the call itself takes 10–50 µs, less than a thread's round trip (60). */
const SYNC_LENGTH = 32 << 10;
/** Shorter leaves cannot get shorter by enough to matter. */
const MIN_LENGTH = 128;
/** What saves less than this share is sent as it is, which spares the other side the expanding. */
const WORTHWHILE = 0.97;
const WEIGHT = 1 / 8;
const PROBE_INTERVAL = 16;

/**
 * Results live outside the JavaScript heap, where the collector does not notice how much they hold: without this a run
 * over text held 350 MB of them.
 */
const COLLECT_BYTES = 32 << 20;
let uncollected = 0;

function collectSometimes(bytes: number): void {
  uncollected += bytes;
  if (uncollected < COLLECT_BYTES) return;
  uncollected = 0;
  Bun.gc(true);
}

async function expandWithin(room: Window, body: Uint8Array, length: number): Promise<Expanded> {
  if (body.length === length) return { bytes: body, release: () => undefined };
  if (zstdContentSize(body) !== length) {
    throw new ProtocolError(`Received ${body.length} bytes of data that do not expand to the ${length} announced`);
  }
  const held = await room.take(length);
  try {
    const bytes = length <= SYNC_LENGTH ? Bun.zstdDecompressSync(body) : await Bun.zstdDecompress(body);
    if (bytes.length !== length) throw new RangeError(`it expands to ${bytes.length} bytes`);
    collectSometimes(length);
    return { bytes, release: () => room.give(held) };
  } catch (cause) {
    room.give(held);
    throw new ProtocolError(`Received ${body.length} bytes of compressed data that are damaged`, { cause });
  }
}

/**
 * Compresses with zstd as long as it pays: once data has proved incompressible only one frame in PROBE_INTERVAL is
 * tried, so that such data costs next to nothing and a change is noticed.
 */
export function zstdCompression(): Compression {
  let ratio = 0;
  let untried = 0;
  const threads = new Window(THREADS);
  const room = new Window(EXPANDED_BYTES);
  const packOnThread = async (bytes: Uint8Array) => {
    await threads.take();
    try {
      return await Bun.zstdCompress(bytes, OPTIONS);
    } finally {
      threads.give();
    }
  };
  return {
    async pack(bytes) {
      if (bytes.length < MIN_LENGTH) return bytes;
      if (ratio > WORTHWHILE) {
        untried = (untried + 1) % PROBE_INTERVAL;
        if (untried !== 0) return bytes;
      }
      const packed = bytes.length <= SYNC_LENGTH ? Bun.zstdCompressSync(bytes, OPTIONS) : await packOnThread(bytes);
      collectSometimes(bytes.length);
      ratio += (Math.min(1, packed.length / bytes.length) - ratio) * WEIGHT;
      return packed.length < bytes.length * WORTHWHILE ? packed : bytes;
    },
    expand: (body, length) => expandWithin(room, body, length),
  };
}

/** Sends everything as it is, and still expands what the other side chose to compress. */
export function noCompression(): Compression {
  return { ...zstdCompression(), pack: (bytes) => Promise.resolve(bytes) };
}

export function compressionOf(compress: boolean): Compression {
  return compress ? zstdCompression() : noCompression();
}
