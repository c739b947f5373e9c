/**
 * What a disk, partition or image carries: file systems, partition tables and what else begins with a known mark. For
 * people who are about to overwrite it, so a guess at the format from its mark, with label and identity, and no reader of
 * it. Pure. Nothing is taken from beyond the bytes at hand, and no text leaves here with control characters in it.
 */
import { MAX_FACT_LENGTH, type Signature } from "../sync/facts.ts";

/** Bytes read from the beginning: the last mark there is a ZFS label's uberblock array, at 128 KiB. */
export const HEAD_LENGTH = 256 << 10;
/** Bytes read from the end: a RAID superblock of version 0.90 lies up to 128 KiB before it. */
export const TAIL_LENGTH = 128 << 10;

/** The two ends of something of `sizeBytes`; the same bytes when it is small. */
export class Ends {
  readonly sizeBytes: number;
  readonly #head: Buffer;
  readonly #tail: Buffer;

  constructor(sizeBytes: number, head: Buffer, tail: Buffer) {
    this.sizeBytes = sizeBytes;
    this.#head = head;
    this.#tail = tail;
  }

  /** Exactly `length` bytes from `offset` on; undefined where they are not at hand. */
  at(offset: number, length: number): Buffer | undefined {
    if (offset < 0) return undefined;
    if (offset + length <= this.#head.length) return this.#head.subarray(offset, offset + length);
    const start = offset - (this.sizeBytes - this.#tail.length);
    if (start < 0 || start + length > this.#tail.length) return undefined;
    return this.#tail.subarray(start, start + length);
  }

  /** Whether these very characters are at `offset`. */
  has(offset: number, mark: string): boolean {
    return this.at(offset, mark.length)?.equals(Buffer.from(mark, "latin1")) ?? false;
  }
}

/** Text up to its first NUL, without blanks at its ends; a label is no place for a terminal's control sequences. */
export function cleanText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  const text = new TextDecoder().decode(end === -1 ? bytes : bytes.subarray(0, end));
  return text
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?")
    .trim()
    .slice(0, MAX_FACT_LENGTH);
}

/** 16 bytes as a UUID; "" when all are zero. */
function uuidOf(bytes: Buffer): string {
  const hex = bytes.toString("hex");
  return /^0*$/.test(hex) ? "" : hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** 16 bytes whose first three groups are little-endian, as EFI writes them (UEFI specification, appendix A). */
function guidOf(bytes: Buffer): string {
  const turned = Buffer.from(bytes);
  turned.subarray(0, 4).reverse();
  turned.subarray(4, 6).reverse();
  turned.subarray(6, 8).reverse();
  return uuidOf(turned);
}

function hexOf(value: number | bigint, digits: number): string {
  return value === 0 || value === 0n ? "" : value.toString(16).padStart(digits, "0");
}

function signature(type: string, fields: Partial<Omit<Signature, "type">> = {}): Signature {
  return { type, label: fields.label ?? "", uuid: fields.uuid ?? "", note: fields.note ?? "" };
}

type Probe = (ends: Ends) => Signature | undefined;

/** Superblock at 1024 (docs.kernel.org/filesystems/ext4, "The Super Block"); names by features as blkid gives them. */
const ext: Probe = (ends) => {
  const block = ends.at(1024, 1024);
  if (block?.readUInt16LE(56) !== 0xef53) return undefined;
  const [compatible, incompatible, readOnly] = [92, 96, 100].map((offset) => block.readUInt32LE(offset));
  // Beyond filetype, recover, meta_bg; beyond sparse_super, large_file, btree_dir: only ext4 has these.
  const isExt4 = ((incompatible ?? 0) & ~0x16) !== 0 || ((readOnly ?? 0) & ~0x7) !== 0;
  const hasJournal = ((compatible ?? 0) & 0x4) !== 0;
  const mounted = cleanText(block.subarray(136, 200));
  return signature(isExt4 ? "ext4" : hasJournal ? "ext3" : "ext2", {
    label: cleanText(block.subarray(120, 136)),
    uuid: uuidOf(block.subarray(104, 120)),
    note: mounted === "" ? "" : `last mounted on ${mounted}`,
  });
};

/** xfs_sb in fs/xfs/libxfs/xfs_format.h. */
const xfs: Probe = (ends) => {
  const block = ends.at(0, 512);
  if (block === undefined || !ends.has(0, "XFSB")) return undefined;
  return signature("xfs", { label: cleanText(block.subarray(108, 120)), uuid: uuidOf(block.subarray(32, 48)) });
};

/** Superblock at 64 KiB (btrfs.readthedocs.io, "On-disk format"). */
const btrfs: Probe = (ends) => {
  const block = ends.at(64 << 10, 1024);
  if (block === undefined || !ends.has((64 << 10) + 64, "_BHRfS_M")) return undefined;
  return signature("btrfs", { label: cleanText(block.subarray(299, 555)), uuid: uuidOf(block.subarray(32, 48)) });
};

/** Microsoft's FAT specification, "Boot Sector and BPB"; the exFAT and NTFS boot sectors have their own marks. */
const microsoft: Probe = (ends) => {
  const sector = ends.at(0, 512);
  if (sector?.readUInt16LE(510) !== 0xaa55) return undefined;
  if (ends.has(3, "NTFS    ")) return signature("ntfs", { uuid: hexOf(sector.readBigUInt64LE(72), 16) });
  if (ends.has(3, "EXFAT   ")) return signature("exfat", { uuid: hexOf(sector.readUInt32LE(100), 8) });
  const serialAt = ends.has(82, "FAT32   ") ? 67 : ends.has(54, "FAT1") ? 39 : undefined;
  if (serialAt === undefined) return undefined;
  const label = cleanText(sector.subarray(serialAt + 4, serialAt + 15));
  return signature("vfat", {
    label: label === "NO NAME" ? "" : label,
    uuid: hexOf(sector.readUInt32LE(serialAt), 8),
  });
};

/** The mark ends the first page, whatever a page is there (include/linux/swap.h, union swap_header). */
const swap: Probe = (ends) => {
  const pages = [4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10];
  const page = pages.find((size) => ends.has(size - 10, "SWAPSPACE2") || ends.has(size - 10, "SWAP-SPACE"));
  const head = ends.at(1024, 64);
  if (page === undefined || head === undefined) return undefined;
  return signature("swap", { label: cleanText(head.subarray(28, 44)), uuid: uuidOf(head.subarray(12, 28)) });
};

/** LUKS1 and LUKS2 on-disk format specifications (gitlab.com/cryptsetup). */
const luks: Probe = (ends) => {
  const head = ends.at(0, 208);
  if (head === undefined || !ends.has(0, "LUKS\xba\xbe")) return undefined;
  const isSecond = head.readUInt16BE(6) === 2;
  return signature("crypto_LUKS", {
    label: isSecond ? cleanText(head.subarray(24, 72)) : "",
    uuid: cleanText(head.subarray(168, 208)),
  });
};

/** A label in one of the first four sectors (lib/format_text/layout.h and lib/label/label.h of lvm2). */
const lvm: Probe = (ends) => {
  for (let start = 0; start < 2048; start += 512) {
    const sector = ends.at(start, 512);
    if (sector === undefined || !ends.has(start, "LABELONE") || !ends.has(start + 24, "LVM2 001")) continue;
    const offset = Math.min(sector.readUInt32LE(20), sector.length);
    return signature("LVM2_member", { uuid: cleanText(sector.subarray(offset, offset + 32)) });
  }
  return undefined;
};

/** Superblocks of versions 1.1, 1.2, 1.0 and 0.90 (include/uapi/linux/raid/md_p.h). */
const md: Probe = (ends) => {
  const { sizeBytes } = ends;
  for (const offset of [0, 4096, Math.floor((sizeBytes - 8192) / 4096) * 4096]) {
    const block = ends.at(offset, 256);
    if (block?.readUInt32LE(0) !== 0xa92b4efc || block.readUInt32LE(4) !== 1) continue;
    return signature("linux_raid_member", {
      label: cleanText(block.subarray(32, 64)),
      uuid: uuidOf(block.subarray(16, 32)),
    });
  }
  const old = ends.at(Math.floor(sizeBytes / 65536) * 65536 - 65536, 256);
  if (old?.readUInt32LE(0) !== 0xa92b4efc || old.readUInt32LE(4) !== 0) return undefined;
  return signature("linux_raid_member", {
    uuid: uuidOf(Buffer.concat([old.subarray(20, 24), old.subarray(52, 64)])),
  });
};

/** Primary volume descriptor in sector 16 (ECMA-119, 8.4); its creation date is what blkid takes for its identity. */
const iso9660: Probe = (ends) => {
  const block = ends.at(32 << 10, 2048);
  if (block === undefined || !ends.has((32 << 10) + 1, "CD001")) return undefined;
  return signature("iso9660", { label: cleanText(block.subarray(40, 72)), uuid: cleanText(block.subarray(813, 829)) });
};

/** Documentation/filesystems/squashfs.rst; the time it was made tells it from others. */
const squashfs: Probe = (ends) => {
  const head = ends.at(0, 96);
  if (head === undefined || !ends.has(0, "hsqs")) return undefined;
  return signature("squashfs", { uuid: hexOf(head.readUInt32LE(8), 8) });
};

/**
 * A label's name-value list at 16 KiB in XDR, and its uberblocks from 128 KiB on ("ZFS On-Disk Specification", chapter 1
 * and RFC 4506). Of the list only two pairs are looked for: their name, type and value.
 */
const zfs: Probe = (ends) => {
  const uberblocks = ends.at(128 << 10, 128 << 10);
  if (uberblocks === undefined) return undefined;
  let found = false;
  for (let offset = 0; offset + 8 <= uberblocks.length && !found; offset += 1024) {
    found = uberblocks.readBigUInt64LE(offset) === 0xbab10cn || uberblocks.readBigUInt64BE(offset) === 0xbab10cn;
  }
  const list = ends.at(16 << 10, 112 << 10);
  if (!found || list === undefined) return undefined;
  const named = list.indexOf("\0\0\0\x04name\0\0\0\x09\0\0\0\x01", 0, "latin1");
  const name = named === -1 ? undefined : list.subarray(named + 20, named + 20 + 255);
  const numbered = list.indexOf("\0\0\0\x09pool_guid\0\0\0\0\0\0\x08\0\0\0\x01", 0, "latin1");
  const guid = numbered === -1 ? undefined : list.subarray(numbered + 24, numbered + 32);
  return signature("zfs_member", {
    label: name === undefined ? "" : cleanText(name),
    uuid: guid?.length === 8 ? guid.readBigUInt64BE(0).toString() : "",
  });
};

/** Header in the second sector (UEFI specification, 5.3.2), sectors being 512 or 4096 bytes. */
const gpt: Probe = (ends) => {
  const start = [512, 4096].find((offset) => ends.has(offset, "EFI PART"));
  const header = start === undefined ? undefined : ends.at(start, 92);
  return header === undefined ? undefined : signature("gpt", { uuid: guidOf(header.subarray(56, 72)) });
};

/** Four entries of 16 bytes from 446 on; a boot sector of a file system is no table, nor is the one that protects a GPT. */
const mbr: Probe = (ends) => {
  const sector = ends.at(0, 512);
  if (sector?.readUInt16LE(510) !== 0xaa55 || microsoft(ends) !== undefined || gpt(ends) !== undefined)
    return undefined;
  const entries = [446, 462, 478, 494].map((offset) => ({ flags: sector[offset], kind: sector[offset + 4] }));
  const plausible = entries.every(({ flags }) => flags === 0 || flags === 0x80);
  if (!plausible || entries.every(({ kind }) => kind === 0)) return undefined;
  return signature("dos", { uuid: hexOf(sector.readUInt32LE(440), 8) });
};

const PROBES: readonly Probe[] = [gpt, mbr, ext, xfs, btrfs, microsoft, swap, luks, lvm, md, iso9660, squashfs, zfs];

/** Everything that is recognized, partition tables first. */
export function signaturesOf(ends: Ends): Signature[] {
  return PROBES.map((probe) => probe(ends)).filter((found) => found !== undefined);
}
