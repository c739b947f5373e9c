/** What the kernel says is mounted and swapped to: /proc/self/mountinfo and /proc/swaps (proc(5)). */
import { bytesOf, nameOf } from "../../name.ts";
import { readLine } from "./sysfs.ts";

export interface Mount {
  /** As /proc/PID/fdinfo tells it of an open file. */
  readonly id: string;
  /** "MAJOR:MINOR" of the file system; with major 0 it is of no block device, and stat may tell another one (btrfs). */
  readonly number: string;
  /** What of the file system is seen at `point`: "/" for all of it, else a folder or file, which was bound there. */
  readonly root: string;
  readonly point: string;
  /** "ext4", "fuse.sshfs", … */
  readonly type: string;
  /** What was mounted, as whoever mounted it called it: a path, also one of elsewhere or relative, or any other words. */
  readonly source: string;
  /** Of the file system, as "lowerdir=/a:/b,upperdir=/c", and as the kernel writes it: see unescapeOctal(). */
  readonly options: string;
}

/** Blanks, tabs, line feeds and backslashes in these files are written in octal, and commas within options. */
export function unescapeOctal(text: string): string {
  if (!text.includes("\\")) return text;
  const plain = (_: string, digits: string) => String.fromCharCode(Number.parseInt(digits, 8));
  // Byte by byte: several of them may be one character.
  return nameOf(
    Buffer.from(
      bytesOf(text)
        .toString("latin1")
        .replace(/\\([0-3][0-7]{2})/g, plain),
      "latin1",
    ),
  );
}

/** Reads lines like "27 1 254:0 / /mnt rw,relatime shared:1 - ext4 /dev/vda rw", in the order of mounting. */
export function parseMounts(text: string): Mount[] {
  return text.split("\n").flatMap((line) => {
    const fields = line.split(" ");
    const [id, , number, root, point] = fields;
    const separator = fields.indexOf("-", 6);
    const [type, source, options = ""] = fields.slice(separator + 1);
    if (id === undefined || number === undefined || root === undefined || point === undefined) return [];
    if (separator === -1 || type === undefined || source === undefined) return [];
    const places = { root: unescapeOctal(root), point: unescapeOctal(point) };
    return [{ id, number, type, ...places, source: unescapeOctal(source), options }];
  });
}

export function mounts(): Mount[] {
  return parseMounts(readLine("/proc/self/mountinfo") ?? "");
}

/** Types of file systems that ask another machine; those of FUSE ask a program. */
const NETWORKED = new Set(["nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "ceph", "afs", "lustre", "autofs"]);

/** Mounts where a look at a file may wait for ever, for a server or program that does not answer; not "/", without which nothing goes on. */
export function farMounts(all: readonly Mount[]): Mount[] {
  return all.filter(({ point, type }) => point !== "/" && (NETWORKED.has(type) || type.startsWith("fuse")));
}

function holds({ point }: Mount, path: string): boolean {
  return path.startsWith(point) && ["/", undefined].includes(path[point.length]);
}

/** Number of the file system in one of `far`, of `all` mounts, that a path leads into; undefined where it does not. */
export function farNumber(path: string, far: readonly Mount[], all: readonly Mount[]): string | undefined {
  if (!far.some((mount) => holds(mount, path))) return undefined;
  const holding = all.filter((mount) => mount.point !== "/" && holds(mount, path));
  const longest = Math.max(...holding.map(({ point }) => point.length));
  const deepest = holding.findLast(({ point }) => point.length === longest);
  return deepest !== undefined && far.includes(deepest) ? deepest.number : undefined;
}

/** The id of the mount by which the file behind `fd` was opened (proc(5), "fdinfo"); undefined without /proc. */
export function mountIdOf(fd: number): string | undefined {
  return /^mnt_id:\s*(\d+)$/m.exec(readLine(`/proc/self/fdinfo/${fd}`) ?? "")?.[1];
}

/** The paths of active swap space from lines like "/dev/sda2   partition   1048572   0   -2" below a heading. */
export function parseSwaps(text: string): string[] {
  return text
    .split("\n")
    .slice(1)
    .map((line) => unescapeOctal(line.split(/[ \t]/, 1)[0] ?? ""))
    .filter((path) => path.startsWith("/"));
}

export function swaps(): string[] {
  return parseSwaps(readLine("/proc/swaps") ?? "");
}
