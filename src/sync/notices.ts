/**
 * What a careful person would want to know about a pair before the first byte is written. Nothing here is a refusal:
 * each notice is one sentence, says only what is certain, and a pair as it should be gets none. Pure.
 */
import { formatBoth, formatBytes } from "../format.ts";
import { quote } from "../name.ts";
import type { Description } from "./endpoint.ts";
import type { Signature } from "./facts.ts";
import { FORMATS, type Format } from "./formats.ts";

type Notice = (source: Description, destination: Description) => string | undefined;

/** A table of partitions, as against what stands in one. */
const TABLES: ReadonlySet<string> = new Set(["gpt", "dos"]);
/**
 * Images of optical discs are written to whole disks that have a partition table or none, and some carry a table
 * themselves.
 */
const DISCS: ReadonlySet<string> = new Set(["iso9660"]);
/** Facts.atEnd looks so far. */
const END_LENGTH = 128 << 10;

/** What the end itself carries; nothing where nobody looked. */
function carried({ facts }: Description): readonly Signature[] {
  return facts?.contents[0]?.signatures ?? [];
}

function hasTable(end: Description): boolean {
  return carried(end).some(({ type }) => TABLES.has(type));
}

/** What the end carries that is no table and no disc: file systems, and what takes a partition in their place. */
function fillings(end: Description): readonly Signature[] {
  return carried(end).filter(({ type }) => !TABLES.has(type) && !DISCS.has(type) && !FORMATS.has(type));
}

function isDevice({ kind, facts }: Description, partition: boolean): boolean {
  return kind === "device" && facts !== undefined && facts.isPartition === partition;
}

/**
 * The form of a source that is no disk where it is going to be written. A file is copied to a file as it is, and a device to a
 * device; and what is there already was meant.
 */
export function packedAs(source: Description, destination: Description): Format | undefined {
  const [found] = carried(source).filter(({ type }) => FORMATS.has(type));
  const format = found === undefined ? undefined : FORMATS.get(found.type);
  const isDisk = destination.kind === "device" || hasTable(destination) || fillings(destination).length > 0;
  if (format === undefined || (source.kind !== "file" && source.kind !== "stream") || !isDisk) return undefined;
  // A plain disk or file system that begins like one.
  if (hasTable(source) || fillings(source).length > 0) return undefined;
  return carried(destination).some(({ type }) => type === found?.type) ? undefined : format;
}

const packed: Notice = (source, destination) => {
  const format = packedAs(source, destination);
  if (format === undefined) return undefined;
  return `${quote(source.label)} is ${format.words} and is written as it is, so ${quote(destination.label)} will hold neither a disk nor a file system: ${format.remedy}`;
};

/** Endings of names, of formats that nobody writes plain images under. */
const ENDINGS: Readonly<Record<string, string>> = {
  gz: "gzip",
  xz: "xz",
  zst: "zstd",
  bz2: "bzip2",
  zip: "zip",
  qcow2: "qcow2",
  vhdx: "vhdx",
  vdi: "vdi",
};

/** Under such a name, or in the place of such a file, a plain image is not read by what reads it. */
const unpacked: Notice = (source, destination) => {
  if (destination.kind === "device") return undefined;
  const [held] = carried(destination).filter(({ type }) => FORMATS.has(type));
  const named = ENDINGS[/\.(\w+)$/.exec(destination.label)?.[1]?.toLowerCase() ?? ""];
  const type = held?.type ?? named;
  const format = type === undefined ? undefined : FORMATS.get(type);
  if (format === undefined || source.facts === undefined || carried(source).some((one) => FORMATS.has(one.type)))
    return undefined;
  if (held === undefined && (destination.sizeBytes > 0 || source.kind === "file")) return undefined;
  const why = held === undefined ? "as its name says" : "as it is now";
  return `${quote(destination.label)} will be a plain image, not ${format.words} ${why}`;
};

/** A partition that holds a table already is somebody's disk, such as a virtual machine's. */
const diskOntoPartition: Notice = (source, destination) => {
  if (!isDevice(destination, true) || hasTable(destination)) return undefined;
  if (!hasTable(source) || fillings(source).length > 0 || source.facts?.isPartition === true) return undefined;
  return `${quote(source.label)} is a whole disk with a partition table and ${quote(destination.label)} is a partition, where no system looks for a partition table: did you mean its disk?`;
};

const fileSystemOntoDisk: Notice = (source, destination) => {
  const [filling] = fillings(source);
  if (filling === undefined || hasTable(source) || carried(source).some(({ type }) => DISCS.has(type)))
    return undefined;
  if (!isDevice(destination, false) || !hasTable(destination)) return undefined;
  return `${quote(source.label)} has no partition table (${filling.type}), and ${quote(destination.label)} is a whole disk, which would lose its own: did you mean one of its partitions?`;
};

