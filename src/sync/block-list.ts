/**
 * Lists of blocks that other programs write: which are used, or which have changed. One reader for all of them, found by contents. Pure.
 *
 * - the map of partclone -D and of GNU ddrescue: what is "+" (rescue-map.ts)
 * - `qemu-img map --output=json`: all but what is neither data nor zero
 * - `nbdinfo --map --json`: all but a "hole" that does not read as zeros; of a dirty bitmap what is "dirty"
 * - `rbd diff --format json`, blocksync's own `--map FILE.json`: all that is listed
 * - thin_delta(8): all but "same", in data blocks of the superblock's data_block_size sectors
 * - bmaptool's block map 1.x and 2.0: all that is listed, in blocks of BlockSize
 */
import { UsageError } from "../errors.ts";
import { quote } from "../name.ts";
import { type BlockLayout, type BlockRange, SECTOR_SIZE } from "./blocks.ts";
import { addRange, type ByteRange, endOf, outward, RangeSet, within, without } from "./ranges.ts";
import { parseRescueMap } from "./rescue-map.ts";

export interface BlockList {
  /** In ascending order, without overlap. */
  readonly ranges: readonly ByteRange[];
  /** Of what the list is about, where it says so. */
  readonly sizeBytes: number | undefined;
}

/** Whether what is not listed may hold anything, or is the same on both sides. */
export type ListMeaning = "used" | "changed";

type Fields = Readonly<Record<string, unknown>>;

/** What was wrong, and with which entry, from 1 on. */
class Wrong extends Error {}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function byteCount(value: unknown, unit = 1): number {
  const count = typeof value === "string" && /^\d{1,16}$/.test(value) ? Number(value) : value;
  if (typeof count !== "number" || !Number.isSafeInteger(count) || count < 0 || !Number.isSafeInteger(count * unit))
    throw new Wrong("has a number that is none, or too large");
  return count * unit;
}

/** Collects ranges in the order of the list, which has to be theirs. */
class Collector {
  readonly ranges: ByteRange[] = [];
  #end = 0;

