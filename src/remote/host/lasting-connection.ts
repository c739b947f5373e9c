/**
 * A connection that is made again when it is lost: at once, then with growing pauses, by the same login, until the far side that
 * waits (waiting.ts) is met again. The channel over it learns nothing of that. What ends it is a far side that is gone, the
 * end of the time, and whatever another login would only meet again: a broken rule, a bug.
 */
import { BUG_EXIT_CODE, ConnectionLost, ExitCode, Failure, LoginRefused, UnreachableError } from "../../errors.ts";
import { quote } from "../../name.ts";
import { AwakeTime, onAbort, rest } from "../../sync/abort.ts";
import { Channel } from "../wire/channel.ts";
import { newSessionKey, receivePreamble, receiveResumed, type Wish } from "../wire/handshake.ts";
import { LastingStream } from "../wire/lasting-stream.ts";
import { ByteReader, type ByteSource } from "../wire/streams.ts";
import type { Connection } from "./connection.ts";
import { explainEnd, notStarted } from "./ending.ts";
import type { ConnectOptions, Login } from "./login.ts";

/** Between the beginnings of two attempts; so soon after a link is back is one made. */
const PAUSES_MS = [0, 1000, 2000, 4000];
/** Of an attempt: how long ssh may take to reach sshd and agree on keys with it, unless the first login took longer. */
const MIN_CONNECT_SECONDS = 4;
const MAX_CONNECT_SECONDS = 30;
const LOGINS_LONGER = 3;
/** And then until the far side answers: LoginGraceTime of sshd. */
const LOGIN_LIMIT_MS = 120_000;
/** How long a goodbye may take, and the far side to be gone after it, where the run was interrupted. */
const GOODBYE_MS = 1000;

type LogIn = (options: ConnectOptions, wish: Wish) => Promise<Login>;

/** @throws what the first login failed with. */
export async function lastingConnection(host: string, options: ConnectOptions, logIn: LogIn): Promise<Connection> {
  const session = new Session(host, options, logIn);
  return await session.begin();
}

class Session {
  readonly #host: string;
  readonly #options: ConnectOptions;
  readonly #logIn: LogIn;
  readonly #key = newSessionKey();
  readonly #stream: LastingStream;
  /** Ends what is at work for this session, and no sooner than #close() wants. */
  readonly #ending = new AbortController();
  #login: Login | undefined;
  #connectSeconds = MIN_CONNECT_SECONDS;
  /** The far side has answered: from then on a connection that is lost is made again. */
  #isMet = false;
  #closing: Promise<void> | undefined;
  readonly #stopping: Promise<void>[] = [];

  constructor(host: string, options: ConnectOptions, logIn: LogIn) {
    this.#host = host;
    this.#options = options;
    this.#logIn = logIn;
    this.#stream = new LastingStream((cause) => void this.#lost(cause), options.limits?.sent.portion);
  }

