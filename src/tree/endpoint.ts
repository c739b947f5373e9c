/** An image of which the hash tree is at hand: an endpoint that tells what its blocks, which are leaves, hash to. */
import { VerificationError } from "../errors.ts";
import { signaturesOfHead } from "../local/guard/signatures.ts";
import { Hasher, saltedSha256 } from "../local/work/hash.ts";
import { quote } from "../name.ts";
import { onAbort } from "../sync/abort.ts";
import { addLeaf, type BlockRange, emptyLeafSet, equalBytes, LEAF_SIZE } from "../sync/blocks.ts";
import {
  type BlockData,
  type CacheBypass,
  type Counters,
  type Description,
  type Endpoint,
  type LeafFilter,
  PRINT_SIZE,
  type Run,
  type Salvage,
  type ScanOptions,
  type WriteOutcome,
} from "../sync/endpoint.ts";
import { type Facts, NO_FACTS } from "../sync/facts.ts";
import type { ByteRange } from "../sync/ranges.ts";
import type { HashChoice } from "../sync/spec.ts";
import { Window } from "../sync/window.ts";
import { CHUNK_LEAVES, HashTree, noTree, type TreeBytes } from "./hash-tree.ts";
import { HASH_SIZE } from "./layout.ts";

/** Bytes of a block's digest under the hash of a tree: its print, and its SHA-256. */
const DIGEST_SIZE = PRINT_SIZE + HASH_SIZE;
/** Chunks of the tree that are read before a scan comes to them. */
const CHUNKS_AHEAD = 3;

/** What a run that has to do with a hash tree compares by. */
export const TREE_HASH = "sha256";

/** A tree, and if it can be had the image that it is of. */
export interface TreeSource {
  readonly bytes: TreeBytes;
  /** How messages call what the tree stands for. */
  readonly label: string;
  /** See Description.identity. */
  readonly identity: string;
  /** Gives a range of the image, bytes that belong to the caller; undefined where the tree is all there is. */
  readonly image?: { readonly sizeBytes: number; read(range: ByteRange): Promise<Uint8Array> } | undefined;
  /** Bytes that were read from a disk of this machine. */
  bytesRead(): number;
  /** @throws {VerificationError} when the tree was seen to have changed. */
  confirmUnchanged(): Promise<void>;
  close(): Promise<void>;
}

export interface TreeOptions {
  /** The root hash that the tree must have, HASH_SIZE bytes. */
  readonly root: Uint8Array | undefined;
  /** The seed of the run, with which a hasher is made that hashes as the other side does. */
  readonly seed: Uint8Array;
  readonly signal: AbortSignal;
}

/** Bytes of the image that are on their way to be written at once. */
const WINDOW_BYTES = 8 << 20;

export class TreeEndpoint implements Endpoint {
  description: Description;
  readonly printless = true;
  readonly #source: TreeSource;
  readonly #tree: HashTree;
  readonly #hasher: Hasher;
  readonly #signal: AbortSignal;
  readonly #window = new Window(WINDOW_BYTES);
  readonly #aborting: Disposable;

  private constructor(source: TreeSource, tree: HashTree, hasher: Hasher, signal: AbortSignal) {
    this.#source = source;
    this.#tree = tree;
    this.#hasher = hasher;
    this.#signal = signal;
    this.#aborting = onAbort(signal, () => this.#window.fail(signal.reason));
    this.description = {
      label: source.label,
      kind: "file",
      sizeBytes: tree.leaves * LEAF_SIZE,
      identity: source.identity,
      within: [],
      blank: false,
      zeroHash: hasher.zeroHash(LEAF_SIZE),
    };
  }

  /** Takes over the source. @throws {Failure} as HashTree.open(); {VerificationError} for the tree of an image of another size. */
  static async open(source: TreeSource, { root, seed, signal }: TreeOptions): Promise<TreeEndpoint> {
    try {
      const tree = await HashTree.open(source.bytes, root, saltedSha256);
      const choice: HashChoice = { name: TREE_HASH, additional: undefined, seed, ...saltOf(tree) };
      const [covered, size] = [tree.leaves * LEAF_SIZE, source.image?.sizeBytes];
      if (size !== undefined && size !== covered)
        throw noTree(source.bytes.label, `is over ${covered} bytes, and ${quote(source.label)} has ${size}`);
      return new TreeEndpoint(source, tree, await Hasher.create(choice), signal);
    } catch (error) {
      await source.close();
      throw error;
    }
  }

  /** What the other side has to hash with too. */
  get salt(): Uint8Array {
    return this.#tree.salt;
  }

