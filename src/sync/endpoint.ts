/**
 * The one interface of the tool: something with bytes in it, on this machine or elsewhere. The algorithm (sync.ts,
 * compare.ts, copy.ts) is written against it and never learns which. An endpoint is opened, as an EndpointSpec says
 * (spec.ts), before it becomes an Endpoint; opening writes nothing.
 *
 * Memory: each endpoint bounds what it holds by itself (a pool here, a byte budget on a channel there), so callers may
 * have any number of calls pending; calls that need memory wait for it in the order they were made.
 */
import type { BlockRange, LeafSet, SectorSet } from "./blocks.ts";
import type { Extent } from "./extents.ts";
import type { Facts } from "./facts.ts";
import type { Compare } from "./verdicts.ts";

/** What an endpoint is, as found when it was opened. */
export interface Description {
  /** As the user would write it: "/dev/sdb", "root@host:/srv/disk.img". */
  readonly label: string;
  /**
   * "missing": a destination that does not exist yet; prepare() creates it. "stream": a source that is read once from its beginning
   * to its end, which readOn() finds.
   */
  readonly kind: "file" | "device" | "missing" | "stream";
  /** Of a stream what it is said to have, 0 where nothing is said. */
  readonly sizeBytes: number;
  /**
   * Equal for two endpoints exactly when they are the same file or device on the same running system, by whose boot and a space it
   * begins; "" if missing.
   */
  readonly identity: string;
  /** What this lies within: a partition's disk, a loop device's file, a file's disk, the members of a mapped device. */
  readonly within: readonly Extent[];
  /** No data at all: missing, empty, or one hole. */
  readonly blank: boolean;
  /** Digest of a zero block of full length under this run's hash; differs where two ends do not hash alike. */
  readonly zeroHash: Uint8Array;
  /** As far as EndpointSpec.examine asks; undefined for what does not exist. */
  readonly facts?: Facts | undefined;
}

/**
 * Bytes of a block's print, which every digest of the block begins with: XXH3-64 without a seed, little-endian, so the same
 * in every run and under every --hash.
 */
export const PRINT_SIZE = 8;
/** Bytes that a block's digest has at least, its print among them. */
export const MIN_HASH_SIZE = 16;

/** Neighbouring blocks that a scan found; in each of its ranges a scan's runs follow each other without gap or overlap. */
export type Run =
  /** Read and hashed; `hashes` has `count` digests one after the other. */
  | { readonly kind: "hashed"; readonly first: number; readonly count: number; readonly hashes: Uint8Array }
  /** All zero and not read, because it is a hole. Never a short last block. */
  | { readonly kind: "hole"; readonly first: number; readonly count: number }
  /** Data, not read because the scan was told not to. */
  | { readonly kind: "data"; readonly first: number; readonly count: number }
  /** Could not be read, wholly or in part. */
  | { readonly kind: "unreadable"; readonly first: number; readonly count: number };

export interface ScanOptions {
  /** false: only tell holes from data ("data" runs), read nothing. */
  readonly hashed: boolean;
  /** Tell of blocks that cannot be read, instead of failing; a scan that reads nothing announces that their places do not matter. */
  readonly tolerant: boolean;
  /** Read what the file system calls a hole too, instead of believing it: no run is a "hole" then; hashed scans only. */
  readonly readHoles: boolean;
  /** Blocks that the scan may be ahead of its consumer, besides the reads in flight; at least 1. */
  readonly ahead: number;
}

/** Which leaves read() returns. */
export type LeafFilter =
  | { readonly kind: "all" }
  /** Those that are not zero: for a destination that is known to be zero there. */
  | { readonly kind: "nonzero" }
  /** Those whose hash is not the one given; LEAF_HASH_SIZE bytes a leaf, from the other side's leafHashes(). */
  | { readonly kind: "differing"; readonly hashes: Uint8Array };

/** Bytes of a leaf's hash in an exchange that is proved by the block's hash afterwards: a wrong match costs a resend. */
export const LEAF_HASH_SIZE = 4;
/** Bytes of a leaf's hash where nothing proves it afterwards (the compare command). */
export const WIDE_LEAF_HASH_SIZE = 8;
export type LeafHashSize = typeof LEAF_HASH_SIZE | typeof WIDE_LEAF_HASH_SIZE;

/** Leaves of neighbouring blocks, read at one moment together with the hashes that the whole blocks had at that moment. */
export interface BlockData {
  /** Digests of the whole blocks, of which the leaves are a part, one after the other. */
  readonly hashes: Uint8Array;
  /** Leaves whose bytes follow in `bytes`. */
  readonly leaves: LeafSet;
  /** Leaves that are all zero; disjoint from `leaves`, no bytes follow. */
  readonly zeros: LeafSet;
  /** The bytes of `leaves`, one after the other. Lent: valid until release(). */
  readonly bytes: Uint8Array;
  /** Gives the memory back. Whoever holds the data last calls it, once: write() does for what it is given. */
  release(): void;
}

