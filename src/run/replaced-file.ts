/** A file of this machine that a run reads at most at its start and replaces as a whole. */

import fs from "node:fs";
import { Failure, IoError, reason, remedy, UsageError } from "../errors.ts";
import { bytesOf, quote } from "../name.ts";
import { dirname } from "../paths.ts";
import { readText } from "./read-text.ts";
import { checkFree, type Taken, targetOf, using } from "./taken.ts";

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

async function writeNewMeanwhile(path: string, pieces: Iterable<string>, mode: number | undefined): Promise<void> {
  const file = await fs.promises.open(bytesOf(path), "wx");
  try {
    if (mode !== undefined) await file.chmod(mode & 0o777);
    for (const text of together(pieces)) await file.writeFile(text);
    await file.sync();
  } catch (error) {
    fs.rmSync(bytesOf(path), { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

async function writeNewBy(
  path: string,
  fill: (file: number) => Promise<void>,
  mode: number | undefined,
): Promise<void> {
  const file = fs.openSync(bytesOf(path), "wx");
  try {
    if (mode !== undefined) fs.fchmodSync(file, mode & 0o777);
    await fill(file);
    await new Promise<void>((resolve, reject) => {
      fs.fsync(file, (error) => (error === null ? resolve() : reject(error)));
    });
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

export class ReplacedFile {
  readonly #path: string;
  readonly #called: string;

  private constructor(path: string, called: string) {
    this.#path = path;
    this.#called = called;
  }

  /**
   * Makes sure, before anything is copied, that a file can be written in the place of `name`; `what` calls it in messages.
   * @throws {UsageError} for what is not a regular file, or taken; {IoError}.
   */
  static open(name: string, what: string, taken: readonly Taken[]): ReplacedFile {
    const called = `${what} ${quote(name)}`;
    return using(called, () => {
      const path = targetOf(name);
      checkFree(name, called, taken);
      fs.accessSync(bytesOf(dirname(path)), fs.constants.W_OK | fs.constants.X_OK);
      const stat = fs.statSync(bytesOf(path), { throwIfNoEntry: false });
      if (stat?.isFile() === false) throw new UsageError(`The ${called} is not a regular file`);
      return new ReplacedFile(path, called);
    });
  }

  /** What is there now, "" for nothing. @throws {UsageError} for more than `most` bytes; {IoError}. */
  read(most: number): string {
    return fs.existsSync(bytesOf(this.#path)) ? readText(this.#path, this.#called, most) : "";
  }

  /**
   * Puts the text in its place, with the old file's mode: after a crash it is the old one or the new one (rename(2),
   * fsync(2)). What cannot be put there, such as in the place of another user's file in /tmp, stays beside it.
   * @throws {IoError}
   */
  replace(pieces: Iterable<string>): void {
    const temporary = this.#temporary;
    try {
      writeNew(temporary, pieces, this.#mode);
    } catch (error) {
      throw this.#failure(error);
    }
    this.#rename(temporary);
  }

  /** As replace(), without holding up what else goes on. @throws {IoError} */
  async replaceMeanwhile(pieces: Iterable<string>): Promise<void> {
    const temporary = this.#temporary;
    try {
      await writeNewMeanwhile(temporary, pieces, this.#mode);
    } catch (error) {
      throw this.#failure(error);
    }
    this.#rename(temporary);
  }

  /**
   * As replace(), by `fill`, which writes to the descriptor it is given; what it throws, but for errors of the system, is thrown.
   * @throws {IoError}
   */
  async replaceBy(fill: (file: number) => Promise<void>): Promise<void> {
    const temporary = this.#temporary;
    try {
      await writeNewBy(temporary, fill, this.#mode);
    } catch (error) {
      throw error instanceof Failure ? error : this.#failure(error);
    }
    this.#rename(temporary);
  }

  /** The first bytes of what is there now, none for nothing. @throws {IoError} */
  beginning(length: number): Uint8Array {
    return using(this.#called, () => {
      if (!fs.existsSync(bytesOf(this.#path))) return new Uint8Array();
      const file = fs.openSync(bytesOf(this.#path), "r");
      try {
        const bytes = Buffer.alloc(length);
        return bytes.subarray(0, fs.readSync(file, bytes, 0, length, 0));
      } finally {
        fs.closeSync(file);
      }
    });
  }

  get #temporary(): string {
    return `${this.#path}.${process.pid}.part`;
  }

  /** Of the old file, undefined where there is none. */
  get #mode(): number | undefined {
    return fs.statSync(bytesOf(this.#path), { throwIfNoEntry: false })?.mode;
  }

  #failure(error: unknown, hint = remedy(error)): IoError {
    return new IoError(`Cannot write the ${this.#called}: ${reason(error)}`, { cause: error, hint });
  }

  #rename(temporary: string): void {
    try {
      fs.renameSync(bytesOf(temporary), bytesOf(this.#path));
    } catch (error) {
      throw this.#failure(error, `it is complete in ${quote(temporary)}: move it by hand`);
    }
    flushFolder(dirname(this.#path));
  }
}
