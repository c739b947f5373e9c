/** Locations that are not what they were meant to be, each refused with what was probably meant. Pure. */

import { UsageError } from "../errors.ts";
import { quote } from "../name.ts";
import { answerTo } from "./foreign.ts";

/** Whether there is something of that name on this machine. */
export type Exists = (path: string) => boolean;

/** Of IPv4. */
export const ADDRESS = /^\d+\.\d+\.\d+\.\d+$/;
/** How a word begins that a shell expands unless it is quoted. */
export const UNEXPANDED = /^(?:~|\$\{?\w)/;

/** What a name looks like that is read as a host elsewhere, or as a path, and meant as neither. */
const KINDS: readonly (readonly [pattern: RegExp, hint: (match: RegExpExecArray) => string])[] = [
  [/^file:\/\/(?:localhost)?(\/.*)$/is, ([, path = ""]) => `write ${quote(path)}`],
  [/^(?:sftp|scp|rsync):\/\/(.+)$/is, ([, rest = ""]) => `blocksync goes over ssh: ${quote(`ssh://${rest}`)}`],
  [/^https?:\/\//i, () => "a URL can only be the source of a sync, or one side of compare"],
  [/^ftps?:\/\//i, () => "download it first (curl -O), then use the file"],
  [/^[a-z][a-z0-9+.-]*:\/\//i, () => "blocksync reads paths, HOST:PATH and ssh://HOST/PATH"],
  [
    /^([^/:[]+)::(.*)$/s,
    ([, host = "", path = ""]) => `there is no rsync daemon here: write ${quote(`${host}:/${path}`)}`,
  ],
  [/^[a-z]:\\/i, () => "this is a Windows path; in WSL C:\\disk.img is /mnt/c/disk.img"],
  [/^\\\\/, () => "this is a Windows path; lsblk lists the disks of this machine"],
];

/** An IPv6 address, which has colons of its own, without brackets; a path behind it begins with a slash. */
const BARE_ADDRESS = /^(?=[^/]*::|(?:[^:/]*:){4})((?:[^@/]*@)?)([0-9a-f:]*:[0-9a-f]*(?:%\w+)?)(?::(\/.*))?$/is;

/** @throws {UsageError} for a location of a kind that blocksync does not know. */
export function checkKind(text: string): void {
  const [address, user, host, path = "PATH"] = BARE_ADDRESS.exec(text) ?? [];
  if (address !== undefined) {
    throw new UsageError(`Cannot read ${quote(text)} as HOST:PATH`, {
      hint: `put an IPv6 address into brackets: ${quote(`${user}[${host}]:${path}`)}`,
    });
  }
  for (const [pattern, hint] of KINDS) {
    const match = pattern.exec(text);
    if (match !== null) throw new UsageError(`Cannot read ${quote(text)} as PATH or HOST:PATH`, { hint: hint(match) });
  }
}

/** @throws {UsageError} for a port in the path's place, and for what only a shell expands: here "~/" is, and nothing else. */
export function checkFarPath(text: string, host: string, path: string): void {
  const [, port, rest] = /^(\d{1,5}):(\/.*)$/s.exec(path) ?? [];
  if (port !== undefined) {
    throw new UsageError(`Cannot read ${quote(text)} as HOST:PATH`, {
      hint: `for port ${port} write ${quote(`ssh://${host}:${port}${rest}`)}`,
    });
  }
  if (!UNEXPANDED.test(path) || /^~(?:\/|$)/.test(path)) return;
  throw new UsageError(`Cannot expand ${quote(path)} on the far side`, {
    hint: `only ~/ is; write the path in full, or for a file of that name ${quote(`${host}:./${path}`)}`,
  });
}

/**
 * A name of this machine that does not exist: what the shell was to expand, or a relative path whose first directory may have
 * been meant as /dev, or as a host with its colon left out.
 * @throws {UsageError}
 */
export function checkSlips(word: string, exists: Exists): void {
  const [sign] = UNEXPANDED.exec(word) ?? [];
  if (sign !== undefined && !exists(word)) {
    throw new UsageError(`The shell did not expand ${quote(word)}`, {
      hint: `leave "${sign[0]}" outside the quotes; for a file of that name write ${quote(`./${word}`)}`,
    });
  }
  const [, first = "", rest = ""] = /^([^/:.][^/:]*)(\/.+)$/s.exec(word) ?? [];
  if (first === "" || exists(first)) return;
  const isHost = /.@./.test(first) || ADDRESS.test(first) || rest.startsWith("/dev/");
  const meant = first === "dev" ? `/dev${rest}` : isHost ? `${first}:${rest}` : undefined;
  if (meant === undefined) return;
  throw new UsageError(`There is no directory ${quote(first)} for ${quote(word)}`, {
    hint: `did you mean ${quote(meant)}?`,
  });
}

/** dd's operands (dd(1)), which would be names, and the second one a new file. @throws {UsageError} */
export function refuseOperands(words: readonly string[], exists: Exists): void {
  const values = new Map<string, string>();
  for (const word of words) {
    const [, name = "", value = ""] = /^([a-z]+)=(.*)$/s.exec(word) ?? [];
    if ((name === "if" || name === "of" || answerTo("operand", name) !== undefined) && !exists(word))
      values.set(name, value);
  }
  const [first] = values.keys();
  if (first === undefined) return;
  const names = words.filter((word) => !values.has(word.split("=")[0] ?? ""));
  const [source, destination] = [values.get("if") ?? names.shift(), values.get("of") ?? names.shift()].map((path) =>
    path === undefined || /^[\w./:@%+,-]+$/.test(path) ? path : quote(path),
  );
  const answers = [...values.keys()].map((name) => answerTo("operand", name)).filter((text) => text !== undefined);
  throw new UsageError(`${quote(`${first}=${values.get(first)}`)} is dd's syntax`, {
    hint: [
      `write blocksync ${source ?? "SOURCE"} ${destination ?? "DESTINATION"}`,
      ...new Set(answers),
      `for a file of that name write ${quote(`./${first}=${values.get(first)}`)}`,
    ].join("\n"),
  });
}
