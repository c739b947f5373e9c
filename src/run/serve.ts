/** What runs on the far side: an endpoint of this machine behind standard input and output, which are the wire. */

import { asFailure, BugError, ExitCode, InterruptedError, stackOf, UnreachableError } from "../errors.ts";
import { enterFolder, variableGiven } from "../given.ts";
import type { Permission } from "../local/guard/permission.ts";
import { enlargePipe } from "../local/kernel/libc.ts";
import { checkOpenFiles } from "../local/kernel/limits.ts";
import { hasAes } from "../local/kernel/processor.ts";
import { expandHome, Server } from "../remote/serve.ts";
import { Channel, lostConnection } from "../remote/wire/channel.ts";
import { descriptorSink, descriptorSource } from "../remote/wire/descriptors.ts";
import { receivePreamble, sendPreamble } from "../remote/wire/handshake.ts";
import { DEFAULT_TIMEOUT_SECONDS } from "../remote/wire/protocol.ts";
import { ByteReader } from "../remote/wire/streams.ts";
import { Watch } from "../remote/wire/watch.ts";
import { unlessAborted } from "../sync/abort.ts";
import { BUILD, VERSION } from "../version.ts";

/** How long a device may take to be let go of. */
const CLOSE_WAIT_MS = 5000;

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
  let timeoutSeconds = 0;
  const channel = new Channel(reader, sink, (seconds) => {
    if (seconds === timeoutSeconds) return;
    timeoutSeconds = seconds;
    allowSilence(seconds);
    channel.keepAlive(seconds);
  });
  const home = variableGiven("HOME");
  const only = permission && { ...permission, path: expandHome(permission.path, home) };
  const server = new Server(channel, home, only);
  const serve = async () => {
    const own = { version: VERSION, build: BUILD, hasAes: hasAes() };
    await sendPreamble(sink, own).catch((cause: unknown) => {
      throw lostConnection(cause);
    });
    if (!(await receivePreamble(reader, own, permission !== undefined))) return ExitCode.protocol;
    await server.run();
    return ExitCode.ok;
  };
  try {
    return await unlessAborted(signal, serve());
  } catch (error) {
    // Whoever ended it knows.
    if (error instanceof InterruptedError) return error.exitCode;
    // For the controller, which says it where BLOCKSYNC_DEBUG is set.
    const failure = asFailure(error);
    if (failure instanceof BugError) process.stderr.write(`${stackOf(failure.cause)}\n`);
    throw error;
  } finally {
    await Promise.race([server.close(), Bun.sleep(CLOSE_WAIT_MS)]);
    watch.stop();
  }
}
