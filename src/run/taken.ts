/**
 * What of this machine has a part in a run: the two sides, and the files that the run writes besides. None of these may be
 * another of them, and none a device, under whatever name.
 */
import fs from "node:fs";
import { IoError, reason, remedy, systemCode, UsageError } from "../errors.ts";
import { comesAmongDevices } from "../local/guard/guard.ts";
import { writesInto } from "../local/guard/overlap.ts";
import { copyDescriptor } from "../local/kernel/libc.ts";
import { look } from "../local/system/picture.ts";
import { bytesOf, quote } from "../name.ts";
import { basename, dirname, join, linkText, realPath } from "../paths.ts";
import { isStandardInput, type Location } from "./location.ts";

/** A path of this machine that has a part in the run, and which: "the source". */
export type Taken = readonly [path: string, role: string];

/** The program that runs (proc_pid_exe(5)). */
const PROGRAM: Taken = ["/proc/self/exe", "this program"];

/** What the sides of a run are called that writes to the second. */
const SYNC = ["the source", "the destination"] as const;

/** The two sides, as far as they are on this machine. */
export function endsHere(source: Location, destination: Location, roles: readonly [string, string] = SYNC): Taken[] {
  const sides = [
    [source, roles[0]],
    [destination, roles[1]],
  ] as const;
  return sides.flatMap(([side, role]) => {
    if (side.remote !== undefined || side.tree?.web !== undefined) return [];
    return [[isStandardInput(side) ? "/proc/self/fd/0" : side.path, role] as const];
  });
}

/** The files that options name, without what is left out. */
export function filesOf(files: Readonly<Record<string, string | undefined>>): Taken[] {
  return Object.entries(files).flatMap(([role, path]) => (path === undefined ? [] : [[path, role] as const]));
}

/** What a link in `folder` says. */
function linked(folder: string, text: string): string {
  return text.startsWith("/") ? text : join(folder, text);
}

/** What a path leads to or would create, with all links followed. @throws {Error} of the system. */
export function targetOf(path: string): string {
  try {
    return realPath(path);
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
  }
  const folder = realPath(dirname(path));
  const dangles = fs.lstatSync(bytesOf(path), { throwIfNoEntry: false })?.isSymbolicLink() === true;
  return dangles ? targetOf(linked(folder, linkText(path))) : join(folder, basename(path));
}

/** undefined where it cannot be found out, so that opening it will fail as well. */
function likelyTarget(path: string): string | undefined {
  try {
    return targetOf(path);
  } catch {
    return undefined;
  }
}

/**
 * @throws {UsageError} when `path`, which `called` says in messages, has another part in the run, or would come into being
 *   among the devices: a mistyped name would fill the memory behind /dev.
 */
export function checkFree(path: string, called: string, taken: readonly Taken[]): void {
  const target = likelyTarget(path);
  if (target === undefined) return;
  const clash = [...taken, PROGRAM].find(([other]) => likelyTarget(other) === target || writesInto(path, other));
  if (clash !== undefined) throw new UsageError(`The ${called} is ${clash[1]} itself`, { hint: "name another file" });
  if (comesAmongDevices(target) && !fs.existsSync(bytesOf(target)))
    throw new UsageError(`The ${called} does not exist, and blocksync creates nothing under /dev`, {
      hint: "name a file in another directory",
    });
}

/** Major numbers of devices that show what is written to them (Documentation/admin-guide/devices.txt of the kernel). */
function isTerminal(rdev: bigint): boolean {
  const major = (rdev >> 8n) & 0xfffn;
  return major === 4n || major === 5n || (major >= 136n && major <= 143n);
}

/** /dev/null, 1:3. */
const NULL_DEVICE = 0x103n;

/**
 * Makes sure that messages can be appended to the file of --output without harm to anything else. It is not opened for that:
 * some devices act on it, as a tape rewinds.
 * @throws {UsageError} for a device that is no terminal, and what has another part in the run.
 */
