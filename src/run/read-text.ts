/** Files that options name and that are read as a whole: the one door to them, which no length and no kind of file gets past. */
import fs from "node:fs";
import { IoError, systemCode, UsageError } from "../errors.ts";
import { bytesOf } from "../name.ts";
import { using } from "./taken.ts";

/** Bytes of a read; what says that it has none, as files in /proc do, may have some. */
const READ_LENGTH = 1 << 20;
/** How long a pipe may be silent, and how often it is looked at meanwhile. */
const SILENCE_MS = 60_000;
const LOOK_MS = 10;

/**
 * The text of a regular file, or of a pipe that somebody writes to, such as `<(command)` of a shell; `called` names it in messages.
 * No more than `most` + 1 bytes are ever read of it.
 * @throws {UsageError} for any other kind, and for more than `most` bytes; {IoError}
 */
export function readText(path: string, called: string, most: number): string {
  return using(called, () => {
    // A pipe that nobody writes to, and some devices, would hold up the opening.
    const file = fs.openSync(bytesOf(path), fs.constants.O_RDONLY | fs.constants.O_NONBLOCK | fs.constants.O_NOCTTY);
    try {
      const stat = fs.fstatSync(file);
      if (!stat.isFile() && !stat.isFIFO()) throw new UsageError(`The ${called} is not a regular file`);
      return readAll(file, stat.isFile() ? stat.size : 0, called, most);
    } finally {
      fs.closeSync(file);
    }
  });
}

function readAll(file: number, size: number, called: string, most: number): string {
  const large = () => new UsageError(`The ${called} is too large: it has more than ${most} bytes`);
  if (size > most) throw large();
  const parts: Buffer[] = [];
  let length = 0;
  while (length <= most) {
    const part = Buffer.alloc(Math.min(READ_LENGTH, most + 1 - length));
    const count = readSome(file, part, called);
    if (count === 0) return Buffer.concat(parts).toString("utf8");
    parts.push(part.subarray(0, count));
    length += count;
  }
  throw large();
}

/** Waits for what comes through a pipe. */
function readSome(file: number, bytes: Buffer, called: string): number {
  for (let waitedMs = 0; waitedMs < SILENCE_MS; waitedMs += LOOK_MS) {
    try {
      return fs.readSync(file, bytes);
    } catch (error) {
      if (systemCode(error) !== "EAGAIN") throw error;
    }
    Bun.sleepSync(LOOK_MS);
  }
  throw new IoError(`Cannot use the ${called}: nothing came through the pipe for ${SILENCE_MS / 1000} s`);
}
