/**
 * Files that hold an image in another form, compressed or in a format of their own, and are no disk when written to one
 * unchanged. A file is recognized only by what nothing else begins with: a mark of four bytes and what has to follow it.
 * Pure.
 */
import { type Ends, type Probe, signature } from "./ends.ts";

/** RFC 1952, 2.3.1: deflate, and no flag that is reserved. */
function isGzip(ends: Ends): boolean {
  const head = ends.at(0, 10);
  return ends.has(0, "\x1f\x8b\x08") && head !== undefined && ((head[3] ?? 0) & 0xe0) === 0;
}

/** RFC 8878, 3.1: a frame, or a short skippable one before it, as pzstd writes. */
function isZstd(ends: Ends): boolean {
  const frame = "\x28\xb5\x2f\xfd";
  const head = ends.at(0, 8);
  const skips = head !== undefined && head.readUInt32LE(0) >>> 4 === 0x0184d2a5;
  return ends.has(0, frame) || (skips && ends.has(8 + head.readUInt32LE(4), frame));
}

/** The level, then the mark of a block or of the end (bzip2's decompress.c). */
function isBzip2(ends: Ends): boolean {
  const level = ends.at(3, 1)?.[0] ?? 0;
  const follows = ends.has(4, "\x31\x41\x59\x26\x53\x59") || ends.has(4, "\x17\x72\x45\x38\x50\x90");
  return ends.has(0, "BZh") && level >= 0x31 && level <= 0x39 && follows;
}

/** "ustar" as POSIX and GNU write it (pax(1), tar.h), in a header whose bytes have the sum it tells. */
function isTar(ends: Ends): boolean {
  const header = ends.at(0, 512);
  if (header === undefined || !(ends.has(257, "ustar\0") || ends.has(257, "ustar  \0"))) return false;
  const told = Number.parseInt(header.toString("latin1", 148, 156).replace(/\0.*$/s, "").trim(), 8);
  return header.reduce((sum, byte, i) => sum + (i >= 148 && i < 156 ? 0x20 : byte), 0) === told;
}

export const ZIP_OF_ONE = "zip of one file";

/** Where its end is not at hand nobody knows (APPNOTE.TXT, 4.3.16: the mark, then how many files at 8 and 10, and a comment's length at 20). */
function isZipOfOne(ends: Ends): boolean {
  const end = ends.at(ends.sizeBytes - 22, 22);
  const isWhole = end?.readUInt32LE(0) === 0x06054b50 && end.readUInt16LE(20) === 0;
  return ends.has(0, "PK\x03\x04") && isWhole && end.readUInt16LE(8) === 1 && end.readUInt16LE(10) === 1;
}

/** Names by which people know them, and how they are told. */
const FORMATS: readonly (readonly [type: string, is: (ends: Ends) => boolean])[] = [
  ["gzip", isGzip],
  // The .xz file format 1.2.1, 2.1.1.1.
  ["xz", (ends) => ends.has(0, "\xfd7zXZ\0")],
  ["zstd", isZstd],
  ["bzip2", isBzip2],
  // lz4_Frame_format.md, and lzip's manual, "File format".
  ["lz4", (ends) => ends.has(0, "\x04\x22\x4d\x18")],
  ["lzip", (ends) => ends.has(0, "LZIP\x01")],
  ["lzop", (ends) => ends.has(0, "\x89LZO\0\x0d\x0a\x1a\x0a")],
  // APPNOTE.TXT, 4.3.7; 7zFormat.txt; RAR 4 and 5.
  [ZIP_OF_ONE, isZipOfOne],
  ["zip", (ends) => ends.has(0, "PK\x03\x04") && !isZipOfOne(ends)],
  ["7z", (ends) => ends.has(0, "7z\xbc\xaf\x27\x1c")],
  ["rar", (ends) => ends.has(0, "Rar!\x1a\x07")],
  ["tar", isTar],
  // docs/interop/qcow2.rst of QEMU; versions 1 to 3 have the same mark. block/qed.c, block/parallels.c.
  ["qcow2", (ends) => ends.has(0, "QFI\xfb\0\0\0")],
  ["qed", (ends) => ends.has(0, "QED\0")],
  ["parallels", (ends) => ends.has(0, "WithoutFreeSpace") || ends.has(0, "WithouFreSpacExt")],
  // "Virtual Disk Format" of VMware: an extent, an older one, and the text that names where the disk is.
  ["vmdk", (ends) => ends.has(0, "KDMV") || ends.has(0, "COWD") || ends.has(0, "# Disk DescriptorFile")],
  // MS-VHDX, 2.2; of VHD only those that are not plain begin with a copy of the footer.
  ["vhdx", (ends) => ends.has(0, "vhdxfile")],
  ["vhd", (ends) => ends.has(0, "conectix")],
  // VDICore.h of VirtualBox.
  ["vdi", (ends) => ends.has(64, "\x7f\x10\xda\xbe")],
  // libsparse/sparse_format.h of Android.
  ["android-sparse", (ends) => ends.has(0, "\x3a\xff\x26\xed")],
  ["partclone", (ends) => ends.has(0, "partclone-image")],
  ["ntfsclone", (ends) => ends.has(0, "\0ntfsclone-image")],
  // Expert Witness, as ewfacquire writes it (libewf).
  ["ewf", (ends) => ends.has(0, "EVF\x09\x0d\x0a\xff\0")],
];

export const FORMAT_PROBES: readonly Probe[] = FORMATS.map(
  ([type, is]) =>
    (ends) =>
      is(ends) ? signature(type) : undefined,
);

/**
 * Apple's disk image has its mark at the end (the "koly" trailer), and may be the plain disk before it: one that carries
 * nothing else that is known is not.
 */
export function isPackedDmg(ends: Ends): boolean {
  return ends.has(ends.sizeBytes - 512, "koly\0\0\0\x04");
}
