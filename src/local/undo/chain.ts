/**
 * A folder of undo files, one a run: the newest has the destination as its backing file, each older one the next newer, by a name in
 * the folder alone, so that it may move. The oldest is nobody's, and can be deleted.
 */
import fs from "node:fs";
import { cannot } from "../../errors.ts";
import { bytesOf } from "../../name.ts";
import { basename, dirname, entryNames, join } from "../../paths.ts";
import { Descriptor } from "../medium/descriptor.ts";
import { decodeHead, encodeRebased, HEAD_LENGTH, type Head } from "./qcow2.ts";

const { O_NOFOLLOW, O_RDONLY, O_RDWR } = fs.constants;

/** What an undo file at `path` says of itself; undefined for anything else: a link, one of several names, what cannot be read. */
export function headAt(path: string): Head | undefined {
  let fd: number;
  try {
    // Some devices act on being opened.
    if (!fs.lstatSync(bytesOf(path)).isFile()) return undefined;
    fd = fs.openSync(bytesOf(path), O_RDONLY | O_NOFOLLOW);
  } catch {
    return undefined;
  }
  try {
    const stat = fs.fstatSync(fd);
    if (!stat.isFile() || stat.nlink !== 1) return undefined;
    const bytes = Buffer.alloc(HEAD_LENGTH);
    return fs.readSync(fd, bytes, 0, HEAD_LENGTH, 0) === HEAD_LENGTH ? decodeHead(bytes) : undefined;
  } catch {
    return undefined;
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * Has all others in the folder of the undo file `newest` that show `backing`, the destination, go on with that file, which holds nothing
 * yet; durable, and to be done before anything is overwritten. `onFirst` is called before the first of them is. Returns how many
 * there were. @throws {IoError} when one cannot be written to, which would be spoiled.
 */
export async function rebaseOthers(newest: string, backing: string, onFirst: () => void): Promise<number> {
  const [folder, name] = [dirname(newest), basename(newest)];
  let count = 0;
  for (const other of entryNames(folder)) {
    const path = join(folder, other);
    const head = other === name ? undefined : headAt(path);
    if (head?.backing !== backing) continue;
    if (count === 0) onFirst();
    count++;
    try {
      const file = await Descriptor.open(path, O_RDWR | O_NOFOLLOW);
      try {
        const bytes = encodeRebased(head, name);
        if ((await file.write(bytes, 0, 0)) !== bytes.length) throw new Error("the kernel took less than a sector");
        await file.flushData();
      } finally {
        await file.close();
      }
    } catch (error) {
      throw cannot("chain", path, error);
    }
  }
  return count;
}
