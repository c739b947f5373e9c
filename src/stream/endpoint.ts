/**
 * A source that is read once, from its beginning to its end: standard input, or what a compressed file unpacks to. It holds the part
 * that is compared and copied now, and reads the next one meanwhile.
 */
import { asFailure, IoError, VerificationError } from "../errors.ts";
import { HEAD_LENGTH } from "../local/guard/ends.ts";
import { signaturesOfHead } from "../local/guard/signatures.ts";
import { Hasher } from "../local/work/hash.ts";
import { hashBlocks } from "../local/work/jobs.ts";
import { BufferPool } from "../local/work/pool.ts";
import { selectLeaves } from "../local/work/select.ts";
import { quote } from "../name.ts";
import { ByteReader, type ByteSource } from "../remote/wire/streams.ts";
import { BlockLayout, type BlockRange, TOGETHER_LENGTH } from "../sync/blocks.ts";
import type {
  BlockData,
  CacheBypass,
  Counters,
  Description,
  Endpoint,
  LeafFilter,
  LeafHashSize,
  Run,
  Salvage,
  ScanOptions,
  StreamPart,
  WriteOutcome,
} from "../sync/endpoint.ts";
import { MAX_SIGNATURES, NO_FACTS } from "../sync/facts.ts";
import type { HashChoice } from "../sync/spec.ts";

/** Bytes of a part, two of which are in memory: with 4 MiB a far side 100 ms away would take 20 MB/s, with 16 MiB 80. */
const PART_BYTES = 16 << 20;
/** Memory of the blocks on their way, besides. */
const POOL_BYTES = 8 << 20;
const MIN_POOL_BUFFERS = 2;

/** Where the bytes of a stream come from. */
export interface StreamInput {
  readonly bytes: ByteSource;
  /** What the stream will have, once `doneBytes` of it have come; undefined where nothing is known. */
  readonly expectedBytes: (doneBytes: number) => number | undefined;
  /** Read from the medium so far. */
  readonly bytesRead: () => number;
  /** @throws {VerificationError} when the medium is seen to have changed since it was opened. */
  readonly confirmUnchanged: () => Promise<void>;
  /** Lets go of everything; a read under way fails, or is waited for by nobody. Never throws. */
  readonly close: () => Promise<void>;
}

export interface StreamSpec {
  /** What the stream is named after and lies in, as far as that is known. */
  readonly origin: Pick<Description, "label" | "identity" | "within" | "facts">;
  readonly blockSize: number;
  readonly hash: HashChoice;
  /** What the stream has to have (--source-size). */
  readonly sizeBytes: number | undefined;
  /** Of a part, rounded down to whole blocks. */
  readonly partBytes?: number;
}

interface Filled {
  readonly bytes: Buffer;
  readonly isLast: boolean;
}

export class StreamEndpoint implements Endpoint {
  readonly description: Description;
  readonly #spec: StreamSpec;
  readonly #input: StreamInput;
  readonly #reader: ByteReader;
  readonly #hasher: Hasher;
  readonly #pool: BufferPool;
  /** The memory of two parts: of the one at hand, and of the next. */
  readonly #memory: [Buffer, Buffer];
  #next: Promise<Filled> | undefined;
  #part: Buffer = Buffer.alloc(0);
  #partStart = 0;
  #layout: BlockLayout;
  #closed = false;

  private constructor(spec: StreamSpec, input: StreamInput, reader: ByteReader, hasher: Hasher, head: Buffer) {
    const { origin, blockSize, sizeBytes, partBytes = PART_BYTES } = spec;
    this.#spec = spec;
    this.#input = input;
    this.#reader = reader;
    this.#hasher = hasher;
    const bufferSize = Math.max(blockSize, TOGETHER_LENGTH);
    this.#pool = new BufferPool(bufferSize, Math.max(MIN_POOL_BUFFERS, Math.floor(POOL_BYTES / bufferSize)));
    const partSize = Math.max(1, Math.floor(partBytes / blockSize)) * blockSize;
    const memory = () => Buffer.from(new SharedArrayBuffer(partSize));
    this.#memory = [memory(), memory()];
    this.#layout = new BlockLayout(0, blockSize);
    const signatures = signaturesOfHead(head).slice(0, MAX_SIGNATURES);
    const contents = [{ name: "", sizeBytes: sizeBytes ?? 0, signatures }];
    this.description = {
      label: origin.label,
      kind: "stream",
      sizeBytes: sizeBytes ?? 0,
      identity: origin.identity,
      within: origin.within,
      blank: false,
      zeroHash: hasher.zeroHash(blockSize),
      facts: { ...NO_FACTS, writer: origin.facts?.writer ?? "", contents },
    };
  }

