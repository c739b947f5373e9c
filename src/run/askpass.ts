/** ssh starts this program again to ask for the password that --pass names; see host.ts. */
import { lineage, readLine } from "../local/system/picture.ts";
import { quote } from "../name.ts";
import { ASKPASS_FOR_VARIABLE, ASKPASS_VARIABLE } from "./host.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Questions for the password of an account: OpenSSH's own (userauth_passwd() in sshconnect2.c), and those a server asks
 * (keyboard-interactive), before which OpenSSH 8.4 and newer put "(USER@HOST) ". A new password, an old one, a one-time
 * password or a code is something else, and typed into by a person.
 */
const PASSWORD =
  /^(?:\([^()]*\) )?(?:\S+'s |(?:ldap|unix|kerberos|ad|domain|login|user|system) )?password(?: for \S+)?\s*:?\s*$/i;
/** ssh opens a key itself: what is answered does not leave this machine (load_identity_file() in sshconnect2.c). */
const PASSPHRASE = /^Enter passphrase for /;
/** Whether to trust a host, or to use a key: nothing that a password answers. */
const CONFIRMATION = /\((?:yes\/no|y\/n)/i;

/** The names (proc_pid_comm(5)) of what started this process, its parent first, up to but without process `last`. */
function ancestors(last: number): string[] {
  const names: string[] = [];
  for (const pid of lineage(process.ppid)) {
    const name = pid === 1 || pid === last ? undefined : readLine(`/proc/${pid}/comm`);
    // One that has ended is none that waits for another's connection.
    if (name === undefined) break;
    names.push(name);
  }
  return names;
}

/**
 * Whether another ssh started the one that asks: it logs in to a host on the way (ProxyJump, ProxyCommand ssh -W), and that
 * one is not to be told the password of the host behind it.
 */
export function isOnTheWay(names: readonly string[]): boolean {
  return names.slice(1).includes(names[0] ?? "");
}

/** Why the question is not answered, and what to do; undefined when it is. */
export function refusalOf(
  question: string,
  onTheWay: boolean,
): { readonly why: string; readonly hint: string } | undefined {
  if (!PASSWORD.test(question) && !PASSPHRASE.test(question)) {
    return {
      why: `--pass holds a password, not an answer to ${quote(question)}`,
      hint: "use a key, or log in by hand first and share that login (ControlMaster and ControlPersist in ~/.ssh/config)",
    };
  }
  if (!onTheWay) return undefined;
  return {
    why: `--pass is for the host itself, not for ${quote(question)} of a host on the way`,
    hint: "use a key or an agent for that host (IdentityFile in ~/.ssh/config, ssh-add)",
  };
}

/**
 * Answers ssh's question and returns the exit code; undefined when this process is no askpass. A question that is not
 * about the password of the host that is meant is not answered, and that is said on standard error, which is ssh's.
 */
export function answerAskpass(env: Environment, words: readonly string[]): number | undefined {
  const variable = env[ASKPASS_VARIABLE];
  const [question = ""] = words;
  if (variable === undefined || words.length !== 1) return undefined;
  const secret = env[variable];
  // ssh only shows something (a key wants to be touched), or asks for a yes, for which it has words of its own.
  if (secret === undefined || env["SSH_ASKPASS_PROMPT"] !== undefined || CONFIRMATION.test(question)) return 1;
  const refusal = refusalOf(question, isOnTheWay(ancestors(Number(env[ASKPASS_FOR_VARIABLE]))));
  if (refusal !== undefined) {
    process.stderr.write(`blocksync: ${refusal.why}\nblocksync: hint: ${refusal.hint}\n`);
    return 1;
  }
  process.stdout.write(`${secret}\n`);
  return 0;
}
