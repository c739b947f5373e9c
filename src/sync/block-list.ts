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
import { addRange, type ByteRange, outward, RangeSet, within, without } from "./ranges.ts";
import { parseRescueMap } from "./rescue-map.ts";

export interface BlockList {
  /** In ascending order, without overlap. */
  readonly ranges: readonly ByteRange[];
  /** What of it the program listed, where the form tells: the other option would take it for something else. */
  readonly meaning: ListMeaning | undefined;
  /** Of what the list is about, where it says so. */
  readonly sizeBytes: number | undefined;
  /** Where its last entry ends, one of what is not wanted among them. */
  readonly endBytes: number;
  /** What that is rounded up to: a sector, or the program's own blocks. */
  readonly unitBytes: number;
  /** It has an entry for everything, so what lies behind the last one is not known to be unused, or unchanged. */
  readonly tellsAll: boolean;
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
  endBytes = 0;

  /** What a list that has an entry for everything leaves out is wanted too. */
  add(offset: number, length: number, wanted: boolean, tellsAll = false): void {
    if (offset < this.endBytes) throw new Wrong("begins before the one before it ends");
    if (!Number.isSafeInteger(offset + length)) throw new Wrong("has a number that is none, or too large");
    if (tellsAll && offset > this.endBytes)
      addRange(this.ranges, { offset: this.endBytes, length: offset - this.endBytes });
    this.endBytes = offset + length;
    if (wanted && length > 0) addRange(this.ranges, { offset, length });
  }

  /** The list of what was collected. */
  list(parts: Partial<Omit<BlockList, "ranges" | "endBytes">>): BlockList {
    const { ranges, endBytes } = this;
    const none = { meaning: undefined, sizeBytes: undefined, unitBytes: SECTOR_SIZE, tellsAll: false };
    return { ...none, ...parts, ranges, endBytes };
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
    return fromMaps(text, name, each);
  } catch (error) {
    if (error instanceof UsageError)
      throw new UsageError(error.message.replace("the rescue map", "the list of blocks"), { hint: FORMS });
    if (!(error instanceof Wrong || error instanceof SyntaxError)) throw error;
    const place = entry === 0 ? "it" : `entry ${entry}`;
    const what = error instanceof Wrong ? `${place} ${error.message}` : "it is no whole JSON";
    throw new UsageError(`Cannot read the list of blocks ${quote(name)}: ${what}`, { hint: FORMS });
  }
}

const FORMS =
  "it may be a map of partclone -D or ddrescue, JSON of qemu-img map, nbdinfo --map, rbd diff or blocksync --map, or XML of thin_delta or bmaptool";

type Each = <T>(entries: Iterable<T>, take: (one: T) => void) => void;

