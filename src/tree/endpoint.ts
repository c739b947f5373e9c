/** An image of which the hash tree is at hand: an endpoint that tells what its blocks, which are leaves, hash to. */
import { sourceChanged } from "../errors.ts";
import { Device } from "../local/medium/device.ts";
import { Hasher, sha256 } from "../local/work/hash.ts";
import { type BlockRange, equalBytes, LEAF_SIZE } from "../sync/blocks.ts";
import {
  type BlockData,
  type CacheBypass,
  type Counters,
  type Description,
  type Endpoint,
  PRINT_SIZE,
  type Run,
  type Salvage,
  type ScanOptions,
  type WriteOutcome,
} from "../sync/endpoint.ts";
import type { ByteRange } from "../sync/ranges.ts";
import type { HashChoice } from "../sync/spec.ts";
import { CHUNK_LEAVES, HashTree, noTree, type TreeBytes } from "./hash-tree.ts";
import { HASH_SIZE } from "./layout.ts";

/** Bytes of a block's digest under the hash of a tree: its print, and its SHA-256. */
const DIGEST_SIZE = PRINT_SIZE + HASH_SIZE;
/** Chunks of the tree that are read before a scan comes to them. */
const CHUNKS_AHEAD = 3;

/** What a run that has to do with a hash tree compares by. */
export const TREE_HASH = "sha256";

export interface TreeSpec {
  /** Of the file with the tree; its name in messages is `label`. */
  readonly path: string;
  readonly label: string;
  /** The root hash that it must have, HASH_SIZE bytes. */
  readonly root: Uint8Array | undefined;
  /** The seed of the run, with which a hasher is made that hashes as the other side does. */
  readonly seed: Uint8Array;
}

class TreeFile implements TreeBytes {
  readonly device: Device;

  constructor(device: Device) {
    this.device = device;
  }

  get label(): string {
    return this.device.label;
  }

  get sizeBytes(): number {
    return this.device.sizeBytes;
  }

  async read({ offset, length }: ByteRange): Promise<Uint8Array> {
    const bytes = Buffer.alloc(length);
    await this.device.reader.read(bytes, offset);
    return bytes;
  }
}

export class TreeEndpoint implements Endpoint {
  readonly description: Description;
  readonly printless = true;
  readonly #file: TreeFile;
  readonly #tree: HashTree;
  readonly #signal: AbortSignal;

  private constructor(file: TreeFile, tree: HashTree, hasher: Hasher, signal: AbortSignal) {
    this.#file = file;
    this.#tree = tree;
    this.#signal = signal;
    this.description = {
      label: file.label,
      kind: "file",
      sizeBytes: tree.leaves * LEAF_SIZE,
      identity: file.device.identity,
      within: [],
      blank: false,
      zeroHash: hasher.zeroHash(LEAF_SIZE),
    };
  }

  /** @throws {Failure} as HashTree.open(), and as Device.open(). */
  static async open({ path, label, root, seed }: TreeSpec, signal: AbortSignal): Promise<TreeEndpoint> {
    const device = await Device.open(path, label, "read");
    try {
      const choice: HashChoice = { name: TREE_HASH, additional: undefined, seed };
      const file = new TreeFile(device);
      return new TreeEndpoint(file, await HashTree.open(file, root, sha256), await Hasher.create(choice), signal);
    } catch (error) {
      await device.close();
      throw error;
    }
  }

  /** @throws {VerificationError} for an index of RAUC over more than the image has, which may be any file. */
  prepare(sizeBytes: number): Promise<string> {
    const { identity, label, sizeBytes: own } = this.description;
    if (!this.#tree.isIndex || sizeBytes === own) return Promise.resolve(identity);
    return Promise.reject(noTree(label, `is an index of RAUC over ${own} bytes, and the image has ${sizeBytes}`));
  }

  /** Where a print would be the digests have zeros. */
  async *scan({ first, count }: BlockRange, { hashed }: ScanOptions): AsyncGenerator<Run> {
    const zero = this.description.zeroHash.subarray(PRINT_SIZE);
    for (let at = first; at < first + count; ) {
      this.#signal.throwIfAborted();
      for (let chunk = 1; chunk <= CHUNKS_AHEAD; chunk++) this.#tree.expect(at + chunk * CHUNK_LEAVES);
      const end = Math.min(first + count, (Math.floor(at / CHUNK_LEAVES) + 1) * CHUNK_LEAVES);
      const found = await this.#tree.hashes({ first: at, count: end - at });
      if (hashed) yield { kind: "hashed", first: at, count: end - at, hashes: digestsOf(found) };
      else yield* zerosAndData(found, at, zero);
      at = end;
    }
  }

  advance(): void {
    // Nothing is held for its blocks.
  }

  counters(): Promise<Counters> {
    return Promise.resolve({ bytesRead: this.#file.device.reader.bytesRead, bytesWritten: 0 });
  }

  confirmUnchanged(): Promise<void> {
    const how = this.#file.device.changed();
    return how === undefined ? Promise.resolve() : Promise.reject(sourceChanged(this.#file.label, `: ${how}`));
  }

  async close(): Promise<void> {
    await this.#file.device.close();
  }

  leafHashes(): Promise<Uint8Array> {
    return this.#never("hashes of leaves");
  }

  read(): Promise<BlockData> {
    return this.#never("bytes");
  }

  write(): Promise<WriteOutcome> {
    return this.#never("place for bytes");
  }

  salvage(): Promise<Salvage> {
    return this.#never("sectors");
  }

  patch(): Promise<number> {
    return this.#never("place for sectors");
  }

  bypassCache(): Promise<CacheBypass> {
    return this.#never("cache");
  }

  checkpoint(): Promise<void> {
    return this.#never("place for bytes");
  }

  flush(): Promise<void> {
    return this.#never("place for bytes");
  }

  #never(what: string): Promise<never> {
    return Promise.reject(new RangeError(`A hash tree has no ${what}`));
  }
}

function digestsOf(hashes: Uint8Array): Uint8Array {
  const digests = new Uint8Array((hashes.length / HASH_SIZE) * DIGEST_SIZE);
  for (let from = 0, to = PRINT_SIZE; from < hashes.length; from += HASH_SIZE, to += DIGEST_SIZE)
    digests.set(hashes.subarray(from, from + HASH_SIZE), to);
  return digests;
}

/** Leaves that are zero, as holes, and others, neighbours alike in one run. */
function* zerosAndData(hashes: Uint8Array, first: number, zero: Uint8Array): Generator<Run> {
  const leaves = hashes.length / HASH_SIZE;
  const isZero = (leaf: number) => equalBytes(hashes.subarray(leaf * HASH_SIZE, (leaf + 1) * HASH_SIZE), zero);
  for (let leaf = 0; leaf < leaves; ) {
    const kind = isZero(leaf) ? "hole" : "data";
    let end = leaf + 1;
    while (end < leaves && (isZero(end) ? "hole" : "data") === kind) end++;
    yield { kind, first: first + leaf, count: end - leaf };
    leaf = end;
  }
}
