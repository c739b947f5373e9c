/** Unpacks compressed bytes as they come: gzip, zstd and zip in this process, xz and bzip2 by the system's programs. */
import type { Transform } from "node:stream";
import { loadZlib } from "../builtin.ts";
import { Failure, IoError, systemCode } from "../errors.ts";
import { ZIP_OF_ONE } from "../local/guard/formats.ts";
import { quote } from "../name.ts";
import type { ByteSource } from "../remote/wire/streams.ts";
import type { StreamInput } from "./endpoint.ts";
import type { Medium } from "./medium.ts";
import { throughProgram } from "./program.ts";
import { ZipOfOne } from "./zip.ts";
import { TOO_EARLY, ZstdFrames } from "./zstd-frames.ts";

/** What can be unpacked, by the types of local/guard/formats.ts. */
export const UNPACKABLE = ["gzip", "zstd", "xz", "bzip2", ZIP_OF_ONE] as const;
export type Unpackable = (typeof UNPACKABLE)[number];

export function isUnpackable(type: string): type is Unpackable {
  return UNPACKABLE.some((one) => one === type);
}

/** What a decoder gives at once: 8 GiB of zeros took 5.2 s with 256 KiB and with 1 MiB, 10 s with 64 KiB. */
const CHUNK_BYTES = 256 << 10;

interface Unpacked {
  readonly bytes: ByteSource;
  close(): Promise<void>;
}

/** The medium's bytes as they are. Takes the medium over. */
export function plain(medium: Medium): StreamInput {
  return { ...medium, expectedBytes: () => medium.sizeBytes };
}

/** What the medium's bytes unpack to. Takes the medium over. `label` names it in messages. */
export function unpacked(medium: Medium, type: Unpackable, label: string, signal: AbortSignal): StreamInput {
  const { bytes, close } = open(medium.bytes, type, signal);
  return {
    bytes: {
      async read(keepsLast) {
        try {
          return await bytes.read(keepsLast);
        } catch (error) {
          if (error instanceof Failure) throw error;
          throw failed(label, type, error);
        }
      },
    },
    expectedBytes(doneBytes) {
      const { sizeBytes } = medium;
      const read = medium.bytesRead();
      return sizeBytes === undefined || read === 0 || doneBytes === 0
        ? undefined
        : Math.round(doneBytes * (sizeBytes / read));
    },
    bytesRead: medium.bytesRead,
    confirmUnchanged: medium.confirmUnchanged,
    async close() {
      await close();
      await medium.close();
    },
  };
}

/** zlib's word for an end that comes too early (zlib.h); what else is wrong its message says. */
function whyOf(error: unknown): string {
  if (systemCode(error) === "Z_BUF_ERROR") return TOO_EARLY;
  return error instanceof Error ? error.message : String(error);
}

/** What was compressed with `zstd --long=28` and more wants more memory than a decoder gives unasked (zstd.h). */
const TOO_LARGE = "ZSTD_error_frameParameter_windowTooLarge";

function failed(label: string, type: Unpackable, error: unknown): IoError {
  return new IoError(`Cannot unpack ${quote(label)} (${type}): ${whyOf(error)}`, {
    hint:
      systemCode(error) === TOO_LARGE
        ? "it was compressed with a long window: zstd -dc --long=31 FILE | blocksync - DESTINATION"
        : "it is damaged or incomplete: check it against its checksum, and get it once more",
  });
}

function open(bytes: ByteSource, type: Unpackable, signal: AbortSignal): Unpacked {
  const options = { chunkSize: CHUNK_BYTES, rejectGarbageAfterEnd: true };
  switch (type) {
    case "gzip":
      return throughTransform(bytes, loadZlib().createGunzip(options));
    case "zstd":
      return throughTransform(new ZstdFrames(bytes), loadZlib().createZstdDecompress(options));
    case ZIP_OF_ONE: {
      const zip = new ZipOfOne(bytes, throughTransform, CHUNK_BYTES);
      return { bytes: zip, close: () => zip.close() };
    }
    case "xz":
      return throughProgram(bytes, ["xz", "-dc", "-T0"], "xz-utils", signal);
    case "bzip2":
      return throughProgram(bytes, ["bzip2", "-dc"], "bzip2", signal);
  }
}

function throughTransform(source: ByteSource, transform: Transform): Unpacked {
  // Each write is waited for, so that the source may use its memory again.
  const write = (bytes: Uint8Array) =>
    new Promise<void>((resolve, reject) => transform.write(bytes, (error) => (error ? reject(error) : resolve())));
  const feed = async () => {
    for (;;) {
      const bytes = await source.read();
      if (bytes === undefined) break;
      await write(bytes);
    }
    transform.end();
  };
  feed().catch((error: unknown) => transform.destroy(error instanceof Error ? error : new Error(String(error))));
  let last: Uint8Array = new Uint8Array();
  const chunks: AsyncIterator<unknown> = transform[Symbol.asyncIterator]();
  return {
    bytes: {
      async read() {
        // A chunk that fills the decoder's memory is the last in it. Left to the garbage collector, they came to 100 MB (8 GiB of zeros).
        const { buffer } = last;
        if (buffer instanceof ArrayBuffer && last.byteOffset + last.length === buffer.byteLength) buffer.transfer(0);
        const next = await chunks.next();
        if (next.done === true) return undefined;
        if (!(next.value instanceof Uint8Array)) throw new TypeError("A decoder gives bytes");
        last = next.value;
        return last;
      },
    },
    close() {
      transform.on("error", () => undefined);
      transform.destroy();
      return Promise.resolve();
    },
  };
}
