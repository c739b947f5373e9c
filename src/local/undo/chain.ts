/**
 * A folder of undo files, one a run: the newest has the destination as its backing file, each older one the next newer, by a name in
 * the folder alone, so that it may move. The oldest is nobody's, and can be deleted.
 */
import fs from "node:fs";
import { cannot, refused, systemCode } from "../../errors.ts";
import { bytesOf, quote } from "../../name.ts";
import { basename, dirname, entryNames, join } from "../../paths.ts";
import { areOfOne, areOfTwo } from "../guard/mark.ts";
import { Descriptor } from "../medium/descriptor.ts";
import { identityOf, look } from "../system/picture.ts";
import { decodeHead, encodeRebased, HEAD_LENGTH, type Head } from "./qcow2.ts";

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = fs.constants;

/** What an undo file at `path` says of itself; undefined for anything else: a link, one of several names, what cannot be read. */
export function headAt(path: string): Head | undefined {
  try {
    // Some devices act on being opened.
    if (!fs.lstatSync(bytesOf(path)).isFile()) return undefined;
    const { head, names } = read(path, O_NOFOLLOW);
    return names === 1 ? head : undefined;
  } catch {
    return undefined;
  }
}

/** @throws {Error} of the system. */
function read(path: string, flags: number): { readonly head: Head | undefined; readonly names: number } {
  const fd = fs.openSync(bytesOf(path), O_RDONLY | O_NONBLOCK | flags);
  try {
    const stat = fs.fstatSync(fd);
    if (!stat.isFile()) return { head: undefined, names: stat.nlink };
    const bytes = Buffer.alloc(HEAD_LENGTH);
    const isWhole = fs.readSync(fd, bytes, 0, HEAD_LENGTH, 0) === HEAD_LENGTH;
    return { head: isWhole ? decodeHead(bytes) : undefined, names: stat.nlink };
  } finally {
    fs.closeSync(fd);
  }
}

interface Chained {
  readonly path: string;
  readonly head: Head;
}

/** The disk that an undo file is made of: as files name it, by what it is known again, and which one it is now (Description.identity). */
export type Disk = Pick<Head, "backing" | "mark"> & { readonly identity: string };

/** Whether the undo file at `path` shows the disk itself, under whatever name. @throws {RefusedError} for another disk's that had the name. */
function shows({ backing, mark }: Head, disk: Disk, path: string): boolean {
  if (!backing.startsWith("/")) return false;
  if (areOfOne(mark, disk.mark)) return true;
  const stat = backing === disk.backing ? undefined : look(backing);
  const isNamed = stat === undefined ? backing === disk.backing : identityOf(stat) === disk.identity;
  if (!(isNamed && areOfTwo(mark, disk.mark))) return isNamed;
  const hint = "keep a directory for each disk, and name disks as /dev/disk/by-id does";
  throw refused("chain", path, "undo-day", `${quote(backing)} was another disk when it was made`, hint);
}

/** The undo files beside `newest` that show the disk themselves. @throws {IoError} {RefusedError} for one that cannot go on with it. */
function othersOf(newest: string, disk: Disk): Chained[] {
  const [folder, name] = [dirname(newest), basename(newest)];
  const others: Chained[] = [];
  for (const other of entryNames(folder)) {
    if (other === name) continue;
    const path = join(folder, other);
    const head = headAt(path);
    if (head === undefined && other.endsWith(".qcow2")) confirmNoDay(path, disk);
    if (head !== undefined && shows(head, disk, path)) others.push({ path, head });
  }
  return others;
}

/** Refuses what is named like a day and may be one of the disk: without the new file it would show a day that never was. */
function confirmNoDay(path: string, disk: Disk): void {
  let head: Head | undefined;
  try {
    if (!fs.statSync(bytesOf(path)).isFile()) return;
    ({ head } = read(path, 0));
  } catch (error) {
    // A link that leads nowhere.
    if (["ENOENT", "ELOOP"].includes(systemCode(error) ?? "")) return;
    throw cannot("chain", path, error, "make it readable, or move it out of the directory if it may be lost");
  }
  if (head === undefined || !shows(head, disk, path)) return;
  const why =
    "it is an undo file of the destination under a second name (a hard or symbolic link), and would be spoiled";
  throw refused("chain", path, "undo-day", why, "keep one name of it, or copy it before it is moved elsewhere");
}

/**
 * Has all others in the folder of the undo file `newest` that show the destination go on with that file, which holds nothing
 * yet; durable, and to be done before anything is overwritten. `onFirst` is called before the first of them is. Returns how many
 * there were. @throws {IoError} {RefusedError} when one cannot go on with it, which would be spoiled.
 */
export async function rebaseOthers(newest: string, disk: Disk, onFirst: () => void): Promise<number> {
  const others = othersOf(newest, disk);
  if (others.length > 0) onFirst();
  for (const { path, head } of others) {
    try {
      const file = await Descriptor.open(path, O_RDWR | O_NOFOLLOW);
      try {
        const bytes = encodeRebased(head, basename(newest));
        if ((await file.write(bytes, 0, 0)) !== bytes.length) throw new Error("the kernel took less than a sector");
        await file.flushData();
      } finally {
        await file.close();
      }
    } catch (error) {
      throw cannot("chain", path, error);
    }
  }
  return others.length;
}