/** Tables count in the disk's sectors; a file system is not mounted where sectors are longer than its smallest piece. */
const sectors: Notice = (source, destination) => {
  const there = destination.facts?.sectorBytes ?? 0;
  if (destination.kind !== "device" || there === 0) return undefined;
  const say = (type: string, bytes: number, effect: string) =>
    `${quote(source.label)} is laid out for ${bytes}-byte sectors (${type}), and ${quote(destination.label)} has ${there}-byte sectors: ${effect}`;
  const unseen = "its partitions will not be found there";
  const tables = carried(source).filter(({ type }) => type === "gpt");
  const [gpt] = tables;
  if (gpt !== undefined && isDevice(destination, false) && tables.every(({ sectorBytes }) => sectorBytes !== there))
    return say("gpt", gpt.sectorBytes, unseen);
  const here = source.facts?.sectorBytes ?? 0;
  const isDos = carried(source).some(({ type }) => type === "dos");
  if (isDos && isDevice(source, false) && isDevice(destination, false) && here !== 0 && here !== there)
    return say("dos", here, unseen);
  const short = fillings(source).find(({ sectorBytes }) => sectorBytes > 0 && sectorBytes < there);
  return short === undefined ? undefined : say(short.type, short.sectorBytes, "it cannot be mounted there");
};

/** An image that was cut short: a download that broke off, a copy of a larger disk's beginning. */
const incomplete: Notice = (source) => {
  const isDisc = carried(source).some(({ type }) => DISCS.has(type));
  // The tables of discs are there to be found, and end where they like.
  const told = carried(source).filter(({ type }) => !(isDisc && TABLES.has(type)));
  const cut = told.find(({ endBytes }) => endBytes > source.sizeBytes);
  if (cut === undefined || source.kind === "stream") return undefined;
  const [size, end] = formatBoth(source.sizeBytes, cut.endBytes);
  return `${quote(source.label)} has ${size}, but what it carries (${cut.type}) extends to ${end}: was it truncated?`;
};

const written: Notice = (source) => {
  const writer = source.facts?.writer ?? "";
  if (writer === "") return undefined;
  return `${quote(source.label)} may change while it is read, which makes the copy inconsistent: ${writer}; copy a snapshot, or stop that first`;
};

/** Which running system an end is on: what its identity begins with; "" where that is not known. */
function systemOf({ identity }: Description): string {
  return identity.slice(0, Math.max(0, identity.indexOf(" ")));
}

/** btrfs knows its devices by UUID alone (btrfs.readthedocs.io, "Block-level copies of devices"); others refuse the second. */
const twins: Notice = (source, destination) => {
  const isBtrfs = carried(source).some(({ type }) => type === "btrfs");
  if (!isBtrfs || source.kind !== "device" || destination.kind !== "device") return undefined;
  if (systemOf(source) === "" || systemOf(source) !== systemOf(destination)) return undefined;
  return `${quote(source.label)} and ${quote(destination.label)} will have the same btrfs UUID, and mounting either may write to the other: detach one of them first`;
};

const links: Notice = (_source, destination) => {
  const count = destination.facts?.links ?? 0;
  if (count < 2) return undefined;
  return `${quote(destination.label)} has ${count} hard links, and all of them will show what is written`;
};

/** What an older system's tools find at the end of the disk, and may take for the disk's own. */
const leftAtEnd: Notice = (source, destination) => {
  const extra = destination.sizeBytes - source.sizeBytes;
  if (destination.kind !== "device" || source.kind === "stream" || extra < END_LENGTH) return undefined;
  const names: Readonly<Record<string, string>> = {
    gpt: "the backup of an old GPT",
    linux_raid_member: "an old RAID superblock",
    zfs_member: "an old ZFS label",
  };
  // A GPT that is copied has a place for its backup there.
  const left = destination.facts?.atEnd.filter(
    (type) => type !== "gpt" || !carried(source).some((s) => s.type === type),
  );
  const found = (left ?? []).map((type) => names[type]).filter((name) => name !== undefined);
  if (found.length === 0) return undefined;
  return `The end of ${quote(destination.label)} keeps ${found.join(" and ")}, which may be taken for the disk's own: wipefs removes it`;
};

const larger = (source: Description, destination: Description, exact: boolean): string | undefined => {
  if (source.kind === "stream") return undefined;
  const extra = destination.sizeBytes - source.sizeBytes;
  const name = quote(destination.label);
  if (exact && source.sizeBytes === 0 && extra > 0 && destination.kind === "file")
    return `${quote(source.label)} is empty, so ${name} (${formatBytes(extra)}) will be empty too`;
  if (extra <= 0) return undefined;
  if (destination.kind === "device") {
    const types = carried(source).map(({ type }) => type);
    const moved = types.includes("gpt") && !types.some((type) => DISCS.has(type)) && isDevice(destination, false);
    const backup = moved
      ? ", so the copied GPT's backup is not at its end: sgdisk --move-second-header puts it there"
      : "";
    return `${name} is ${formatBytes(extra)} larger than the source; what lies beyond is left alone${backup}`;
  }
  return exact
    ? undefined
    : `${name} is ${formatBytes(extra)} larger than the source and keeps its tail; --create-dest cuts it`;
};

const NOTICES: readonly Notice[] = [
  packed,
  unpacked,
  diskOntoPartition,
  fileSystemOntoDisk,
  sectors,
  incomplete,
  written,
  twins,
  links,
  leftAtEnd,
];

/** For the user, before anything is written. */
export function noticesOf(
  source: Description,
  destination: Description,
  options: { readonly exact: boolean },
): string[] {
  const all = [...NOTICES.map((notice) => notice(source, destination)), larger(source, destination, options.exact)];
  return all.filter((one) => one !== undefined);
}
