/**
 * Puts ssh's fastest cipher first. ssh prefers chacha20-poly1305; where both processors have AES instructions the same link carries
 * 2.3 times as much by aes128-gcm@openssh.com (2 GiB to /dev/null: 6.6 to 7.3 s, 2.7 to 3.1 s). The list is ssh's own with that one
 * moved to its front, so any sshd finds one that it knows, and it is changed only where the user has not chosen: `ssh -G` tells what
 * would be used (OpenSSH 6.8 and later), with the user's configuration and without it.
 */
import fs from "node:fs";
import { variableGiven } from "../../given.ts";
import { bytesOf, quote } from "../../name.ts";
import { join } from "../../paths.ts";
import { isPrivate } from "./ownership.ts";
import { type ChildOptions, outputOf } from "./process.ts";
import { type RemoteHost, type ShellOptions, shellQuestion } from "./ssh.ts";

const FASTEST = "aes128-gcm@openssh.com";
/** ssh may look up names for this, and runs what "Match exec" says. */
const LIMIT_MS = 2000;
/** Hosts that are remembered at most, the latest ones. */
const MOST_HOSTS = 1000;

function ciphersIn(answer: string | undefined): string | undefined {
  return /^ciphers (.*)$/m.exec(answer ?? "")?.[1];
}

export interface CipherChoice {
  /** For `-o Ciphers=`; undefined where ssh's own order stands. */
  readonly list: string | undefined;
  /** As a sentence of -v; undefined where the user's words say it, or there is no ssh. */
  readonly why: string | undefined;
}

/** What ssh is told about ciphers, by a machine whose own processor has AES instructions or not. */
export async function chooseCipher(
  remote: RemoteHost,
  shell: ShellOptions,
  { hasAes, env }: { readonly hasAes: boolean; readonly env: ChildOptions["env"] },
): Promise<CipherChoice> {
  const leave = (why: string) => ({ list: undefined, why: `The order of ciphers stays ssh's own: ${why}` });
  const question = shellQuestion(remote, shell);
  if (question === undefined) return { list: undefined, why: undefined };
  if (!hasAes) return leave("this processor has no AES instructions");
  if (isSlowThere(remote)) return leave(`the processor of ${quote(remote.host)} had no AES instructions last time`);
  const answers = await Promise.all([question.asked, question.plain].map((argv) => outputOf(argv, env, LIMIT_MS)));
  const [chosen, usual] = answers.map(ciphersIn);
  if (chosen === undefined) return leave("ssh -G does not tell it");
  if (chosen !== usual) return leave("your ssh configuration, or --extra-params, has one");
  const names = chosen.split(",");
  if (!names.includes(FASTEST)) return leave(`it does not know ${FASTEST}`);
  const list = [FASTEST, ...names.filter((name) => name !== FASTEST)].join(",");
  return { list, why: `ssh is told to prefer ${FASTEST}, the fastest with AES instructions` };
}

/** The list of hosts without AES instructions; undefined where there is no home of our own to keep it in. */
function listPath(): string | undefined {
  const home = variableGiven("HOME") ?? "";
  if (!home.startsWith("/")) return undefined;
  const stat = fs.statSync(bytesOf(home), { throwIfNoEntry: false });
  return stat !== undefined && isPrivate(stat) ? join(home, ".cache", "blocksync", "hosts-without-aes") : undefined;
}

function nameOf({ host, port }: RemoteHost): string {
  return `${host} ${port ?? ""}`.trimEnd();
}

function hostsWithoutAes(path: string): string[] {
  try {
    return fs.readFileSync(bytesOf(path), "utf8").split("\n").slice(0, -1);
  } catch {
    return [];
  }
}

function isSlowThere(remote: RemoteHost): boolean {
  const path = listPath();
  return path !== undefined && hostsWithoutAes(path).includes(nameOf(remote));
}

/** Remembers what the far side's processor turned out to be, for the next run's choice. A list that cannot be written changes nothing. */
export function rememberAes(remote: RemoteHost, hasAes: boolean): void {
  const path = listPath();
  if (path === undefined) return;
  const known = hostsWithoutAes(path);
  const name = nameOf(remote);
  if (known.includes(name) === !hasAes) return;
  const others = known.filter((one) => one !== name);
  const hosts = hasAes ? others : [...others, name].slice(-MOST_HOSTS);
  try {
    fs.mkdirSync(bytesOf(join(path, "..")), { recursive: true, mode: 0o700 });
    const part = `${path}.${process.pid}`;
    fs.writeFileSync(bytesOf(part), hosts.map((host) => `${host}\n`).join(""), { mode: 0o600 });
    fs.renameSync(bytesOf(part), bytesOf(path));
  } catch {
    // A disk that is full or read-only.
  }
}
