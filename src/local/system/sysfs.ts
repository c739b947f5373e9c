/**
 * The block devices of this machine as sysfs tells them (Documentation/ABI/stable/sysfs-block of the kernel). Devices are
 * named by number, "MAJOR:MINOR". Everything here is a look that may find nothing: sysfs may be absent, or change
 * between two looks.
 */
import fs from "node:fs";
import { bytesOf, nameOf } from "../../name.ts";
import { basename, entryNames, join, realPath } from "../../paths.ts";

/** "MAJOR:MINOR" of a device number, as sysfs writes it (gnu_dev_major(3)). */
export function deviceNumber(rdev: bigint): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

/** The text of a file, as name.ts has it; undefined when it cannot be read. */
function readText(path: string): string | undefined {
  try {
    return nameOf(fs.readFileSync(bytesOf(path)));
  } catch {
    return undefined;
  }
}

/** The text of a file, trimmed; undefined when it cannot be read. */
export function readLine(path: string): string | undefined {
  return readText(path)?.trim();
}

/** What a folder holds; nothing when it cannot be read. */
export function namesIn(path: string): string[] {
  try {
    return entryNames(path);
  } catch {
    return [];
  }
}

function realFolder(path: string): string | undefined {
  try {
    return realPath(path);
  } catch {
    return undefined;
  }
}

/** What stat says of `path`; undefined when it says nothing. */
export function look(path: string): fs.BigIntStats | undefined {
  try {
    return fs.statSync(bytesOf(path), { bigint: true });
  } catch {
    return undefined;
  }
}

/** sysfs counts in these whatever the device's own sectors are (Documentation/ABI/stable/sysfs-block). */
const SECTOR = 512;

function known(values: readonly (string | undefined)[]): string[] {
  return values.filter((value) => value !== undefined);
}

/** Where sysfs has a device: under its number, or, since podman and buildah hide /sys/dev, where it lists all. */
function folderOf(number: string): string {
  const folder = `/sys/dev/block/${number}`;
  if (fs.existsSync(bytesOf(folder))) return folder;
  const name = namesIn("/sys/class/block").find((one) => readLine(`/sys/class/block/${one}/dev`) === number);
  return name === undefined ? folder : `/sys/class/block/${name}`;
}

/** One block device in sysfs. */
export class SysDevice {
  readonly number: string;
  readonly #folder: string;

  constructor(number: string) {
    this.number = number;
    this.#folder = folderOf(number);
  }

