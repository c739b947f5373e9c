/** blocksync index */

import { UsageError } from "../errors.ts";
import { quote } from "../name.ts";
import { runIndex } from "../run/index-image.ts";
import { exists } from "./exists.ts";
import { parseLocation } from "./location.ts";
import { messageOptions, text, type Values } from "./options.ts";
import { checkSlips } from "./slips.ts";

/** Returns the exit code. @throws {UsageError} */
export async function indexCommand(values: Values, words: readonly string[], signal: AbortSignal): Promise<number> {
  const [image, surplus] = words;
  if (image === undefined) throw new UsageError("index needs an image", { hint: "blocksync index IMAGE" });
  if (surplus !== undefined)
    throw new UsageError(`Too many arguments: ${quote(surplus)}`, {
      hint: "blocksync index IMAGE; quote a name that contains spaces",
    });
  checkSlips(image, exists);
  const { remote, path } = parseLocation(image);
  if (remote !== undefined)
    throw new UsageError(`Cannot index ${quote(image)}: it is on another host`, { hint: "run blocksync index there" });
  const tree = text(values, "tree") ?? `${path}.verity`;
  return await runIndex(path, tree, messageOptions(values), signal);
}
