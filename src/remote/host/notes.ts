/**
 * Small files in ~/.cache/blocksync that spare the next run something. They are believed only where nobody else can have
 * written them, and one that cannot be written is only missed. A home that is not there is not made, and in one of somebody
 * else (sudo -E, su without -) nothing is.
 */
import fs from "node:fs";
import { bytesOf } from "../../name.ts";
import { dirname, join } from "../../paths.ts";
import { isPrivate } from "./ownership.ts";

/** Longer ones are none. */
const MAX_SIZE = 1 << 20;

/** Where the note of that name is; undefined where there is no home of our own to keep it in. */
export function notePath(home: string | undefined, name: string): string | undefined {
  if (home?.startsWith("/") !== true) return undefined;
  try {
    if (fs.statSync(bytesOf(home)).uid !== process.geteuid?.()) return undefined;
  } catch {
    return undefined;
  }
  return join(home, ".cache", "blocksync", name);
}

/** What a note says; undefined when there is none that can be believed. */
export function readNote(path: string): string | undefined {
  try {
    if (!isPrivate(fs.lstatSync(bytesOf(dirname(path))))) return undefined;
    const fd = fs.openSync(bytesOf(path), fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK);
    try {
      const stat = fs.fstatSync(fd);
      if (!stat.isFile() || !isPrivate(stat) || stat.size > MAX_SIZE) return undefined;
      return fs.readFileSync(fd, "utf8");
    } finally {
      fs.closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

export function writeNote(path: string, text: string): void {
  const directory = dirname(path);
  try {
    fs.mkdirSync(bytesOf(directory), { recursive: true, mode: 0o700 });
    if (!isPrivate(fs.lstatSync(bytesOf(directory)))) return;
    const part = `${path}.${process.pid}`;
    try {
      fs.writeFileSync(bytesOf(part), text, { mode: 0o600, flag: "wx" });
      fs.renameSync(bytesOf(part), bytesOf(path));
    } finally {
      fs.rmSync(bytesOf(part), { force: true });
    }
  } catch {
    // The next run goes without it.
  }
}
