/** Who else has a file or device open: programs that lock nothing and that no mount names. */
import fs from "node:fs";
import { setTimeout } from "node:timers/promises";
import { systemCode } from "../../errors.ts";
import { bytesOf } from "../../name.ts";
import { linkText } from "../../paths.ts";
import { isOpenElsewhere } from "../kernel/libc.ts";
import {
  deviceNumber,
  identityOf,
  lineage,
  look,
  type Node,
  namesIn,
  type Picture,
  readLine,
  SysDevice,
  withOpen,
} from "../system/picture.ts";
import { isAmongDevices } from "./guard.ts";
import { isLocked } from "./lock.ts";
import { describe, type Use } from "./uses.ts";

/** The bits of the flags that say how (asm-generic/fcntl.h, O_ACCMODE). */
const ACCESS_MODE = 3;
/** What a program that ends takes to be gone. */
const WAIT_MS = 1000;
const POLL_MS = 50;

interface Opener {
  readonly pid: number;
  /** "squashfuse (process 4711)" */
  readonly name: string;
  readonly writes: boolean;
  /** It serves a file system. */
  readonly isFuse: boolean;
}

function linkOf(path: string): string {
  try {
    return linkText(path);
  } catch {
    return "";
  }
}

/** The flags (open(2)) of a descriptor of a process in `folder`, where it leads to what is meant; else undefined. */
type Flags = (folder: string, fd: string) => number | undefined;

function flagsIn(info: string): number {
  return Number.parseInt(/^flags:\s*([0-7]+)$/m.exec(info)?.[1] ?? "0", 8);
}

/** By inode first (proc(5), "fdinfo"): stat() would wait for every file system that does not answer any more. */
function ofFile(file: fs.BigIntStats): Flags {
  const [identity, inode] = [identityOf(file), String(file.ino)];
  return (folder, fd) => {
    const info = readLine(`${folder}/fdinfo/${fd}`) ?? "";
    if (/^ino:\s*(\d+)$/m.exec(info)?.[1] !== inode) return undefined;
    const stat = look(`${folder}/fd/${fd}`);
    return stat !== undefined && identityOf(stat) === identity ? flagsIn(info) : undefined;
  };
}

/** Devices by number; by name first, for the same reason. */
function ofDevices(numbers: readonly string[]): Flags {
  return (folder, fd) => {
    if (!isAmongDevices(linkOf(`${folder}/fd/${fd}`))) return undefined;
    const stat = look(`${folder}/fd/${fd}`);
    const isMeant = stat?.isBlockDevice() === true && numbers.includes(deviceNumber(stat.rdev));
    return isMeant ? flagsIn(readLine(`${folder}/fdinfo/${fd}`) ?? "") : undefined;
  };
}

/** The programs that have it open, as far as they may be looked at. */
function openersOf(flagsOf: Flags): Opener[] {
  const pids = namesIn("/proc").filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => {
    const folder = `/proc/${pid}`;
    const open = namesIn(`${folder}/fd`);
    const flags = open.map((fd) => flagsOf(folder, fd)).filter((one) => one !== undefined);
    if (flags.length === 0) return [];
    const isFuse = open.some((fd) => linkOf(`${folder}/fd/${fd}`) === "/dev/fuse");
    const name = `${readLine(`${folder}/comm`) ?? "a program"} (process ${pid})`;
    return [
      { pid: Number(pid), name, writes: flags.some((one) => (one & ACCESS_MODE) !== fs.constants.O_RDONLY), isFuse },
    ];
  });
}

function serving({ name }: Opener, what: string): Use {
  const hint = "find its mount point (findmnt --types fuse) and unmount it first (fusermount -u, umount)";
  return { name: "mounted", sentence: `${name} has ${what} open and serves a file system`, hint };
}

function writing(name: string, what: string): Use {
  return {
    name: "in-use",
    sentence: `${name} has ${what} open for writing`,
    hint: "stop that program first, then run again",
  };
}

/**
 * Why not to write to the file at `path` when nothing else speaks against it: a program serves a file system from it or
 * has it open for writing, as virtual machines without locks do, possibly in another mount namespace. What the parents
 * of this run have open does not count, such as a script's temporary file: they know of it.
 */
