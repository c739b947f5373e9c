/** From blocks that were read to the leaves that are wanted of them. */
import { addLeaf, emptyLeafSet, LEAF_SIZE, type LeafSet, leafCount } from "../../sync/blocks.ts";
import { type BlockData, LEAF_HASH_SIZE, type LeafFilter } from "../../sync/endpoint.ts";
import type { Hasher } from "./hash.ts";
import type { Known } from "./known.ts";
import { isZero } from "./zero.ts";

function sameLeafHash(a: Uint8Array, b: Uint8Array, leaf: number): boolean {
  const start = leaf * LEAF_HASH_SIZE;
  for (let i = start; i < start + LEAF_HASH_SIZE; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** The leaves whose hash is another one in `hashes`; of as many leaves either. */
export function differingLeaves(own: Uint8Array, hashes: Uint8Array): LeafSet {
  const count = own.length / LEAF_HASH_SIZE;
  const leaves = emptyLeafSet(count);
  for (let leaf = 0; leaf < count; leaf++) if (!sameLeafHash(own, hashes, leaf)) addLeaf(leaves, leaf);
  return leaves;
}

/** The wanted leaves of blocks of zeros, which have these digests. */
export function selectZeros({ hashes, leafHashes }: Known, filter: LeafFilter): BlockData {
  const count = leafHashes.length / LEAF_HASH_SIZE;
  const none = emptyLeafSet(count);
  const zeros = filter.kind === "differing" ? differingLeaves(leafHashes, filter.hashes) : emptyLeafSet(count);
  if (filter.kind === "all") for (let leaf = 0; leaf < count; leaf++) addLeaf(zeros, leaf);
  return { hashes, leaves: none, zeros, bytes: new Uint8Array(), release: () => undefined };
}

/**
 * Moves the wanted leaves of neighbouring blocks together at their start; `hashes` are those of the whole blocks. Takes over the
 * bytes: what they hold besides is lost, and `release` gives them back.
 */
export function selectLeaves(
  blocks: Buffer,
  hashes: Uint8Array,
  filter: LeafFilter,
  hasher: Hasher,
  release: () => void,
): BlockData {
  const count = leafCount(blocks.length);
  const leaves = emptyLeafSet(count);
  const zeros = emptyLeafSet(count);
  const own = filter.kind === "differing" ? hasher.leafHashes(blocks, LEAF_HASH_SIZE) : undefined;
  let used = 0;
  for (let leaf = 0; leaf < count; leaf++) {
    if (own !== undefined && filter.kind === "differing" && sameLeafHash(own, filter.hashes, leaf)) continue;
    const start = leaf * LEAF_SIZE;
    const end = Math.min(start + LEAF_SIZE, blocks.length);
    if (isZero(blocks, start, end)) {
      if (filter.kind !== "nonzero") addLeaf(zeros, leaf);
      continue;
    }
    addLeaf(leaves, leaf);
    if (used !== start) blocks.copyWithin(used, start, end);
    used += end - start;
  }
  return { hashes, leaves, zeros, bytes: blocks.subarray(0, used), release };
}
