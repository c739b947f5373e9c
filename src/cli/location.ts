/** Where a source or destination is, from the words of the command line. Pure. */

import { UsageError } from "../errors.ts";
import { quote } from "../name.ts";
import { checkHost, type RemoteHost } from "../remote/host/ssh.ts";
import { type Location, located } from "../run/location.ts";
import { UNSET } from "./arguments.ts";
import { ADDRESS, checkFarPath, checkKind, checkSlips, type Exists, refuseOperands } from "./slips.ts";

/** Splits "[USER@]HOST"; the last @ counts, since user names may contain one. */
function parseHost(text: string, port?: number): RemoteHost {
  const at = text.lastIndexOf("@");
  const host = text.slice(at + 1).replace(/^\[(.*)\]$/, "$1");
  const user = at === -1 ? undefined : text.slice(0, at);
  if (user?.includes(":")) {
    throw new UsageError("A user name cannot contain a colon, and a password does not belong on the command line", {
      hint: "let ssh ask for the password, or name a variable that holds it with --pass",
    });
  }
  if (host === "" || user === "") throw new UsageError(`Cannot read ${quote(text)} as [USER@]HOST`);
  const remote = { user, host, port };
  checkHost(remote);
  return remote;
}

function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65535) throw new UsageError(`${quote(text)} is not a port number`);
  return port;
}

function parseUrl(text: string, defaultPath: string | undefined): Location {
  const match = /^ssh:\/\/((?:[^@/]*@)?(?:\[[^\]/]*\]|[^:/@[\]]*))(?::([^/]*))?(\/.*)?$/is.exec(text);
  const [, host, port, path] = match ?? [];
  if (host === undefined || host === "")
    throw new UsageError(`Cannot read ${quote(text)} as ssh://[USER@]HOST[:PORT]/PATH`);
  const remote = parseHost(host, port === undefined ? undefined : parsePort(port));
  return located(remote, pathOr(path === "/" ? undefined : path, defaultPath, text));
}

function pathOr(path: string | undefined, defaultPath: string | undefined, text: string): string {
  const chosen = path === undefined || path === "" ? defaultPath : path;
  if (chosen === undefined)
    throw new UsageError(`${quote(text)} names no path`, { hint: "write HOST:PATH, or ssh://HOST/PATH" });
  return chosen;
}

/**
 * Reads PATH, [USER@]HOST:PATH, [USER@][IPV6]:PATH or ssh://[USER@]HOST[:PORT]/PATH. As with scp, a colon before the first
 * slash means a host. A host without a path takes `defaultPath`.
 * @throws {UsageError}
 */
export function parseLocation(text: string, defaultPath?: string): Location {
  if (text === "-") {
    throw new UsageError(
      "Only the source of a sync can be standard input: everything else is read or written at its offsets",
      {
        hint: 'for a file named "-" write "./-"',
      },
    );
  }
  if (text === "") throw new UsageError("The name of a file or device is empty", { hint: UNSET });
  if (text.includes("\0")) throw new UsageError("The name of a file or device contains a NUL byte");
  if (/^ssh:\/\//i.test(text)) return parseUrl(text, defaultPath);
  checkKind(text);
  const match = /^((?:[^@/:]*@)?(?:\[[^\]/]*\]|[^:/[\]]*)):(.*)$/s.exec(text);
  if (match === null) {
    if (/^[^/]*:/.test(text)) {
      throw unreadable(text);
    }
    return located(undefined, text);
  }
  const [, host = "", path = ""] = match;
  if (host === "") throw unreadable(text);
  checkFarPath(text, host, path);
  return located(parseHost(host), pathOr(path, defaultPath, text));
}

function unreadable(text: string): UsageError {
  return new UsageError(`Cannot read ${quote(text)} as [USER@]HOST:PATH`, {
    hint: `for a file of that name write ${quote(`./${text}`)}`,
  });
}

/** Reads [USER@]HOST, with a colon after it or not, or ssh://[USER@]HOST[:PORT]. @throws {UsageError} */
export function parseHostWord(text: string): RemoteHost {
  const url = /^(ssh:\/\/[^/]+)\/?$/i.exec(text)?.[1];
  const remote = url === undefined ? undefined : parseUrl(url, "/").remote;
  if (remote !== undefined) return remote;
  const name = /^((?:[^@/:]*@)?(?:\[[^\]/]+\]|[^:/[\]@]+)):?$/.exec(text)?.[1];
  if (name === undefined)
    throw new UsageError(`Cannot read ${quote(text)} as [USER@]HOST or ssh://[USER@]HOST[:PORT]`, {
      hint: "name hosts alone, without a path",
    });
  return parseHost(name);
}

