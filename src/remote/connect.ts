/** Opens a connection to a far blocksync: starts the command, brings the program along, shakes hands. */
import { UnreachableError } from "../errors.ts";
import { awaitReady, bootstrap, bootstrapCommand, scriptCommand } from "./bootstrap.ts";
import { Channel } from "./channel.ts";
import { type Build, receivePreamble, sendPreamble } from "./handshake.ts";
import { type Child, type ChildOptions, explainEnd, startChild } from "./process.ts";
import { ownProgram } from "./program.ts";
import { limitSink, limitSource, type RateLimit } from "./rate.ts";
import { type RemoteHost, type ShellOptions, shellCommand } from "./ssh.ts";
import { ByteReader } from "./streams.ts";

export interface ConnectOptions {
  readonly shell: ShellOptions;
  /** Run the far end through sudo. */
  readonly sudo: boolean;
  /** The program already at this path there; undefined to bring a copy along. */
  readonly script: string | undefined;
  /** Where to keep the copy, before the usual places; "" for none. */
  readonly directory: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly own: Build;
  readonly createPipe: ChildOptions["createPipe"];
  /** What all connections of a run may carry together, each direction by itself. */
  readonly limits: { readonly sent: RateLimit; readonly received: RateLimit } | undefined;
  /** Ends the connection, in whatever stage it is. */
  readonly signal: AbortSignal;
  /** Tells what is going on, for -v and for stages that take time. */
  readonly onNote: (text: string, detail: boolean) => void;
}

export interface Connection {
  readonly channel: Channel;
  readonly bytesBootstrapped: number;
  /** Ends the connection and the far end with it. Never throws. */
  close(): Promise<void>;
}

export async function connect(remote: RemoteHost, options: ConnectOptions): Promise<Connection> {
  const marker = `blocksync-${Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("hex")}`;
  const command =
    options.script === undefined
      ? bootstrapCommand(marker, options.directory, options.sudo)
      : scriptCommand(marker, options.script, options.sudo);
  const argv = shellCommand(remote, options.shell, command);
  options.onNote(`Running: ${argv.slice(0, -1).join(" ")} ${options.script ?? "(bootstrap)"} serve`, true);
  const program = options.script === undefined ? ownProgram() : undefined;
  const child = start(argv, options);
  return await startOver(child, remote.host, argv[0] ?? "ssh", options, async (reader) => {
    if (program === undefined) return (await awaitReady(reader, marker)) ? { bytesBootstrapped: 0 } : undefined;
    const onUpload = (directory: string) =>
      options.onNote(`Copying blocksync to ${remote.host}, into ${directory}`, false);
    return await bootstrap(reader, child.sink, marker, remote.host, program, onUpload);
  });
}

/** Runs blocksync on this machine through sudo, as a far end without a network. sudo asks on the terminal itself. */
export async function connectThroughSudo(options: ConnectOptions): Promise<Connection> {
  const argv = ["sudo", "--", options.script ?? process.execPath, "serve"];
  options.onNote(`Running: ${argv.join(" ")}`, true);
  const child = start(argv, options);
  return await startOver(child, "localhost", "sudo", options, () => Promise.resolve({ bytesBootstrapped: 0 }));
}

/** Starts the command with the run's limits on its pipes. */
function start(argv: readonly string[], options: ConnectOptions): Child {
  const { env, createPipe, signal, limits } = options;
  const child = startChild(argv, { env, createPipe, signal, onLine: (line) => options.onNote(line, true) });
  if (limits === undefined) return child;
  return { ...child, sink: limitSink(child.sink, limits.sent), source: limitSource(child.source, limits.received) };
}

async function startOver(
  child: Child,
  host: string,
  command: string,
  options: ConnectOptions,
  begin: (reader: ByteReader) => Promise<{ readonly bytesBootstrapped: number } | undefined>,
): Promise<Connection> {
  const reader = new ByteReader(child.source);
  try {
    const begun = await begin(reader);
    if (begun === undefined) throw await notStarted(child, host, command);
    await sendPreamble(child.sink, options.own);
    const channel = new Channel(reader, child.sink);
    // The first request goes out before the peer's line is in, which spares a round trip.
    const running = receiveAll(channel, reader, child, host, command, options.own);
    return {
      channel,
      bytesBootstrapped: begun.bytesBootstrapped,
      async close() {
        channel.fail(new UnreachableError(`The connection to ${JSON.stringify(host)} is closed`));
        await child.stop();
        await running;
      },
    };
  } catch (error) {
    // A broken pipe says less than the command that broke it.
    const failure = isBrokenPipe(error) ? await notStarted(child, host, command) : error;
    await child.stop();
    throw failure;
  }
}

/** Checks the peer's line, then receives until the end; whatever goes wrong is the channel's failure. Never throws. */
async function receiveAll(
  channel: Channel,
  reader: ByteReader,
  child: Child,
  host: string,
  command: string,
  own: Build,
): Promise<void> {
  try {
    if (!(await receivePreamble(reader, own))) throw await notStarted(child, host, command);
  } catch (error) {
    channel.fail(error);
    return;
  }
  await channel.run(undefined, () => explainEnd(child, host, command));
}

function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EPIPE";
}

async function notStarted(child: Child, host: string, command: string): Promise<UnreachableError> {
  const { status, text } = await child.ending();
  const lines = child.lastLines.slice(-3);
  const said = lines.length > 0 ? `: ${lines.join(" | ")}` : "";
  const why: Record<number, string> = {
    126: "the program cannot be executed there (another platform, or a noexec mount)",
    127: "the program or a library it needs was not found there",
    132: "the program needs a newer processor (AVX2)",
  };
  const known = status === undefined ? undefined : why[status];
  return new UnreachableError(
    `Cannot start blocksync on ${JSON.stringify(host)}: ${command} ended with ${text}${said}`,
    {
      hint: known ?? "try the same login by hand: ssh HOST true; -v shows the command and all it says",
    },
  );
}
