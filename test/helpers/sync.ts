/** Whole syncs between two files, through any kind of endpoint, returning what was done so that tests can assert it. */
import fs from "node:fs";
import { sha256 } from "../../src/local/work/hash.ts";
import type { Endpoint } from "../../src/sync/endpoint.ts";
import { checkPair } from "../../src/sync/pair.ts";
import type { Rescue } from "../../src/sync/rescue.ts";
import { Statistics } from "../../src/sync/statistics.ts";
import { type Lane, layoutOf, type SyncOptions, synchronize } from "../../src/sync/sync.ts";
import { type OpenEndpoint, openLocal, openRemote } from "./endpoints.ts";

export interface SyncResult {
  readonly statistics: Statistics;
  readonly notices: readonly string[];
  /** pwrite-level: bytes that reached the destination file. */
  readonly bytesWritten: number;
}

export interface Road {
  readonly name: string;
  readonly source: OpenEndpoint;
  readonly destination: OpenEndpoint;
}

/** Every way bytes can take: here to here, push, pull, and remote to remote. */
export const ROADS: readonly Road[] = [
  { name: "local", source: openLocal, destination: openLocal },
  { name: "push", source: openLocal, destination: openRemote },
  { name: "pull", source: openRemote, destination: openLocal },
  { name: "remote to remote", source: openRemote, destination: openRemote },
];

export const OPTIONS: SyncOptions = {
  blockSize: 1 << 20,
  exact: false,
  dryRun: false,
  signal: new AbortController().signal,
  pauseMs: 0,
  rescue: undefined,
  verify: false,
  changes: undefined,
  listed: undefined,
  sha256,
  onPrepared: () => undefined,
  onVerify: () => undefined,
  onDisbelief: () => undefined,
};

/** For runs of one lane. */
export function noLane(number: number): Promise<Lane> {
  return Promise.reject(new RangeError(`Lane ${number} was opened`));
}

export async function syncFiles(
  road: Road,
  source: string,
  destination: string,
  options: {
    readonly blockSize: number;
    readonly exact?: boolean;
    readonly dryRun?: boolean;
    readonly lanes?: number;
    readonly verify?: boolean;
    readonly rescue?: Rescue;
  },
): Promise<SyncResult> {
  const { blockSize, exact = false, dryRun = false } = options;
  const opened: Lane[] = [];
  const openLane = async (number: number) => {
    const access = dryRun ? "rehearse" : number === 0 ? "write" : "join";
    const from = await road.source(source, { access: "read", blockSize });
    const to = await road.destination(destination, { access, blockSize });
    const lane = { source: from, destination: to };
    opened.push(lane);
    return lane;
  };
  try {
    const first = await openLane(0);
    const from = first.source.description;
    const notices = checkPair(from, first.destination.description, { exact });
    const statistics = new Statistics(layoutOf(from, blockSize), options.lanes ?? 1);
    await synchronize(
      first,
      { ...OPTIONS, blockSize, exact, dryRun, verify: options.verify ?? false, rescue: options.rescue },
      statistics,
      openLane,
    );
    const counters = await Promise.all(opened.map((lane) => lane.destination.counters()));
    return { statistics, notices, bytesWritten: counters.reduce((sum, one) => sum + one.bytesWritten, 0) };
  } finally {
    for (const { source: from, destination: to } of opened) await Promise.all([from.close(), to.close()]);
  }
}

/** The endpoint, with some calls done in another way. */
export function altered(endpoint: Endpoint, calls: Partial<Endpoint>): Endpoint {
  return {
    description: endpoint.description,
    prepare: (...args) => endpoint.prepare(...args),
    scan: (...args) => endpoint.scan(...args),
    leafHashes: (...args) => endpoint.leafHashes(...args),
    read: (...args) => endpoint.read(...args),
    write: (...args) => endpoint.write(...args),
    advance: (index) => endpoint.advance(index),
    counters: () => endpoint.counters(),
    confirmUnchanged: () => endpoint.confirmUnchanged(),
    checkpoint: () => endpoint.checkpoint(),
    flush: () => endpoint.flush(),
    salvage: (...args) => endpoint.salvage(...args),
    patch: (...args) => endpoint.patch(...args),
    bypassCache: () => endpoint.bypassCache(),
    close: () => endpoint.close(),
    ...calls,
  };
}

/** Bytes of disk that a file takes. */
export function allocated(path: string): number {
  return fs.statSync(path).blocks * 512;
}