/** The line that each map begins with. */
const MAP_BEGINS = /^[ \t]*(?:0[xX][0-9a-fA-F]+|\d+)[ \t]+[?*/+FG-](?:[ \t]+[+-]?\d+)?[ \t]*(?:#.*)?$/gm;

/** Maps one after the other, such as of a disk's partitions by partclone --offset_domain. */
function fromMaps(text: string, name: string, each: Each): BlockList {
  const collector = new Collector();
  const starts = [...text.matchAll(MAP_BEGINS)].slice(1).map(({ index }) => index);
  let lines = 0;
  for (const [i, start] of [0, ...starts].entries()) {
    const part = text.slice(start, starts[i]);
    // Of the lines before it only the number counts.
    const areas = parseRescueMap("\n".repeat(lines) + part, name);
    each(areas, ({ offset, length, status }) => collector.add(offset, length, status === "+", true));
    lines += part.split("\n").length - 1;
  }
  if (collector.endBytes === 0) throw new Wrong("lists nothing");
  return collector.list({ tellsAll: true });
}

/** What a form of JSON says of an entry. */
interface Form {
  readonly name: "own" | "qemu-img" | "rbd" | "allocation" | "bitmap";
  readonly meaning: ListMeaning | undefined;
  readonly tellsAll: boolean;
}

const OWN: Form = { name: "own", meaning: "changed", tellsAll: false };
const QEMU_IMG: Form = { name: "qemu-img", meaning: "used", tellsAll: true };
const RBD: Form = { name: "rbd", meaning: undefined, tellsAll: false };
const ALLOCATION: Form = { name: "allocation", meaning: "used", tellsAll: true };
const BITMAP: Form = { name: "bitmap", meaning: "changed", tellsAll: true };

function fromJson(json: unknown, each: Each): BlockList {
  const collector = new Collector();
  const isOwn = isFields(json) && Array.isArray(json["ranges"]) && "unit" in json;
  const entries: unknown = isOwn ? json["ranges"] : json;
  if (!Array.isArray(entries)) throw new Wrong("is in no form that is known");
  let form: Form | undefined = isOwn ? OWN : undefined;
  each(entries, (one: unknown) => {
    if (!isFields(one)) throw new Wrong("is in no form that is known");
    const found = isOwn ? { form: OWN, wanted: true } : formOf(one);
    form ??= found.form;
    if (form !== found.form) throw new Wrong("is in another form than the one before it");
    const offset = byteCount(one["offset"] !== undefined && one["start"] === undefined ? one["offset"] : one["start"]);
    collector.add(offset, byteCount(one["length"]), found.wanted, form.tellsAll);
  });
  return collector.list({
    meaning: form?.meaning,
    tellsAll: form?.tellsAll ?? false,
    sizeBytes: isOwn ? byteCount(json["size"]) : undefined,
  });
}

/** What an entry of nbdinfo says, of base:allocation and of a dirty bitmap. */
const DESCRIPTIONS: Readonly<Record<string, { readonly form: Form; readonly wanted: boolean }>> = {
  data: { form: ALLOCATION, wanted: true },
  zero: { form: ALLOCATION, wanted: true },
  "hole,zero": { form: ALLOCATION, wanted: true },
  hole: { form: ALLOCATION, wanted: false },
  dirty: { form: BITMAP, wanted: true },
  clean: { form: BITMAP, wanted: false },
};

function formOf(entry: Fields): { readonly form: Form; readonly wanted: boolean } {
  const { data, zero, description, exists } = entry;
  if (typeof data === "boolean" && typeof zero === "boolean") return { form: QEMU_IMG, wanted: data || zero };
  if (typeof exists === "boolean" || exists === "true" || exists === "false") return { form: RBD, wanted: true };
  const found = typeof description === "string" ? DESCRIPTIONS[description] : undefined;
  if (found === undefined) throw new Wrong("is in no form that is known");
  return found;
}

function fromXml(text: string, each: Each): BlockList {
  const plain = text.replaceAll(/<!--.*?-->/gs, "").trimEnd();
  if (/<bmap\b/.test(plain)) return fromBmap(plain, each);
  // thin_dump has a superblock too, and nothing of what differs.
  if (plain.includes("<superblock") && /<diff\b/.test(plain)) return fromThinDelta(plain, each);
  throw new Wrong("is in no form that is known");
}

function fromBmap(text: string, each: Each): BlockList {
  if (!text.endsWith("</bmap>")) throw new Wrong("is followed by nothing: the list is not whole");
  const value = (name: string) => new RegExp(`<${name}>\\s*(\\d+)\\s*</${name}>`).exec(text)?.[1];
  const [sizeBytes, unit] = [byteCount(value("ImageSize")), byteCount(value("BlockSize"))];
  if (unit === 0) throw new Wrong("has blocks of no length");
  const mapped = value("MappedBlocksCount");
  const collector = new Collector();
  let blocks = 0;
  const ranges = text.matchAll(/<Range\b[^>]*>([^<]*)(<\/Range>)?/g);
  each(ranges, ([, words = "", end]) => {
    const [, first, last = first] = /^\s*(\d+)(?:\s*-\s*(\d+))?\s*$/.exec(words) ?? [];
    if (end === undefined || first === undefined) throw new Wrong("is in no form that is known");
    const [offset, to] = [byteCount(first, unit), byteCount(last, unit) + unit];
    if (to <= offset) throw new Wrong("ends before it begins");
    blocks += (to - offset) / unit;
    // The last block may be short.
    collector.add(offset, (offset < sizeBytes ? Math.min(to, sizeBytes) : to) - offset, true);
  });
  if (mapped !== undefined && byteCount(mapped) !== blocks)
    throw new Wrong(`is the last of ${blocks} blocks, where ${mapped} are announced: the list is not whole`);
  return collector.list({ meaning: "used", sizeBytes });
}

function fromThinDelta(text: string, each: Each): BlockList {
  if (!text.endsWith("</superblock>")) throw new Wrong("is followed by nothing: the list is not whole");
  const sectors = byteCount(/<superblock\b[^>]*\bdata_block_size="(\d+)"/.exec(text)?.[1]);
  if (sectors === 0) throw new Wrong("has blocks of no length");
  const unitBytes = sectors * SECTOR_SIZE;
  const collector = new Collector();
  let kind: string | undefined;
  let endBytes = 0;
  each(text.matchAll(/<(same|different|left_only|right_only|range)\b([^>]*)>/g), ([, word, attributes = ""]) => {
    if (word !== "range") kind = word;
    // With --verbose the ranges lie within.
    if (word !== "range" && attributes.trim() === "") return;
    const value = (name: string) => new RegExp(`\\b${name}="(\\d+)"`).exec(attributes)?.[1];
    collector.add(byteCount(value("begin"), unitBytes), byteCount(value("length"), unitBytes), kind !== "same");
    // What was only in the older volume may lie behind the end of the newer one.
    if (kind !== "left_only") endBytes = collector.endBytes;
  });
  return { ...collector.list({ meaning: "changed", unitBytes }), endBytes };
}

/**
 * What a list wants of a source of this size; a string says why it cannot be about it. What lies behind the end of a list that has an
 * entry for everything is wanted too: a file system may be shorter than its partition, and a list may have been cut.
 */
export function fitBlockList(list: BlockList, sizeBytes: number): ByteRange[] | string {
  const { ranges, endBytes, unitBytes, tellsAll } = list;
  const about = list.sizeBytes ?? (endBytes - sizeBytes < unitBytes ? sizeBytes : endBytes);
  if (about !== sizeBytes || endBytes - sizeBytes >= unitBytes) return `it is about ${Math.max(about, endBytes)} bytes`;
  const fitted = within(ranges, [{ offset: 0, length: sizeBytes }]);
  if (tellsAll && endBytes < sizeBytes) addRange(fitted, { offset: endBytes, length: sizeBytes - endBytes });
  return fitted;
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
