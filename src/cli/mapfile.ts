/** The file of --mapfile on this machine. */
import fs from "node:fs";
import { dirname } from "node:path";
import { IoError, reason, systemCode } from "../errors.ts";
import { formatMap, type MapArea, parseMap } from "../sync/mapfile.ts";
import { VERSION } from "../version.ts";

/** A map of a disk with a million bad areas has 50 MB. */
const MAX_BYTES = 256 << 20;

/** What an earlier run found out; nothing when there was none. @throws {IoError} {UsageError} */
export function loadMap(path: string): MapArea[] {
  try {
    const { size } = fs.statSync(path);
    if (size > MAX_BYTES) throw new IoError(`Cannot read the map ${JSON.stringify(path)}: ${size} bytes are too many`);
    return parseMap(fs.readFileSync(path, "utf8"), path);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return [];
    if (systemCode(error) === undefined) throw error;
    throw new IoError(`Cannot read the map ${JSON.stringify(path)}: ${reason(error)}`, { cause: error });
  }
}

/** Replaces the file as a whole: after a crash it is the old one or the new one (rename(2), fsync(2)). @throws {IoError} */
export function saveMap(path: string, map: readonly MapArea[]): void {
  const temporary = `${path}.${process.pid}.part`;
  try {
    fs.writeFileSync(temporary, formatMap(map, VERSION), { flag: "wx", flush: true });
    fs.renameSync(temporary, path);
    const folder = fs.openSync(dirname(path), "r");
    fs.fsyncSync(folder);
    fs.closeSync(folder);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw new IoError(`Cannot write the map ${JSON.stringify(path)}: ${reason(error)}`, { cause: error });
  }
}
