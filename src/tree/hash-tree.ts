/**
 * Reads the hashes of an image's leaves out of a tree that somebody else has made, and believes none that its root does not prove:
 * from the root down each block of hashes must have the hash that the level above says.
 */
import { UsageError, VerificationError } from "../errors.ts";
import { quote } from "../name.ts";
import { type BlockRange, equalBytes, LEAF_SIZE } from "../sync/blocks.ts";
import type { Sha256 } from "../sync/fingerprint.ts";
import type { ByteRange } from "../sync/ranges.ts";
import { HASH_SIZE, HASHES_PER_BLOCK, type Level, levelsOf, MAX_LEAVES, treeSize } from "./layout.ts";
import { hasMagic, readSuperblock, SUPERBLOCK_SIZE } from "./superblock.ts";

/** The file of a tree, wherever it is. */
export interface TreeBytes {
  /** As messages name it. */
  readonly label: string;
  readonly sizeBytes: number;
  /** All bytes of a range within it, which belong to the caller. @throws {Failure} */
  read(range: ByteRange): Promise<Uint8Array>;
}

/** Blocks of hashes that are read, proved and kept together: of the leaves, the hashes of 32 MiB of image. */
const CHUNK_BLOCKS = 64;
const CHUNK_LENGTH = CHUNK_BLOCKS * LEAF_SIZE;
/** Leaves whose hashes a chunk has. */
export const CHUNK_LEAVES = CHUNK_BLOCKS * HASHES_PER_BLOCK;
/** Chunks that are kept, 8 MiB. */
const MAX_CHUNKS = 32;
/** The hashes above an index of RAUC, which has none itself, are kept in memory: 64 MiB for 1 TiB. */
const MAX_INDEX_LEAVES = 2 ** 40 / LEAF_SIZE;

const MAKE = "make a tree with blocksync index, or with veritysetup format";

/** The tree in the file `label` is none, or not of a kind that can be used. */
export function noTree(label: string, problem: string): VerificationError {
  return new VerificationError(`Cannot use ${quote(label)} as a hash tree: it ${problem}`, { hint: MAKE });
}

function damaged(label: string, { offset, length }: ByteRange): VerificationError {
  return new VerificationError(
    `Cannot verify ${length} bytes at offset ${offset} of the hash tree ${quote(label)}: they are not what its root hash says`,
    { hint: "the tree is damaged, or was changed while it was read: fetch it or make it again" },
  );
}

function otherRoot(label: string, root: Uint8Array): VerificationError {
  return new VerificationError(
    `The hash tree ${quote(label)} does not have the root hash that was demanded: its own is ${root.toHex()}`,
    { hint: "it belongs to another image than --root-hash, or was tampered with; nothing was taken from it" },
  );
}

export class HashTree {
  readonly leaves: number;
  /** undefined: an index of RAUC that nobody demanded a root of, in which nothing proves anything. */
  readonly root: Uint8Array | undefined;
  /** What its hashes begin with; of most trees nothing. */
  readonly salt: Uint8Array;
  /** Whether it is an index of RAUC, in which nothing but its size tells that it is one. */
  readonly isIndex: boolean;
  readonly #bytes: TreeBytes;
  readonly #sha256: Sha256;
  readonly #levels: readonly Level[];
  /** Of an index: the hashes of its blocks. */
  readonly #above: Uint8Array | undefined;
  /** By level and number, the one used last at the end. */
  readonly #chunks = new Map<string, Promise<Uint8Array>>();

  private constructor(
    bytes: TreeBytes,
    sha256: Sha256,
    leaves: number,
    levels: readonly Level[],
    root: Uint8Array | undefined,
    salt: Uint8Array = new Uint8Array(),
    above?: Uint8Array,
  ) {
    this.leaves = leaves;
    this.root = root;
    this.salt = salt;
    this.#bytes = bytes;
    this.#sha256 = sha256;
    this.#levels = levels;
    this.isIndex = levels[0]?.offset === 0;
    this.#above = above;
  }

