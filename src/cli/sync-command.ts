/** blocksync [sync] */

import { UsageError } from "../errors.ts";
import { quote } from "../name.ts";
import type { Location } from "../run/location.ts";
import type { SyncCommandOptions } from "../run/options.ts";
import { runSync } from "../run/sync.ts";
import { isAddress } from "../web/address.ts";
import { exists } from "./exists.ts";
import { noticesOfName, noticesOfPause, parseLocations } from "./location.ts";
import { syncCommandOptions, type Values } from "./options.ts";
import { refuseWebOptions, webLocation } from "./tree-options.ts";

/** @throws {UsageError} */
function locations(
  values: Values,
  words: readonly string[],
  options: SyncCommandOptions,
): { source: Location; destination: Location } {
  const [first = "", second, ...surplus] = words;
  const given = { exists, forHost: options.forHost };
  if (!isAddress(first)) {
    refuseWebOptions(values);
    return parseLocations(words, given);
  }
  if (second === undefined || surplus.length > 0)
    throw new UsageError("A URL needs one destination", { hint: "blocksync https://SERVER/IMAGE DESTINATION" });
  if (second.endsWith(":"))
    throw new UsageError(`${quote(second)} names no path`, { hint: "a URL has none for it: write HOST:PATH" });
  if (options.skip)
    throw new UsageError("--on-read-error skip does not go with a URL: what breaks off is fetched again", {
      hint: "--reconnect TIME says for how long",
    });
  const source = webLocation(first, values, options);
  return { source, destination: parseLocations(["./image", second], given).destination };
}

/** Returns the exit code. @throws {UsageError} */
export async function syncCommand(values: Values, words: readonly string[], signal: AbortSignal): Promise<number> {
  const options = syncCommandOptions(values);
  const { source, destination } = locations(values, words, options);
  const notices = [...options.notices, ...noticesOfPause(options.pauseMs, [source, destination])];
  const noticesIfNew = words.length === 2 ? noticesOfName(destination) : [];
  return await runSync(source, destination, { ...options, notices }, noticesIfNew, signal);
}
