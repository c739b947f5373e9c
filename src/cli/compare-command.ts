/** blocksync compare */

import { UsageError } from "../errors.ts";
import { quote } from "../name.ts";
import { runCompare } from "../run/compare.ts";
import { exists } from "./exists.ts";
import { noticesOfPause, parseLocation } from "./location.ts";
import { commonOptions, type Values } from "./options.ts";
import { checkSlips } from "./slips.ts";

/** Returns the exit code. @throws {UsageError} */
export async function compareCommand(values: Values, words: readonly string[], signal: AbortSignal): Promise<number> {
  const options = commonOptions(values);
  const [first, second, surplus] = words;
  if (first === undefined || second === undefined) {
    throw new UsageError("compare needs two files or devices", { hint: "blocksync compare A B" });
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
