/** What the command line says of the hash tree of an image. */
import { UsageError } from "../errors.ts";
import { quote } from "../name.ts";
import type { CommonOptions } from "../run/options.ts";
import { DEFAULT_BLOCK_SIZE, LEAF_SIZE } from "../sync/blocks.ts";
import { TREE_HASH } from "../tree/endpoint.ts";
import { HASH_SIZE } from "../tree/layout.ts";

/** The bytes of a root hash. @throws {UsageError} */
export function parseRootHash(text: string): Uint8Array {
  if (text.length === 2 * HASH_SIZE && /^[0-9a-f]+$/i.test(text)) return Uint8Array.fromHex(text);
  throw new UsageError(`--root-hash ${quote(text)} is not ${2 * HASH_SIZE} hexadecimal digits`, {
    hint: "blocksync index prints it, and so does veritysetup format",
  });
}

/** @throws {UsageError} where a tree is compared by something else than it has. */
export function checkTreeOptions({ blockSize, hash, additionalHash }: CommonOptions): void {
  if (blockSize !== DEFAULT_BLOCK_SIZE && blockSize !== LEAF_SIZE)
    throw new UsageError("--block-size does not go with a hash tree, whose blocks have 4K", { hint: "leave it out" });
  if ((hash !== "auto" && hash !== TREE_HASH) || additionalHash !== undefined)
    throw new UsageError(`Only ${TREE_HASH} goes with a hash tree`, { hint: "leave out --hash and --additional-hash" });
}
