/**
 * A byte stream that outlives its connections: a channel reads from and writes to it and never learns that one was lost. Each end
 * keeps what the other has not acknowledged, within LASTING_BYTES; on a new connection both say how far they have come, and
 * go on from there. Nothing is lost and nothing comes twice, wherever the old one broke.
 *
 * A connection carries segments in both directions, each with a header of 4 bytes, a little-endian u32: kind in the upper byte,
 * length in the others.
 *
 *     data      kind 0, length 1 to MAX_DATA     so many bytes of the stream
 *     taken     kind 1, length 8                 u64: the position up to which data was used; acknowledges it
 *     goodbye   kind 2, length 0                 nothing comes any more, and nobody is to wait for another connection
 *
 * A position counts the data segments' bytes from the beginning, headers included, and lies between two of them. A segment that a
 * connection broke off is sent again as a whole, and what had come of it is left out.
 *
 * Nothing is acknowledged before it is used, so that the other side can never have more than LASTING_BYTES on the way, whatever it
 * takes to read them: where a writer waits for an acknowledgement, it reads ahead. Otherwise two full sides would wait for each other.
 */
import { ProtocolError } from "../../errors.ts";
import type { ByteSink, ByteSource } from "./streams.ts";

/** Several times ssh's window of 2 MiB (CHAN_SES_WINDOW_DEFAULT in channels.h), so that the line is never idle for it. */
export const LASTING_BYTES = 8 << 20;
/** Bytes that are used before they are acknowledged, so that a line carries little besides data. */
const ACKNOWLEDGED_BYTES = 256 << 10;
const MAX_DATA = 64 << 10;
/** Segments that are handed over at once. */
const JOIN_BYTES = 256 << 10;
const HEADER_SIZE = 4;
const POSITION_SIZE = 8;

const DATA = 0;
const TAKEN = 1;
const GOODBYE = 2;

const GOODBYE_SEGMENT = segment(GOODBYE, 0);

function segment(kind: number, length: number, size = HEADER_SIZE): Buffer {
  const bytes = Buffer.alloc(size);
  bytes.writeUInt32LE(kind * 0x100_0000 + length);
  return bytes;
}

/** One connection. */
interface Carrier {
  readonly source: ByteSource;
  readonly sink: ByteSink;
}

/** Bytes that were received and not used, and where that leaves the stream. */
interface Received {
  readonly bytes: Uint8Array;
  /** As LastingStream.#taken and #begun once they are used. */
  readonly taken: number;
  readonly begun: number;
}

export class LastingStream implements ByteSource, ByteSink {
  readonly #onLost: (cause: unknown) => void;
  readonly #joinBytes: number;
  #carrier: Carrier | undefined;
  #ending: { readonly cause: unknown } | undefined;
  /** Resolves when anything above or below changes; whoever waits looks again. */
  #change = Promise.withResolvers<void>();

  /** What was written, from #acknowledged to #written, at the position modulo its length. */
  readonly #kept = new Uint8Array(LASTING_BYTES);
  #acknowledged = 0;
  #written = 0;
  /** Handed to the present connection, or being handed. */
  #sent = 0;
  /** The most that was handed to any. */
  #mostSent = 0;
  /** Where goodbye is to be said; none follows it. */
  #goodbyeAt: number | undefined;
  #saidGoodbye = false;

  /** Segments whose bytes were all used, and how many bytes of the next one were. */
  #taken = 0;
  #begun = 0;
  /** What was last told the other side of #taken. */
  #told = 0;
  #received: Received[] = [];
  /** Resolves when what is being received is there, or will not be. */
  #receiving: PromiseWithResolvers<void> | undefined;
  #heardGoodbye = false;
  /** Of the present connection: the position of the segment that comes, how much of it came, and its length; a header in part. */
  #position = 0;
  #came = 0;
  #length = 0;
  readonly #head = Buffer.alloc(HEADER_SIZE + POSITION_SIZE);
  #headLength = 0;

  /** All that connections have carried, or were given when they broke off, what was sent again and the headers included. */
  bytesSent = 0;
  bytesReceived = 0;

  /**
   * `onLost` is told each time a connection breaks, before the other side has said goodbye and this one has. Segments are handed over
   * together up to `joinBytes`, for which an acknowledgement or a goodbye has to wait.
   */
  constructor(onLost: (cause: unknown) => void, joinBytes = JOIN_BYTES) {
    this.#onLost = onLost;
    this.#joinBytes = Math.min(joinBytes, JOIN_BYTES);
  }

  /** What the other side is to be told when it is asked to go on. With it ends the present connection. */
  leaveOff(): number {
    this.#drop();
    return this.#taken;
  }

  /** Whether the other side can have come there, so that it could go on from there. */
  canGoOnFrom(theirs: number): boolean {
    return this.#endsSegment(theirs, this.#mostSent);
  }

  get isConnected(): boolean {
    return this.#carrier !== undefined;
  }

