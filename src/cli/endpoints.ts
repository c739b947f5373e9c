/** Turns two locations into two endpoints and a way to compare them: the only place that knows which is where. */
import { compareBytes } from "../local/bytes.ts";
import { LocalEndpoint } from "../local/endpoint.ts";
import { SEED_SIZE } from "../local/hash.ts";
import { createPipe } from "../local/kernel.ts";
import { noCompression, zstdCompression } from "../remote/compression.ts";
import { type Connection, connect, connectThroughSudo } from "../remote/connect.ts";
import { RemoteEndpoint } from "../remote/endpoint.ts";
import { RateLimit } from "../remote/rate.ts";
import type { Report } from "../report/report.ts";
import { compareHashes } from "../sync/compare.ts";
import type { Endpoint, EndpointRole } from "../sync/endpoint.ts";
import type { Compare } from "../sync/sync.ts";
import { BUILD, VERSION } from "../version.ts";
import type { Location } from "./location.ts";
import type { CommonOptions } from "./options.ts";

/** The variable by which this program, started by ssh to ask for a password, knows which one holds it. */
export const ASKPASS_VARIABLE = "BLOCKSYNC_ASKPASS";

export interface Pair {
  readonly source: Endpoint;
  readonly destination: Endpoint;
  readonly compare: Compare;
  /** Bytes over all connections, from this machine's view; the copies of the program apart. */
  traffic(): { readonly bytesSent: number; readonly bytesReceived: number; readonly bytesBootstrapped: number };
}

/** Keeps what was opened and closes it, last first. */
export class Scope {
  readonly #closers: (() => Promise<void>)[] = [];

  add(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close();
  }
}

export interface OpenPairOptions extends CommonOptions {
  /** What the second side is for: to be written, for a dry run, or (compare) only to be read, as the first is. */
  readonly second: "destination" | "dry run" | "source";
  readonly compress: boolean;
  readonly bytesPerSecond: number | undefined;
  /** Aborted when the run is interrupted. */
  readonly signal: AbortSignal;
}

/** Opens both ends at once; whatever was opened is in `scope`, also when the other end fails. */
export async function openPair(
  source: Location,
  destination: Location,
  options: OpenPairOptions,
  report: Report,
  scope: Scope,
): Promise<Pair> {
  const seed = crypto.getRandomValues(new Uint8Array(SEED_SIZE));
  const connections: Connection[] = [];
  const rate = options.bytesPerSecond;
  const limits = rate === undefined ? undefined : { sent: new RateLimit(rate), received: new RateLimit(rate) };
  // With two paths of this machine, --sudo is about the destination, as it was for blocksync.py's localhost.
  const sudoHere = options.sudo && source.remote === undefined && destination.remote === undefined;
  const open = async (location: Location, isSecond: boolean): Promise<Endpoint> => {
    const role: EndpointRole = isSecond && options.second !== "source" ? "destination" : "source";
    const throughSudo = sudoHere && isSecond;
    const there = location.remote !== undefined || (isSecond && source.remote === undefined);
    const dropCache = there ? options.dropCacheThere : options.dropCacheHere;
    const readOnly = role === "source" || options.second === "dry run";
    const { blockSize } = options;
    const hash = { name: options.hash, additional: options.additionalHash, seed };
    if (location.remote === undefined && !throughSudo) {
      const endpoint = await LocalEndpoint.open({
        path: location.path,
        label: location.label,
        role,
        readOnly,
        blockSize,
        hash,
        dropCache,
      });
      scope.add(() => endpoint.close());
      return endpoint;
    }
    const connectOptions = {
      shell: options.shell,
      sudo: options.sudo,
      script: options.script,
      directory: options.remoteDirectory,
      env: childEnvironment(options.passwordVariable),
      own: { version: VERSION, build: BUILD },
      createPipe,
      limits,
      signal: options.signal,
      onNote: (text: string, detail: boolean) => (detail ? report.detail(text) : report.notice(text)),
    };
    const connection =
      location.remote === undefined
        ? await connectThroughSudo(connectOptions)
        : await connect(location.remote, connectOptions);
    scope.add(() => connection.close());
    connections.push(connection);
    const request = {
      role,
      readOnly,
      dropCache,
      compress: options.compress,
      blockSize,
      path: location.path,
      label: location.label,
      hash: options.hash,
      additionalHash: options.additionalHash ?? "",
      seed,
    };
    return await RemoteEndpoint.open(
      connection.channel,
      request,
      options.compress ? zstdCompression() : noCompression(),
      () => connection.close(),
    );
  };
  const opened = await Promise.allSettled([open(source, false), open(destination, true)]);
  const [first, second] = opened;
  if (first.status === "rejected") throw first.reason;
  if (second.status === "rejected") throw second.reason;
  const sum = (count: (connection: Connection) => number) =>
    connections.reduce((total, connection) => total + count(connection), 0);
  return {
    source: first.value,
    destination: second.value,
    compare: comparison(first.value, second.value),
    traffic: () => ({
      bytesSent: sum((connection) => connection.channel.bytesSent),
      bytesReceived: sum((connection) => connection.channel.bytesReceived),
      bytesBootstrapped: sum((connection) => connection.bytesBootstrapped),
    }),
  };
}

function comparison(source: Endpoint, destination: Endpoint): Compare {
  if (source instanceof LocalEndpoint && destination instanceof LocalEndpoint) {
    return (_source, _destination, layout) => compareBytes(source, destination, layout);
  }
  return compareHashes;
}

/** The environment of ssh: ours, and with a password this very program as its askpass (ssh(1), SSH_ASKPASS_REQUIRE). */
function childEnvironment(passwordVariable: string | undefined): Record<string, string | undefined> {
  const env = { ...process.env };
  if (passwordVariable === undefined) return env;
  return {
    ...env,
    SSH_ASKPASS: process.execPath,
    SSH_ASKPASS_REQUIRE: "force",
    DISPLAY: env["DISPLAY"] ?? ":0",
    [ASKPASS_VARIABLE]: passwordVariable,
  };
}
