/**
 * A serve that outlives its connection. When that is lost it keeps what it holds, lets go of the login it came with, and waits at
 * its meeting place (meeting.ts) for the controller to come back by another login. It ends by itself when the time is over, when
 * another run wants its destination, and when its socket is removed, which `blocksync clean` does.
 *
 * An input that ends while the processes that lead to us go on tells of a controller that has ended, not of a connection: ssh passes the
 * end of its input on, and sshd ends with its connection. Then nobody is waited for.
 */
import fs from "node:fs";
import type net from "node:net";
import { loadCrypto, loadNet } from "../builtin.ts";
import { UnreachableError } from "../errors.ts";
import { bytesOf } from "../name.ts";
import { type Folder, lineOf, meetingFolder } from "./meeting.ts";
import { lostConnection } from "./wire/channel.ts";
import { type SessionKey, sendResumed } from "./wire/handshake.ts";
import { LastingStream } from "./wire/lasting-stream.ts";
import { DEFAULT_TIMEOUT_SECONDS } from "./wire/protocol.ts";
import { type SocketStreams, socketStreams } from "./wire/sockets.ts";
import { ByteReader, type ByteSink, type ByteSource } from "./wire/streams.ts";
import { Watch } from "./wire/watch.ts";

/** Who may be at the door and has not said yet what for; the first of more is sent away. */
const MAX_CALLERS = 16;
const CALLER_LIMIT_MS = 5000;
/** Time that is waited is counted in these, so that a machine that slept has lost one of them. */
const TICK_MS = 500;
/** Each fails only where the last run in the folder ends between two system calls of this one. */
const DOOR_ATTEMPTS = 8;

export interface WaitingOptions {
  readonly key: SessionKey;
  /** How long another connection is waited for; the timeout is added, since the controller may notice the loss so much later. */
  readonly seconds: number;
  /** What the caller's serve has to say it permits. */
  readonly scope: string;
  readonly home: string | undefined;
  /** Lets go of standard input, output and error, once the login that they belong to is lost. */
  readonly letGo: () => void;
  /** The identity of what is claimed for writing. */
  readonly claimed: () => string | undefined;
}

export class WaitingServe {
  readonly stream: LastingStream;
  readonly #options: WaitingOptions;
  #folder: Folder | undefined;
  #server: net.Server | undefined;
  #socketNumber: number | undefined;
  readonly #callers = new Set<SocketStreams>();
  #watch = new Watch();
  #timeoutSeconds = DEFAULT_TIMEOUT_SECONDS;
  #letGo = false;
  /** The socket of the present connection, when it is not the first. */
  #caller: SocketStreams | undefined;
  #waiting: Timer | undefined;