  /** Goes on over a connection, from where the other side has come to. @throws {ProtocolError} when it cannot have come there. */
  attach(source: ByteSource, sink: ByteSink, theirs: number): void {
    this.#drop();
    this.#acknowledge(theirs, this.#mostSent);
    this.#sent = theirs;
    // They were told when this one was asked for.
    this.#told = this.#taken;
    const carrier = { source, sink };
    this.#carrier = carrier;
    this.#changed();
    void this.#sendAll(carrier);
  }

  /** Ends the stream: reads and writes fail with `cause` from now on. The first cause stays. */
  fail(cause: unknown): void {
    this.#ending ??= { cause };
    this.#drop();
    this.#changed();
  }

  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const next = this.#received.shift();
      if (next !== undefined) {
        this.#taken = next.taken;
        this.#begun = next.begun;
        return next.bytes;
      }
      if (this.#ending !== undefined) throw this.#ending.cause;
      if (this.#heardGoodbye) return undefined;
      if (this.#taken - this.#told >= ACKNOWLEDGED_BYTES) this.#changed();
      await this.#receive(false);
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let start = 0; start < bytes.length; start += MAX_DATA) {
      const data = bytes.subarray(start, start + MAX_DATA);
      while (this.#written - this.#acknowledged > LASTING_BYTES - HEADER_SIZE - data.length) {
        this.#checkOpen();
        const change = this.#change.promise;
        await Promise.race([change, this.#receive(true)]);
      }
      this.#checkOpen();
      this.#keep(segment(DATA, data.length));
      this.#keep(data);
      this.#changed();
    }
  }

  #checkOpen(): void {
    if (this.#ending !== undefined) throw this.#ending.cause;
    if (this.#heardGoodbye || this.#goodbyeAt !== undefined) throw new Error("The stream has ended");
  }

  /** Says goodbye after all that was written. Resolves when it was said, or cannot be. */
  async end(): Promise<void> {
    await this.#leave(this.#written);
  }

  /** The same at once: what still waits to be sent is not. */
  async leave(): Promise<void> {
    await this.#leave(0);
  }

  async #leave(at: number): Promise<void> {
    this.#goodbyeAt = Math.min(at, this.#goodbyeAt ?? at);
    this.#changed();
    while (!this.#saidGoodbye && this.#carrier !== undefined) await this.#change.promise;
  }

  #changed(): void {
    const { resolve } = this.#change;
    this.#change = Promise.withResolvers();
    resolve();
  }

  /** Ends the present connection; what came by it and was not used will come again. */
  #drop(): void {
    this.#carrier = undefined;
    this.#receiving?.resolve();
    this.#receiving = undefined;
    this.#received = [];
    this.#position = this.#taken;
    this.#came = 0;
    this.#length = 0;
    this.#headLength = 0;
    this.#changed();
  }

  #lose(carrier: Carrier, cause: unknown): void {
    if (carrier !== this.#carrier) return;
    this.#drop();
    if (!this.#heardGoodbye && this.#goodbyeAt === undefined) this.#onLost(cause);
  }

  #keep(bytes: Uint8Array): void {
    const at = this.#written % LASTING_BYTES;
    const first = Math.min(bytes.length, LASTING_BYTES - at);
    this.#kept.set(bytes.subarray(0, first), at);
    this.#kept.set(bytes.subarray(first));
    this.#written += bytes.length;
  }

  /** How long the kept segment at a position is, with its header. */
  #segmentLength(position: number): number {
    let length = 0;
    for (let i = 2; i >= 0; i--) length = length * 256 + (this.#kept[(position + i) % LASTING_BYTES] ?? 0);
    return HEADER_SIZE + length;
  }

  /** Whether a segment that is kept ends there, up to `limit`, or the last that is not kept any more. */
  #endsSegment(position: number, limit: number): boolean {
    let end = this.#acknowledged;
    while (end < position && end < limit) end += this.#segmentLength(end);
    return end === position && end <= limit;
  }

  /** @throws {ProtocolError} when that cannot have been received. */
  #acknowledge(position: number, limit: number): void {
    if (!this.#endsSegment(position, limit))
      throw new ProtocolError(`Received a wrong acknowledgement: ${position}, of ${this.#acknowledged} to ${limit}`);
    this.#acknowledged = position;
    this.#changed();
  }

  /** Sends what there is to send for as long as this is the present connection. Never throws. */
  async #sendAll(carrier: Carrier): Promise<void> {
    try {
      while (carrier === this.#carrier && !this.#saidGoodbye) {
        const change = this.#change.promise;
        if (this.#taken - this.#told >= ACKNOWLEDGED_BYTES) await this.#send(carrier, this.#takenSegment());
        else if (this.#goodbyeAt !== undefined && this.#sent >= this.#goodbyeAt) {
          await this.#send(carrier, GOODBYE_SEGMENT);
          this.#saidGoodbye = true;
          this.#changed();
        } else if (this.#sent < this.#written) await this.#sendData(carrier);
        else await change;
      }
    } catch (cause) {
      this.#lose(carrier, cause);
    }
  }

  #takenSegment(): Buffer {
    const bytes = segment(TAKEN, POSITION_SIZE, HEADER_SIZE + POSITION_SIZE);
    bytes.writeBigUInt64LE(BigInt(this.#taken), HEADER_SIZE);
    this.#told = this.#taken;
    return bytes;
  }

  async #send({ sink }: Carrier, bytes: Uint8Array): Promise<void> {
    // Of what a connection breaks off at nobody knows how much it has carried.
    this.bytesSent += bytes.length;
    await sink.write(bytes);
  }

  /** Whole segments, from where they are kept: they stay there until the other side has them. */
  async #sendData(carrier: Carrier): Promise<void> {
    let end = this.#sent;
    while (end < this.#written && end - this.#sent < this.#joinBytes) end += this.#segmentLength(end);
    const at = this.#sent % LASTING_BYTES;
    const length = end - this.#sent;
    // Before they are: an acknowledgement may come first.
    this.#sent = end;
    this.#mostSent = Math.max(this.#mostSent, end);
    await this.#send(carrier, this.#kept.subarray(at, at + length));
    const rest = at + length - LASTING_BYTES;
    if (rest > 0 && carrier === this.#carrier) await this.#send(carrier, this.#kept.subarray(0, rest));
  }

  /** Receives once, or waits for what is being received; `ahead` where nobody has used yet what came before. */
  async #receive(ahead: boolean): Promise<void> {
    const carrier = this.#carrier;
    if (carrier === undefined) return await this.#change.promise;
    if (this.#receiving === undefined) {
      this.#receiving = Promise.withResolvers();
      void this.#receiveFrom(carrier, ahead);
    }
    await this.#receiving.promise;
  }

  /** Never throws. */
  async #receiveFrom(carrier: Carrier, ahead: boolean): Promise<void> {
    try {
      const chunk = await carrier.source.read(ahead);
      if (carrier !== this.#carrier) return;
      if (chunk === undefined) throw new Error("it ended");
      this.bytesReceived += chunk.length;
      this.#take(chunk, ahead);
      this.#receiving?.resolve();
      this.#receiving = undefined;
    } catch (cause) {
      if (carrier !== this.#carrier) return;
      if (cause instanceof ProtocolError) this.fail(cause);
      else this.#lose(carrier, cause);
    }
  }

  /** @throws {ProtocolError} */
  #take(chunk: Uint8Array, ahead: boolean): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.#heardGoodbye) throw new ProtocolError("Received more after a goodbye");
      const wanted = this.#length > 0 ? this.#length - this.#came : this.#headWanted - this.#headLength;
      const part = chunk.subarray(at, at + wanted);
      at += part.length;
      if (this.#length > 0) this.#takeData(part, ahead);
      else {
        this.#head.set(part, this.#headLength);
        this.#headLength += part.length;
        this.#takeHead();
      }
    }
  }

  get #headWanted(): number {
    return this.#headLength >= HEADER_SIZE ? HEADER_SIZE + POSITION_SIZE : HEADER_SIZE;
  }

  /** @throws {ProtocolError} */
  #takeHead(): void {
    if (this.#headLength < HEADER_SIZE) return;
    const [kind = DATA, length] = [this.#head[HEADER_SIZE - 1], this.#head.readUIntLE(0, HEADER_SIZE - 1)];
    if (kind === TAKEN && length === POSITION_SIZE) {
      if (this.#headLength < HEADER_SIZE + POSITION_SIZE) return;
      this.#acknowledge(Number(this.#head.readBigUInt64LE(HEADER_SIZE)), this.#sent);
    } else if (kind === GOODBYE && length === 0) {
      this.#heardGoodbye = true;
      this.#changed();
    } else if (kind === DATA && length > 0 && length <= MAX_DATA) {
      if (this.#position + HEADER_SIZE + length - this.#told > LASTING_BYTES)
        throw new ProtocolError("Received more than may be on the way");
      if (this.#position === this.#taken && this.#begun > 0 && length <= this.#begun)
        throw new ProtocolError("Received a segment again, but not as it was");
      this.#length = length;
      this.#came = 0;
    } else throw new ProtocolError(`Received a segment of kind ${kind} and ${length} bytes`);
    this.#headLength = 0;
  }

  #takeData(part: Uint8Array, ahead: boolean): void {
    // An earlier connection had brought so much of this segment.
    const known = this.#position === this.#taken ? Math.max(0, this.#begun - this.#came) : 0;
    this.#came += part.length;
    const isWhole = this.#came === this.#length;
    if (isWhole) {
      this.#position += HEADER_SIZE + this.#length;
      this.#length = 0;
    }
    const bytes = part.subarray(known);
    if (bytes.length === 0) return;
    const begun = isWhole ? 0 : this.#came;
    this.#received.push({ bytes: ahead ? Uint8Array.from(bytes) : bytes, taken: this.#position, begun });
  }
}
