/**
 * Frames over a pair of byte streams, with requests matched to their replies by id. Bounded: what is received and not
 * yet released is at most INBOUND_BYTES of bulk data, what waits to be sent is what callers hold anyway. The first
 * failure ends the channel and fails everything pending with it.
 */
import { Failure, ProtocolError, reason, UnreachableError } from "../../errors.ts";
import { Window } from "../../sync/window.ts";
import { decode, encode, type Outgoing } from "./messages.ts";
import {
  checkContent,
  DEFAULT_TIMEOUT_SECONDS,
  decodeHeader,
  encodeFrame,
  type Frame,
  HEADER_SIZE,
  isBulk,
  MessageType,
} from "./protocol.ts";
import type { ByteReader, ByteSink } from "./streams.ts";

/**
 * Bulk data received and not yet used: the largest block, or 16 blocks of the default size. With twice as much a fresh copy was
 * no faster and the far side took 155 MB instead of 134 (medians of 4).
 */
const INBOUND_BYTES = 16 << 20;
/** Frames waiting to be sent are joined up to this length: fewer system calls, and less overhead in ssh. */
const JOIN_BYTES = 64 << 10;

/** Bodies from this length on are kept for the next one of at least half of it, so many bytes of them at most. */
const POOLED_LENGTH = 64 << 10;
const SPARE_BYTES = 16 << 20;

/** Runs of a scan that wait for their consumer: 65,536 of a hole or a block each, the most a scan's window allows. */
const STREAM_BYTES = 32 << 20;
/** What a waiting frame costs besides its bytes. */
const FRAME_OVERHEAD = 256;
/** A side that has sent nothing for this share of the timeout sends a sign of life; two of them are the promised quarter. */
const ALIVE_SHARE = 1 / 8;

/** A frame with bulk data holds a part of the channel's memory until release() is called; more calls do no harm. */
export interface Received extends Frame {
  release(): void;
}

interface Pending {
  receive(frame: Received): void;
  fail(cause: unknown): void;
}

interface Outbound {
  readonly parts: readonly Uint8Array[];
  sent(): void;
  fail(cause: unknown): void;
}

/** What it returns is waited for before anything more is read. */
export type RequestHandler = (frame: Received) => Promise<void> | undefined;

export class Channel {
  readonly #reader: ByteReader;
  readonly #sink: ByteSink;
  readonly #pending = new Map<number, Pending>();
  readonly #inbound = new Window(INBOUND_BYTES);
  readonly #spare: Buffer[] = [];
  readonly #outgoing: Outbound[] = [];
  #sending = false;
  #paused = false;
  /** A sign of life waits to be sent. */
  #showing = false;
  #nextId = 1;
  readonly #onAlive: (timeoutSeconds: number) => void;
  #aliveTimer: Timer | undefined;
  #failure: { readonly cause: unknown } | undefined;
  /** Resolves when the channel has failed. */
  readonly #ended: Promise<void>;
  #end: () => void = () => undefined;
  bytesSent = 0;
  bytesReceived = 0;

