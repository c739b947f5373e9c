/** blocksync serve */

import { isTerminal } from "../builtin.ts";
import { UsageError } from "../errors.ts";
import type { Permission } from "../local/guard/permission.ts";
import { quote } from "../name.ts";
import { runServe } from "../run/serve.ts";
import { allowed, type Values } from "./options.ts";

/** What --only, --read-only and --allow say. @throws {UsageError} */
function permissionOf(values: Values): Permission | undefined {
  const { only, "read-only": readOnly, allow } = values;
  const names = allowed(typeof allow === "string" ? allow : undefined);
  if (typeof only === "string") return { path: only, readOnly: readOnly === true, allowed: names };
  if (readOnly === true) throw new UsageError("--read-only needs --only PATH");
  if (allow !== undefined) throw new UsageError("--allow needs --only PATH");
  return undefined;
}

/** Returns the exit code, when the input has ended. @throws {UsageError} */
export async function serveCommand(values: Values, words: readonly string[], signal: AbortSignal): Promise<number> {
  if (words[0] !== undefined) throw new UsageError(`serve takes no arguments, but was given ${quote(words[0])}`);
  if (isTerminal(0))
    throw new UsageError("serve talks to another blocksync, not to a terminal", {
      hint: "you need not start it: blocksync SOURCE HOST:PATH does that on HOST, over ssh",
    });
  return await runServe(permissionOf(values), signal);
}
