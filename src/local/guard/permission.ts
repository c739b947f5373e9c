/**
 * The one path that a far side started with --only may open. The peer's path is only compared with it: what is opened is
 * the path of the permission, so no words of a peer ever reach the file system's open call.
 */

import { type Overridable, refused, refusedDestination } from "../../errors.ts";
import { quote } from "../../name.ts";
import { basename, dirname, join, realPath } from "../../paths.ts";
import type { EndpointSpec } from "../../sync/spec.ts";

export interface Permission {
  /** A relative one begins in the working directory. */
  readonly path: string;
  /** As a source only. */
  readonly readOnly: boolean;
  /** Refusals that the client may override, when it asks for that. */
  readonly allowed: readonly Overridable[];
}

/**
 * Where a path leads. Symbolic links are followed, the last one too, because names such as /dev/vg0/data and
 * /dev/disk/by-id/x are links. For a file that does not exist yet it is that name in the directory to which its
 * directory leads. If even the directory is not found, the path is returned unchanged, and opening it will fail under
 * that name.
 */
function targetOf(path: string): string {
  for (const find of [() => realPath(path), () => join(realPath(dirname(path)), basename(path))]) {
    try {
      return find();
    } catch {
      // A file that is still to be created, or a link into nothing.
    }
  }
  return path;
}

/**
 * Returns the spec with the permitted path in place of the requested one, or unchanged when there is no permission. The
 * refusal says the same whether or not the other path exists.
 * @throws {RefusedError} for another path, for a destination where only reading is allowed, and for overriding a refusal
 * that the permission does not allow to be overridden.
 */
export function permitted(spec: EndpointSpec, permission: Permission | undefined): EndpointSpec {
  if (permission === undefined) return spec;
  const { label, access } = spec;
  const allowed = targetOf(permission.path);
  if (allowed !== targetOf(spec.path)) {
    throw refused(
      "open",
      label,
      "only",
      `the far side may open only ${quote(permission.path)}`,
      "name that path, or use another key: authorized_keys on the far side gives this one a forced command",
    );
  }
  if (permission.readOnly && access !== "read") {
    throw refusedDestination(
      label,
      "only",
      "the far side may only read it",
      "use it as a source or compare with it; to write to it, use a key whose forced command has no --read-only",
    );
  }
  if (spec.undo !== undefined) {
    throw refused(
      "create",
      spec.undo.label,
      "only",
      `the far side may write only to ${quote(permission.path)}`,
      "leave out --undo, or use another key: authorized_keys on the far side gives this one a forced command",
    );
  }
  const denied = access === "read" ? undefined : spec.allowed.find((name) => !permission.allowed.includes(name));
  if (denied !== undefined) {
    throw refusedDestination(
      label,
      "only",
      `the far side does not permit --allow ${denied}`,
      `leave out --allow ${denied}; the far side's administrator can add it to the key's forced command`,
    );
  }
  return { ...spec, path: allowed };
}
