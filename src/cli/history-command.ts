/** blocksync history */

import { UsageError } from "../errors.ts";
import { quote } from "../name.ts";
import { runHistory } from "../run/history.ts";
import { exists } from "./exists.ts";
import { parseLocation } from "./location.ts";
import type { Values } from "./options.ts";
import { checkSlips } from "./slips.ts";

/** Returns the exit code. @throws {UsageError} */
export async function historyCommand(_values: Values, words: readonly string[]): Promise<number> {
  const [folder, surplus] = words;
  if (folder === undefined) throw new UsageError("history needs a directory", { hint: "blocksync history DIR" });
  if (surplus !== undefined)
    throw new UsageError(`Too many arguments: ${quote(surplus)}`, {
      hint: "blocksync history DIR; quote a name that contains spaces",
    });
  checkSlips(folder, exists);
  const { remote, path } = parseLocation(folder);
  if (remote !== undefined)
    throw new UsageError(`Cannot list ${quote(folder)}: it is on another host`, {
      hint: "run blocksync history there",
    });
  return await runHistory(path);
}
