/** What runs on the far side: an endpoint of this machine behind standard input and output, which are the wire. */

import {
  asFailure,
  BugError,
  ExitCode,
  InterruptedError,
  ProtocolError,
  stackOf,
  UnreachableError,
} from "../errors.ts";
import { enterFolder, variableGiven } from "../given.ts";
import type { Permission } from "../local/guard/permission.ts";
import { enlargePipe, leaveStandardStreams } from "../local/kernel/libc.ts";
import { checkOpenFiles } from "../local/kernel/limits.ts";
import { hasAes } from "../local/kernel/processor.ts";
import { lineage } from "../local/system/picture.ts";
import { relay } from "../remote/relay.ts";
import { expandHome, Server } from "../remote/serve.ts";
import { WaitingServe } from "../remote/waiting.ts";
import { Channel, lostConnection } from "../remote/wire/channel.ts";
import { descriptorSink, descriptorSource } from "../remote/wire/descriptors.ts";
import { receiveWish, sendPreamble, type Wish } from "../remote/wire/handshake.ts";
import { DEFAULT_TIMEOUT_SECONDS } from "../remote/wire/protocol.ts";
import { ByteReader, type ByteSink, type ByteSource } from "../remote/wire/streams.ts";
import { Watch } from "../remote/wire/watch.ts";
import { unlessAborted } from "../sync/abort.ts";
import { BUILD, VERSION } from "../version.ts";

/** How long a device may take to be let go of. */
const CLOSE_WAIT_MS = 5000;
/** And how long the last words, with a goodbye behind them, may take to be sent. */
const GOODBYE_WAIT_MS = 1000;

/**
 * `permission` is for a forced command; its path may begin with "~/".
 * Returns the exit code, when the input has ended.
 * @throws {ProtocolError} when the other side is no blocksync, or breaks the rules; {UnreachableError} when it is silent
 *   for the timeout it told us, so that nobody stays behind a connection that stalls without closing.
 */
export async function runServe(permission: Permission | undefined, signal: AbortSignal): Promise<number> {
  // The bootstrap script starts us from the program's own folder; relative paths begin where the login did. As a forced
  // command we are there already, and the variable could only come from a client that wants to be elsewhere.
  const directory = variableGiven("BLOCKSYNC_CWD");
  if (directory !== undefined && permission === undefined) enterFolder(directory);
  checkOpenFiles(1);
  for (const fd of [0, 1]) enlargePipe(fd);
  const watch = new Watch();
  const allowSilence = (seconds: number) =>
    watch.expect(
      seconds * 1000,
      () => new UnreachableError(`Lost the connection: the controlling blocksync was silent for ${seconds} s`),
    );
  allowSilence(DEFAULT_TIMEOUT_SECONDS);
  const reader = new ByteReader(watch.source(descriptorSource(0)));
  const sink = watch.sink(descriptorSink(1));
  const home = variableGiven("HOME");
  const only = permission && { ...permission, path: expandHome(permission.path, home) };
  const closing: Closing = [];
  let isWaiting = false;
  const serve = async () => {
    const own = { version: VERSION, build: BUILD, hasAes: hasAes() };
    await sendPreamble(sink, own).catch((cause: unknown) => {
      throw lostConnection(cause);
    });
    const greeting = await receiveWish(reader, own, permission !== undefined);
    if (greeting === undefined) return ExitCode.protocol;
    const { wish } = greeting;
    const wires = { reader, sink, allowSilence, isLost };
    if (wish === undefined) return await answer(wires, home, only, closing);
    watch.stop();
    isWaiting = wish.kind === "keep" && wish.seconds > 0;
    if (wish.kind === "keep") return await wait(wish, wires, home, only, closing);
    await relay(wish, scopeOf(only), home, reader, sink, isLost);
    return ExitCode.ok;
  };
  const isLost = loginWatch();
  const serving = serve();
  try {
    return await unlessAborted(signal, serving).catch((error: unknown) => {
      // What may be lost is the login alone.
      if (isWaiting && error instanceof InterruptedError && error.isHangUp) return serving;
      throw error;
    });
  } catch (error) {
    // Whoever ended it knows.
    if (error instanceof InterruptedError) return error.exitCode;
    // For the controller, which says it where BLOCKSYNC_DEBUG is set.
    const failure = asFailure(error);
    if (failure instanceof BugError) process.stderr.write(`${stackOf(failure.cause)}\n`);
    throw error;
  } finally {
    await Promise.race([Promise.all(closing.map((close) => close())), Bun.sleep(CLOSE_WAIT_MS)]);
    watch.stop();
  }
}

