/** The file of --used-blocks or --changed-blocks: read before anything is opened, and fitted to the two sides before anything is written. */
import fs from "node:fs";
import { refused, refusedDestination, UsageError } from "../errors.ts";
import { bytesOf, quote } from "../name.ts";
import { type BlockList, fitBlockList, type ListMeaning, parseBlockList } from "../sync/block-list.ts";
import type { Description } from "../sync/endpoint.ts";
import type { Listed } from "../sync/plan.ts";
import type { Location } from "./location.ts";
import { readText } from "./read-text.ts";

/** A list of a million ranges has 50 MB. */
const MAX_BYTES = 256 << 20;

const VERBS = { used: "is used", changed: "has changed" } as const;

export class BlockListFile {
  /** Its file. */
  readonly name: string;
  readonly #meaning: ListMeaning;
  readonly #list: BlockList;

  /** @throws {UsageError} {IoError} when it cannot be read, or is no list. */
  constructor(path: string, meaning: ListMeaning) {
    const text = readText(path, `list of blocks ${quote(path)}`, MAX_BYTES);
    this.name = path;
    this.#meaning = meaning;
    this.#list = parseBlockList(text, path);
    const is = this.#list.meaning ?? meaning;
    if (is !== meaning)
      throw new UsageError(`The list of blocks ${quote(path)} says what ${VERBS[is]}, not what ${VERBS[meaning]}`, {
        hint: `--${is}-blocks takes it`,
      });
    if (meaning === "used" && this.#list.ranges.length === 0)
      throw new UsageError(`The list of blocks ${quote(path)} says that nothing is used`, {
        hint: "see whether the program that made it has failed",
      });
  }

  /** What should be known of a list of `source`: one that is older than a file's last change does not know of that. */
  noticesOf({ remote, path, label }: Location): string[] {
    if (remote !== undefined) return [];
    const [own, its] = [this.name, path].map((name) => fs.statSync(bytesOf(name), { throwIfNoEntry: false }));
    if (own?.isFile() !== true || its?.isFile() !== true || own.mtimeMs >= its.mtimeMs) return [];
    return [
      `The list of blocks ${quote(this.name)} is older than the last change of ${quote(label)}, of which it says nothing`,
    ];
  }

  /** @throws {RefusedError} when it is about something of another size, or what it leaves out cannot be equal. */
  fit(source: Description, destination: Description): Listed {
    const { sizeBytes } = source;
    const ranges = fitBlockList(this.#list, sizeBytes);
    if (typeof ranges === "string")
      throw refused(
        "use",
        this.name,
        "other-list",
        `${ranges}, and the source ${quote(source.label)} has ${sizeBytes}`,
        "make the list of this very source",
      );
    const { kind, label, sizeBytes: there } = destination;
    if (this.#meaning === "changed" && (kind === "missing" || there < sizeBytes))
      throw refusedDestination(
        label,
        "no-copy",
        `it ${kind === "missing" ? "does not exist" : "is smaller than the source"}, so it cannot be equal where --changed-blocks lists nothing`,
        "the first run needs no list",
      );
    return { ranges, meaning: this.#meaning };
  }
}
