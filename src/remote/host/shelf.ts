/**
 * Where the programs for other targets lie on this machine: beside the running one, in $BLOCKSYNC_BINARIES, in
 * ~/.cache/blocksync, each under the name "blocksync-TARGET". One is used only if it says that it is for the target and of
 * this very build, which both ends must be, and if nobody else can have written it: it is going to be run as whoever logs
 * in, perhaps as root.
 */

import fs from "node:fs";
import { reason, systemCode, UnreachableError } from "../../errors.ts";
import { ownPath, variableGiven } from "../../given.ts";
import { bytesOf, quote } from "../../name.ts";
import { dirname, join } from "../../paths.ts";
import { isPrivate } from "./ownership.ts";
import { type Program, programIn } from "./program.ts";
import { MARK_WITHIN, programMark, type Target } from "./target.ts";

/** Magic, class, byte order and, at offset 18, the machine (elf(5)). */
const ELF_START = 20;

/** Why the file cannot be used as the program for `target`; undefined when it can, or when there is none. */
function flawOf(path: string, target: Target, build: string): string | undefined {
  const fd = fs.openSync(bytesOf(path), fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  try {
    const stat = fs.fstatSync(fd);
    if (!stat.isFile()) return "is not a regular file";
    // Also by putting another file in its place, between this look and the next.
    if (![stat, fs.statSync(bytesOf(dirname(path)))].every((one) => isPrivate(one, true)))
      return "could have been changed by another user";
    const start = Buffer.alloc(ELF_START);
    fs.readSync(fd, start, 0, ELF_START, 0);
    if (start.toString("latin1", 0, 4) !== "\x7fELF" || start.readUInt16LE(18) !== target.elfMachine)
      return `is not a program for ${target.machine}`;
    const tail = Buffer.alloc(Math.min(stat.size, MARK_WITHIN));
    const read = fs.readSync(fd, tail, 0, tail.length, stat.size - tail.length);
    if (!tail.subarray(0, read).includes(programMark(build, target.name), 0, "latin1"))
      return `is not for ${target.name}, or not of this build (${build})`;
    return undefined;
  } finally {
    fs.closeSync(fd);
  }
}

function directories(): string[] {
  const home = variableGiven("HOME") ?? "";
  return [
    dirname(ownPath()),
    variableGiven("BLOCKSYNC_BINARIES") ?? "",
    home === "" ? "" : join(home, ".cache", "blocksync"),
  ].filter((one) => one !== "");
}

/**
 * The program of this `build` for another target, for `host`.
 * @throws {UnreachableError} when there is none that can be used, with the file that is missing or why one is not used.
 */
export function programFor(target: Target, build: string, host: string): Program {
  const name = `blocksync-${target.name}`;
  const flaws: string[] = [];
  const places = directories();
  for (const directory of places) {
    const path = join(directory, name);
    try {
      const flaw = flawOf(path, target, build);
      if (flaw === undefined) return programIn(path, target, `program-${target.name}`);
      flaws.push(`${quote(path)} ${flaw}`);
    } catch (error) {
      if (systemCode(error) !== "ENOENT") flaws.push(`${quote(path)} cannot be read: ${reason(error)}`);
    }
  }
  const found = flaws.length === 0 ? ", which is not on this machine" : `: ${flaws.join("; ")}`;
  throw new UnreachableError(
    `Cannot start blocksync on ${quote(host)}: it is Linux ${target.machine} with ${target.libc} and needs ${name}${found}`,
    {
      hint: `put ${name} of build ${build} (make dist builds it) into ${places.map((one) => quote(one)).join(" or ")}; BLOCKSYNC_BINARIES names another directory`,
    },
  );
}
