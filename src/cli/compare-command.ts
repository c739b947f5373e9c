/** blocksync compare */

import { UsageError } from "../errors.ts";
import { quote } from "../name.ts";
import { runCompare } from "../run/compare.ts";
import { parseLocation } from "./location.ts";
import { commonOptions, type Values } from "./options.ts";

/** Returns the exit code. @throws {UsageError} */
export async function compareCommand(values: Values, words: readonly string[], signal: AbortSignal): Promise<number> {
  const options = commonOptions(values);
  const [first, second, surplus] = words;
  if (first === undefined || second === undefined) {
    throw new UsageError("compare needs two files or devices", { hint: "blocksync compare A B" });
  }
  if (surplus !== undefined)
    throw new UsageError(`Too many arguments: ${quote(surplus)}`, {
      hint: "blocksync compare A B; a name with blanks in it needs quotes",
    });
  const a = parseLocation(first);
  const b = parseLocation(second, a.path);
  return await runCompare(a, b, options, signal);
}