  /** Waits for the first bytes, to see what they are. Takes over the input. @throws {IoError} */
  static async open(spec: StreamSpec, input: StreamInput): Promise<StreamEndpoint> {
    try {
      const reader = new ByteReader(input.bytes);
      const head = await reader.peek(HEAD_LENGTH);
      return new StreamEndpoint(spec, input, reader, await Hasher.create(spec.hash), head);
    } catch (error) {
      await input.close();
      throw asFailure(error);
    }
  }

  async readOn(): Promise<StreamPart> {
    const [memory, other] = this.#memory;
    const { bytes, isLast } = await (this.#next ?? this.#fill(memory));
    this.#partStart += this.#part.length;
    this.#part = bytes;
    this.#memory.reverse();
    const endBytes = this.#partStart + bytes.length;
    this.#checkSize(endBytes, isLast);
    if (!isLast) {
      this.#next = this.#fill(other);
      // It is reported when its turn comes.
      this.#next.catch(() => undefined);
    }
    const { sizeBytes } = this.#spec;
    return { endBytes, isLast, expectedBytes: sizeBytes ?? this.#input.expectedBytes(endBytes) };
  }

  async #fill(memory: Buffer): Promise<Filled> {
    const length = await this.#reader.fill(memory);
    return { bytes: memory.subarray(0, length), isLast: length < memory.length };
  }

  /** Checks against what the stream has to have. @throws {VerificationError} */
  #checkSize(doneBytes: number, isLast: boolean): void {
    const due = this.#spec.sizeBytes;
    if (due === undefined || (isLast ? doneBytes === due : doneBytes <= due)) return;
    const how = doneBytes < due ? `ended after ${doneBytes} bytes` : "has more bytes";
    throw new VerificationError(`${quote(this.description.label)} ${how}, where --source-size says ${due}`, {
      hint: "check what it comes from, and the size",
    });
  }

  prepare(sizeBytes: number): Promise<string> {
    this.#layout = new BlockLayout(sizeBytes, this.#spec.blockSize);
    return Promise.resolve(this.description.identity);
  }

  /** The bytes of blocks of the part at hand. */
  #bytesOf(blocks: BlockRange): Buffer {
    const { offset, length } = this.#layout.spanOf(blocks);
    const start = offset - this.#partStart;
    if (start < 0 || start + length > this.#part.length) throw new RangeError("A stream is read once");
    return this.#part.subarray(start, start + length);
  }

  async *scan(ranges: readonly BlockRange[], { hashed }: ScanOptions): AsyncIterable<Run> {
    for (const blocks of ranges.flatMap((range) => [...this.#layout.partsOf(range)])) {
      if (this.#closed) throw this.#closedFailure;
      const { first, count } = blocks;
      if (hashed) yield { kind: "hashed", first, count, hashes: await this.#hash(this.#bytesOf(blocks)) };
      else yield { kind: "data", first, count };
    }
  }

  #hash(bytes: Buffer): Promise<Uint8Array> {
    return hashBlocks(this.#hasher, bytes, this.#spec.blockSize);
  }

  leafHashes(blocks: BlockRange, size: LeafHashSize): Promise<Uint8Array> {
    return Promise.resolve(this.#hasher.leafHashes(this.#bytesOf(blocks), size));
  }

  async read(blocks: BlockRange, filter: LeafFilter): Promise<BlockData> {
    const buffer = await this.#pool.take();
    const release = () => this.#pool.give(buffer);
    try {
      const whole = this.#bytesOf(blocks);
      const bytes = buffer.subarray(0, whole.length);
      bytes.set(whole);
      return selectLeaves(bytes, await this.#hash(bytes), filter, this.#hasher, release);
    } catch (error) {
      release();
      throw error;
    }
  }

  advance(): void {}

  counters(): Promise<Counters> {
    return Promise.resolve({ bytesRead: this.#input.bytesRead(), bytesWritten: 0 });
  }

  async confirmUnchanged(): Promise<void> {
    await this.#input.confirmUnchanged();
  }

  get #closedFailure(): IoError {
    return new IoError(`Cannot use ${quote(this.description.label)}: it is closed`);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#pool.fail(this.#closedFailure);
    await this.#input.close();
  }

  write(): Promise<WriteOutcome> {
    throw onlyRead();
  }

  salvage(): Promise<Salvage> {
    throw onlyRead();
  }

  patch(): Promise<number> {
    throw onlyRead();
  }

  bypassCache(): Promise<CacheBypass> {
    throw onlyRead();
  }

  checkpoint(): Promise<void> {
    throw onlyRead();
  }

  flush(): Promise<void> {
    throw onlyRead();
  }
}

function onlyRead(): RangeError {
  return new RangeError("A stream is a source, and read in order");
}