  constructor(options: WaitingOptions) {
    this.#options = options;
    this.stream = new LastingStream((cause) => this.#wait(cause));
  }

  /** Takes the connection that it was started over, and can be met from now on. */
  async begin(source: ByteSource, sink: ByteSink, isLost: () => Promise<boolean>): Promise<void> {
    if (this.#options.seconds > 0) await this.#openDoor();
    this.#attach(untilControllerEnds(source, isLost), sink, 0);
  }

  /** How long the controller may be silent. */
  allowSilence(seconds: number): void {
    this.#timeoutSeconds = seconds;
    this.#watch.expect(
      seconds * 1000,
      () => new UnreachableError(`Lost the connection: the controlling blocksync was silent for ${seconds} s`),
    );
  }

  /** Can be met no more. */
  close(): void {
    clearInterval(this.#waiting);
    this.#watch.stop();
    this.#closeDoor();
    this.#caller?.close();
    for (const caller of this.#callers) caller.close();
  }

  /** Without one, which another login would miss, the run starts over. */
  async #openDoor(): Promise<void> {
    for (let attempt = 0; attempt < DOOR_ATTEMPTS; attempt++) {
      try {
        return await this.#listen();
      } catch {
        // Somebody else who was last in the folder removes it in just this moment, or there is no place.
        this.#closeDoor();
      }
    }
  }

  async #listen(): Promise<void> {
    const folder = await meetingFolder(this.#options.home);
    if (folder === undefined) return;
    this.#folder = folder;
    const server = loadNet().createServer(
      { allowHalfOpen: true },
      (socket) => void this.#answer(socketStreams(socket)),
    );
    this.#server = server;
    const path = `${folder.path}/${this.#options.key.number}`;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
    server.on("error", () => undefined);
    this.#socketNumber = this.#socketNow();
  }

  #closeDoor(): void {
    this.#server?.close();
    this.#folder?.removeIfEmpty();
    this.#folder?.[Symbol.dispose]();
    this.#server = undefined;
    this.#folder = undefined;
  }

  /** Its inode, so that another one of the same name is not taken for it. */
  #socketNow(): number | undefined {
    if (this.#folder === undefined) return undefined;
    try {
      return fs.lstatSync(bytesOf(`${this.#folder.path}/${this.#options.key.number}`)).ino;
    } catch {
      return undefined;
    }
  }

  #attach(source: ByteSource, sink: ByteSink, theirs: number): void {
    clearInterval(this.#waiting);
    this.#watch.stop();
    this.#watch = new Watch();
    this.allowSilence(this.#timeoutSeconds);
    const watched = this.#watch.source(source);
    this.stream.attach(watched, this.#watch.sink(sink), theirs);
  }

  #wait(cause: unknown): void {
    this.#watch.stop();
    this.#leaveConnection();
    if (cause instanceof ControllerEnded || this.#socketNow() === undefined) {
      this.stream.fail(lostConnection(cause));
      return;
    }
    let leftMs = (this.#options.seconds + this.#timeoutSeconds) * 1000;
    clearInterval(this.#waiting);
    this.#waiting = setInterval(() => {
      leftMs -= TICK_MS;
      if (leftMs > 0 && this.#socketNow() === this.#socketNumber) return;
      clearInterval(this.#waiting);
      this.stream.fail(lostConnection(cause));
    }, TICK_MS);
  }

  #leaveConnection(): void {
    if (!this.#letGo) this.#options.letGo();
    this.#letGo = true;
    this.#caller?.close();
    this.#caller = undefined;
  }

  /** Whoever says something wrong is told nothing. Never throws. */
  async #answer(caller: SocketStreams): Promise<void> {
    this.#callers.add(caller);
    const [first] = this.#callers;
    if (this.#callers.size > MAX_CALLERS) first?.close();
    const late = setTimeout(() => caller.close(), CALLER_LIMIT_MS);
    const reader = new ByteReader(caller.source);
    try {
      const line = await lineOf(reader);
      const [word, ...words] = (line ?? "").split(" ");
      const position = /^\d{1,16}$/.test(words[2] ?? "") ? Number(words[2]) : Number.NaN;
      if (word === "resume" && this.#isKnown(words) && this.stream.canGoOnFrom(position))
        this.#resume(caller, reader, position);
      else if (word === "end" && this.#isKnown(words)) this.stream.fail(lostConnection(new ControllerEnded()));
      else if (word === "yield" && this.#yields(words.join(" "))) await this.#yield(caller);
      else caller.close();
    } catch {
      caller.close();
    } finally {
      clearTimeout(late);
      this.#callers.delete(caller);
    }
  }

  /** In a time that tells nothing. */
  #isKnown([token = "", scope = ""]: readonly string[]): boolean {
    const digest = (...words: string[]) => new Bun.CryptoHasher("sha256").update(words.join(" ")).digest();
    return loadCrypto().timingSafeEqual(digest(token, scope), digest(this.#options.key.token, this.#options.scope));
  }

  /** Also while the old connection seems to be there: the controller knows better. */
  #resume(caller: SocketStreams, reader: ByteReader, theirs: number): void {
    const ours = this.stream.leaveOff();
    this.#leaveConnection();
    this.#caller = caller;
    // Both at once, so that nobody else comes between.
    sendResumed(caller.sink, ours).catch(() => undefined);
    this.#attach(reader, caller.sink, theirs);
  }

  #yields(identity: string): boolean {
    return !this.stream.isConnected && identity !== "" && this.#options.claimed() === identity;
  }

  async #yield(caller: SocketStreams): Promise<void> {
    await caller.sink.write(bytesOf("yielding\n"));
    // Its end, with this process, says that all was let go of.
    this.stream.fail(new UnreachableError("Lost the connection, and another run wants the destination"));
  }
}

class ControllerEnded extends Error {
  constructor() {
    super("the controlling blocksync has ended");
  }
}

function untilControllerEnds(source: ByteSource, isLost: () => Promise<boolean>): ByteSource {
  return {
    async read(keepsLast) {
      const bytes = await source.read(keepsLast);
      if (bytes === undefined && !(await isLost())) throw new ControllerEnded();
      return bytes;
    },
  };
}
