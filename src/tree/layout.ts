/**
 * Where the hashes of an image lie in the two files that hold them: a hash file of dm-verity, as `veritysetup format --salt=-` of
 * cryptsetup writes it (lib/verity/verity.c, verity_hash.c), and a block-hash-index of RAUC, which is its last level alone. Pure.
 *
 * A hash is the SHA-256 of 4 KiB, and 4 KiB of hashes, the last of a level filled up with zeros, have one on the level above. Above the
 * level that is one such block there is the root hash, which is in no file; of a single leaf the root is its hash, and there are no levels.
 */
import { LEAF_SIZE } from "../sync/blocks.ts";
import type { ByteRange } from "../sync/ranges.ts";

/** Bytes of a SHA-256. */
export const HASH_SIZE = 32;
/** Hashes in a block of them. */
export const HASHES_PER_BLOCK = LEAF_SIZE / HASH_SIZE;
/** Where the levels begin, behind the superblock. */
const LEVELS_OFFSET = LEAF_SIZE;
/** Of 4 PiB. */
export const MAX_LEAVES = 2 ** 40;

/** Where a level is in the file; the hashes at its start have no end of their own, behind them are zeros. */
export type Level = ByteRange;

/** The levels of a dm-verity file over `leaves` leaves: that of the leaves first, the one of a single block last. */
export function levelsOf(leaves: number): readonly Level[] {
  if (!Number.isInteger(leaves) || leaves < 1 || leaves > MAX_LEAVES)
    throw new RangeError(`Invalid tree of ${leaves} leaves`);
  const lengths: number[] = [];
  for (let count = leaves; count > 1; ) {
    count = Math.ceil(count / HASHES_PER_BLOCK);
    lengths.push(count * LEAF_SIZE);
  }
  // In the file the top comes first.
  let offset = LEVELS_OFFSET + lengths.reduce((sum, length) => sum + length, 0);
  return lengths.map((length) => {
    offset -= length;
    return { offset, length };
  });
}

/** Bytes of a dm-verity file over so many leaves. */
export function treeSize(leaves: number): number {
  return levelsOf(leaves).reduce((sum, { length }) => sum + length, LEVELS_OFFSET);
}