  /** The content of one of its files. */
  line(name: string): string | undefined {
    return readLine(join(this.#folder, name));
  }

  /** Where the kernel keeps it: the folder's real path. */
  get folder(): string | undefined {
    return realFolder(this.#folder);
  }

  /** Whether sysfs tells of it at all: it does of every block device, where it is mounted. */
  get isSeen(): boolean {
    return this.folder !== undefined;
  }

  /** As the kernel calls it below /dev: "sdb1", "nvme0n1", "dm-0". */
  get kernelName(): string {
    return this.uevent("DEVNAME") ?? basename(this.folder ?? this.number);
  }

  /** As people call it: the mapped name of a device mapper's device, else the kernel's. */
  get name(): string {
    return this.line("dm/name") ?? this.kernelName;
  }

  /** A line KEY=VALUE of its uevent file. */
  uevent(key: string): string | undefined {
    const lines = this.line("uevent")?.split("\n") ?? [];
    return lines.find((line) => line.startsWith(`${key}=`))?.slice(key.length + 1);
  }

  get isPartition(): boolean {
    return this.line("partition") !== undefined;
  }

  /** Number of the disk that this is a partition of. */
  get disk(): string | undefined {
    // The folder is a link into the device tree, where a partition stands in its disk's folder.
    return this.isPartition && this.folder !== undefined ? readLine(join(this.folder, "../dev")) : undefined;
  }

  /** Numbers of its partitions, in the order of their numbers on the disk. */
  get partitions(): string[] {
    const folders = namesIn(this.#folder)
      .map((name) => join(this.#folder, name))
      .map((folder) => ({ folder, position: readLine(join(folder, "partition")) }))
      .filter(({ position }) => position !== undefined);
    folders.sort((a, b) => Number(a.position) - Number(b.position));
    return known(folders.map(({ folder }) => readLine(join(folder, "dev"))));
  }

  /** Numbers of what it is made of: the members of a mapped or RAID device. */
  get members(): string[] {
    return this.#numbersIn("slaves");
  }

  /** Numbers of what is made of it and holds it: mapped and RAID devices, caches; loop devices over it are not told here. */
  get holders(): string[] {
    return this.#numbersIn("holders");
  }

  #numbersIn(folder: string): string[] {
    return known(namesIn(join(this.#folder, folder)).map((name) => this.line(`${folder}/${name}/dev`)));
  }

  /** Of its logical sectors; 0 where sysfs does not tell (Documentation/ABI/stable/sysfs-block). */
  get sectorBytes(): number {
    const bytes = Number(this.line(this.isPartition ? "../queue/logical_block_size" : "queue/logical_block_size") ?? 0);
    return Number.isInteger(bytes) && bytes > 0 && bytes < 2 ** 32 ? bytes : 0;
  }

  /** What BLKGETDISKSEQ tells of the disk that has this number now; a partition has its disk's. */
  get sequence(): bigint | undefined {
    const text = this.line(this.isPartition ? "../diskseq" : "diskseq");
    return text === undefined ? undefined : BigInt(text);
  }

  /** First byte and byte after the last of a partition in its disk. */
  get place(): { readonly start: number; readonly end: number } {
    const [start = 0, size = 0] = ["start", "size"].map((name) => Number(this.line(name) ?? 0) * SECTOR);
    return { start, end: start + size };
  }

  /** It has the bytes of each of its members, as one of several ways to a disk (device mapper's "multipath"). */
  get isAlias(): boolean {
    return this.line("dm/uuid")?.startsWith("mpath-") === true;
  }

  /** The path that a loop device was attached to, as the kernel sees it now; undefined for one that is not attached. */
  get backingPath(): string | undefined {
    // Blanks at its end are the name's.
    return readText(join(this.#folder, "loop/backing_file"))?.replace(/\n$/, "");
  }

  /** What sysfs says of the part that a loop device shows of what it lies over; see LoopStatus. */
  get backingPart(): { readonly offset: number; readonly sizeLimit: number } {
    return { offset: Number(this.line("loop/offset") ?? 0), sizeLimit: Number(this.line("loop/sizelimit") ?? 0) };
  }

  /** The thread that serves it and has it open for that (pid_show() in drivers/block/nbd.c); undefined for others' devices. */
  get server(): string | undefined {
    return this.line("pid");
  }

  /** The path of the device that a compressed one in memory puts away to what it does not compress (zram). */
  get storePath(): string | undefined {
    const path = this.line("backing_dev");
    return path === undefined || path === "none" ? undefined : path;
  }

  /** The path below /dev of its node, where that is its node on this machine. */
  get node(): string | undefined {
    const path = `/dev/${this.kernelName}`;
    const stat = look(path);
    return stat?.isBlockDevice() === true && deviceNumber(stat.rdev) === this.number ? path : undefined;
  }
}

/** All block devices whose name begins so, or those of them alone whose folder has an entry `having`. */
export function devicesNamed(beginning: string, having = ""): SysDevice[] {
  const numbers = namesIn("/sys/block")
    .filter((name) => name.startsWith(beginning))
    .filter((name) => fs.existsSync(bytesOf(`/sys/block/${name}/${having}`)))
    .map((name) => readLine(`/sys/block/${name}/dev`));
  return known(numbers).map((number) => new SysDevice(number));
}
