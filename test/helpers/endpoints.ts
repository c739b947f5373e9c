/** Endpoints for tests: local ones, and the same behind channel and serve over pipes in memory. */
import { UnreachableError } from "../../src/errors.ts";
import { LocalEndpoint } from "../../src/local/endpoint.ts";
import type { LocalOptions } from "../../src/local/open-options.ts";
import { RemoteEndpoint } from "../../src/remote/endpoint.ts";
import { Server } from "../../src/remote/serve.ts";
import { Channel } from "../../src/remote/wire/channel.ts";
import { zstdCompression } from "../../src/remote/wire/compression.ts";
import { ByteReader } from "../../src/remote/wire/streams.ts";
import { DEFAULT_BLOCK_SIZE } from "../../src/sync/blocks.ts";
import type { Endpoint, EndpointRole } from "../../src/sync/endpoint.ts";
import { type Pipe, pipe } from "./pipe.ts";

export const SEED = Uint8Array.from({ length: 12 }, (_, i) => i * 19 + 7);

export interface OpenOptions {
  readonly role: EndpointRole;
  readonly blockSize?: number;
  readonly readOnly?: boolean;
  readonly joins?: boolean;
  readonly dropCache?: boolean;
}

export type OpenEndpoint = (path: string, options: OpenOptions) => Promise<Endpoint>;

function localOptions(path: string, options: OpenOptions): LocalOptions {
  return {
    path,
    label: path,
    role: options.role,
    readOnly: options.readOnly ?? options.role === "source",
    blockSize: options.blockSize ?? DEFAULT_BLOCK_SIZE,
    hash: { name: "xxh3-xxh64", additional: undefined, seed: SEED },
    joins: options.joins ?? false,
    dropCache: options.dropCache ?? false,
    discard: false,
    allowed: [],
    examine: "nothing",
    onNote: () => undefined,
    sharers: 1,
  };
}

export const openLocal: OpenEndpoint = (path, options) => LocalEndpoint.open(localOptions(path, options));

export interface Wire {
  readonly toServer: Pipe;
  readonly toClient: Pipe;
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
  const toServer = pipe(pieceLength);
  const toClient = pipe(pieceLength);
  const server = new Server(new Channel(new ByteReader(toServer.source), toClient.sink), undefined);
  const served: Promise<unknown> = server
    .run()
    .catch((failure: unknown) => failure)
    .finally(() => toClient.sink.end());
  const channel = new Channel(new ByteReader(toClient.source), toServer.sink);
  void channel.run(undefined, () => Promise.resolve(new UnreachableError("The stream ended")));
  const local = localOptions(path, options);
  const request = {
    role: local.role,
    readOnly: local.readOnly,
    joins: local.joins,
    dropCache: local.dropCache,
    discard: false,
    compress: true,
    blockSize: local.blockSize,
    path,
    label: path,
    hash: local.hash.name,
    additionalHash: "",
    seed: SEED,
    allowed: local.allowed,
    examine: local.examine,
  };
  const shutDown = async () => {
    await toServer.sink.end();
    await served;
  };
  try {
    const endpoint = await RemoteEndpoint.open(channel, request, zstdCompression(), shutDown);
    return { endpoint, wire: { toServer, toClient }, channel, served };
  } catch (error) {
    await shutDown();
    throw error;
  }
}

export const openRemote: OpenEndpoint = async (path, options) => (await openServed(path, options)).endpoint;
/** As openRemote, with every read of the streams giving at most 7 bytes. */
export const openTrickle: OpenEndpoint = async (path, options) => (await openServed(path, options, 7)).endpoint;
