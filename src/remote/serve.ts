/**
 * Puts a local endpoint behind a channel: what runs on the far side. It opens one path, once, on the controller's word,
 * and touches nothing else. It ends when its input ends, and after the first request that breaks the rules.
 */

import { setTimeout } from "node:timers/promises";
import { asFailure, BugError, type Failure, IoError, ProtocolError, refusedDestination } from "../errors.ts";
import { LocalEndpoint } from "../local/endpoint.ts";
import { type Permission, permitted } from "../local/guard/permission.ts";
import { statPath } from "../local/medium/stat.ts";
import { identityOf } from "../local/system/picture.ts";
import { mostBlocks } from "../local/work/pieces.ts";
import { BlockLayout, type BlockRange, leafCount, TOGETHER_LENGTH } from "../sync/blocks.ts";
import { WIDE_LEAF_HASH_SIZE } from "../sync/endpoint.ts";
import type { EndpointSpec } from "../sync/spec.ts";
import { joinClaim, type Standing, showClaim } from "./claimant.ts";
import { askToYield } from "./meeting.ts";
import { SentRuns } from "./sent-runs.ts";
import { Backlog } from "./wire/backlog.ts";
import { type Channel, lostConnection, type Received } from "./wire/channel.ts";
import { type Compression, compressionOf, noCompression } from "./wire/compression.ts";
import { receiveData } from "./wire/data.ts";
import { decode, encode, type Outgoing, type ScanRequest } from "./wire/messages.ts";
import { MessageType } from "./wire/protocol.ts";

/** How long a controller that broke a rule is given to read the answer, and requests under way to end with the input. */
const LAST_WORDS_MS = 1000;

/** `~/x` is in the home directory, as a shell on the far side would have it. */
export function expandHome(path: string, home: string | undefined): string {
  if (home === undefined || home === "") return path;
  if (path === "~") return home;
  return path.startsWith("~/") ? home + path.slice(1) : path;
}

/** Has whoever only waits for a connection, and holds the destination, give it up. */
export async function takeFromWaiting(
  { path, label }: Pick<EndpointSpec, "path" | "label">,
  home: string | undefined,
): Promise<void> {
  const stat = statPath(path, label);
  if (stat !== undefined) await askToYield(home, identityOf(stat));
}

export class Server {
  readonly #channel: Channel;
  readonly #home: string | undefined;
  readonly #permission: Permission | undefined;
  #compression: Compression = noCompression();
  #spec: EndpointSpec | undefined;
  #endpoint: LocalEndpoint | undefined;
  #layout: BlockLayout | undefined;
  #identity: string | undefined;
  #preparing = false;
  #mayWrite = false;
  readonly #backlog = new Backlog();
  /** Under a permission: that this lane has the claim, or belongs to the one that has. */
  #standing: Standing | undefined;
  /** The first rule that was broken, or bug that was met: after either nothing is answered any more. */
  #breach: Failure | undefined;
  #inputEnded = false;
  readonly #ending = new AbortController();
  readonly #answering = new Set<Promise<void>>();
  #scanning = false;
  #sent = new SentRuns();
  #onAdvance: (() => void) | undefined;

  /** With a permission the controller gets that path or none. */
  constructor(channel: Channel, home: string | undefined, permission?: Permission) {
    this.#channel = channel;
    this.#home = home;
    this.#permission = permission;
  }

