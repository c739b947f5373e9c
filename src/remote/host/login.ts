/** Gets to a far blocksync: starts the command, brings the program along, says what we are. */

import { UnreachableError } from "../../errors.ts";
import { bytesOf, printable, quote } from "../../name.ts";
import type { TellStage } from "../../sync/stage.ts";
import { type Build, sendPreamble, type Wish } from "../wire/handshake.ts";
import { limitSink, limitSource, type RateLimit } from "../wire/rate.ts";
import { ByteReader } from "../wire/streams.ts";
import { Watch } from "../wire/watch.ts";
import {
  awaitReady,
  type BootstrapResult,
  bootstrap,
  bootstrapCommand,
  isPasswordPrompt,
  MarkedLines,
  scriptCommand,
} from "./bootstrap.ts";
import { chooseCipher, rememberAes } from "./cipher.ts";
import { type Attempt, notStarted } from "./ending.ts";
import { type Child, type ChildOptions, startChild } from "./process.ts";
import { ownProgram } from "./program.ts";
import { programFor } from "./shelf.ts";
import { loginByHand, type RemoteHost, type ShellOptions, shellCommand, shownCommand } from "./ssh.ts";
import { platformOf, type Target } from "./target.ts";

export interface ConnectOptions {
  readonly shell: ShellOptions;
  /** Run the far side through sudo. */
  readonly sudo: boolean;
  /**
   * Asks a person for the password of sudo at `host`; `isWrong` when the last answer was. undefined where nobody can be
   * asked. Rejects when the run is interrupted.
   */
  readonly askPassword: ((host: string, isWrong: boolean) => Promise<string>) | undefined;
  /** The program already at this path there; undefined to bring a copy along. */
  readonly script: string | undefined;
  /** Where to keep the copy, before the usual places; "" for none. */
  readonly directory: string;
  readonly env: ChildOptions["env"];
  readonly own: Build;
  /** What is sent is compressed already. */
  readonly compress: boolean;
  /** The name of the target that this program is for. */
  readonly target: string;
  readonly createPipe: ChildOptions["createPipe"];
  /** What all connections of a run may carry together, each direction by itself. */
  readonly limits: { readonly sent: RateLimit; readonly received: RateLimit } | undefined;
  /** How long the far side may be silent once it has begun. */
  readonly timeoutSeconds: number;
  /** How long ssh may take to reach sshd and agree on keys with it; undefined for what it does by itself. */
  readonly connectSeconds: number | undefined;
  /** How long it may take before that, from ssh's last line on; undefined, as long as a person may be asked, for no limit. */
  readonly loginLimitMs: number | undefined;
  /** How long another connection is tried after one that was lost, and the far side waits for it; 0 for not at all. */
  readonly reconnectMs: number;
  /** Ends the connection, in whatever stage it is. */
  readonly signal: AbortSignal;
  readonly tell: TellStage;
}

/** What nobody can know beforehand, and so neither print. */
export function randomMarker(): string {
  return `blocksync-${Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("hex")}`;
}

/** A login that came to a blocksync, which has been told our preamble. */
export interface Login {
  readonly started: Started;
  readonly reader: ByteReader;
  readonly begun: BootstrapResult;
}

/** @throws {UnreachableError} {ProtocolError} */
export async function logIn(remote: RemoteHost, options: ConnectOptions, wish?: Wish): Promise<Login> {
  const { host } = remote;
  const { tell } = options;
  const marker = randomMarker();
  const sudo = !options.sudo ? "" : options.askPassword === undefined ? "sudo" : "ask";
  const program = options.script === undefined ? ownProgram(options.target) : undefined;
  const command =
    program === undefined
      ? scriptCommand(marker, options.script ?? "", sudo)
      : bootstrapCommand(marker, options.directory, sudo, program.target);
  const argv = shellCommand(remote, options.shell, command, await tuning(remote, options));
  tell({ kind: "login", host });
  tell({
    kind: "detail",
    text: `Running: ${shownCommand(argv.slice(0, -1))} ${options.script ?? "(bootstrap)"} serve`,
  });
  const started = start(argv, farOf(remote, options), options, sudo === "ask" ? marker : undefined);
  const learn = (hasAes: boolean) => {
    if (options.own.hasAes) rememberAes(remote, hasAes);
  };
  return await greet(started, wish, async (reader) => {
    const { child, patience } = started;
    const lines = new MarkedLines(reader, marker);
    if (program === undefined) {
      const ready = await awaitReady(lines);
      if (ready === undefined) return { skipped: lines.skipped };
      tell({ kind: "starting", host });
      patience.start();
      learn(ready.hasAes);
      return { bytesBootstrapped: 0, ...ready };
    }
    const other = (target: Target) => {
      tell({ kind: "detail", text: `${host} has another platform: ${platformOf(target)}` });
      return programFor(target, options.own.build, remote.host);
    };
    const begun = await bootstrap(lines, child.sink, remote.host, program, other, {
      onBegun: () => {
        tell({ kind: "starting", host });
        patience.start();
      },
      onUpload: (directory) => tell({ kind: "notice", text: `Copying blocksync to ${host}, into ${directory}` }),
      onSent: (done, total) => tell({ kind: "copying", host, done, total }),
      onUploaded: (elapsedMs) => patience.start(elapsedMs),
      onReady: () => patience.start(),
    });
    if (begun === undefined) return { skipped: lines.skipped };
    learn(begun.hasAes);
    return begun;
  });
}