/** Times that a sector that cannot be read is tried again at most. */
export const MAX_RETRIES = 1000;

/** What could be read of a block that cannot be read as a whole. */
export interface Salvage {
  /** Sectors whose bytes follow in `bytes`. */
  readonly sectors: SectorSet;
  /** The bytes of `sectors`, one after the other. */
  readonly bytes: Uint8Array;
}

/**
 * How later reads get to the medium: around the page cache, or through it after it was emptied; "partly" when a cache below, of
 * the file under a loop device, was out of reach and may answer for the medium.
 */
export const CACHE_BYPASSES = ["direct", "dropped", "partly"] as const;
export type CacheBypass = (typeof CACHE_BYPASSES)[number];

export interface WriteOutcome {
  /** The blocks, read back after the write, have the hashes they should have. */
  readonly proved: boolean;
  /** Bytes written as data; zeros made without writing any are not among them. */
  readonly bytesWritten: number;
}

export interface Counters {
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

/** How far a stream has been read. */
export interface StreamPart {
  /** Where the part at hand ends; it begins where the one before ended. In whole blocks, unless it is the last. */
  readonly endBytes: number;
  readonly isLast: boolean;
  /** What the stream will have as a whole, by what has come of it; undefined where nothing is known. */
  readonly expectedBytes: number | undefined;
}

export interface Endpoint {
  readonly description: Description;

  /**
   * Of a source that knows no more of its blocks, which are leaves then, than the digests asked for: its scans have zeros where the
   * print is, and it has no leafHashes().
   */
  readonly printless?: true;

  /** Of a source whose facts cost a transfer: finds out by its first bytes what it is. @throws {Failure} of reading. */
  examine?(): Promise<void>;

  /**
   * Only of a stream: waits for its next part, the blocks of which can be scanned and read until the next call; nothing may be
   * under way then.
   * @throws {IoError} when the stream cannot be read on, or is damaged.
   */
  readOn?(): Promise<StreamPart>;

  /**
   * Fixes the size the run is about. A source of another size than described has changed. What was opened to `write` is
   * created, grown, or with `exact` cut; a device must be large enough.
   * Resolves to the identity of what is open then, "" while it does not exist. Other requests need not wait for that: they
   * are done after it, and fail where it fails.
   */
  prepare(sizeBytes: number, options: { readonly exact: boolean }): Promise<string>;

  /** How to tell the blocks of this source from those of a destination better than by hashes; undefined where that is best. */
  compareWith?(destination: Endpoint): Compare | undefined;

  /**
   * Tells what is in ranges of blocks, in ascending order, with many reads in flight. One scan at a time. It may wait until
   * advance() says that the consumer has come near.
   */
  scan(ranges: readonly BlockRange[], options: ScanOptions): AsyncIterable<Run>;

  /** `size` bytes for each leaf of the blocks, in order; of as many as BlockLayout.together, as read() and write(). */
  leafHashes(blocks: BlockRange, size: LeafHashSize): Promise<Uint8Array>;

  read(blocks: BlockRange, filter: LeafFilter): Promise<BlockData>;

  /** Writes the leaves, then reads the blocks back and compares their hashes. Takes over `data` and releases it. */
  write(blocks: BlockRange, data: BlockData): Promise<WriteOutcome>;

  /**
   * Reads a block sector by sector, each `retries` times more when it fails, those of `known` not at all. Never fails
   * because of a bad sector.
   */
  salvage(index: number, known: SectorSet, retries: number): Promise<Salvage>;

  /**
   * Makes the sectors of a block equal to the salvaged ones and leaves the others alone. Returns the bytes that had to be
   * written. @throws {VerificationError} when they do not read back as they were written.
   */
  patch(index: number, salvage: Salvage): Promise<number>;

  /** From now on reads come from the medium; for what was written and flushed before. */
  bypassCache(): Promise<CacheBypass>;

  /** Says that no block before `index` will be scanned or copied any more, so that caches and windows can move on. */
  advance(index: number): void;

  counters(): Promise<Counters>;

  /**
   * @throws {VerificationError} when a source is seen to have changed since it was opened; when a destination's name leads to
   * something else than what was written, or somebody else has changed its size.
   */
  confirmUnchanged(): Promise<void>;

  /** Makes durable what was written so far; the run goes on. @throws {IoError} finally, as flush(). */
  checkpoint(): Promise<void>;

  /**
   * Makes everything written durable, then does what confirmUnchanged() does.
   * @throws {IoError} finally: a failed flush is never tried again. {VerificationError}
   */
  flush(): Promise<void>;

  /** Lets go of everything; pending calls fail. Never throws; safe to call twice. */
  close(): Promise<void>;
}
