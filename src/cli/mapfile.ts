/** The file of --mapfile on this machine. */
import { formatMap, type MapArea, parseMap } from "../sync/mapfile.ts";
import { VERSION } from "../version.ts";
import { ReplacedFile } from "./replaced-file.ts";
import type { Taken } from "./taken.ts";

/** A map of a disk with a million bad areas has 50 MB. */
const MAX_BYTES = 256 << 20;

export class MapFile {
  readonly #file: ReplacedFile;
  /** What an earlier run found out; nothing when there was none. */
  readonly old: readonly MapArea[];

  private constructor(file: ReplacedFile, old: readonly MapArea[]) {
    this.#file = file;
    this.old = old;
  }

  /**
   * Reads the map, and makes sure that one can be written in its place before anything is copied.
   * @throws {UsageError} for what is no map or cannot become one; {IoError}.
   */
  static open(name: string, taken: readonly Taken[]): MapFile {
    const file = ReplacedFile.open(name, "map", taken);
    return new MapFile(file, parseMap(file.read(MAX_BYTES), name));
  }

  /** @throws {IoError} */
  save(map: readonly MapArea[]): void {
    this.#file.replace(formatMap(map, [`Mapfile. Created by blocksync version ${VERSION}`]));
  }
}
