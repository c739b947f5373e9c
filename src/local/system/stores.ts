/**
 * What a file system keeps its files in: the block device that its number says, several (btrfs, bcachefs), a file (FUSE), or
 * other file systems (overlay).
 */
import fs from "node:fs";
import { join, realPath } from "../../paths.ts";
import { btrfsUuid } from "../kernel/libc.ts";
import { type Mount, mountIdOf, unescapeOctal } from "./mounts.ts";
import { deviceNode, type FileNode, type Node, nodeAt, withOpen } from "./nodes.ts";
import { look, namesIn, readLine } from "./sysfs.ts";

const BTRFS = "/sys/fs/btrfs";

/** Numbers of the devices of each btrfs that is mounted anywhere, also in other mount namespaces; by UUID. */
export function btrfsDevices(): ReadonlyMap<string, readonly string[]> {
  const found = namesIn(BTRFS).map((uuid) => {
    const numbers = namesIn(`${BTRFS}/${uuid}/devices`).map((name) => readLine(`${BTRFS}/${uuid}/devices/${name}/dev`));
    return [uuid, numbers.filter((number) => number !== undefined)] as const;
  });
  return new Map(found.filter(([, numbers]) => numbers.length > 0));
}

/** By the file system itself, since the source of a mount may be a name that no longer leads there ("/dev/root"). */
function btrfsStore({ id, point, source }: Mount): Node[] {
  const known = btrfsDevices();
  const named = nodeAt(source);
  const byName = [...known.values()].find((numbers) => named?.kind === "device" && numbers.includes(named.number));
  const byItself = () =>
    withOpen(point, (fd) => (mountIdOf(fd) === id ? btrfsUuid(fd) : undefined), fs.constants.O_RDONLY);
  const numbers = byName ?? known.get(byItself() ?? "");
  if (numbers !== undefined) return numbers.map(deviceNode);
  return named?.kind === "device" ? [named] : [];
}

/** File systems whose source is a path that they do not keep their files in. */
const FOREIGN_SOURCES = new Set([
  "autofs",
  "overlay",
  "tmpfs",
  "proc",
  "sysfs",
  "nfs",
  "nfs4",
  "cifs",
  "smb3",
  "9p",
  "virtiofs",
]);

/** The devices and files that the file system of a mount keeps its files in; overlay, see overlaid(). */
export function storeOf(mount: Mount): Node[] {
  if (!mount.number.startsWith("0:")) return [deviceNode(mount.number)];
  if (mount.type === "btrfs") return btrfsStore(mount);
  if (FOREIGN_SOURCES.has(mount.type)) return [];
  const paths = mount.type === "bcachefs" ? mount.source.split(":") : [mount.source];
  return paths
    .filter((path) => path.startsWith("/"))
    .map(nodeAt)
    .filter((node) => node !== undefined)
    .filter((node) => node.kind === "device" || isFile(node));
}

function isFile({ path }: FileNode): boolean {
  return path !== undefined && look(path)?.isFile() === true;
}

/** Splits at colons, which may stand in a part behind a backslash (ovl_parse_layer() in fs/overlayfs/params.c). */
function partsOf(text: string): string[] {
  const parts = [""];
  for (const [piece] of text.matchAll(/\\.|[^\\]/gsu)) {
    if (piece === ":") parts.push("");
    else parts.push((parts.pop() ?? "") + piece);
  }
  return parts;
}

/** The layers of an overlay, the uppermost first; those are left out whose path begins in a folder that nobody knows. */
export function layersOf({ options }: Pick<Mount, "options">): string[] {
  const all = options.split(",").map((one) => ({
    name: one.split("=", 1)[0] ?? "",
    value: one.slice(one.indexOf("=") + 1),
  }));
  const named = (...names: string[]) =>
    all.filter(({ name }) => names.includes(name)).map(({ value }) => unescapeOctal(value));
  const lower = named("lowerdir", "lowerdir+", "datadir+").flatMap((value) => partsOf(value));
  return [...named("upperdir"), ...lower]
    .map((path) => path.replace(/\\(.)/gsu, "$1"))
    .filter((path) => path.startsWith("/"));
}

/** The real file or folder behind one of an overlay: of its upper layer, else of the first lower one that has it. */
export function overlaid(node: FileNode, mount: Mount): Node | undefined {
  const path = node.path === undefined ? "" : realPath(node.path);
  if (!path.startsWith(mount.point)) return undefined;
  const place = join(mount.root, path.slice(mount.point.length));
  for (const layer of layersOf(mount)) {
    const found = nodeAt(join(layer, place));
    if (found !== undefined) return found.identity === node.identity ? undefined : found;
  }
  return undefined;
}
