/** An endpoint elsewhere: the interface of sync/endpoint.ts spoken over a channel to serve.ts. */
import { ConnectionLost, ProtocolError } from "../errors.ts";
import { scanAhead } from "../sync/ahead.ts";
import { BlockLayout, type BlockRange, leafCount, type SectorSet } from "../sync/blocks.ts";
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
  WriteOutcome,
} from "../sync/endpoint.ts";
import type { EndpointSpec } from "../sync/spec.ts";
import type { Channel } from "./wire/channel.ts";
import { type Compression, compressionOf } from "./wire/compression.ts";
import { receiveData } from "./wire/data.ts";
import { decode, encode, MAX_SCAN_RANGES, type Outgoing } from "./wire/messages.ts";
import { MessageType } from "./wire/protocol.ts";

export class RemoteEndpoint implements Endpoint {
  readonly description: Description;
  readonly #channel: Channel;
  readonly #compression: Compression;
  readonly #hashSize: number;
  readonly #blockSize: number;
  readonly #shutDown: () => Promise<void>;
  #layout: BlockLayout;
  #scanWindow: number;
  #announced = 0;
  /** What it has shown to have read. */
  #bytesHashed = 0;
  /** Where the blocks that this endpoint is about end. */
  #end = Number.POSITIVE_INFINITY;

  private constructor(
    channel: Channel,
    { blockSize, compress }: EndpointSpec,
    description: Description,
    shutDown: () => Promise<void>,
  ) {
    this.#channel = channel;
    this.#compression = compressionOf(compress);
    this.#shutDown = shutDown;
    this.description = description;
    this.#hashSize = description.zeroHash.length;
    this.#blockSize = blockSize;
    this.#layout = new BlockLayout(description.sizeBytes, blockSize);
    this.#scanWindow = scanAhead(blockSize, 0);
  }

  /** Opens the path on the far side. `shutDown` ends the connection; close() calls it. */
  static async open(channel: Channel, spec: EndpointSpec, shutDown: () => Promise<void>): Promise<RemoteEndpoint> {
    const frame = await channel.request(encode.open(spec), MessageType.opened);
    return new RemoteEndpoint(channel, spec, decode.opened(frame, spec.label), shutDown);
  }

  async prepare(sizeBytes: number, { exact }: { readonly exact: boolean }): Promise<string> {
    this.#layout = new BlockLayout(sizeBytes, this.#blockSize);
    return decode.prepared(await this.#channel.request(encode.prepare(sizeBytes, exact), MessageType.prepared));
  }

  async *scan(ranges: readonly BlockRange[], options: ScanOptions): AsyncIterable<Run> {
    this.#scanWindow = options.ahead;
    const some = ranges.filter(({ count }) => count > 0);
    for (let i = 0; i < some.length; i += MAX_SCAN_RANGES)
      yield* this.#scan(some.slice(i, i + MAX_SCAN_RANGES), options);
  }

  /** So many ranges as one request is for. */
  async *#scan(ranges: readonly BlockRange[], options: ScanOptions): AsyncIterable<Run> {
    const { hashed, tolerant, readHoles, ahead } = options;
    const request = { ranges, window: ahead, hashed, tolerant, readHoles };
    const ends = ranges.map(({ first, count }) => first + count);
    this.#end = ends.at(-1) ?? 0;
    this.#announced = ranges[0]?.first ?? 0;
    let number = 0;
    let position = this.#announced;
    for await (const frame of this.#channel.stream(encode.scan(request), MessageType.run)) {
      const run = decode.run(frame, position, ends[number] ?? position, this.#hashSize, this.#layout);
      const due = hashed ? "hashed" : "data";
      const asked =
        run.kind === due || (run.kind === "hole" && !readHoles) || (run.kind === "unreadable" && hashed && tolerant);
      if (!asked) throw new ProtocolError(`Received a run that is ${run.kind}, not ${due}`);
      if (run.kind === "hashed") this.#bytesHashed += this.#layout.spanOf(run).length;
      position += run.count;
      if (position === ends[number]) position = ranges[++number]?.first ?? position;
      yield run;
    }
    if (number < ranges.length)
      throw new ProtocolError(`Received a scan that ends at block ${position} instead of ${this.#end}`);
  }

  async leafHashes(blocks: BlockRange, size: LeafHashSize): Promise<Uint8Array> {
    const frame = await this.#channel.request(encode.leafHashes(blocks, size), MessageType.leaves);
    return decode.leaves(frame, leafCount(this.#layout.spanOf(blocks).length) * size);
  }

  async read(blocks: BlockRange, filter: LeafFilter): Promise<BlockData> {
    const frame = await this.#channel.request(encode.read(blocks, filter), MessageType.block);
    const { length } = this.#layout.spanOf(blocks);
    return await receiveData(frame, decode.block(frame), this.#compression, length, blocks.count * this.#hashSize);
  }

  async write(blocks: BlockRange, data: BlockData): Promise<WriteOutcome> {
    const packed = await this.#compression.pack(data.bytes);
    const request = encode.write(blocks, data, packed);
    return decode.written(await this.#channel.request(request, MessageType.written, data.release));
  }

  async salvage(index: number, known: SectorSet, retries: number): Promise<Salvage> {
    const frame = await this.#channel.request(encode.salvage(index, known, retries), MessageType.salvaged);
    try {
      const { sectors, bytes } = decode.salvaged(frame, this.#layout.lengthOf(index));
      // A copy, which slice() of a Buffer is not: the frame's memory is the next one's.
      return { sectors, bytes: Uint8Array.from(bytes) };
    } finally {
      frame.release();
    }
  }

  async patch(index: number, salvage: Salvage): Promise<number> {
    return decode.patched(await this.#channel.request(encode.patch(index, salvage), MessageType.patched));
  }

  async bypassCache(): Promise<CacheBypass> {
    return decode.bypassed(await this.#channel.request(encode.empty("bypass"), MessageType.bypassed));
  }

  advance(index: number): void {
    const finished = index >= Math.min(this.#end, this.#layout.blockCount);
    if (index === this.#announced || (index - this.#announced < this.#scanWindow / 8 && !finished)) return;
    this.#announced = index;
    this.#channel.send(0, encode.advance(index)).catch(() => undefined);
  }

  async counters(): Promise<Counters> {
    try {
      return decode.counted(await this.#channel.request(encode.empty("counters"), MessageType.counted));
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
      // It is gone, and with it what it has counted.
      return { bytesRead: this.#bytesHashed, bytesWritten: 0 };
    }
  }

  async confirmUnchanged(): Promise<void> {
    await this.#confirmed(encode.empty("confirm"));
  }

  async checkpoint(): Promise<void> {
    await this.#confirmed(encode.empty("checkpoint"));
  }

  async flush(): Promise<void> {
    await this.#confirmed(encode.empty("flush"));
  }

  async close(): Promise<void> {
    await this.#shutDown();
  }

  async #confirmed(message: Outgoing): Promise<void> {
    decode.empty(await this.#channel.request(message, MessageType.done));
  }
}
