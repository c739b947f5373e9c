/** blocksync compare */

import { UsageError } from "../errors.ts";
import { quote } from "../name.ts";
import { runCompare } from "../run/compare.ts";
import type { CommonOptions } from "../run/options.ts";
import { isAddress } from "../web/address.ts";
import { exists } from "./exists.ts";
import { noticesOfPause, parseLocation } from "./location.ts";
import { commonOptions, text, type Values } from "./options.ts";
import { checkSlips } from "./slips.ts";
import { refuseWebOptions, treeLocation, webLocation } from "./tree-options.ts";

async function compareWithTree(
  tree: string,
  values: Values,
  options: CommonOptions,
  words: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  const [image, surplus] = words;
  if (image === undefined || surplus !== undefined)
    throw new UsageError("With --tree compare needs one image", { hint: "blocksync compare --tree FILE IMAGE" });
  checkSlips(image, exists);
  const a = treeLocation(tree, values, options);
  const b = parseLocation(image);
  const notices = [...options.notices, ...noticesOfPause(options.pauseMs, [b])];
  return await runCompare(a, b, { ...options, notices }, signal);
}

/** An image at a web server comes first: it is what the other side is measured by. */
async function compareWithWeb(
  address: string,
  values: Values,
  options: CommonOptions,
  words: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  const [other, ...surplus] = words.filter((word) => word !== address);
  if (other === undefined || surplus.length > 0 || isAddress(other))
    throw new UsageError("compare needs one file or device beside a URL", {
      hint: "blocksync compare https://SERVER/IMAGE FILE",
    });
  checkSlips(other, exists);
  const [a, b] = [webLocation(address, values, options), parseLocation(other)];
  const notices = [...options.notices, ...noticesOfPause(options.pauseMs, [b])];
  return await runCompare(a, b, { ...options, notices }, signal);
}

/** Returns the exit code. @throws {UsageError} */
export async function compareCommand(values: Values, words: readonly string[], signal: AbortSignal): Promise<number> {
  const options = commonOptions(values);
  const tree = text(values, "tree");
  const address = words.find(isAddress);
  if (address !== undefined) return await compareWithWeb(address, values, options, words, signal);
  if (tree !== undefined) return await compareWithTree(tree, values, options, words, signal);
  if (text(values, "root-hash") !== undefined)
    throw new UsageError("--root-hash needs a hash tree", { hint: "blocksync compare --tree FILE IMAGE" });
  refuseWebOptions(values);
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