interface Wires {
  readonly reader: ByteSource;
  readonly sink: ByteSink;
  /** The controller may be silent so long from now on. */
  readonly allowSilence: (seconds: number) => void;
  /** Whether the login has ended, now that the input has. */
  readonly isLost: () => Promise<boolean>;
}

/** How long the processes that lead to us may take to end after our input, where the connection is lost. */
const LOGIN_END_MS = 1000;
const LOGIN_LOOKS = 20;

/** Looks whether the processes that lead here are still those that do now: sshd, for one, ends with its connection. */
function loginWatch(): () => Promise<boolean> {
  const ancestors = () => [...lineage(process.ppid)].join(" ");
  const first = ancestors();
  return async () => {
    for (let look = 0; look < LOGIN_LOOKS; look++) {
      if (ancestors() !== first) return true;
      await Bun.sleep(LOGIN_END_MS / LOGIN_LOOKS);
    }
    return false;
  };
}

type Closing = (() => Promise<void>)[];

/** Answers requests until the input ends; what is to be closed then, whatever happens, is added to `closing`. */
async function answer(
  { reader, sink, allowSilence }: Omit<Wires, "isLost">,
  home: string | undefined,
  only: Permission | undefined,
  closing: Closing,
  onServer: (server: Server) => void = () => undefined,
): Promise<number> {
  let timeoutSeconds = 0;
  const channel = new Channel(new ByteReader(reader), sink, (seconds) => {
    if (seconds === timeoutSeconds) return;
    timeoutSeconds = seconds;
    allowSilence(seconds);
    channel.keepAlive(seconds);
  });
  const server = new Server(channel, home, only);
  onServer(server);
  closing.push(() => server.close());
  await server.run();
  return ExitCode.ok;
}

/** The same over whatever connections the controller comes by. */
async function wait(
  wish: Extract<Wish, { kind: "keep" }>,
  wires: Wires,
  home: string | undefined,
  only: Permission | undefined,
  closing: Closing,
): Promise<number> {
  let server: Server | undefined;
  const waiting = new WaitingServe({
    key: wish,
    seconds: wish.seconds,
    scope: scopeOf(only),
    home,
    letGo: leaveStandardStreams,
    claimed: () => server?.claimed,
  });
  closing.push(async () => waiting.close());
  await waiting.begin(wires.reader, wires.sink, wires.isLost);
  const allowSilence = (seconds: number) => waiting.allowSilence(seconds);
  try {
    const { stream } = waiting;
    return await answer({ reader: stream, sink: stream, allowSilence }, home, only, closing, (one) => {
      server = one;
    });
  } catch (error) {
    // What the controller would only meet again. Of anything else it learns when it comes back.
    if (error instanceof ProtocolError || error instanceof BugError)
      await Promise.race([waiting.stream.end(), Bun.sleep(GOODBYE_WAIT_MS)]);
    throw error;
  }
}

/** A word that is the same for the same permission. */
function scopeOf(only: Permission | undefined): string {
  if (only === undefined) return "any";
  const { path, readOnly, allowed } = only;
  return new Bun.CryptoHasher("sha256").update(JSON.stringify([path, readOnly, allowed])).digest("hex");
}