  async begin(): Promise<Connection> {
    const { signal, reconnectMs, timeoutSeconds } = this.#options;
    const interrupting = onAbort(signal, () => {
      if (this.#isMet) void this.#close(GOODBYE_MS);
      else this.#ending.abort(signal.reason);
    });
    const begunAt = performance.now();
    const seconds = Math.ceil(reconnectMs / 1000);
    const login = await this.#logIn(this.#attemptOptions(this.#ending.signal), {
      kind: "keep",
      ...this.#key,
      seconds,
    }).catch((error: unknown) => {
      interrupting[Symbol.dispose]();
      throw error;
    });
    const took = Math.ceil((LOGINS_LONGER * (performance.now() - begunAt)) / 1000);
    this.#connectSeconds = Math.min(MAX_CONNECT_SECONDS, Math.max(MIN_CONNECT_SECONDS, took));
    this.#login = login;
    const stream = this.#stream;
    // The first request goes out before the peer's line is in, which spares a round trip.
    stream.attach(this.#greeted(login), login.started.child.sink, 0);
    const channel = new Channel(new ByteReader(stream), stream);
    const running = channel.run(undefined, () => this.#explainEnd());
    channel.keepAlive(timeoutSeconds);
    return {
      channel,
      ...login.begun,
      get bytesSent() {
        return stream.bytesSent;
      },
      get bytesReceived() {
        return stream.bytesReceived;
      },
      close: async () => {
        const closed = this.#close();
        channel.fail(new UnreachableError(`The connection to ${quote(this.#host)} is closed`));
        await closed;
        await running;
        interrupting[Symbol.dispose]();
      },
    };
  }

  #greeted({ started, reader }: Login): ByteSource {
    const greet = async () => {
      if (!(await receivePreamble(reader, this.#options.own))) throw await notStarted(started);
      started.patience.run();
      this.#isMet = true;
    };
    let greeting: Promise<void> | undefined;
    return {
      async read(keepsLast) {
        greeting ??= greet();
        await greeting;
        return await reader.read(keepsLast);
      },
    };
  }

  async #explainEnd(): Promise<Failure> {
    if (this.#login === undefined) return new UnreachableError(`Lost the connection to ${quote(this.#host)}`);
    const { child, command } = this.#login.started;
    return await explainEnd(child, this.#host, command);
  }

  /** Never throws. */
  async #lost(cause: unknown): Promise<void> {
    try {
      const login = this.#login;
      if (login === undefined || this.#closing !== undefined) return;
      const { started } = login;
      if (!this.#isMet) throw cause instanceof Failure ? cause : await notStarted(started);
      const why = cause instanceof Failure ? cause : await this.#explainEnd();
      if (!(cause instanceof Failure) && isFinal((await started.child.ending()).status)) throw why;
      this.#login = undefined;
      this.#leave(login);
      await this.#tryAgain(why);
    } catch (failure) {
      this.#stream.fail(this.#options.signal.aborted ? this.#options.signal.reason : failure);
    }
  }

  #leave({ started }: Login): void {
    started.patience.stop();
    this.#stopping.push(started.child.stop(0));
  }

  /** @throws {ConnectionLost} {UnreachableError} {ProtocolError} */
  async #tryAgain(why: Failure): Promise<void> {
    const { reconnectMs, tell } = this.#options;
    const lostAt = performance.now();
    using time = new AwakeTime(reconnectMs);
    const signal = AbortSignal.any([this.#ending.signal, time.late]);
    let last: unknown;
    for (let attempt = 0; ; attempt++) {
      const begunAt = performance.now();
      tell({ kind: "lost", host: this.#host, why: why.message, sinceMs: Math.round(begunAt - lostAt) });
      try {
        if (await this.#attempt(signal)) break;
        throw new ConnectionLost(`${why.message}; the blocksync that was to wait there is gone`, time.leftMs, {
          hint: "what was written stays written: run the same command again to continue",
        });
      } catch (error) {
        if (this.#ending.signal.aborted || !mayPass(error)) throw error;
        last = error;
      }
      const pause = PAUSES_MS[Math.min(attempt + 1, PAUSES_MS.length - 1)] ?? 0;
      if (!time.late.aborted) await rest(begunAt + pause - performance.now(), signal).catch(() => undefined);
      if (!time.late.aborted) continue;
      throw new UnreachableError(
        `${why.message}; it could not be reached again for ${Math.round(reconnectMs / 1000)} s: ${last instanceof Error ? last.message : ""}`,
        { hint: "what was written stays written: run the same command again to continue" },
      );
    }
    tell({ kind: "resumed", host: this.#host });
  }

  /** Returns false when nobody waits there any more. @throws {UnreachableError} {ProtocolError} */
  async #attempt(signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    // Once it has come through it ends as the first one does.
    const ending = new AbortController();
    using _ = onAbort(signal, () => ending.abort(signal.reason));
    const position = this.#stream.leaveOff();
    const login = await this.#logIn(this.#attemptOptions(AbortSignal.any([ending.signal, this.#ending.signal]), true), {
      kind: "resume",
      ...this.#key,
      position,
    });
    const { started, reader } = login;
    try {
      if (!(await receivePreamble(reader, this.#options.own))) throw await notStarted(started);
      const theirs = await receiveResumed(reader);
      if (theirs === undefined) throw await notStarted(started);
      if (theirs === "gone") {
        this.#leave(login);
        return false;
      }
      this.#stream.attach(reader, started.child.sink, theirs);
      started.patience.run();
      this.#login = login;
      return true;
    } catch (error) {
      this.#leave(login);
      throw error;
    }
  }

  #attemptOptions(signal: AbortSignal, again = false): ConnectOptions {
    const { tell, loginLimitMs } = this.#options;
    if (!again) return { ...this.#options, signal };
    return {
      ...this.#options,
      signal,
      connectSeconds: this.#connectSeconds,
      loginLimitMs: Math.min(loginLimitMs ?? LOGIN_LIMIT_MS, LOGIN_LIMIT_MS),
      // What else there is to tell is that it is lost.
      tell: (stage) => {
        if (stage.kind === "detail") tell(stage);
      },
    };
  }

  /** Says goodbye, so that nobody waits there, and ends what reaches the far side. Never throws. */
  async #close(politeMs?: number): Promise<void> {
    this.#closing ??= this.#end(politeMs);
    await this.#closing;
  }

  async #end(politeMs?: number): Promise<void> {
    const login = this.#login;
    if (login === undefined) this.#ending.abort(this.#options.signal.reason);
    else {
      await Promise.race([this.#stream.leave(), Bun.sleep(GOODBYE_MS)]);
      await login.started.child.stop(politeMs);
      login.started.patience.stop();
    }
    await Promise.all(this.#stopping);
    this.#stream.fail(new UnreachableError(`The connection to ${quote(this.#host)} is closed`));
  }
}

/** Whether another login may come further than one that failed with `error`. */
function mayPass(error: unknown): boolean {
  return error instanceof UnreachableError && !(error instanceof ConnectionLost || error instanceof LoginRefused);
}

/** Whether ssh ended as a blocksync does that has broken or met a broken rule, or a bug. */
function isFinal(status: number | undefined): boolean {
  return status === ExitCode.protocol || status === BUG_EXIT_CODE;
}
