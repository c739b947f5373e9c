/** Who does the work: blocksync by any route, and its peers. */

import { join } from "node:path";
import { quoteWord } from "../../src/remote/host/quote.ts";
import type { Sshd } from "../../test/helpers/sshd.ts";
import type { Contender } from "./case.ts";
import type { Workspace } from "./workspace.ts";

/** How blocksync reaches its destination. */
export interface Route {
  readonly words: readonly string[];
  /** Before the destination's path. */
  readonly prefix: string;
  readonly env: Readonly<Record<string, string>>;
}

export const HERE: Route = { words: [], prefix: "", env: {} };

function remoteEnv(workspace: Workspace): Readonly<Record<string, string>> {
  return { BLOCKSYNC_REMOTE_DIR: workspace.remoteDirectory };
}

/** Pipes to a far side on this machine: what is left of a connection without a network and without ssh. */
export function throughPipe(workspace: Workspace): Route {
  return { words: ["-e", `sh -c 'eval "$1"'`], prefix: "far:", env: remoteEnv(workspace) };
}

/** The same with a delay one way, and a rate each way; 0 is no limit. Each connection is a link of its own. */
export function throughLink(workspace: Workspace, delayMs: number, bytesPerSecond: number): Route {
  const link = [process.execPath, join(import.meta.dir, "slow-link.ts"), String(delayMs), String(bytesPerSecond)];
  return { words: ["-e", link.map(quoteWord).join(" ")], prefix: "far:", env: remoteEnv(workspace) };
}

export function throughSsh(workspace: Workspace, ssh: Sshd): Route {
  return { words: ["-x", `-F ${quoteWord(ssh.configFile)}`], prefix: `${ssh.host}:`, env: remoteEnv(workspace) };
}

/** blocksync; several in one case need names of their own. The page cache is kept warm (-d 0), as the peers keep it. */
export function blocksync(
  program: string,
  route: Route,
  source: string,
  destination: string,
  { name = "blocksync", words = [] }: { readonly name?: string; readonly words?: readonly string[] } = {},
): Contender {
  const argv = [program, "-q", "-f", "-d", "0", "--json", ...words, ...route.words, source, route.prefix + destination];
  return { name, argv, env: route.env, isBlocksync: true };
}

/** -I: the files' times and sizes agree, so without it rsync would not look inside. */
export const RSYNC = ["rsync", "-I", "--inplace", "--no-whole-file"] as const;

/** A command of one shell line whose $1, $2, … are `words`. */
export function shell(name: string, needs: string, script: string, ...words: string[]): Contender {
  return { name, needs, argv: ["sh", "-c", script, "sh", ...words] };
}

/** A command for "$1" and the same for "$2", at once. */
export function pair(name: string, needs: string, command: (file: string) => string, a: string, b: string): Contender {
  const script = `${command('"$1"')} & first=$!; ${command('"$2"')} && wait "$first"`;
  return shell(name, needs, script, a, b);
}

export const FURTHER_PEERS = {
  "blocksync-fast": "BLOCKSYNC_FAST",
  bdsync: "BDSYNC",
  "blocksync.py": "BLOCKSYNC_PY",
} as const;

/** A contender the user describes, since its options differ from version to version; none when that was not done. */
export function furtherPeer(name: keyof typeof FURTHER_PEERS, env: Readonly<Record<string, string>>): Contender[] {
  const script = process.env[FURTHER_PEERS[name]];
  if (script === undefined || script === "") return [];
  return [{ name, argv: ["sh", "-c", script], env }];
}
