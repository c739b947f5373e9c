/** A file of this machine that a run reads at most at its start and replaces as a whole at its end. */
import fs from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { IoError, reason, systemCode, UsageError } from "../errors.ts";
import type { Location } from "./location.ts";

/** A path of this machine that has another part in the run, and what that is: "the source or the destination". */
export type Taken = readonly [path: string, role: string];

/** What of the two sides is on this machine. */
export function endsHere(...sides: readonly Location[]): Taken[] {
  return sides.flatMap(({ remote, path }) => (remote === undefined ? [[path, "the source or the destination"]] : []));
}

/** What a path leads to or would create, with all links followed. */
function realPath(path: string): string {
  try {
    return fs.realpathSync(path);
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
  }
  const folder = fs.realpathSync(dirname(path));
  const dangles = fs.lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  return dangles ? realPath(resolve(folder, fs.readlinkSync(path))) : join(folder, basename(path));
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
    const called = `${what} ${JSON.stringify(name)}`;
    try {
      const path = realPath(name);
      for (const [other, role] of taken) {
        if (fs.existsSync(dirname(other)) && realPath(other) === path)
          throw new UsageError(`The ${called} is ${role} itself`);
      }
      fs.accessSync(dirname(path), fs.constants.W_OK | fs.constants.X_OK);
      const stat = fs.statSync(path, { throwIfNoEntry: false });
      if (stat?.isFile() === false) throw new UsageError(`The ${called} is no regular file`);
      return new ReplacedFile(path, called);
    } catch (error) {
      if (systemCode(error) === undefined) throw error;
      throw new IoError(`Cannot use the ${called}: ${reason(error)}`, { cause: error });
    }
  }

  /** What is there now, "" for nothing. @throws {UsageError} for more than `most` bytes; {IoError}. */
  read(most: number): string {
    try {
      const size = fs.statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0;
      if (size > most) throw new UsageError(`The ${this.#called} has ${size} bytes, too many`);
      return size === 0 ? "" : fs.readFileSync(this.#path, "utf8");
    } catch (error) {
      if (systemCode(error) === undefined) throw error;
      throw new IoError(`Cannot use the ${this.#called}: ${reason(error)}`, { cause: error });
    }
  }

  /** Puts the text in its place: after a crash it is the old one or the new one (rename(2), fsync(2)). @throws {IoError} */
  replace(pieces: Iterable<string>): void {
    const temporary = `${this.#path}.${process.pid}.part`;
    try {
      const file = fs.openSync(temporary, "wx");
      try {
        for (const text of together(pieces)) fs.writeFileSync(file, text);
        fs.fsyncSync(file);
      } finally {
        fs.closeSync(file);
      }
      fs.renameSync(temporary, this.#path);
      const folder = fs.openSync(dirname(this.#path), "r");
      fs.fsyncSync(folder);
      fs.closeSync(folder);
    } catch (error) {
      fs.rmSync(temporary, { force: true });
      throw new IoError(`Cannot write the ${this.#called}: ${reason(error)}`, { cause: error });
    }
  }
}
