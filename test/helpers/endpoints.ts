/** Endpoints for tests: local ones, and the same behind channel and serve over pipes in memory. */
import { UnreachableError } from "../../src/errors.ts";
import { LocalEndpoint } from "../../src/local/endpoint.ts";
import { RemoteEndpoint } from "../../src/remote/endpoint.ts";
import { Server } from "../../src/remote/serve.ts";
import { Channel } from "../../src/remote/wire/channel.ts";
import { ByteReader } from "../../src/remote/wire/streams.ts";
import { DEFAULT_BLOCK_SIZE } from "../../src/sync/blocks.ts";
import type { Endpoint } from "../../src/sync/endpoint.ts";
import type { EndpointSpec } from "../../src/sync/spec.ts";
import { type Pipe, pipe } from "./pipe.ts";

export const SEED = Uint8Array.from({ length: 28 }, (_, i) => i * 19 + 7);

/** What a test asks of an endpoint besides its path; blocks of DEFAULT_BLOCK_SIZE and a page cache left alone unless told. */
export type OpenOptions = Pick<EndpointSpec, "access"> &
  Partial<Pick<EndpointSpec, "blockSize" | "dropCache" | "undo">>;

export type OpenEndpoint = (path: string, options: OpenOptions) => Promise<Endpoint>;

export function specOf(path: string, options: OpenOptions): EndpointSpec {
  return {
    path,
    label: path,
    blockSize: DEFAULT_BLOCK_SIZE,
    hash: { name: "xxh3-xxh64", additional: undefined, seed: SEED },
    dropCache: false,
    discard: false,
    compress: true,
    allowed: [],
    examine: "nothing",
    undo: undefined,
    ...options,
  };
}

export const openLocal: OpenEndpoint = (path, options) =>
  LocalEndpoint.open(specOf(path, options), {
    onNote: () => undefined,
    sharers: 1,
    signal: new AbortController().signal,
  });

export interface Wire {
  readonly toServer: Pipe;
  readonly toClient: Pipe;
}

/**
 * A serve over streams in memory; `pieceLength` cuts them into small reads. `served` resolves when it has ended, with its failure or
 * undefined.
 */
export function serveStreams(pieceLength?: number): { wire: Wire; served: Promise<unknown> } {
  const toServer = pipe(pieceLength);
  const toClient = pipe(pieceLength);
  const server = new Server(new Channel(new ByteReader(toServer.source), toClient.sink), undefined);
  const served: Promise<unknown> = server
    .run()
    .catch((failure: unknown) => failure)
    .finally(() => toClient.sink.end());
  return { wire: { toServer, toClient }, served };
}

/**
 * Opens an endpoint behind serve; `pieceLength` cuts the streams into small reads. `served` resolves when serve has
 * ended, with its failure or undefined.
 */
export async function openServed(
  path: string,
  options: OpenOptions,
  pieceLength?: number,
): Promise<{ endpoint: RemoteEndpoint; wire: Wire; channel: Channel; served: Promise<unknown> }> {
  const { wire, served } = serveStreams(pieceLength);
  const { toServer, toClient } = wire;
  const channel = new Channel(new ByteReader(toClient.source), toServer.sink);
  void channel.run(undefined, () => Promise.resolve(new UnreachableError("The stream ended")));
  const shutDown = async () => {
    await toServer.sink.end();
    await served;
  };
  try {
    const endpoint = await RemoteEndpoint.open(channel, specOf(path, options), shutDown);
    return { endpoint, wire, channel, served };
  } catch (error) {
    await shutDown();
    throw error;
  }
}

export const openRemote: OpenEndpoint = async (path, options) => (await openServed(path, options)).endpoint;
/** As openRemote, with every read of the streams giving at most 7 bytes. */
export const openTrickle: OpenEndpoint = async (path, options) => (await openServed(path, options, 7)).endpoint;
