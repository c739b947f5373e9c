/** blocksync [sync] */

import { runSync } from "../run/sync.ts";
import { exists } from "./exists.ts";
import { noticesOfName, noticesOfPause, parseLocations } from "./location.ts";
import { syncCommandOptions, type Values } from "./options.ts";

/** Returns the exit code. @throws {UsageError} */
export async function syncCommand(values: Values, words: readonly string[], signal: AbortSignal): Promise<number> {
  const options = syncCommandOptions(values);
  const { source, destination } = parseLocations(words, { exists, forHost: options.forHost });
  const notices = [...options.notices, ...noticesOfPause(options.pauseMs, [source, destination])];
  const noticesIfNew = words.length === 2 ? noticesOfName(destination) : [];
  return await runSync(source, destination, { ...options, notices }, noticesIfNew, signal);
}
