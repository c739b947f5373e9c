/** Makes the tree over leaves whose hashes come in order, level by level at once, so that no level is held in memory. */
import { LEAF_SIZE } from "../sync/blocks.ts";
import type { Sha256 } from "../sync/fingerprint.ts";
import { HASH_SIZE, type Level, levelsOf } from "./layout.ts";

/** Writes bytes, which are its own then, to a place of the file. */
export type WriteAt = (bytes: Uint8Array, offset: number) => Promise<void>;

/** Blocks of a level that are written together. */
const WRITE_LENGTH = 16 * LEAF_SIZE;

/** What is not written yet of a level, from `offset` in the file on. */
interface Row {
  readonly level: Level;
  offset: number;
  bytes: Uint8Array;
  used: number;
}

export class TreeBuilder {
  readonly #rows: readonly Row[];
  readonly #sha256: Sha256;
  readonly #write: WriteAt;
  readonly #leaves: number;
  readonly #writes: Promise<void>[] = [];
  #added = 0;
  #root: Uint8Array | undefined;

  constructor(leaves: number, sha256: Sha256, write: WriteAt) {
    this.#leaves = leaves;
    this.#sha256 = sha256;
    this.#write = write;
    const emptyRow = (level: Level) => ({ level, offset: level.offset, bytes: new Uint8Array(WRITE_LENGTH), used: 0 });
    this.#rows = levelsOf(leaves).map(emptyRow);
  }

  /** Adds the hash of the next leaf, HASH_SIZE bytes. @throws {RangeError} for more than there are leaves. */
  add(hash: Uint8Array): void {
    if (this.#added === this.#leaves) throw new RangeError("The tree has all its leaves");
    this.#added++;
    this.#addTo(0, hash);
  }

  /** Waits until what was added is written as far as it makes whole pieces. @throws what writing it fails with. */
  async written(): Promise<void> {
    await Promise.all(this.#writes.splice(0));
  }

  #addTo(height: number, hash: Uint8Array): void {
    const row = this.#rows[height];
    if (row === undefined) {
      this.#root = Uint8Array.from(hash);
      return;
    }
    row.bytes.set(hash, row.used);
    row.used += HASH_SIZE;
    if (row.used % LEAF_SIZE === 0) this.#finishBlock(height, row);
  }

  /** Its last block is whole, with zeros behind its hashes where it is the last of the level. */
  #finishBlock(height: number, row: Row): void {
    row.used = Math.ceil(row.used / LEAF_SIZE) * LEAF_SIZE;
    this.#addTo(height + 1, this.#sha256(row.bytes.subarray(row.used - LEAF_SIZE, row.used)));
    if (row.used < row.bytes.length && row.offset + row.used < row.level.offset + row.level.length) return;
    this.#writes.push(this.#write(row.bytes.subarray(0, row.used), row.offset));
    row.offset += row.used;
    row.bytes = new Uint8Array(WRITE_LENGTH);
    row.used = 0;
  }

  /** Writes what is left, and returns the root hash. @throws {RangeError} unless all leaves were added. */
  async end(): Promise<Uint8Array> {
    for (const [height, row] of this.#rows.entries()) if (row.used % LEAF_SIZE !== 0) this.#finishBlock(height, row);
    await this.written();
    if (this.#root === undefined || this.#added < this.#leaves) throw new RangeError("Leaves of the tree are missing");
    return this.#root;
  }
}