  add(offset: number, length: number, wanted: boolean): void {
    if (offset < this.#end) throw new Wrong("begins before the one before it ends");
    if (!Number.isSafeInteger(offset + length)) throw new Wrong("has a number that is none, or too large");
    this.#end = offset + length;
    if (wanted && length > 0) addRange(this.ranges, { offset, length });
  }
}

/** Reads a list; `name` is its name in messages. @throws {UsageError} when it is none, or a damaged one. */
export function parseBlockList(text: string, name: string): BlockList {
  let entry = 0;
  const each = <T>(entries: Iterable<T>, take: (one: T) => void) => {
    for (const one of entries) {
      entry++;
      take(one);
    }
  };
  const start = text.trimStart();
  try {
    if (start.startsWith("[") || start.startsWith("{")) return fromJson(JSON.parse(text), each);
    if (start.startsWith("<")) return fromXml(start, each);
  } catch (error) {
    if (!(error instanceof Wrong || error instanceof SyntaxError)) throw error;
    const what = error instanceof Wrong ? `entry ${entry} ${error.message}` : "it is no whole JSON";
    throw new UsageError(`Cannot read the list of blocks ${quote(name)}: ${what}`, { hint: FORMS });
  }
  try {
    const areas = parseRescueMap(text, name);
    const collector = new Collector();
    for (const { offset, length, status } of areas) collector.add(offset, length, status === "+");
    if (areas.length > 0) return { ranges: collector.ranges, sizeBytes: undefined };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(error.message.replace("the rescue map", "the list of blocks"), { hint: FORMS });
  }
  throw new UsageError(`Cannot read the list of blocks ${quote(name)}: it lists nothing`, { hint: FORMS });
}

const FORMS =
  "it may be a map of partclone -D or ddrescue, JSON of qemu-img map, nbdinfo --map, rbd diff or blocksync --map, or XML of thin_delta or bmaptool";

type Each = <T>(entries: Iterable<T>, take: (one: T) => void) => void;

function fromJson(json: unknown, each: Each): BlockList {
  const collector = new Collector();
  const isOwn = isFields(json) && Array.isArray(json["ranges"]) && "unit" in json;
  const entries: unknown = isOwn ? json["ranges"] : json;
  if (!Array.isArray(entries)) throw new Wrong("is in no form that is known");
  each(entries, (one: unknown) => {
    if (!isFields(one)) throw new Wrong("is in no form that is known");
    const offset = byteCount(one["offset"] !== undefined && one["start"] === undefined ? one["offset"] : one["start"]);
    collector.add(offset, byteCount(one["length"]), isOwn || isWanted(one));
  });
  return { ranges: collector.ranges, sizeBytes: isOwn ? byteCount(json["size"]) : undefined };
}

/** What an entry of nbdinfo says, of base:allocation and of a dirty bitmap. */
const DESCRIPTIONS: Readonly<Record<string, boolean>> = {
  data: true,
  zero: true,
  "hole,zero": true,
  hole: false,
  dirty: true,
  clean: false,
};

function isWanted(entry: Fields): boolean {
  const { data, zero, description, exists } = entry;
  if (typeof data === "boolean" && typeof zero === "boolean") return data || zero;
  if (typeof exists === "boolean" || exists === "true" || exists === "false") return true;
  const wanted = typeof description === "string" ? DESCRIPTIONS[description] : undefined;
  if (wanted === undefined) throw new Wrong("is in no form that is known");
  return wanted;
}

function fromXml(text: string, each: Each): BlockList {
  const plain = text.replaceAll(/<!--.*?-->/gs, "").trimEnd();
  if (/<bmap\b/.test(plain)) return fromBmap(plain, each);
  if (plain.includes("<superblock")) return fromThinDelta(plain, each);
  throw new Wrong("is in no form that is known");
}

function fromBmap(text: string, each: Each): BlockList {
  if (!text.endsWith("</bmap>")) throw new Wrong("is followed by nothing: the list is not whole");
  const number = (name: string) => byteCount(new RegExp(`<${name}>\\s*(\\d+)\\s*</${name}>`).exec(text)?.[1]);
  const [sizeBytes, unit] = [number("ImageSize"), number("BlockSize")];
  if (unit === 0) throw new Wrong("has blocks of no length");
  const collector = new Collector();
  const ranges = text.matchAll(/<Range\b[^>]*>([^<]*)(<\/Range>)?/g);
  each(ranges, ([, words = "", end]) => {
    const [, first, last = first] = /^\s*(\d+)(?:\s*-\s*(\d+))?\s*$/.exec(words) ?? [];
    if (end === undefined || first === undefined) throw new Wrong("is in no form that is known");
    const [offset, to] = [byteCount(first, unit), byteCount(last, unit) + unit];
    if (to <= offset) throw new Wrong("ends before it begins");
    // The last block may be short.
    collector.add(offset, Math.min(to, Math.max(sizeBytes, offset + 1)) - offset, true);
  });
  return { ranges: collector.ranges, sizeBytes };
}

function fromThinDelta(text: string, each: Each): BlockList {
  if (!text.endsWith("</superblock>")) throw new Wrong("is followed by nothing: the list is not whole");
  const sectors = byteCount(/<superblock\b[^>]*\bdata_block_size="(\d+)"/.exec(text)?.[1]);
  if (sectors === 0) throw new Wrong("has blocks of no length");
  const unit = sectors * SECTOR_SIZE;
  const collector = new Collector();
  each(text.matchAll(/<(same|different|left_only|right_only)\b([^>]*)>/g), ([, kind, attributes = ""]) => {
    const value = (name: string) => new RegExp(`\\b${name}="(\\d+)"`).exec(attributes)?.[1];
    const begin = byteCount(value("begin") ?? value("range_begin"), unit);
    collector.add(begin, byteCount(value("length"), unit), kind !== "same");
  });
  return { ranges: collector.ranges, sizeBytes: undefined };
}

/** The blocks of a share that the list touches, and the others; each in ascending order. */
export function listedBlocks(
  ranges: readonly ByteRange[],
  layout: BlockLayout,
  share: BlockRange,
): { readonly listed: BlockRange[]; readonly others: BlockRange[] } {
  if (share.count === 0) return { listed: [], others: [] };
  const span = layout.spanOf(share);
  const touched = new RangeSet();
  for (const range of within(ranges, [span])) touched.add(outward(range, layout.blockSize, layout.sizeBytes));
  const blocks = (parts: readonly ByteRange[]) => parts.map((part) => layout.blocksOf(part));
  const listed = within(touched.all(), [span]);
  return { listed: blocks(listed), others: blocks(without([span], listed)) };
}

/** Where a list ends. */
export function endOfList({ ranges }: BlockList): number {
  const last = ranges.at(-1);
  return last === undefined ? 0 : endOf(last);
}