  /**
   * Opens a dm-verity file or an index of RAUC, told apart by their contents; `salted` gives the hash under a salt. With `root`, 32 bytes, it must have that root hash.
   * @throws {VerificationError} for any other file, and another root; {UsageError} where a root must be given.
   */
  static async open(
    bytes: TreeBytes,
    root: Uint8Array | undefined,
    salted: (salt: Uint8Array) => Sha256,
  ): Promise<HashTree> {
    const { label, sizeBytes } = bytes;
    const start = sizeBytes < SUPERBLOCK_SIZE ? undefined : await bytes.read({ offset: 0, length: SUPERBLOCK_SIZE });
    if (start === undefined || !hasMagic(start))
      return await HashTree.#openIndex(bytes, root, salted(new Uint8Array()));
    const shape = readSuperblock(start);
    if ("problem" in shape) throw noTree(label, shape.problem);
    const { leaves, salt } = shape;
    const sha256 = salted(salt);
    if (sizeBytes !== treeSize(leaves))
      throw noTree(label, `has ${sizeBytes} bytes, and one over ${leaves} blocks has ${treeSize(leaves)}`);
    const levels = levelsOf(leaves);
    const top = levels.at(-1);
    if (top === undefined) {
      if (root !== undefined) return new HashTree(bytes, sha256, leaves, levels, root, salt);
      throw new UsageError(`The hash tree ${quote(label)} is over one block, whose hash is its root and in no file`, {
        hint: "give it with --root-hash",
      });
    }
    const own = sha256(await bytes.read(top));
    if (root !== undefined && !equalBytes(own, root)) throw otherRoot(label, own);
    return new HashTree(bytes, sha256, leaves, levels, own, salt);
  }