/** What makes an ssh faster: its cipher, no compression of what is compressed, and no long wait for a host that is down. */
async function tuning(
  remote: RemoteHost,
  { shell, own, env, compress, connectSeconds, signal, tell }: ConnectOptions,
): Promise<string[]> {
  const { list, why } = await chooseCipher(remote, shell, { hasAes: own.hasAes, env, signal });
  if (why !== undefined) tell({ kind: "detail", text: why });
  const words = list === undefined ? [] : [`Ciphers=${list}`];
  if (compress) words.push("Compression=no");
  if (connectSeconds !== undefined) words.push(`ConnectTimeout=${connectSeconds}`);
  return words.flatMap((word) => ["-o", word]);
}

/** A far side as messages name it. */
export type Far = Pick<Attempt, "host" | "byHand">;

export function farOf(remote: RemoteHost, { shell }: ConnectOptions): Far {
  return { host: remote.host, byHand: loginByHand(remote, shell) };
}

/** What the far side may take for each stage of a connection. */
export interface Patience {
  /** It has begun to answer: no answer, and nothing that is sent, may take longer than the timeout and `extraMs`. */
  start(extraMs?: number): void;
  /** A person is asked, who may take any time. */
  person(): void;
  /** It has become blocksync, and sends signs of life. */
  run(): void;
  stop(): void;
}

export interface Started extends Attempt {
  readonly child: Child;
  readonly options: ConnectOptions;
  readonly patience: Patience;
}

/** Passwords that one login of sudo may ask for: three unless passwd_tries says otherwise (sudoers(5)). */
const MAX_ANSWERS = 10;
/** Lines of a login that count as signs of life; a banner is shorter, and who prints without end is not logging in. */
const MAX_BANNER_LINES = 1000;

/** Starts the command, with watch and the run's limits on its pipes; `marker` where sudo may ask for a password. */
export function start(argv: readonly string[], far: Far, options: ConnectOptions, marker?: string): Started {
  const { host, byHand } = far;
  const { env, createPipe, signal, limits, timeoutSeconds, loginLimitMs } = options;
  const command = argv[0] ?? "ssh";
  const name = quote(host);
  const watch = new Watch();
  let loggingIn = true;
  let linesHeard = 0;
  let answers = 0;
  let answering = false;
  let running = false;
  const child = startChild(argv, {
    env,
    createPipe,
    signal,
    // So that a goodbye can be said.
    outlastsTerminal: options.reconnectMs > 0,
    onLine: (line) => {
      // What asks again and again, or when the program runs already, is no sudo.
      const mayAsk = !running && !answering && answers < MAX_ANSWERS;
      if (marker !== undefined && mayAsk && isPasswordPrompt(line, marker)) {
        void answerSudo();
        return false;
      }
      // A banner, or the question of a key; later ssh may have things to say of a line that is dead.
      if (loggingIn && ++linesHeard <= MAX_BANNER_LINES) watch.heard();
      options.tell({ kind: "detail", text: printable(line) });
      return true;
    },
  });
  // The password goes to sudo's input and nowhere else; no frame exists yet.
  const answerSudo = async () => {
    answering = true;
    patience.person();
    try {
      const password = await options.askPassword?.(host, answers++ > 0);
      answering = false;
      patience.start();
      await child.sink.write(bytesOf(`${password ?? ""}\n`));
    } catch {
      // Interrupted, or sudo is gone; whoever reads from the connection learns it.
      await child.sink.end();
    }
  };
  const startWithin = (limitMs: number | undefined) => {
    const seconds = Math.round((limitMs ?? 0) / 1000);
    const explain = (printed: boolean) => {
      const why = printed ? `did not finish its answer within ${seconds} s` : `was silent for ${seconds} s`;
      return new UnreachableError(`Cannot start blocksync on ${name}: ${command} ${why}`, {
        hint: `try it by hand: ${byHand}; on a slow line allow more time with --timeout`,
      });
    };
    watch.expect(limitMs, explain, false);
  };
  startWithin(loginLimitMs);
  const patience = {
    start: (extraMs = 0) => {
      loggingIn = false;
      startWithin(timeoutSeconds * 1000 + extraMs);
    },
    run: () => {
      loggingIn = false;
      running = true;
      watch.expect(
        timeoutSeconds * 1000,
        () =>
          new UnreachableError(`Lost the connection to ${name}: the far side was silent for ${timeoutSeconds} s`, {
            hint: "what was written stays written: run the same command again to continue, with a longer --timeout if need be",
          }),
      );
    },
    person: () => startWithin(undefined),
    stop: () => watch.stop(),
  };
  const watched = { ...child, sink: watch.sink(child.sink), source: watch.source(child.source) };
  if (limits === undefined) return { child: watched, ...far, command, options, patience };
  const sink = limitSink(watched.sink, limits.sent);
  const source = limitSource(watched.source, limits.received);
  return { child: { ...watched, sink, source }, ...far, command, options, patience };
}

/** How a beginning came out: with the program running, or with the end and what was printed before it. */
type Begun = BootstrapResult | { readonly skipped: readonly string[] };

/** Comes to a blocksync by way of `begin`, and tells it what we are and wish. */
export async function greet(
  started: Started,
  wish: Wish | undefined,
  begin: (reader: ByteReader) => Promise<Begun>,
): Promise<Login> {
  const { child, options, patience } = started;
  const reader = new ByteReader(child.source);
  try {
    const begun = await begin(reader);
    if ("skipped" in begun) throw await notStarted(started, begun.skipped);
    await sendPreamble(child.sink, options.own, wish);
    return { started, reader, begun };
  } catch (error) {
    // A broken pipe says less than the command that broke it.
    const failure = isBrokenPipe(error) ? await notStarted(started) : error;
    await child.stop();
    patience.stop();
    throw failure;
  }
}

function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EPIPE";
}