  /** Serves until the input ends, then lets go of the device. @throws {ProtocolError} {UnreachableError} {BugError} */
  async run(): Promise<void> {
    try {
      await this.#channel.run((frame) => {
        const answering = this.#answer(frame).finally(() => this.#answering.delete(answering));
        this.#answering.add(answering);
        return this.#backlog.room();
      });
    } finally {
      // What is being opened or created would otherwise be there after everything was let go of.
      await this.#endAnswers();
      await this.close();
    }
    // The exit code tells it even if nobody waited for the answer.
    if (this.#breach !== undefined) throw this.#breach;
  }

  async #endAnswers(): Promise<void> {
    this.#inputEnded = true;
    this.#onAdvance?.();
    await Promise.race([Promise.allSettled(this.#answering), setTimeout(LAST_WORDS_MS, undefined, { ref: false })]);
  }

  /** The identity of what is held for writing, whoever else wants it; undefined while nothing is. */
  get claimed(): string | undefined {
    const access = this.#spec?.access;
    return access === "write" || access === "join" ? this.#identity : undefined;
  }

  /** Lets go of the device. Safe to call twice. */
  async close(): Promise<void> {
    this.#ending.abort(new IoError("Cannot continue: the controlling blocksync has ended"));
    this.#standing?.close();
    await this.#endpoint?.close();
  }

  async #answer(frame: Received): Promise<void> {
    if (this.#breach !== undefined) {
      frame.release();
      return;
    }
    const leave = this.#backlog.enter(frame);
    try {
      await this.#orRefuse(frame, () => this.#dispatch(frame));
    } finally {
      leave();
    }
  }

  async #orRefuse(frame: Received, answer: () => Promise<void>): Promise<void> {
    try {
      await answer();
    } catch (error) {
      frame.release();
      await this.#refuse(frame, error);
    }
  }

  /** Answers with a failure; where the wire's rules were broken, or blocksync has a bug, that is the last answer there is. */
  async #refuse(frame: Received, error: unknown): Promise<void> {
    const failure = asFailure(error);
    // What is closed under a request that is still under way is no bug.
    const isLast = failure instanceof ProtocolError || (failure instanceof BugError && !this.#inputEnded);
    if (isLast) this.#breach ??= failure;
    const answered = this.#reply(frame, encode.failed(failure)).catch((cause: unknown) =>
      this.#channel.fail(lostConnection(cause)),
    );
    if (!isLast) return await answered;
    await Promise.race([answered, setTimeout(LAST_WORDS_MS, undefined, { ref: false })]);
    this.#channel.fail(failure);
  }

  /** @throws {Failure} what the channel failed with; an answer that cannot be sent is no bug. */
  async #reply(frame: Received, message: Outgoing): Promise<void> {
    await this.#channel.send(frame.id, message).catch((cause: unknown) => {
      throw lostConnection(cause);
    });
  }

  /** What comes once, or has no answer, is dealt with at once. */
  async #dispatch(frame: Received): Promise<void> {
    switch (frame.type) {
      case MessageType.open:
        return await this.#open(frame);
      case MessageType.prepare:
        return await this.#prepare(frame);
      case MessageType.scan:
        return await this.#scan(frame, decode.scan(frame));
      case MessageType.advance:
        return this.#advance(decode.advance(frame));
      default:
        return await this.#backlog.answer(this.#answerLength(frame), () =>
          this.#orRefuse(frame, () => this.#dispatchInTurn(frame)),
        );
    }
  }

  /** The most bytes of an answer that lie in no buffer of the endpoint: a failure names the label. */
  #answerLength({ type }: Received): number {
    const failure = 2 * (this.#spec?.label.length ?? 0);
    if (type === MessageType.read) return failure + this.#together * this.#opened.description.zeroHash.length;
    if (type !== MessageType.leafHashes) return failure;
    return failure + leafCount(this.#together * this.#blockSize) * WIDE_LEAF_HASH_SIZE;
  }

  async #dispatchInTurn(frame: Received): Promise<void> {
    switch (frame.type) {
      case MessageType.leafHashes: {
        const { blocks, size } = decode.leafHashes(frame);
        this.#lengthOf(blocks);
        return await this.#reply(frame, encode.leaves(await this.#opened.leafHashes(blocks, size)));
      }
      case MessageType.read:
        return await this.#read(frame);
      case MessageType.write:
        return await this.#write(frame);
      case MessageType.salvage:
        return await this.#salvage(frame);
      case MessageType.patch: {
        this.#checkMayWrite();
        const { index, salvage } = decode.patch(frame, (block) => this.#lengthOf({ first: block, count: 1 }));
        const written = await this.#opened.patch(index, salvage);
        frame.release();
        return await this.#reply(frame, encode.patched(written));
      }
      case MessageType.bypass:
        decode.empty(frame);
        return await this.#reply(frame, encode.bypassed(await this.#opened.bypassCache()));
      case MessageType.counters:
        decode.empty(frame);
        return await this.#reply(frame, encode.counted(await this.#opened.counters()));
      case MessageType.confirm:
        decode.empty(frame);
        await this.#opened.confirmUnchanged();
        return await this.#reply(frame, encode.empty("done"));
      case MessageType.checkpoint:
        decode.empty(frame);
        await this.#opened.checkpoint();
        return await this.#reply(frame, encode.empty("done"));
      case MessageType.flush:
        decode.empty(frame);
        if (!this.#mayWrite) throw new ProtocolError("Received a flush for a side that may not be written");
        await this.#opened.flush();
        return await this.#reply(frame, encode.empty("done"));
      default:
        throw new ProtocolError(`Received a message of type ${frame.type}, which is not a request`);
    }
  }

  async #open(frame: Received): Promise<void> {
    if (this.#spec !== undefined) throw new ProtocolError("Received a second open");
    this.#spec = decode.open(frame);
    this.#compression = compressionOf(this.#spec.compress);
    const { path, undo: file } = this.#spec;
    const undo = file && { ...file, path: expandHome(file.path, this.#home) };
    const spec = { ...this.#spec, path: expandHome(path, this.#home), undo };
    // The controller shows under -v what comes this way.
    const onNote = (text: string) => process.stderr.write(`${text}\n`);
    const opening = permitted(spec, this.#permission);
    if (opening.access === "write") await takeFromWaiting(opening, this.#home);
    this.#endpoint = await LocalEndpoint.open(opening, { onNote, sharers: 1, signal: this.#ending.signal });
    this.#identity = this.#endpoint.description.identity;
    if (this.#permission !== undefined && spec.access === "join") await this.#join(spec);
    await this.#reply(frame, encode.opened(this.#endpoint.description));
  }

  async #prepare(frame: Received): Promise<void> {
    const { sizeBytes, exact } = decode.prepare(frame);
    const endpoint = this.#opened;
    // A source that is read once tells its size part by part.
    if (sizeBytes < (this.#layout?.sizeBytes ?? 0)) throw new ProtocolError("Received a prepare for less than before");
    if (this.#preparing) throw new ProtocolError("Received a second prepare while one is under way");
    this.#preparing = true;
    // Requests that came right behind are the endpoint's to hold back until it is prepared.
    this.#layout = new BlockLayout(sizeBytes, this.#blockSize);
    const access = this.#spec?.access;
    this.#mayWrite = access === "write" || access === "join";
    try {
      this.#identity = await endpoint.prepare(sizeBytes, { exact });
      if (this.#permission !== undefined && this.#spec?.access === "write")
        this.#standing ??= await showClaim(this.#spec.hash.seed, this.#identity);
    } finally {
      this.#preparing = false;
    }
    await this.#reply(frame, encode.prepared(this.#identity));
  }

  /** The client's word is not enough for a lane that neither claims nor locks. @throws {RefusedError} */
  async #join({ label, hash }: EndpointSpec): Promise<void> {
    this.#standing = await joinClaim(hash.seed, this.#opened.description.identity);
    if (this.#standing !== undefined) return;
    const endpoint = this.#endpoint;
    this.#endpoint = undefined;
    await endpoint?.close();
    const hint = "the first lane of a run has to claim it and stay connected; leave out --workers to use a single lane";
    throw refusedDestination(label, "only", "no other lane of this run has claimed it on the far side", hint);
  }

  get #opened(): LocalEndpoint {
    if (this.#endpoint === undefined) throw new ProtocolError("Received a request before anything was opened");
    return this.#endpoint;
  }

  get #blockSize(): number {
    if (this.#spec === undefined) throw new ProtocolError("Received a request before anything was opened");
    return this.#spec.blockSize;
  }

  /** Small blocks that one request may be for. */
  get #together(): number {
    return Math.max(1, Math.floor(TOGETHER_LENGTH / this.#blockSize));
  }

  #lengthOf(blocks: BlockRange): number {
    if (this.#layout === undefined) throw new ProtocolError("Received a request for a block before the size was fixed");
    const { first, count } = blocks;
    const { blockCount, together } = this.#layout;
    if (count === 0 || count > together || first >= blockCount || count > blockCount - first)
      throw new ProtocolError(`Received a request for ${count} blocks from ${first} of ${blockCount}`);
    return this.#layout.spanOf(blocks).length;
  }

  async #scan(frame: Received, request: ScanRequest): Promise<void> {
    const { ranges, window, hashed, tolerant, readHoles } = request;
    if (this.#scanning) throw new ProtocolError("Received a second scan while one is running");
    if (this.#layout === undefined) throw new ProtocolError("Received a scan before the size was fixed");
    const last = ranges.at(-1) ?? { first: 0, count: 0 };
    if (last.first + last.count > this.#layout.blockCount)
      throw new ProtocolError(`Received a scan up to block ${last.first + last.count} of ${this.#layout.blockCount}`);
    if (window === 0) throw new ProtocolError("Received a scan with a window of 0 blocks");
    this.#scanning = true;
    this.#sent = new SentRuns();
    try {
      // Not the window, which is what was sent already.
      const options = { hashed, tolerant, readHoles, ahead: Math.min(window, mostBlocks(this.#blockSize)) };
      for await (const run of this.#opened.scan(ranges, options)) {
        while (this.#sent.blocks >= window) {
          await new Promise<void>((resolve) => {
            this.#onAdvance = resolve;
          });
          if (this.#inputEnded) return;
        }
        this.#sent.add(run);
        await this.#reply(frame, encode.run(run));
      }
    } finally {
      this.#scanning = false;
    }
    await this.#reply(frame, encode.empty("done"));
  }

  #advance(index: number): void {
    if (this.#layout === undefined || index > this.#layout.blockCount)
      throw new ProtocolError(`Received an advance to ${index}`);
    this.#sent.advance(index);
    this.#onAdvance?.();
    this.#opened.advance(index);
  }

  async #read(frame: Received): Promise<void> {
    const { blocks, filter } = decode.read(frame, (wanted) => this.#lengthOf(wanted));
    this.#lengthOf(blocks);
    const data = await this.#opened.read(blocks, filter);
    try {
      await this.#backlog.pack(data.bytes.length, async () => {
        const body = await this.#compression.pack(data.bytes);
        await this.#reply(frame, encode.block(data, body));
      });
    } finally {
      data.release();
    }
  }

  async #salvage(frame: Received): Promise<void> {
    const { index, retries, known } = decode.salvage(frame, (block) => this.#lengthOf({ first: block, count: 1 }));
    const { release, ...salvage } = await this.#opened.lendSalvage(index, known, retries);
    try {
      await this.#reply(frame, encode.salvaged(salvage));
    } finally {
      release();
    }
  }

  #checkMayWrite(): void {
    if (this.#standing?.holds === false)
      throw new IoError("Cannot write: the lane that claimed the destination is gone");
    if (this.#mayWrite) return;
    throw new ProtocolError("Received a write to a source, in a dry run, or before the size was fixed");
  }

  async #write(frame: Received): Promise<void> {
    this.#checkMayWrite();
    const { blocks, data: packed } = decode.write(frame);
    const length = this.#lengthOf(blocks);
    const hashesLength = blocks.count * this.#opened.description.zeroHash.length;
    const data = await receiveData(frame, packed, this.#compression, length, hashesLength);
    await this.#reply(frame, encode.written(await this.#opened.write(blocks, data)));
  }
}