  /** Fetches the first leaf, which tells of an image in another form than a disk's. */
  async examine(): Promise<void> {
    const head = await this.read({ first: 0, count: 1 }, { kind: "all" });
    const signatures = signaturesOfHead(Buffer.from(head.bytes));
    head.release();
    const { sizeBytes } = this.description;
    const facts: Facts = { ...NO_FACTS, contents: [{ name: "", sizeBytes, signatures }] };
    this.description = { ...this.description, facts };
  }

  /** @throws {VerificationError} for an index of RAUC over more than the image has, which may be any file. */
  prepare(sizeBytes: number): Promise<string> {
    const { identity, label, sizeBytes: own } = this.description;
    if (!this.#tree.isIndex || sizeBytes === own) return Promise.resolve(identity);
    return Promise.reject(noTree(label, `is an index of RAUC over ${own} bytes, and the image has ${sizeBytes}`));
  }

  /** Where a print would be the digests have zeros. */
  async *scan(ranges: readonly BlockRange[], options: ScanOptions): AsyncGenerator<Run> {
    for (const range of ranges) yield* this.#scan(range, options);
  }

  async *#scan({ first, count }: BlockRange, { hashed }: ScanOptions): AsyncGenerator<Run> {
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
    return Promise.resolve({ bytesRead: this.#source.bytesRead(), bytesWritten: 0 });
  }

  async confirmUnchanged(): Promise<void> {
    await this.#source.confirmUnchanged();
  }

  async close(): Promise<void> {
    this.#aborting[Symbol.dispose]();
    await this.#source.close();
  }

  /** All leaves, each proved; what is zero by its hash is not fetched. @throws {VerificationError} for any that is not what the tree says. */
  async read(blocks: BlockRange, filter: LeafFilter): Promise<BlockData> {
    const taken = await this.#window.take(blocks.count * LEAF_SIZE);
    try {
      return { ...(await this.#read(blocks, filter)), release: () => this.#window.give(taken) };
    } catch (error) {
      this.#window.give(taken);
      throw error;
    }
  }

  async #read(blocks: BlockRange, filter: LeafFilter): Promise<Omit<BlockData, "release">> {
    const found = await this.#tree.hashes(blocks);
    const [leaves, zeros] = [emptyLeafSet(blocks.count), emptyLeafSet(blocks.count)];
    const { zeroHash } = this.description;
    const hashes = new Uint8Array(blocks.count * DIGEST_SIZE);
    const parts: Promise<Uint8Array>[] = [];
    for (const { kind, first, count } of zerosAndData(found, 0, zeroHash.subarray(PRINT_SIZE))) {
      const isZero = kind === "hole";
      for (let leaf = first; leaf < first + count; leaf++) {
        if (isZero) hashes.set(zeroHash, leaf * DIGEST_SIZE);
        if (!isZero) addLeaf(leaves, leaf);
        else if (filter.kind !== "nonzero") addLeaf(zeros, leaf);
      }
      if (isZero) continue;
      const wanted = found.subarray(first * HASH_SIZE, (first + count) * HASH_SIZE);
      parts.push(
        this.#fetch((blocks.first + first) * LEAF_SIZE, wanted).then(({ bytes, digests }) => {
          hashes.set(digests, first * DIGEST_SIZE);
          return bytes;
        }),
      );
    }
    return { hashes, leaves, zeros, bytes: Buffer.concat(await Promise.all(parts)) };
  }

  /** Leaves from an offset on, with their digests, of which the tree says `hashes`. */
  async #fetch(offset: number, hashes: Uint8Array): Promise<{ bytes: Uint8Array; digests: Uint8Array }> {
    const { image, label } = this.#source;
    if (image === undefined) return await this.#never("bytes");
    const bytes = await image.read({ offset, length: (hashes.length / HASH_SIZE) * LEAF_SIZE });
    const digests = this.#hasher.hashEach(bytes, LEAF_SIZE);
    for (let leaf = 0; leaf * HASH_SIZE < hashes.length; leaf++) {
      const digest = digests.subarray(leaf * DIGEST_SIZE + PRINT_SIZE, (leaf + 1) * DIGEST_SIZE);
      if (!equalBytes(digest, hashes.subarray(leaf * HASH_SIZE, (leaf + 1) * HASH_SIZE)))
        throw new VerificationError(
          `Cannot verify ${LEAF_SIZE} bytes at offset ${offset + leaf * LEAF_SIZE} of ${quote(label)}: they are not what its hash tree says`,
          {
            hint: "they were not written; the image and its tree are of different days, or one of them was tampered with",
          },
        );
    }
    return { bytes, digests };
  }

  leafHashes(): Promise<Uint8Array> {
    return this.#never("hashes of leaves");
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

function saltOf({ salt }: { readonly salt: Uint8Array }): Pick<HashChoice, "salt"> {
  return salt.length === 0 ? {} : { salt };
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
