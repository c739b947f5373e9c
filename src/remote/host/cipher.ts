/**
 * Puts ssh's fastest cipher first. ssh prefers chacha20-poly1305; where both processors have AES instructions the same link carries
 * 2.3 times as much by aes128-gcm@openssh.com (2 GiB to /dev/null: 6.6 to 7.3 s, 2.7 to 3.1 s). The list is ssh's own with that one
 * moved to its front, so any sshd finds one that it knows, and it is changed only where the user has not chosen: `ssh -G` tells what
 * would be used (OpenSSH 6.8 and later), with the user's configuration and without it.
 */
import { variableGiven } from "../../given.ts";
import { quote } from "../../name.ts";
import { notePath, readNote, writeNote } from "./notes.ts";
import { type ChildOptions, outputOf } from "./process.ts";
import { type RemoteHost, type ShellOptions, shellQuestion } from "./ssh.ts";

const FASTEST = "aes128-gcm@openssh.com";
/** ssh may look up names for this, and runs what "Match exec" says. */
const LIMIT_MS = 2000;
/** Hosts that are remembered at most, the latest ones. */
const MOST_HOSTS = 1000;

/** What was answered in this run: of all lanes one asks. */
const answers = new Map<string, Promise<string | undefined>>();

async function ciphersOf(
  argv: readonly string[],
  env: ChildOptions["env"],
  signal: AbortSignal,
): Promise<string | undefined> {
  const key = argv.join("\0");
  const answer = answers.get(key) ?? outputOf(argv, { env, signal, limitMs: LIMIT_MS });
  answers.set(key, answer);
  return /^ciphers (.*)$/m.exec((await answer) ?? "")?.[1];
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
  { hasAes, env, signal }: { readonly hasAes: boolean } & Pick<ChildOptions, "env" | "signal">,
): Promise<CipherChoice> {
  const leave = (why: string) => ({ list: undefined, why: `The order of ciphers stays ssh's own: ${why}` });
  const question = shellQuestion(remote, shell);
  if (question === undefined) return { list: undefined, why: undefined };
  if (!hasAes) return leave("this processor has no AES instructions");
  if (isSlowThere(remote)) return leave(`the processor of ${quote(remote.host)} had no AES instructions last time`);
  const [chosen, usual] = await Promise.all(
    [question.asked, question.plain].map((argv) => ciphersOf(argv, env, signal)),
  );
  if (chosen === undefined) return leave("ssh -G does not tell it");
  if (chosen !== usual) return leave("your ssh configuration, or --extra-params, has one");
  const names = chosen.split(",");
  if (!names.includes(FASTEST)) return leave(`it does not know ${FASTEST}`);
  const list = [FASTEST, ...names.filter((name) => name !== FASTEST)].join(",");
  return { list, why: `ssh is told to prefer ${FASTEST}, the fastest with AES instructions` };
}

/** The hosts without AES instructions, one a line; undefined where there is no place for the list. */
function listPath(): string | undefined {
  return notePath(variableGiven("HOME"), "hosts-without-aes");
}

function nameOf({ host, port }: RemoteHost): string {
  return `${host} ${port ?? ""}`.trimEnd();
}

function hostsIn(path: string): string[] {
  return readNote(path)?.split("\n").slice(0, -1) ?? [];
}

function isSlowThere(remote: RemoteHost): boolean {
  const path = listPath();
  return path !== undefined && hostsIn(path).includes(nameOf(remote));
}

/** Remembers what the far side's processor turned out to be, for the next run's choice. */
export function rememberAes(remote: RemoteHost, hasAes: boolean): void {
  const path = listPath();
  if (path === undefined) return;
  const known = hostsIn(path);
  const name = nameOf(remote);
  if (known.includes(name) === !hasAes) return;
  const others = known.filter((one) => one !== name);
  const hosts = hasAes ? others : [...others, name].slice(-MOST_HOSTS);
  writeNote(path, hosts.map((host) => `${host}\n`).join(""));
}
