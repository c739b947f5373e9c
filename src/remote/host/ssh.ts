/** How the far side is reached: the command line of ssh, or of what --rsh names instead. Pure. */

import { UsageError } from "../../errors.ts";
import { isText, printable, quote } from "../../name.ts";
import { basename } from "../../paths.ts";
import { quoteWord } from "./quote.ts";

export interface RemoteHost {
  readonly user: string | undefined;
  /** A name or address; an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number | undefined;
}

export interface ShellOptions {
  /** Words of --rsh; undefined for the system's ssh. */
  readonly rsh: readonly string[] | undefined;
  readonly identityFile: string | undefined;
  readonly cipher: string | undefined;
  readonly extraParameters: readonly string[];
  /** The password comes from blocksync itself, so ssh asks once and no one else. */
  readonly password: boolean;
}

/**
 * What ssh must be told so that its streams carry bytes: no terminal, nothing else instead of our command (RemoteCommand,
 * SessionType), our input (StdinNull), in the foreground, no forwardings that could fail, and a keepalive that notices a dead
 * connection within a minute. Everything else is the user's own configuration; for ciphers see cipher.ts.
 *
 * RemoteCommand is unknown before OpenSSH 7.6, the other three before 8.7. Of several IgnoreUnknown the first one counts
 * (ssh_config(5)), so one that names them alone would undo the user's own, as in "IgnoreUnknown UseKeychain".
 */
const SSH_OPTIONS = [
  "-T",
  ...[
    "IgnoreUnknown=*",
    "RemoteCommand=none",
    "SessionType=default",
    "StdinNull=no",
    "ForkAfterAuthentication=no",
    "RequestTTY=no",
    "ClearAllForwardings=yes",
  ].flatMap((option) => ["-o", option]),
  ...["ServerAliveInterval=15", "ServerAliveCountMax=4"].flatMap((option) => ["-o", option]),
];

/** @throws {UsageError} for a host or user that ssh would take for an option. */
export function checkHost(remote: RemoteHost): void {
  if (remote.host === "") throw new UsageError("The name of the host is empty");
  for (const word of [remote.host, remote.user ?? ""]) {
    if (word.startsWith("-"))
      throw new UsageError(`The host ${quote(word)} begins with "-", which ssh would take for an option`);
    if (!isText(word)) throw new UsageError(`Cannot pass the host ${quote(word)} to ssh: it is not UTF-8`);
    if (/[\s\0]/.test(word)) throw new UsageError(`The host ${quote(word)} contains white space`);
    if (word !== printable(word)) throw new UsageError(`The host ${quote(word)} contains unprintable characters`);
  }
}

/** Stands for what is not shown. */
const HIDDEN = "…";

function isOpenSsh(command: string | undefined): boolean {
  return command !== undefined && basename(command) === "ssh";
}

/** What the user asked for, before the host. */
function ownWords(remote: RemoteHost, options: ShellOptions): string[] {
  const words = [...(options.rsh ?? ["ssh"])];
  if (options.identityFile !== undefined) words.push("-i", options.identityFile);
  if (options.cipher !== undefined) words.push("-c", options.cipher);
  words.push(...options.extraParameters);
  if (remote.port !== undefined) words.push("-p", String(remote.port));
  return words;
}

function target({ user, host }: RemoteHost): string {
  return user === undefined ? host : `${user}@${host}`;
}

/**
 * Command lines that print what ssh would do, with all that the user says and without any of it; undefined where what is used is no
 * ssh, or a cipher was asked for.
 */
export function shellQuestion(
  remote: RemoteHost,
  options: ShellOptions,
): { readonly asked: string[]; readonly plain: string[] } | undefined {
  const [name = "", ...words] = ownWords(remote, options);
  if (!isOpenSsh(name) || options.cipher !== undefined) return undefined;
  return { asked: [name, "-G", ...words, target(remote)], plain: [name, "-G", "-F", "none", target(remote)] };
}

/**
 * Builds the whole argument list; `command` is one string, already quoted for the remote shell. `tuning` are further
 * words for an ssh, which whatever the user says goes before.
 */
export function shellCommand(
  remote: RemoteHost,
  options: ShellOptions,
  command: string,
  tuning: readonly string[] = [],
): string[] {
  checkHost(remote);
  // Options given first win in ssh, so the user's own come before ours.
  const argv = ownWords(remote, options);
  if (isOpenSsh(argv[0])) {
    argv.push(...SSH_OPTIONS);
    argv.push(...tuning);
    if (options.password) argv.push("-o", "NumberOfPasswordPrompts=1");
  }
  argv.push(target(remote), command);
  return argv;
}

/** The same login as a person would try it. It is said unasked, so nothing of a --rsh, where a password may stand. */
export function loginByHand(remote: RemoteHost, options: ShellOptions): string {
  if (options.rsh !== undefined) return "the --rsh command followed by the host and true";
  return shownCommand([...ownWords(remote, options), target(remote), "true"]);
}

/** A variable whose name says so, up to the word's end; two options of ssh only look like it. */
const SECRET = /((?<!\w)(?!o?(?:NumberOfPasswordPrompts|PasswordAuthentication)=)\w*(?:pass|token|secret)\w*=)\S.*$/is;

/**
 * A command line to be read, and to be pasted into a shell, with the passwords left out that are known to stand in such:
 * those of sshpass and plink, of variables such as SSHPASS=… or TOKEN=…, of addresses such as http://user:password@proxy, and
 * whatever a ProxyCommand is.
 */
export function shownCommand(argv: readonly string[]): string {
  const sshpass = argv.findIndex((word) => basename(word) === "sshpass");
  const option = sshpass === -1 ? -1 : argv.findIndex((word, i) => i > sshpass && word.startsWith("-p"));
  const words = argv.map((word, i) => {
    if (i === option && word !== "-p") return `-p${HIDDEN}`;
    if ((i === option + 1 && argv[option] === "-p") || argv[i - 1] === "-pw") return HIDDEN;
    const shown = word
      .replaceAll(/(:\/\/[^\s:@/]*:)[^\s@/]+(?=@)/g, `$1${HIDDEN}`)
      .replace(SECRET, `$1${HIDDEN}`)
      .replace(/^((?:-o)?ProxyCommand[ =]).*$/is, `$1${HIDDEN}`);
    return quoteWord(shown.replaceAll(/[\0\r\n]/g, " "));
  });
  return words.join(" ");
}
