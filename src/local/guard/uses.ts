/** Who uses a file or block device on this machine: the running system, a mount, swap, a device made of it. */
import { quote } from "../../name.ts";
import { identityOf, look, type Node, type Picture, type Relative, swaps } from "../system/picture.ts";

export interface Use {
  /** The name of the refusal it is a reason for. */
  readonly name: "root-disk" | "mounted" | "swap" | "held" | "in-use";
  /** Goes on after "Refused to write to X: ". */
  readonly sentence: string;
  readonly hint: string;
}

const HOLDER_HINT =
  "release it first (losetup --detach, dmsetup remove, vgchange --activate n, mdadm --stop); lsblk shows what is on top of it";

/** A device as people call it, a file in quotes. */
function called(picture: Picture, node: Node): string {
  const name = picture.nameOf(node);
  return node.kind === "file" ? quote(name) : name;
}

/** What it is to the destination, as the subject of a sentence. */
export function describe(picture: Picture, { node, relation }: Relative): string {
  const name = called(picture, node);
  switch (relation) {
    case "itself":
      return "it";
    case "disk":
      return `${name}, the disk it is part of,`;
    case "partition":
      return `its partition ${name}`;
    case "below":
      return `${name} underneath it`;
    case "above":
      return `${name} on top of it`;
    case "beside":
      return `${name}, which holds the same bytes,`;
  }
}

/** Sentences about writers that are told; the others are counted. */
const TOLD = 2;

/**
 * Who may write to `node` while it is only read: file systems that are mounted for writing, swap. "it is mounted on /srv";
 * "" where nobody is known to.
 */
export function writersOf(picture: Picture, node: Node): string {
  const found = picture.relatives(node).flatMap((relative) => {
    const points = picture.writablePoints(relative.node).map(quote);
    const mounted = points.length === 0 ? [] : [`${describe(picture, relative)} is mounted on ${points.join(", ")}`];
    const swapped = swapAt(relative.node) === undefined ? [] : [`${describe(picture, relative)} is used as swap space`];
    return [...mounted, ...swapped];
  });
  const more = found.length > TOLD ? [`${found.length - TOLD} more like these`] : [];
  return [...found.slice(0, TOLD), ...more].join(", ");
}

/** The path by which `node` is swapped to; undefined where it is not. */
function swapAt({ identity }: Node): string | undefined {
  return swaps().find((path) => {
    const stat = look(path);
    return stat !== undefined && identityOf(stat) === identity;
  });
}

function heldBy(picture: Picture, own: Node, { node, relation }: Relative): Use {
  const name = called(picture, node);
  if (own.kind === "file" && relation === "above" && name.startsWith("loop")) {
    const sentence = `the loop device ${name} is attached to it`;
    return { name: "held", sentence, hint: `detach it first: losetup --detach /dev/${name}` };
  }
  const sentence = relation === "beside" ? `${name} holds the same bytes` : `${name} holds it`;
  return { name: "held", sentence, hint: HOLDER_HINT };
}

/** Every reason not to write to `node`, the weightiest first. */
export function usesOf(picture: Picture, node: Node): Use[] {
  const relatives = picture.relatives(node);
  const uses: Use[] = [];
  if (picture.isUnderRoot(node)) {
    uses.push({
      name: "root-disk",
      sentence: "the running system is on it",
      hint: "to overwrite this disk, boot from something else, such as a rescue system",
    });
  }
  for (const relative of relatives) {
    const points = picture.mountPoints(relative.node).map(quote);
    if (points.length === 0) continue;
    const sentence = `${describe(picture, relative)} is mounted on ${points.join(", ")}`;
    uses.push({ name: "mounted", sentence, hint: `unmount it first: umount ${points.join(" ")}` });
  }
  for (const relative of relatives) {
    const path = swapAt(relative.node);
    if (path === undefined) continue;
    const sentence = `${describe(picture, relative)} is used as swap space`;
    uses.push({ name: "swap", sentence, hint: `turn it off first: swapoff ${quote(path)}` });
  }
  for (const relative of relatives) if (relative.holds) uses.push(heldBy(picture, node, relative));
  return uses;
}
