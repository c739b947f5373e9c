/** blocksync clean */

import { UsageError } from "../errors.ts";
import { runClean } from "../run/clean.ts";
import { parseHostWord } from "./location.ts";
import { hostOptions, type Values } from "./options.ts";

/** Returns the exit code. @throws {UsageError} */
export async function cleanCommand(values: Values, words: readonly string[], signal: AbortSignal): Promise<number> {
  const options = hostOptions(values);
  if (words.length === 0)
    throw new UsageError("clean needs at least one host", { hint: "blocksync clean [USER@]HOST" });
  return await runClean(words.map(parseHostWord), options, signal);
}
