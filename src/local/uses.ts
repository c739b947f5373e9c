/** Who uses a file or block device on this machine: the running system, a mount, swap, a device made of it. */
import { quote } from "../name.ts";
import { identityOf, look, type Node, type Picture, type Relative, swaps } from "./system/picture.ts";

export interface Use {
  /** The name of the refusal it is a reason for. */
  readonly name: "root-disk" | "mounted" | "swap" | "held";
  /** Goes on after "Refused to write to X: ". */
  readonly sentence: string;
  readonly hint: string;
}

const HOLDER_HINT =
  "let go of it first (losetup --detach, dmsetup remove, vgchange --activate n, mdadm --stop); lsblk shows what is above it";

/** What it is to the destination, as the subject of a sentence. */
function words(picture: Picture, { node, relation }: Relative): string {
  const name = node.kind === "file" ? quote(picture.nameOf(node)) : picture.nameOf(node);
  switch (relation) {
    case "itself":
      return "it";
    case "disk":
      return `${name}, the disk it is a part of,`;
    case "partition":
      return `its partition ${name}`;
    case "below":
      return `${name}, which it lies over,`;
    case "above":
      return `${name} above it`;
    case "beside":
      return `${name}, which has the same bytes,`;
  }
}

function heldBy(picture: Picture, own: Node, { node, relation }: Relative): Use {
  const name = picture.nameOf(node);
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
      hint: "start the machine from something else, such as a rescue system, to overwrite this disk",
    });
  }
  for (const relative of relatives) {
    const points = picture.mountPoints(relative.node).map(quote);
    if (points.length === 0) continue;
    const sentence = `${words(picture, relative)} is mounted on ${points.join(", ")}`;
    uses.push({ name: "mounted", sentence, hint: `unmount it first: umount ${points.join(" ")}` });
  }
  const swapped = swaps().map((path) => ({ path, stat: look(path) }));
  for (const relative of relatives) {
    const { identity } = relative.node;
    const path = swapped.find(({ stat }) => stat !== undefined && identityOf(stat) === identity)?.path;
    if (path === undefined) continue;
    const sentence = `${words(picture, relative)} is used as swap space`;
    uses.push({ name: "swap", sentence, hint: `turn it off first: swapoff ${quote(path)}` });
  }
  for (const relative of relatives) if (relative.holds) uses.push(heldBy(picture, node, relative));
  return uses;
}