export function checkMessages(path: string, taken: readonly Taken[]): void {
  const called = `file of --output ${quote(path)}`;
  checkFree(path, called, taken);
  // Where nothing can be known, opening it will fail as well.
  const stat = look(path);
  const device =
    stat?.isBlockDevice() === true ? "block" : stat?.isCharacterDevice() === true ? "character" : undefined;
  if (stat === undefined || device === undefined) return;
  if (device === "character" && (stat.rdev === NULL_DEVICE || isTerminal(stat.rdev))) return;
  throw new UsageError(`The ${called} is a ${device} device, and messages would overwrite it`, {
    hint: "name a file in another directory",
  });
}

const STREAMS = ["Standard input", "Standard output", "Standard error"] as const;

/**
 * Makes sure that no stream of this process is one of the two sides: `--json SOURCE DESTINATION >DESTINATION` would write
 * events over it; nor is a disk written to by way of a stream. A stream that is gets closed, so that not even this refusal
 * is written there. A side that is read may be standard input.
 * @throws {UsageError}
 */
export function checkStreams(taken: readonly Taken[], { json }: { readonly json: boolean }): void {
  const clashes = STREAMS.flatMap((stream, fd) => {
    const found = taken.find(([path, role]) => (fd > 0 || role === SYNC[1]) && leadsInto(fd, path));
    const disk = found === undefined && fd > 0 ? diskBehind(fd) : undefined;
    if (found !== undefined) return [{ stream, fd, is: `${found[1]}, ${quote(found[0])}, itself` }];
    return disk === undefined ? [] : [{ stream, fd, is: `the block device ${quote(disk)}` }];
  });
  const [first] = clashes;
  if (first === undefined) return;
  const stat = fs.fstatSync(first.fd);
  const isEmptied = first.fd > 0 && stat.isFile() && stat.size === 0;
  for (const { fd } of clashes) silence(fd, json);
  throw new UsageError(`${first.stream} is ${first.is}`, {
    hint: isEmptied
      ? "the shell has already truncated it (>), so check what is left; redirect to another file"
      : "redirect it elsewhere",
  });
}

/** Options whose value is a file that messages may go to. */
const MESSAGES = /^(?:-o|--output(?:=|$))/;

/**
 * Keeps messages off whatever might be a side of a run whose words could not be understood: what they name, and every disk.
 */
export function keepStreamsOff(words: readonly string[]): void {
  const names = words.filter((word, i) => !MESSAGES.test(word) && !MESSAGES.test(words[i - 1] ?? ""));
  for (const fd of [1, 2]) {
    if (diskBehind(fd) !== undefined || names.some((name) => leadsInto(fd, name)))
      silence(fd, words.includes("--json"));
  }
}

function leadsInto(fd: number, path: string): boolean {
  try {
    const stat = fs.fstatSync(fd);
    // Most are terminals and pipes.
    return (stat.isFile() || stat.isBlockDevice()) && writesInto(`/proc/self/fd/${fd}`, path);
  } catch {
    return false;
  }
}

/** The name of the block device that a stream leads to; undefined for anything else. */
function diskBehind(fd: number): string | undefined {
  try {
    return fs.fstatSync(fd).isBlockDevice() ? linkText(`/proc/self/fd/${fd}`) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Has what is written to `fd` go nowhere, or what is said on standard error to the terminal, or where there is none (cron) to
 * standard output, unless that is JSON.
 */
function silence(fd: number, json: boolean): void {
  fs.closeSync(fd);
  if (fd === 2 && (opens("/dev/tty") || (!json && isCopied(1, fd)))) return;
  opens("/dev/null");
}

/** Opens what is there as the lowest number that is free (open(2)); false where there is nothing, such as no terminal. */
function opens(place: string): boolean {
  try {
    fs.openSync(bytesOf(place), fs.constants.O_RDWR | fs.constants.O_NOCTTY);
    return true;
  } catch {
    return false;
  }
}

function isCopied(fd: number, to: number): boolean {
  try {
    return copyDescriptor(fd, to);
  } catch {
    // Where no C library can be called, which is what is going to be said.
    return false;
  }
}

/** What `work` does with a file; what the system says against it names the file. @throws {IoError} */
export function using<T>(called: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    const hint =
      systemCode(error) === "ENOENT" ? "create its directory first (mkdir -p), or correct the path" : remedy(error);
    throw new IoError(`Cannot use the ${called}: ${reason(error)}`, { cause: error, hint });
  }
}
