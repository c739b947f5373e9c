/** Where a source or destination is. */

import { checkHost, type RemoteHost } from "../remote/host/ssh.ts";

export interface Location {
  /** undefined: on this machine. */
  readonly remote: RemoteHost | undefined;
  readonly path: string;
  /** As messages name it. */
  readonly label: string;
  /** It is not the image that is there, but its hash tree, with this root hash (32 bytes) if one was demanded. */
  readonly tree?: { readonly root: Uint8Array | undefined };
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
