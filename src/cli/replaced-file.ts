/** A file of this machine that a run reads at most at its start and replaces as a whole at its end. */

import fs from "node:fs";
import { IoError, reason, systemCode, UsageError } from "../errors.ts";
import { bytesOf, quote } from "../name.ts";
import { basename, dirname, join, linkText, realPath } from "../paths.ts";
import type { Location } from "./location.ts";

/** A path of this machine that has another part in the run, and what that is: "the source or the destination". */
export type Taken = readonly [path: string, role: string];

/** What of the two sides is on this machine. */
export function endsHere(...sides: readonly Location[]): Taken[] {
  return sides.flatMap(({ remote, path }) => (remote === undefined ? [[path, "the source or the destination"]] : []));
}

/** The file of --output, where there is one. */
export function messagesHere(outputFile: string | undefined): Taken[] {
  return outputFile === undefined ? [] : [[outputFile, "the file of --output"]];
}

/** What a link in `folder` says. */
function linked(folder: string, text: string): string {
  return text.startsWith("/") ? text : join(folder, text);
}

/** What a path leads to or would create, with all links followed. */
function targetOf(path: string): string {
  try {
    return realPath(path);
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
  }
  const folder = realPath(dirname(path));
  const dangles = fs.lstatSync(bytesOf(path), { throwIfNoEntry: false })?.isSymbolicLink() === true;
  return dangles ? targetOf(linked(folder, linkText(path))) : join(folder, basename(path));
}

/** Bytes that are written together; a call for each of a million lines would take longer than all the rest. */
const WRITE_LENGTH = 1 << 16;

function* together(pieces: Iterable<string>): Generator<string> {
  let text = "";
  for (const piece of pieces) {
    text += piece;
    if (text.length < WRITE_LENGTH) continue;
    yield text;
    text = "";
  }
  yield text;
}

/** Nothing stays of what could not be written as a whole. */
function writeNew(path: string, pieces: Iterable<string>, mode: number | undefined): void {
  const file = fs.openSync(bytesOf(path), "wx");
  try {
    if (mode !== undefined) fs.fchmodSync(file, mode & 0o777);
    for (const text of together(pieces)) fs.writeFileSync(file, text);
    fs.fsyncSync(file);
  } catch (error) {
    fs.rmSync(bytesOf(path), { force: true });
    throw error;
  } finally {
    fs.closeSync(file);
  }
}

/** A folder that cannot be read, or a file system that knows no such thing, is no reason to fail. */
function flushFolder(path: string): void {
  try {
    const folder = fs.openSync(bytesOf(path), "r");
    try {
      fs.fsyncSync(folder);
    } finally {
      fs.closeSync(folder);
    }
  } catch {
    // As said.
  }
}

/** @throws {UsageError} when the file `name`, which `what` calls, has another part in the run. */
export function checkFree(name: string, what: string, taken: readonly Taken[]): void {
  if (fs.existsSync(bytesOf(dirname(name)))) refuseTaken(targetOf(name), `${what} ${quote(name)}`, taken);
}

function refuseTaken(path: string, called: string, taken: readonly Taken[]): void {
  const clash = taken.find(([other]) => fs.existsSync(bytesOf(dirname(other))) && targetOf(other) === path);
  if (clash !== undefined) throw new UsageError(`The ${called} is ${clash[1]} itself`, { hint: "name another file" });
}

/** What `work` does with a file; what the system says against it names the file. @throws {IoError} */
function using<T>(called: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    throw new IoError(`Cannot use the ${called}: ${reason(error)}`, { cause: error });
  }
}

export class ReplacedFile {
  readonly #path: string;
  readonly #called: string;

  private constructor(path: string, called: string) {
    this.#path = path;
    this.#called = called;
  }

  /**
   * Makes sure, before anything is copied, that a file can be written in the place of `name`; `what` calls it in messages.
   * @throws {UsageError} for what is no regular file, or taken; {IoError}.
   */
  static open(name: string, what: string, taken: readonly Taken[]): ReplacedFile {
    const called = `${what} ${quote(name)}`;
    return using(called, () => {
      const path = targetOf(name);
      refuseTaken(path, called, taken);
      fs.accessSync(bytesOf(dirname(path)), fs.constants.W_OK | fs.constants.X_OK);
      const stat = fs.statSync(bytesOf(path), { throwIfNoEntry: false });
      if (stat?.isFile() === false) throw new UsageError(`The ${called} is no regular file`);
      return new ReplacedFile(path, called);
    });
  }

  /** What is there now, "" for nothing. @throws {UsageError} for more than `most` bytes; {IoError}. */
  read(most: number): string {
    return using(this.#called, () => {
      const size = fs.statSync(bytesOf(this.#path), { throwIfNoEntry: false })?.size ?? 0;
      if (size > most) throw new UsageError(`The ${this.#called} has ${size} bytes, too many`);
      return size === 0 ? "" : fs.readFileSync(bytesOf(this.#path), "utf8");
    });
  }

  /**
   * Puts the text in its place, with the old file's mode: after a crash it is the old one or the new one (rename(2),
   * fsync(2)). What cannot be put there, such as in the place of another user's file in /tmp, stays beside it.
   * @throws {IoError}
   */
  replace(pieces: Iterable<string>): void {
    const temporary = `${this.#path}.${process.pid}.part`;
    const failure = (error: unknown, hint?: string) =>
      new IoError(`Cannot write the ${this.#called}: ${reason(error)}`, { cause: error, hint });
    try {
      writeNew(temporary, pieces, fs.statSync(bytesOf(this.#path), { throwIfNoEntry: false })?.mode);
    } catch (error) {
      throw failure(error);
    }
    try {
      fs.renameSync(bytesOf(temporary), bytesOf(this.#path));
    } catch (error) {
      throw failure(error, `it is complete in ${quote(temporary)}: move it by hand`);
    }
    flushFolder(dirname(this.#path));
  }
}
