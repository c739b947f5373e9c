/** Whole syncs between two files, through any kind of endpoint, returning what was done so that tests can assert it. */
import fs from "node:fs";
import { compareBytes } from "../../src/local/bytes.ts";
import { LocalEndpoint } from "../../src/local/endpoint.ts";
import { compareHashes } from "../../src/sync/compare.ts";
import { Statistics } from "../../src/sync/statistics.ts";
import { checkPair, layoutOf, synchronize } from "../../src/sync/sync.ts";
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

export async function syncFiles(
  road: Road,
  source: string,
  destination: string,
  options: { readonly blockSize: number; readonly exact?: boolean; readonly dryRun?: boolean },
): Promise<SyncResult> {
  const { blockSize, exact = false, dryRun = false } = options;
  const from = await road.source(source, { role: "source", blockSize });
  const to = await road.destination(destination, { role: "destination", blockSize, readOnly: dryRun });
  try {
    const notices = checkPair(from.description, to.description, { exact });
    const statistics = new Statistics(layoutOf(from.description, blockSize));
    const bothLocal = from instanceof LocalEndpoint && to instanceof LocalEndpoint;
    await synchronize(
      from,
      to,
      { blockSize, exact, dryRun, pauseMs: 0 },
      statistics,
      bothLocal ? (_a, _b, layout) => compareBytes(from, to, layout) : compareHashes,
    );
    return { statistics, notices, bytesWritten: (await to.counters()).bytesWritten };
  } finally {
    await from.close();
    await to.close();
  }
}

/** Bytes of disk that a file takes. */
export function allocated(path: string): number {
  return fs.statSync(path).blocks * 512;
}
