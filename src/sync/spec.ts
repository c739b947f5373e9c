/** How an endpoint is opened, on this machine and elsewhere alike; remote/wire/spec.ts brings it there. */
import type { Overridable } from "../errors.ts";
import type { Examination } from "./facts.ts";

/**
 * What an endpoint is opened for.
 * - `read`: a source, or either side of a comparison. It has to be there, and to stay as it is.
 * - `rehearse`: the destination of a dry run. Nothing is written to it; it may be missing, and beyond its end it reads as zeros.
 * - `write`: a destination. It is claimed and locked, and prepare() creates and sizes it.
 * - `join`: the destination of a further lane of a run whose first lane has opened it to `write`.
 */
export const ACCESSES = ["read", "rehearse", "write", "join"] as const;
export type Access = (typeof ACCESSES)[number];

export const HASH_NAMES = ["xxh3-xxh64", "xxh128", "sha256", "sha512", "blake2b512", "md5", "sha1", "gmac"] as const;
export type HashName = (typeof HASH_NAMES)[number];

/** Bytes of the seed of a run's hashes: of XXH3 4, of XXH64 8, the key of GMAC 16. */
export const SEED_SIZE = 28;

/** Of the salt in a superblock of dm-verity (cryptsetup's lib/verity/verity.c). */
export const MAX_SALT_SIZE = 256;

/** What blocks are hashed with: both ends of a lane are given the same. */
export interface HashChoice {
  readonly name: HashName;
  /** A second one that has to match too (--additional-hash). */
  readonly additional: HashName | undefined;
  /** SEED_SIZE bytes. */
  readonly seed: Uint8Array;
  /** What goes before the bytes in SHA-256, as in the hash tree that one side is; at most MAX_SALT_SIZE bytes, undefined for none. */
  readonly salt?: Uint8Array;
}

/** Bytes of UndoSpec.run. */
export const RUN_ID_SIZE = 16;

/** The file that what a run overwrites is saved in (--undo), on the destination's machine. */
export interface UndoSpec {
  /** Not empty, and without a NUL byte. */
  readonly path: string;
  /** The name in messages. */
  readonly label: string;
  /** RUN_ID_SIZE bytes that are the same in all passes of a run, which goes on with its own file. */
  readonly run: Uint8Array;
  /** Whether those in the same folder that show the destination too get this one as their backing file, so that they go on showing their day. */
  readonly chain: boolean;
}

/** An EndpointSpec but for the hash. */
export type Opening = Omit<EndpointSpec, "hash">;

export interface EndpointSpec {
  /** Not empty, and without a NUL byte. */
  readonly path: string;
  /** The name in messages. */
  readonly label: string;
  readonly access: Access;
  /** One that isBlockSize() takes. */
  readonly blockSize: number;
  readonly hash: HashChoice;
  /** Drop what was read from the page cache (--fadvise). */
  readonly dropCache: boolean;
  /** Let a device forget what becomes zero (--discard). */
  readonly discard: boolean;
  /** Compress what is sent to or from elsewhere, when it pays (--compress). */
  readonly compress: boolean;
  /** Refusals that the user overrides (--allow). */
  readonly allowed: readonly Overridable[];
  /** How far to look at it for Description.facts, which there are none of after "nothing". */
  readonly examine: Examination;
  /** Of the first lane's destination alone; undefined where nothing is saved. */
  readonly undo: UndoSpec | undefined;
}
