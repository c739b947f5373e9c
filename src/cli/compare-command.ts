/** blocksync compare */

import { UsageError } from "../errors.ts";
import { quote } from "../name.ts";
import { runCompare } from "../run/compare.ts";
import type { CommonOptions } from "../run/options.ts";
import { exists } from "./exists.ts";
import { noticesOfPause, parseLocation } from "./location.ts";
import { commonOptions, text, type Values } from "./options.ts";
import { checkSlips } from "./slips.ts";
import { checkTreeOptions, parseRootHash } from "./tree-options.ts";

async function compareWithTree(
  tree: string,
  rootHash: string | undefined,
  options: CommonOptions,
  words: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  checkTreeOptions(options);
  const [image, surplus] = words;
  if (image === undefined || surplus !== undefined)
    throw new UsageError("With --tree compare needs one image", { hint: "blocksync compare --tree FILE IMAGE" });
  checkSlips(image, exists);
  const root = rootHash === undefined ? undefined : parseRootHash(rootHash);
  const a = { remote: undefined, path: tree, label: tree, tree: { root } };
  const b = parseLocation(image);
  const notices = [...options.notices, ...noticesOfPause(options.pauseMs, [b])];
  return await runCompare(a, b, { ...options, notices }, signal);
}

/** Returns the exit code. @throws {UsageError} */
export async function compareCommand(values: Values, words: readonly string[], signal: AbortSignal): Promise<number> {
  const options = commonOptions(values);
  const [tree, rootHash] = [text(values, "tree"), text(values, "root-hash")];
  if (tree !== undefined) return await compareWithTree(tree, rootHash, options, words, signal);
  if (rootHash !== undefined)
    throw new UsageError("--root-hash needs a hash tree", { hint: "blocksync compare --tree FILE IMAGE" });
  const [first, second, surplus] = words;
  if (first === undefined || second === undefined) {
    throw new UsageError("compare needs two files or devices", {
      hint: "blocksync compare A B; with a hash tree blocksync compare --tree FILE IMAGE",
    });
  }
  if (surplus !== undefined)
    throw new UsageError(`Too many arguments: ${quote(surplus)}`, {
      hint: "blocksync compare A B; a file on a host is HOST:PATH; quote a name that contains spaces",
    });
  for (const word of words) checkSlips(word, exists);
  const a = parseLocation(first);
  const b = parseLocation(second, a.path);
  const notices = [...options.notices, ...noticesOfPause(options.pauseMs, [a, b])];
  return await runCompare(a, b, { ...options, notices }, signal);
}