export interface LocationOptions {
  readonly exists: Exists;
  /** Options were given that are about a host. */
  readonly forHost: boolean;
}

const QUOTES = "quote a name that contains spaces";

/** Whether a DESTINATION without colon and slash is more likely blocksync.py's host than a file's name. */
function looksLikeHost(text: string, source: Location, { exists, forHost }: LocationOptions): boolean {
  if (/[:/]/.test(text)) return false;
  if (text.includes("@") || text === "localhost" || ADDRESS.test(text)) return true;
  const saysHost = forHost && source.remote === undefined;
  // blocksync.py's "/dev/sda backuphost": without this it would fill a local file of that name.
  const looksOld = source.path.startsWith("/dev/") && !text.includes(".");
  return (saysHost || looksOld) && !exists(text);
}

/** ssh's port, 22 or any that a user may choose for it; so long a pause nobody wants. */
function looksLikePort(pauseMs: number): boolean {
  return pauseMs === 22 || pauseMs === 222 || (pauseMs >= 1024 && pauseMs <= 65_535);
}

/** What to say of a pause that may have been meant as the port of a host, as -p is for ssh. */
export function noticesOfPause(pauseMs: number, ends: readonly Location[]): string[] {
  const end = ends.find(({ remote }) => remote !== undefined && remote.port === undefined);
  if (end?.remote === undefined || !looksLikePort(pauseMs)) return [];
  const { label } = located({ ...end.remote, port: pauseMs }, end.path);
  const port = label.startsWith("ssh:") ? `write ${quote(label)}` : `write ssh://HOST:${pauseMs}/PATH`;
  return [`-p ${pauseMs} rests ${pauseMs} ms after each block; for port ${pauseMs} ${port}`];
}

/**
 * What to say of a destination that is to be made: a bare word is a file of this machine, and may have been meant as
 * blocksync.py's host. Names with a dot, a slash or a blank in them are files to everybody.
 */
export function noticesOfName({ remote, path }: Location): string[] {
  if (remote !== undefined || !/^[A-Za-z0-9][\w-]*$/.test(path)) return [];
  return [`${quote(path)} will be a new file in the current directory; to name a host, write ${quote(`${path}:PATH`)}`];
}

/**
 * Reads the two or three positional arguments of sync.
 * @throws {UsageError} for any other number, and for a destination that could be a host as well as a file.
 */
export function parseLocations(
  words: readonly string[],
  options: LocationOptions,
): { source: Location; destination: Location } {
  const [first, second, third, ...surplus] = words;
  refuseOperands(words, options.exists);
  if (first === undefined || second === undefined) {
    throw new UsageError(first === undefined ? "SOURCE and DESTINATION are missing" : "DESTINATION is missing", {
      hint: "usage: blocksync SOURCE DESTINATION; blocksync help shows everything",
    });
  }
  for (const word of third === undefined ? [first, second] : [first]) checkSlips(word, options.exists);
  if (surplus.length > 0)
    throw new UsageError(`Too many arguments: ${quote(surplus[0] ?? "")}`, {
      hint: `give SOURCE DESTINATION or SOURCE HOST PATH; ${QUOTES}`,
    });
  const source = first === "-" ? located(undefined, "-") : parseLocation(first);
  // Of standard input there is no path that the destination could have, too.
  const path = first === "-" ? undefined : source.path;
  if (third === undefined) {
    if (looksLikeHost(second, source, options)) {
      parseHost(second);
      throw new UsageError(`${quote(second)} could be a host or a file`, {
        hint:
          second === "localhost"
            ? 'for this machine write the path alone, for a file of that name "./localhost"'
            : `write ${quote(`${second}:${path ?? "PATH"}`)} for the host, ${quote(`./${second}`)} for a file`,
      });
    }
    return { source, destination: parseLocation(second, path) };
  }
  if (third === "") throw new UsageError("The destination's PATH is empty", { hint: UNSET });
  if (/\//.test(second))
    throw new UsageError(`${quote(second)} is not a host: three arguments are SOURCE HOST PATH`, {
      hint: second.startsWith("ssh://") ? "ssh://HOST:PORT/PATH is one argument" : QUOTES,
    });
  const host = second.replace(/:$/, "");
  if (host === "localhost") return { source, destination: located(undefined, third) };
  checkFarPath(`${host}:${third}`, host, third);
  return { source, destination: located(parseHost(host), third) };
}