  /** `onAlive` is told the far side's timeout with each of its signs of life. */
  constructor(reader: ByteReader, sink: ByteSink, onAlive: (timeoutSeconds: number) => void = () => undefined) {
    this.#reader = reader;
    this.#sink = sink;
    this.#onAlive = onAlive;
    this.#ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /**
   * Receives until the streams end or the channel fails. Frames that answer no request go to `onRequest`; without one
   * they are an error. `explainEnd` puts the end of the stream into words, and the failure goes to whoever waits for a
   * reply. Without one an end between two frames is orderly, and run() returns.
   * @throws what the channel failed with, when there is no `explainEnd`.
   */
  async run(onRequest?: RequestHandler, explainEnd?: () => Promise<Failure>): Promise<void> {
    // A read cannot be taken back, so a channel that has failed does not wait for its end.
    await Promise.race([this.#receiveAll(onRequest, explainEnd), this.#ended]);
    if (explainEnd === undefined && this.#failure !== undefined) throw this.#failure.cause;
    clearInterval(this.#aliveTimer);
  }

  async #receiveAll(onRequest?: RequestHandler, explainEnd?: () => Promise<Failure>): Promise<void> {
    try {
      for (;;) {
        const frame = await this.#receive();
        if (frame === undefined || this.#failure !== undefined) break;
        const room = this.#deliver(frame, onRequest);
        if (room !== undefined) await this.#pause(room);
      }
    } catch (cause) {
      // A stream that breaks is the end of the other side too; a broken rule, or silence, is the failure itself.
      if (cause instanceof Failure) this.fail(cause);
      else if (explainEnd === undefined) this.fail(lostConnection(cause));
    }
    if (this.#failure === undefined && explainEnd !== undefined) this.fail(await explainEnd());
  }

  /** Hands a frame to whom it is for. Returns what is to be waited for before the next is read. */
  #deliver(frame: Received, onRequest: RequestHandler | undefined): Promise<void> | undefined {
    const pending = this.#pending.get(frame.id);
    if (frame.type === MessageType.alive) this.#onAlive(decode.alive(frame));
    else if (pending !== undefined) pending.receive(frame);
    else if (onRequest !== undefined) return onRequest(frame);
    // What was no request of ours but broke a rule there: an advance, a sign of life.
    else if (frame.type === MessageType.failed && frame.id === 0) throw decode.failed(frame);
    else throw new ProtocolError(`Received a message of type ${frame.type} that answers nothing`);
    return undefined;
  }

  /** Reads nothing until there is room. Thon the far side is gone shows in signs of life that cannot be sent then. */
  async #pause(room: Promise<void>): Promise<void> {
    this.#paused = true;
    if (this.#aliveTimer === undefined) this.keepAlive(DEFAULT_TIMEOUT_SECONDS);
    await room;
    this.#paused = false;
  }

  /**
   * Sends a sign of life at once, and from now on whenever nothing else was sent for a while, so thon the far side can
   * tell silence by `timeoutSeconds`. What is being sent is a sign of life too, as far as the far side reads it.
   */
  keepAlive(timeoutSeconds: number): void {
    clearInterval(this.#aliveTimer);
    if (this.#failure !== undefined) return;
    const shown = () => {
      this.#showing = false;
    };
    const send = () => {
      // One is enough, however often the far side changes its mind about the timeout.
      if (this.#showing) return;
      this.#showing = true;
      this.send(0, encode.alive(timeoutSeconds)).then(shown, shown);
    };
    let sentBefore = this.bytesSent;
    this.#aliveTimer = setInterval(
      () => {
        if (this.bytesSent === sentBefore && !this.#sending) send();
        sentBefore = this.bytesSent;
      },
      timeoutSeconds * 1000 * ALIVE_SHARE,
    ).unref();
    send();
  }

  /** Returns undefined at the end of the stream. */
  async #receive(): Promise<Received | undefined> {
    const bytes = new Uint8Array(HEADER_SIZE);
    const length = await this.#reader.fill(bytes);
    if (length === 0) return undefined;
    if (length < HEADER_SIZE) throw new Error(WITHIN_A_MESSAGE);
    const header = decodeHeader(bytes);
    const held = isBulk(header.type) && header.bodyLength > 0 ? await this.#inbound.take(header.bodyLength) : 0;
    const head = new Uint8Array(header.headLength);
    const memory = held > 0 ? this.#bulkMemory(header.bodyLength) : plainMemory(header.bodyLength);
    const body = memory.length === header.bodyLength ? memory : memory.subarray(0, header.bodyLength);
    if ((await this.#reader.fill(head)) < head.length || (await this.#reader.fill(body)) < body.length)
      throw new Error(WITHIN_A_MESSAGE);
    checkContent(header, head, body);
    this.bytesReceived += HEADER_SIZE + head.length + body.length;
    const { type, id } = header;
    return { type, id, head, body, release: held === 0 ? NOTHING_HELD : this.#releaseOnce(held, memory) };
  }

  #releaseOnce(held: number, memory: Buffer): () => void {
    let unreleased = true;
    return () => {
      if (!unreleased) return;
      unreleased = false;
      this.#inbound.give(held);
      this.#keep(memory);
    };
  }

  /** Memory for a body, from an earlier one where that is large enough: fresh pages for each would cost more than the data. It is
   * shared, so that a thread can write it. */
  #bulkMemory(length: number): Buffer {
    if (length < POOLED_LENGTH) return Buffer.allocUnsafeSlow(length);
    const index = this.#spare.findIndex((memory) => memory.length >= length && memory.length <= 2 * length);
    const [memory] = index === -1 ? [] : this.#spare.splice(index, 1);
    return memory ?? Buffer.from(new SharedArrayBuffer(length));
  }

  #keep(memory: Buffer): void {
    if (memory.length < POOLED_LENGTH) return;
    this.#spare.push(memory);
    let kept = this.#spare.reduce((sum, { length }) => sum + length, 0);
    while (kept > SPARE_BYTES) kept -= this.#spare.shift()?.length ?? 0;
  }

  /** Sends one frame. Resolves when it was handed over, so that its body may be reused. */
  send(id: number, message: Outgoing): Promise<void> {
    return new Promise((sent, fail) => {
      if (this.#failure !== undefined) {
        fail(this.#failure.cause);
        return;
      }
      const first = encodeFrame({ ...message, id });
      this.#outgoing.push({ parts: message.body.length > 0 ? [first, message.body] : [first], sent, fail });
      if (!this.#sending) void this.#sendAll();
    });
  }

  async #sendAll(): Promise<void> {
    this.#sending = true;
    try {
      // Callers that were woken together get to queue what they have, so that it is joined.
      await Promise.resolve();
      while (this.#outgoing.length > 0 && this.#failure === undefined) {
        const batch = this.#takeBatch();
        try {
          for (const bytes of batch.writes) {
            await this.#sink.write(bytes);
            this.bytesSent += bytes.length;
          }
          for (const entry of batch.entries) entry.sent();
        } catch (cause) {
          // The reading side learns why the other end went away, and fails the channel with that.
          for (const entry of batch.entries) entry.fail(cause);
          if (cause instanceof Failure || this.#paused) this.fail(lostConnection(cause));
          return;
        }
      }
    } finally {
      this.#sending = false;
    }
  }

  #takeBatch(): { entries: Outbound[]; writes: Uint8Array[] } {
    const entries: Outbound[] = [];
    const writes: Uint8Array[] = [];
    let small: Uint8Array[] = [];
    let joined = 0;
    const flushSmall = () => {
      if (small.length > 0) writes.push(small.length === 1 && small[0] !== undefined ? small[0] : Buffer.concat(small));
      small = [];
    };
    while (joined < JOIN_BYTES) {
      const entry = this.#outgoing.shift();
      if (entry === undefined) break;
      entries.push(entry);
      for (const part of entry.parts) {
        joined += part.length;
        if (part.length < JOIN_BYTES) small.push(part);
        else {
          flushSmall();
          writes.push(part);
        }
      }
    }
    flushSmall();
    return { entries, writes };
  }

  /** Sends a request and returns its one reply. `sent` runs when the request was handed over (or never will be). */
  request(message: Outgoing, type: MessageType, sent: () => void = () => undefined): Promise<Received> {
    return new Promise((resolve, reject) => {
      const id = this.#newId();
      this.#expect(id, {
        receive: (frame) => {
          this.#pending.delete(id);
          try {
            resolve(checkReply(frame, type));
          } catch (cause) {
            reject(cause);
          }
        },
        fail: reject,
      });
      // A request that cannot be sent fails with the channel, which knows better why the other side went away.
      this.send(id, message).then(sent, sent);
    });
  }

  /** Sends a request that is answered by replies of `type` until `done`. The caller consumes all or fails the channel. */
  async *stream(message: Outgoing, type: MessageType): AsyncGenerator<Received> {
    const id = this.#newId();
    const queue: Received[] = [];
    let queuedBytes = 0;
    let wake: (() => void) | undefined;
    let failure: { readonly cause: unknown } | undefined;
    this.#expect(id, {
      receive: (frame) => {
        queuedBytes += costOf(frame);
        if (queuedBytes > STREAM_BYTES) throw new ProtocolError("Received more of a scan than was requested");
        // What comes after the end answers nothing, even while the end waits for its turn.
        if (frame.type === MessageType.done) this.#pending.delete(id);
        queue.push(frame);
        wake?.();
      },
      fail: (cause) => {
        failure = { cause };
        wake?.();
      },
    });
    this.send(id, message).catch(() => undefined);
    for (;;) {
      const frame = queue.shift();
      if (frame !== undefined) {
        queuedBytes -= costOf(frame);
        if (frame.type === MessageType.done) {
          decode.empty(frame);
          return;
        }
        yield checkReply(frame, type);
        continue;
      }
      if (failure !== undefined) throw failure.cause;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }

  #newId(): number {
    do this.#nextId = this.#nextId === 0xffff_ffff ? 1 : this.#nextId + 1;
    while (this.#pending.has(this.#nextId));
    return this.#nextId;
  }

  #expect(id: number, pending: Pending): void {
    if (this.#failure !== undefined) pending.fail(this.#failure.cause);
    else this.#pending.set(id, pending);
  }

  /** Ends the channel; the first cause stays. */
  fail(cause: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = { cause };
    clearInterval(this.#aliveTimer);
    this.#inbound.fail(cause);
    for (const pending of this.#pending.values()) pending.fail(cause);
    this.#pending.clear();
    for (const entry of this.#outgoing.splice(0)) entry.fail(cause);
    this.#sink.end().catch(() => undefined);
    this.#end();
  }
}

/** What a side that cannot say more of the other has to say when the streams between them fail with `cause`. */
export function lostConnection(cause: unknown): Failure {
  return cause instanceof Failure ? cause : new UnreachableError(`Lost the connection: ${reason(cause)}`, { cause });
}

const NOTHING_HELD = () => undefined;
const NO_BODY = Buffer.allocUnsafeSlow(0);

/** Of a body that is no block's data, and has none mostly: then it costs nothing either. */
function plainMemory(length: number): Buffer {
  return length === 0 ? NO_BODY : Buffer.allocUnsafeSlow(length);
}

const WITHIN_A_MESSAGE = "it ended in the middle of a message";

function costOf(frame: Frame): number {
  return FRAME_OVERHEAD + frame.head.length + frame.body.length;
}

function checkReply(frame: Received, type: MessageType): Received {
  if (frame.type === MessageType.failed) throw decode.failed(frame);
  if (frame.type !== type) throw new ProtocolError(`Received a message of type ${frame.type}, expected ${type}`);
  return frame;
}
