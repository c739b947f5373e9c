/** --map: where in the device things differed, on the terminal or in a file; on a terminal also unasked, in short. */

import { UsageError } from "../errors.ts";
import { quote } from "../name.ts";
import { type ChangeMapNames, mapJson } from "../report/change-map-json.ts";
import { mapLines } from "../report/change-map-lines.ts";
import { mapStyle } from "../report/change-map-style.ts";
import { mapSvg } from "../report/change-map-svg.ts";
import { displaySize } from "../report/display.ts";
import type { ProgressMode } from "../report/progress.ts";
import type { Report } from "../report/report.ts";
import { Changes } from "../sync/changes.ts";
import { ReplacedFile } from "./replaced-file.ts";
import type { Taken } from "./taken.ts";

/** What --map asks for: the terminal (or wherever messages go), or a file in a format. */
export type ChangeMapChoice = "terminal" | { readonly path: string; readonly format: "svg" | "json" };

/** Reads the value of --map, "" where there is none. @throws {UsageError} for a file of any other kind. */
export function parseChangeMap(value: string): ChangeMapChoice {
  if (value === "") return "terminal";
  const format = /\.(svg|json)$/i.exec(value)?.[1]?.toLowerCase();
  if (format === "svg" || format === "json") return { path: value, format };
  throw new UsageError(`Cannot write a change map as ${quote(value)}: its name must end in .svg or .json`, {
    hint: "--map=FILE.svg is a picture, --map=FILE.json a list, --map alone is for the terminal",
  });
}

export interface ChangeMapOptions {
  readonly changeMap: ChangeMapChoice | undefined;
  /** Where messages go instead of standard error. */
  readonly outputFile: string | undefined;
  /** A run that is watched is looked at when it ends, too. */
  readonly progress: ProgressMode;
}

/** More than any stream has, and in whole blocks of every size. */
const MOST_BYTES = 2 ** 52;

export class ChangeMap {
  readonly #choice: ChangeMapChoice | undefined;
  readonly #file: ReplacedFile | undefined;
  /** Width of the terminal that messages go to, if they do. */
  readonly #columns: number | undefined;
  readonly #watched: boolean;
  #changes: Changes | undefined;
  #isOpen = false;

  /** @throws {UsageError} {IoError} when the file could not be written at the end. */
  constructor({ changeMap, outputFile, progress }: ChangeMapOptions, taken: readonly Taken[]) {
    this.#choice = changeMap;
    this.#columns = outputFile === undefined ? displaySize()?.columns : undefined;
    this.#watched = progress !== "none" && this.#columns !== undefined;
    if (typeof changeMap === "object") this.#file = ReplacedFile.open(changeMap.path, "change map", taken);
  }

  /**
   * What is to be told of a run over `sizeBytes`, undefined where only its end will tell; undefined when nobody would look at the
   * change map.
   */
  begin(sizeBytes: number | undefined, zeroLeafHash: (length: number) => Uint8Array): Changes | undefined {
    const exact = this.#choice !== undefined;
    this.#changes = undefined;
    if (!exact && (!this.#watched || sizeBytes === undefined)) return undefined;
    this.#isOpen = sizeBytes === undefined;
    this.#changes = new Changes(sizeBytes ?? MOST_BYTES, { exact, zeroLeafHash });
    return this.#changes;
  }

  /** The run was over `sizeBytes`. */
  end(sizeBytes: number): void {
    if (this.#isOpen) this.#changes = this.#changes?.ended(sizeBytes);
  }

  /** Writes the file, at the end of a run that found out about all of the device. @throws {IoError} */
  save(names: ChangeMapNames): void {
    if (this.#changes === undefined || typeof this.#choice !== "object") return;
    this.#file?.replace((this.#choice.format === "svg" ? mapSvg : mapJson)(this.#changes, names));
  }

  /** Shows it: in full when that was asked for, in short where a person watches and something differed. */
  show(report: Report): void {
    if (this.#changes === undefined) return;
    const asked = this.#choice === "terminal";
    const { differ, zero, unreadable } = this.#changes.total;
    if (!asked && (!this.#watched || differ + zero + unreadable === 0)) return;
    report.changeMap(mapLines(this.#changes, mapStyle(this.#columns, process.env), asked ? "full" : "short"));
  }
}
