/** The file of --mapfile on this machine. */
import fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { IoError, reason, systemCode, UsageError } from "../errors.ts";
import { formatMap, type MapArea, parseMap } from "../sync/mapfile.ts";
import { VERSION } from "../version.ts";

/** A map of a disk with a million bad areas has 50 MB. */
const MAX_BYTES = 256 << 20;

/** What a path leads to, links followed as far as there is something. */
function realPath(path: string): string {
  try {
    return fs.realpathSync(path);
  } catch {
    return join(fs.realpathSync(dirname(path)), basename(path));
  }
}

export class MapFile {
  readonly #path: string;
  readonly #name: string;
  /** What an earlier run found out; nothing when there was none. */
  readonly old: readonly MapArea[];

  private constructor(path: string, name: string, old: readonly MapArea[]) {
    this.#path = path;
    this.#name = name;
    this.old = old;
  }

  /**
   * Reads the map, and makes sure that one can be written in its place before anything is copied. `others` are the paths of
   * this machine that are copied from and to.
   * @throws {UsageError} for what is no map or cannot become one; {IoError}.
   */
  static open(name: string, others: readonly string[]): MapFile {
    try {
      const path = realPath(name);
      for (const other of others) {
        if (fs.existsSync(dirname(other)) && realPath(other) === path)
          throw new UsageError(`The map ${JSON.stringify(name)} is the source or the destination itself`);
      }
      fs.accessSync(dirname(path), fs.constants.W_OK | fs.constants.X_OK);
      const stat = fs.statSync(path, { throwIfNoEntry: false });
      if (stat === undefined) return new MapFile(path, name, []);
      if (!stat.isFile()) throw new UsageError(`The map ${JSON.stringify(name)} is no regular file`);
      if (stat.size > MAX_BYTES)
        throw new UsageError(`The map ${JSON.stringify(name)} has ${stat.size} bytes, too many`);
      return new MapFile(path, name, parseMap(fs.readFileSync(path, "utf8"), name));
    } catch (error) {
      if (systemCode(error) === undefined) throw error;
      throw new IoError(`Cannot use the map ${JSON.stringify(name)}: ${reason(error)}`, { cause: error });
    }
  }

  /** Replaces the file as a whole: after a crash it is the old one or the new one (rename(2), fsync(2)). @throws {IoError} */
  save(map: readonly MapArea[]): void {
    const temporary = `${this.#path}.${process.pid}.part`;
    try {
      fs.writeFileSync(temporary, formatMap(map, VERSION), { flag: "wx", flush: true });
      fs.renameSync(temporary, this.#path);
      const folder = fs.openSync(dirname(this.#path), "r");
      fs.fsyncSync(folder);
      fs.closeSync(folder);
    } catch (error) {
      fs.rmSync(temporary, { force: true });
      throw new IoError(`Cannot write the map ${JSON.stringify(this.#name)}: ${reason(error)}`, { cause: error });
    }
  }
}
