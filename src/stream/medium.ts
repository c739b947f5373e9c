/** What a stream is read from: standard input, or another endpoint from its beginning to its end. */
import fs from "node:fs";
import { cannot } from "../errors.ts";
import { HEAD_LENGTH } from "../local/guard/ends.ts";
import { descriptorSource } from "../remote/wire/descriptors.ts";
import { ByteReader, type ByteSource } from "../remote/wire/streams.ts";
import { BlockLayout, type BlockRange, leafRuns, TOGETHER_LENGTH } from "../sync/blocks.ts";
import type { BlockData, Endpoint } from "../sync/endpoint.ts";
import type { ByteRange } from "../sync/ranges.ts";
import type { StreamInput } from "./endpoint.ts";

/** Where bytes come from before anything is unpacked. */
export interface Medium extends Omit<StreamInput, "expectedBytes"> {
  /** Bytes that it has; undefined where that is not known. */
  readonly sizeBytes: number | undefined;
}

/** Counts what it hands on. */
class Counted implements ByteSource {
  bytesRead = 0;
  readonly #source: ByteSource;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  async read(keepsLast?: boolean): Promise<Uint8Array | undefined> {
    const bytes = await this.#source.read(keepsLast);
    this.bytesRead += bytes?.length ?? 0;
    return bytes;
  }
}

/** Standard input, which stays open: a read of a pipe that is under way ends with the process. @throws {IoError} by its reads. */
export function standardInput(label: string): Medium {
  const plain = descriptorSource(0);
  const bytes = new Counted({
    read: async (keepsLast) => {
      try {
        return await plain.read(keepsLast);
      } catch (cause) {
        throw cannot("read", label, cause);
      }
    },
  });
  return {
    bytes,
    sizeBytes: undefined,
    bytesRead: () => bytes.bytesRead,
    confirmUnchanged: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}

/** Whether a descriptor leads to a file or block device, which can be read at any place, and nobody has read from it yet. */
export function isWholeFile(fd: number): boolean {
  const stat = fs.fstatSync(fd);
  if (!stat.isFile() && !stat.isBlockDevice()) return false;
  // proc_pid_fdinfo(5)
  return /^pos:\s*0$/m.test(fs.readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"));
}

/** What a web server has, and checks to be the same all the time. */
export interface Body {
  readonly sizeBytes: number;
  pieces(range: ByteRange): AsyncGenerator<Uint8Array>;
}

/** All of it, once. */
export function bodyOf(body: Body): Medium {
  const pieces = body.pieces({ offset: 0, length: body.sizeBytes });
  return {
    bytes: {
      async read() {
        const next = await pieces.next();
        return next.done === true ? undefined : next.value;
      },
    },
    sizeBytes: body.sizeBytes,
    // Of no disk.
    bytesRead: () => 0,
    confirmUnchanged: () => Promise.resolve(),
    close: async () => void (await pieces.return(undefined)),
  };
}

/** What can be read at any place, and is read in order. */
export interface Disk {
  readonly sizeBytes: number;
  readonly bytesRead: number;
  /** Fills the buffer from `offset` on. @throws {IoError} */
  read(buffer: Buffer, offset: number): Promise<void>;
  confirmUnchanged(): void;
  close(): Promise<void>;
}

/** Takes the disk over. */
export function diskInput(disk: Disk): Medium {
  // What was read last is in it.
  const memory = Buffer.alloc(TOGETHER_LENGTH);
  let done = 0;
  return {
    bytes: {
      async read() {
        const bytes = memory.subarray(0, Math.min(memory.length, disk.sizeBytes - done));
        if (bytes.length === 0) return undefined;
        await disk.read(bytes, done);
        done += bytes.length;
        return bytes;
      },
    },
    sizeBytes: disk.sizeBytes,
    bytesRead: () => disk.bytesRead,
    confirmUnchanged: async () => disk.confirmUnchanged(),
    close: () => disk.close(),
  };
}

/** Looks at the first bytes, as many as marks of formats lie in; they are read again from what is returned. */
export async function peek(medium: Medium): Promise<{ readonly head: Buffer; readonly medium: Medium }> {
  const reader = new ByteReader(medium.bytes);
  return { head: await reader.peek(HEAD_LENGTH), medium: { ...medium, bytes: reader } };
}

/** Memory of the reads under way. */
const AHEAD_BYTES = 4 << 20;

/** Reads an endpoint in order, some blocks ahead. Takes it over. */
export async function inputOf(endpoint: Endpoint, blockSize: number): Promise<Medium> {
  const { sizeBytes } = endpoint.description;
  await endpoint.prepare(sizeBytes, { exact: false });
  const bytes = new Counted(new EndpointBytes(endpoint, new BlockLayout(sizeBytes, blockSize)));
  return {
    bytes,
    sizeBytes,
    bytesRead: () => bytes.bytesRead,
    confirmUnchanged: () => endpoint.confirmUnchanged(),
    close: () => endpoint.close(),
  };
}

class EndpointBytes implements ByteSource {
  readonly #endpoint: Endpoint;
  readonly #layout: BlockLayout;
  readonly #parts: Generator<BlockRange>;
  readonly #depth: number;
  /** What was read last is in it: a new one each time came to 70 MB before it was collected. */
  readonly #memory: Uint8Array;
  readonly #pending: { readonly blocks: BlockRange; readonly data: Promise<BlockData> }[] = [];

  constructor(endpoint: Endpoint, layout: BlockLayout) {
    this.#endpoint = endpoint;
    this.#layout = layout;
    this.#parts = layout.partsOf(layout.all);
    const length = layout.together * layout.blockSize;
    this.#depth = Math.max(2, Math.floor(AHEAD_BYTES / length));
    this.#memory = new Uint8Array(length);
  }

  async read(): Promise<Uint8Array | undefined> {
    while (this.#pending.length < this.#depth) {
      const next = this.#parts.next();
      if (next.done === true) break;
      const data = this.#endpoint.read(next.value, { kind: "all" });
      // A failed read is reported when its turn comes.
      data.catch(() => undefined);
      this.#pending.push({ blocks: next.value, data });
    }
    const first = this.#pending.shift();
    if (first === undefined) return undefined;
    const { blocks } = first;
    const data = await first.data;
    try {
      const bytes = fillWith(this.#memory.subarray(0, this.#layout.spanOf(blocks).length), data);
      this.#endpoint.advance(blocks.first + blocks.count);
      return bytes;
    } finally {
      data.release();
    }
  }
}

/** Fills the memory with all that the blocks hold. */
function fillWith(whole: Uint8Array, { leaves, bytes }: BlockData): Uint8Array {
  whole.fill(0);
  let at = 0;
  for (const run of leafRuns(leaves, whole.length)) {
    whole.set(bytes.subarray(at, at + run.length), run.offset);
    at += run.length;
  }
  return whole;
}