export async function useByOpening(path: string, file: fs.BigIntStats): Promise<Use | undefined> {
  const isOpen = (forWriting: boolean) =>
    withOpen(path, (fd) => isOpenElsewhere(fd, { forWriting }), fs.constants.O_RDONLY) === true;
  if (!isOpen(false)) return undefined;
  // Whoever locks it says more by that, and it is refused for that.
  if (withOpen(path, isLocked, fs.constants.O_RDONLY) === true) return undefined;
  const fuse = openersOf(ofFile(file)).find(({ isFuse }) => isFuse);
  if (fuse !== undefined) return serving(fuse, "it");
  const own = new Set(lineage(process.pid));
  const deadline = performance.now() + WAIT_MS;
  while (isOpen(true)) {
    const writers = openersOf(ofFile(file)).filter(({ writes }) => writes);
    const other = writers.find(({ pid }) => !own.has(pid));
    if (writers.length > 0 && other === undefined) return undefined;
    if (performance.now() > deadline)
      return writing(other?.name ?? "another program, or a device of another system,", "it");
    await setTimeout(POLL_MS);
  }
  return undefined;
}

/**
 * The same for devices, on which the kernel grants no leases: a program has a device open that shares bytes with `node`.
 * A program that locks it is left to the refusal for that, and the one that serves it, as nbd-client does, does not
 * count as another user.
 */
export async function useOfDevices(picture: Picture, node: Node): Promise<Use | undefined> {
  const devices = picture.relatives(node).flatMap((relative) => {
    return relative.node.kind === "device" ? [{ relative, number: relative.node.number }] : [];
  });
  if (devices.length === 0) return undefined;
  const own = new Set(lineage(process.pid));
  const servers = devices.map(({ number }) => new SysDevice(number).server).filter((one) => one !== undefined);
  const serves = (pid: number) => servers.some((thread) => namesIn(`/proc/${pid}/task`).includes(thread));
  const others = (numbers: readonly string[]) =>
    openersOf(ofDevices(numbers)).filter(
      ({ pid, writes, isFuse }) => (writes || isFuse) && !own.has(pid) && !serves(pid),
    );
  const deadline = performance.now() + WAIT_MS;
  for (;;) {
    const [first] = others(devices.map(({ number }) => number));
    if (first === undefined) return undefined;
    const found = devices.find(({ number }) => others([number]).some(({ pid }) => pid === first.pid));
    const path = new SysDevice(found?.number ?? "").node;
    if (path !== undefined && withOpen(path, isLocked, fs.constants.O_RDONLY) === true) return undefined;
    const what = found === undefined ? "it" : describe(picture, found.relative);
    if (first.isFuse) return serving(first, what);
    if (performance.now() > deadline) return writing(first.name, what);
    await setTimeout(POLL_MS);
  }
}

/** Whether the kernel refuses to claim a device (O_EXCL, open(2)), which a mount in any namespace or another claim is reason for. */
function isClaimed(path: string): boolean {
  try {
    fs.closeSync(fs.openSync(bytesOf(path), fs.constants.O_RDONLY | fs.constants.O_EXCL));
    return false;
  } catch (error) {
    return systemCode(error) === "EBUSY";
  }
}

/**
 * Why not to write to a device, or to a file with devices on top, that nobody visible here uses: one of those devices
 * may be in use where this process cannot see it. The kernel claims a partitioned device together with any of its
 * partitions, so the partitions speak for it.
 */
export function useOutOfSight(picture: Picture, node: Node): Use | undefined {
  for (const relative of picture.relatives(node)) {
    if (relative.node.kind === "file" || relative.relation === "itself" || relative.relation === "disk") continue;
    const { node: path, partitions } = new SysDevice(relative.node.number);
    if (path === undefined || partitions.length > 0 || !isClaimed(path)) continue;
    const sentence = `${describe(picture, relative)} is mounted or in use`;
    return {
      name: "in-use",
      sentence,
      hint: "stop whatever uses it, perhaps a container: lsns --type mnt lists them",
    };
  }
  return undefined;
}