  static async #openIndex(bytes: TreeBytes, root: Uint8Array | undefined, sha256: Sha256): Promise<HashTree> {
    const { label, sizeBytes } = bytes;
    if (sizeBytes === 0 || sizeBytes % HASH_SIZE !== 0)
      throw noTree(label, `is neither a dm-verity file nor an index of RAUC (${sizeBytes} bytes)`);
    const leaves = sizeBytes / HASH_SIZE;
    if (leaves > MAX_LEAVES) throw noTree(label, `has ${sizeBytes} bytes, which is too many`);
    const levels = [{ offset: 0, length: sizeBytes }];
    if (root === undefined) return new HashTree(bytes, sha256, leaves, levels, undefined);
    if (leaves > MAX_INDEX_LEAVES)
      throw noTree(label, "is an index of RAUC over more than 1 TiB, whose root takes too much memory");
    const unproved = new HashTree(bytes, sha256, leaves, levels, undefined);
    const above = await unproved.#blockHashes();
    const own = rootOver(leaves === 1 ? await unproved.hashes({ first: 0, count: 1 }) : above, sha256);
    if (!equalBytes(own, root)) throw otherRoot(label, own);
    return new HashTree(bytes, sha256, leaves, levels, own, undefined, above);
  }

  /** The hashes of all blocks of the first level. */
  async #blockHashes(): Promise<Uint8Array> {
    const blocks = Math.ceil(this.leaves / HASHES_PER_BLOCK);
    const hashes = new Uint8Array(blocks * HASH_SIZE);
    for (let first = 0; first < blocks; first += CHUNK_BLOCKS) {
      const chunk = await this.#chunk(0, first / CHUNK_BLOCKS);
      for (let at = 0; at < chunk.length; at += LEAF_SIZE)
        hashes.set(this.#sha256(chunk.subarray(at, at + LEAF_SIZE)), (first + at / LEAF_SIZE) * HASH_SIZE);
    }
    return hashes;
  }

  /** The hashes of leaves, HASH_SIZE bytes each, one after the other, proved. @throws {VerificationError} {Failure} of reading. */
  async hashes({ first, count }: BlockRange): Promise<Uint8Array> {
    if (count < 1 || first < 0 || first + count > this.leaves) throw new RangeError(`No leaves ${first}, ${count}`);
    if (this.#levels.length === 0) return Uint8Array.from(this.root ?? []);
    const hashes = new Uint8Array(count * HASH_SIZE);
    for (let leaf = first; leaf < first + count; ) {
      const number = Math.floor(leaf / CHUNK_LEAVES);
      const end = Math.min(first + count, (number + 1) * CHUNK_LEAVES);
      const chunk = await this.#chunk(0, number);
      const start = (leaf % CHUNK_LEAVES) * HASH_SIZE;
      hashes.set(chunk.subarray(start, start + (end - leaf) * HASH_SIZE), (leaf - first) * HASH_SIZE);
      leaf = end;
    }
    return hashes;
  }

  /** Begins to read what hashes() will be asked for, if it is not read already. */
  expect(leaf: number): void {
    if (this.#levels.length === 0 || leaf >= this.leaves) return;
    this.#chunk(0, Math.floor(leaf / CHUNK_LEAVES)).catch(() => undefined);
  }

  /** Whole blocks of a level, proved: CHUNK_BLOCKS of them, at its end fewer. */
  #chunk(height: number, number: number): Promise<Uint8Array> {
    const key = `${height} ${number}`;
    const chunk = this.#chunks.get(key) ?? this.#readChunk(height, number);
    this.#chunks.delete(key);
    this.#chunks.set(key, chunk);
    // A failure is everybody's, and what is read again may be whole.
    chunk.catch(() => this.#chunks.delete(key));
    const [oldest] = this.#chunks.keys();
    if (this.#chunks.size > MAX_CHUNKS && oldest !== undefined) this.#chunks.delete(oldest);
    return chunk;
  }

  async #readChunk(height: number, number: number): Promise<Uint8Array> {
    const level = this.#levels[height];
    if (level === undefined) throw new RangeError(`No level ${height}`);
    const start = number * CHUNK_LENGTH;
    const range = { offset: level.offset + start, length: Math.min(CHUNK_LENGTH, level.length - start) };
    const read = await this.#bytes.read(range);
    if (read.length !== range.length) throw new RangeError(`Read ${read.length} bytes of ${range.length}`);
    // The last block of an index is short.
    const chunk = new Uint8Array(Math.ceil(read.length / LEAF_SIZE) * LEAF_SIZE);
    chunk.set(read);
    for (let at = 0; at < chunk.length; at += LEAF_SIZE) {
      const wanted = await this.#wanted(height, number * CHUNK_BLOCKS + at / LEAF_SIZE);
      if (wanted !== undefined && !equalBytes(wanted, this.#sha256(chunk.subarray(at, at + LEAF_SIZE))))
        throw damaged(this.#bytes.label, { offset: range.offset + at, length: Math.min(LEAF_SIZE, range.length - at) });
    }
    this.#checkEnd(height, chunk, start);
    return chunk;
  }

  /**
   * Checks that a level ends where the number of leaves says: behind its last hash there are zeros, which no hash is. The root does
   * not prove that number.
   */
  #checkEnd(height: number, chunk: Uint8Array, start: number): void {
    const below = this.#levels[height - 1];
    const hashes = below === undefined ? this.leaves : below.length / LEAF_SIZE;
    const end = hashes * HASH_SIZE - start;
    if (end > chunk.length) return;
    const isZero = (byte: number) => byte === 0;
    if (!chunk.subarray(end).every(isZero) || chunk.subarray(end - HASH_SIZE, end).every(isZero))
      throw noTree(this.#bytes.label, `is not over the ${this.leaves} blocks that it claims to be over`);
  }

  /** The hash that a block of a level must have; undefined where nothing says so. */
  async #wanted(height: number, block: number): Promise<Uint8Array | undefined> {
    const start = block * HASH_SIZE;
    if (this.#above !== undefined) return this.#above.subarray(start, start + HASH_SIZE);
    if (height === this.#levels.length - 1) return this.root;
    const above = await this.#chunk(height + 1, Math.floor(start / CHUNK_LENGTH));
    return above.subarray(start % CHUNK_LENGTH, (start % CHUNK_LENGTH) + HASH_SIZE);
  }
}

/** The root over the hashes of the blocks of a level. */
function rootOver(hashes: Uint8Array, sha256: Sha256): Uint8Array {
  let level = hashes;
  while (level.length > HASH_SIZE) {
    const blocks = Math.ceil(level.length / LEAF_SIZE);
    const padded = new Uint8Array(blocks * LEAF_SIZE);
    padded.set(level);
    level = new Uint8Array(blocks * HASH_SIZE);
    for (let block = 0; block < blocks; block++)
      level.set(sha256(padded.subarray(block * LEAF_SIZE, (block + 1) * LEAF_SIZE)), block * HASH_SIZE);
  }
  return level;
}
