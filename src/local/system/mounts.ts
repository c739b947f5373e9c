/** What the kernel says is mounted and swapped to: /proc/self/mountinfo and /proc/swaps (proc(5)). */
import { bytesOf, nameOf } from "../../name.ts";
import { deviceNumber, look, readLine } from "./sysfs.ts";

export interface Mount {
  /** "MAJOR:MINOR" of the block device it is of; undefined where there is none (tmpfs, a network). */
  readonly device: string | undefined;
  /** As stat tells it of the files in it; for some file systems (btrfs, overlay) a number of no block device. */
  readonly number: string;
  readonly point: string;
}

/** Blanks, tabs, line feeds and backslashes in these files are written in octal. */
function unescapeOctal(text: string): string {
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

function blockNumber(path: string): string | undefined {
  const stat = path.startsWith("/") ? look(path) : undefined;
  return stat?.isBlockDevice() === true ? deviceNumber(stat.rdev) : undefined;
}

/**
 * Reads lines like "27 1 254:0 / /mnt rw,relatime shared:1 - ext4 /dev/vda rw", in the order of mounting. `numberOf` tells
 * the number of the block device at a path; file systems without one of their own (major 0) may still name one as source.
 */
export function parseMounts(text: string, numberOf: (path: string) => string | undefined): Mount[] {
  return text.split("\n").flatMap((line) => {
    const fields = line.split(" ");
    const [, , number, , point] = fields;
    const source = fields[fields.indexOf("-", 6) + 2];
    if (number === undefined || point === undefined || source === undefined) return [];
    const device = number.startsWith("0:") ? numberOf(unescapeOctal(source)) : number;
    return [{ device, number, point: unescapeOctal(point) }];
  });
}

export function mounts(): Mount[] {
  return parseMounts(readLine("/proc/self/mountinfo") ?? "", blockNumber);
}

/** The paths of active swap space from lines like "/dev/sda2   partition   1048572   0   -2" below a heading. */
export function parseSwaps(text: string): string[] {
  return text
    .split("\n")
    .slice(1)
    .map((line) => unescapeOctal(line.split(/\s/)[0] ?? ""))
    .filter((path) => path.startsWith("/"));
}

export function swaps(): string[] {
  return parseSwaps(readLine("/proc/swaps") ?? "");
}
