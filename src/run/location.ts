/** Where a source or destination is. */

import { checkHost, type RemoteHost } from "../remote/host/ssh.ts";
import type { Address, Header } from "../web/address.ts";

/** An image at a web server. */
export interface WebImage {
  readonly address: Address;
  /** Its hash tree: an address, or a file of this machine; undefined for one beside it. */
  readonly tree: Address | string | undefined;
  /** See WebOptions. */
  readonly headers: readonly Header[];
  readonly ca: string | undefined;
}

export interface TreeOrigin {
  /** The root hash that was demanded, 32 bytes. */
  readonly root: Uint8Array | undefined;
  readonly web?: WebImage;
}

export interface Location {
  /** undefined: on this machine. */
  readonly remote: RemoteHost | undefined;
  readonly path: string;
  /** As messages name it. */
  readonly label: string;
  /** It is told by its hash tree: the file at `path`, which is all there is of it, or one of an image at a web server. */
  readonly tree?: TreeOrigin;
}

/** @throws {UsageError} for what is no host. */
export function located(remote: RemoteHost | undefined, path: string): Location {
  if (remote === undefined) return { remote, path, label: path };
  checkHost(remote);
  const host = remote.host.includes(":") ? `[${remote.host}]` : remote.host;
  const name = remote.user === undefined ? host : `${remote.user}@${host}`;
  // ssh:// has no way to say a path that begins at the home directory.
  const asUrl = remote.port !== undefined && path.startsWith("/");
  return { remote, path, label: asUrl ? `ssh://${name}:${remote.port}${path}` : `${name}:${path}` };
}

/** Whether a source is standard input, "-"; a file of that name is "./-". */
export function isStandardInput({ remote, path }: Location): boolean {
  return remote === undefined && path === "-";
}
