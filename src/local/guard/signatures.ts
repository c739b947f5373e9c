/**
 * What a disk, partition or image carries: file systems, partition tables and what else begins with a known mark. For
 * people who are about to overwrite it, so a guess at the format from its mark, with label and identity, and no reader of
 * it. Pure. Nothing is taken from beyond the bytes at hand, and no text leaves here with control characters in it.
 */
import type { Signature } from "../../sync/facts.ts";
import { bytesOfPieces, cleanText, Ends, guidOf, HEAD_LENGTH, hexOf, type Probe, signature, uuidOf } from "./ends.ts";
import { FORMAT_PROBES, isPackedDmg } from "./formats.ts";

/** The size of a sector or block whose exponent a superblock tells; 0 where that is nonsense. */
function powerOf2(exponent: number): number {
  return exponent >= 9 && exponent <= 16 ? 2 ** exponent : 0;
}

/** Superblock at 1024 (docs.kernel.org/filesystems/ext4, "The Super Block"); names by features as blkid gives them. */
const ext: Probe = (ends) => {
  const block = ends.at(1024, 1024);
  if (block?.readUInt16LE(56) !== 0xef53) return undefined;
  const [compatible, incompatible, readOnly] = [92, 96, 100].map((offset) => block.readUInt32LE(offset));
  // Beyond filetype, recover, meta_bg; beyond sparse_super, large_file, btree_dir: only ext4 has these.
  const isExt4 = ((incompatible ?? 0) & ~0x16) !== 0 || ((readOnly ?? 0) & ~0x7) !== 0;
  const hasJournal = ((compatible ?? 0) & 0x4) !== 0;
  const mounted = cleanText(block.subarray(136, 200));
  const blockBytes = powerOf2(10 + block.readUInt32LE(24));
  // The upper half counts where the feature 64bit is set (s_blocks_count_hi).
  const high = ((incompatible ?? 0) & 0x80) === 0 ? 0n : BigInt(block.readUInt32LE(0x150)) << 32n;
  return signature(isExt4 ? "ext4" : hasJournal ? "ext3" : "ext2", {
    label: cleanText(block.subarray(120, 136)),
    uuid: uuidOf(block.subarray(104, 120)),
    note: mounted === "" ? "" : `last mounted on ${mounted}`,
    sectorBytes: blockBytes,
    endBytes: bytesOfPieces(high + BigInt(block.readUInt32LE(4)), blockBytes),
  });
};

/** xfs_sb in fs/xfs/libxfs/xfs_format.h. */
const xfs: Probe = (ends) => {
  const block = ends.at(0, 512);
  if (block === undefined || !ends.has(0, "XFSB")) return undefined;
  return signature("xfs", {
    label: cleanText(block.subarray(108, 120)),
    uuid: uuidOf(block.subarray(32, 48)),
    sectorBytes: block.readUInt16BE(102),
    endBytes: bytesOfPieces(block.readBigUInt64BE(8), block.readUInt32BE(4)),
  });
};

/** Superblock at 64 KiB (btrfs.readthedocs.io, "On-disk format"). */
const btrfs: Probe = (ends) => {
  const block = ends.at(64 << 10, 1024);
  if (block === undefined || !ends.has((64 << 10) + 64, "_BHRfS_M")) return undefined;
  return signature("btrfs", { label: cleanText(block.subarray(299, 555)), uuid: uuidOf(block.subarray(32, 48)) });
};

/** "exFAT file system specification" of Microsoft, 3.1. */
function exfat(sector: Buffer): Signature {
  const sectorBytes = powerOf2(sector[108] ?? 0);
  const endBytes = bytesOfPieces(sector.readBigUInt64LE(72), sectorBytes);
  return signature("exfat", { uuid: hexOf(sector.readUInt32LE(100), 8), sectorBytes, endBytes });
}

/** Microsoft's FAT specification, "Boot Sector and BPB"; the exFAT and NTFS boot sectors have their own marks. */
const microsoft: Probe = (ends) => {
  const sector = ends.at(0, 512);
  if (sector?.readUInt16LE(510) !== 0xaa55) return undefined;
  const sectorBytes = sector.readUInt16LE(11);
  if (ends.has(3, "NTFS    ")) {
    const endBytes = bytesOfPieces(sector.readBigUInt64LE(40), sectorBytes);
    return signature("ntfs", { uuid: hexOf(sector.readBigUInt64LE(72), 16), sectorBytes, endBytes });
  }
  if (ends.has(3, "EXFAT   ")) return exfat(sector);
  const serialAt = ends.has(82, "FAT32   ") ? 67 : ends.has(54, "FAT1") ? 39 : undefined;
  if (serialAt === undefined) return undefined;
  const label = cleanText(sector.subarray(serialAt + 4, serialAt + 15));
  return signature("vfat", {
    label: label === "NO NAME" ? "" : label,
    uuid: hexOf(sector.readUInt32LE(serialAt), 8),
    sectorBytes,
    endBytes: bytesOfPieces(sector.readUInt16LE(19) || sector.readUInt32LE(32), sectorBytes),
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

/** Superblocks of versions 1.1, 1.2, 1.0 and 0.90 (include/uapi/linux/raid/md_p.h), the last two at the end. */
const md: Probe = (ends) => mdOf(ends, [0, 4096]) ?? mdAtEnd(ends);

function mdOf(ends: Ends, offsets: readonly number[]): Signature | undefined {
  for (const offset of offsets) {
    const block = ends.at(offset, 256);
    if (block?.readUInt32LE(0) !== 0xa92b4efc || block.readUInt32LE(4) !== 1) continue;
    return signature("linux_raid_member", {
      label: cleanText(block.subarray(32, 64)),
      uuid: uuidOf(block.subarray(16, 32)),
    });
  }
  return undefined;
}

const mdAtEnd: Probe = (ends) => {
  const { sizeBytes } = ends;
  const first = mdOf(ends, [Math.floor((sizeBytes - 8192) / 4096) * 4096]);
  if (first !== undefined) return first;
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
  return signature("iso9660", {
    label: cleanText(block.subarray(40, 72)),
    uuid: cleanText(block.subarray(813, 829)),
    endBytes: bytesOfPieces(block.readUInt32LE(80), block.readUInt16LE(128)),
  });
};

/** Documentation/filesystems/squashfs.rst; the time it was made tells it from others. */
const squashfs: Probe = (ends) => {
  const head = ends.at(0, 96);
  if (head === undefined || !ends.has(0, "hsqs")) return undefined;
  const endBytes = bytesOfPieces(head.readBigUInt64LE(40), 1);
  return signature("squashfs", { uuid: hexOf(head.readUInt32LE(8), 8), endBytes });
};

/**
 * A label's name-value list at 16 KiB in XDR, and its uberblocks from 128 KiB on ("ZFS On-Disk Specification", chapter 1
 * and RFC 4506). Of the list only two pairs are looked for: their name, type and value.
 */
const zfs: Probe = (ends) => {
  const list = ends.at(16 << 10, 112 << 10);
  if (!hasUberblock(ends.at(128 << 10, ZFS_UBERBLOCKS)) || list === undefined) return undefined;
  const named = list.indexOf("\0\0\0\x04name\0\0\0\x09\0\0\0\x01", 0, "latin1");
  const name = named === -1 ? undefined : list.subarray(named + 20, named + 20 + 255);
  const numbered = list.indexOf("\0\0\0\x09pool_guid\0\0\0\0\0\0\x08\0\0\0\x01", 0, "latin1");
  const guid = numbered === -1 ? undefined : list.subarray(numbered + 24, numbered + 32);
  return signature("zfs_member", {
    label: name === undefined ? "" : cleanText(name),
    uuid: guid?.length === 8 ? guid.readBigUInt64BE(0).toString() : "",
  });
};

const ZFS_LABEL = 256 << 10;
/** Bytes that end each label, two of which end what they are on. */
const ZFS_UBERBLOCKS = 128 << 10;

function hasUberblock(blocks: Buffer | undefined): boolean {
  for (let offset = 0; offset + 8 <= (blocks?.length ?? 0); offset += 1024) {
    if (blocks?.readBigUInt64LE(offset) === 0xbab10cn || blocks?.readBigUInt64BE(offset) === 0xbab10cn) return true;
  }
  return false;
}

const GPT_MARK = "EFI PART";

/** Header in the second sector (UEFI specification, 5.3.2); a disk may have one for either size of sectors. */
function gptOf(sectorBytes: number): Probe {
  return (ends) => {
    const header = ends.has(sectorBytes, GPT_MARK) ? ends.at(sectorBytes, 92) : undefined;
    if (header === undefined) return undefined;
    const uuid = guidOf(header.subarray(56, 72));
    return signature("gpt", {
      uuid,
      sectorBytes,
      endBytes: bytesOfPieces(lastSector(ends, header, sectorBytes), sectorBytes),
    });
  };
}

/** Where the last partition of a GPT ends, in sectors; 0 where the entries are not at hand (UEFI specification, 5.3.3). */
function lastSector(ends: Ends, header: Buffer, sectorBytes: number): bigint {
  const [count, length] = [header.readUInt32LE(80), header.readUInt32LE(84)];
  const start = bytesOfPieces(header.readBigUInt64LE(72), sectorBytes);
  const entries = length < 128 || count * length > HEAD_LENGTH ? undefined : ends.at(start, count * length);
  let last = 0n;
  for (let at = 0; at < (entries?.length ?? 0); at += length) {
    const entry = entries?.subarray(at, at + 48);
    const isUsed = entry?.subarray(0, 16).some((byte) => byte !== 0) === true;
    const end = isUsed ? entry.readBigUInt64LE(40) + 1n : 0n;
    if (end > last) last = end;
  }
  return last;
}
const gpt = gptOf(512);
const gptOf4096 = gptOf(4096);

/** Four entries of 16 bytes from 446 on; a boot sector of a file system is no table, nor is the one that protects a GPT. */
const mbr: Probe = (ends) => {
  const sector = ends.at(0, 512);
  if (sector?.readUInt16LE(510) !== 0xaa55 || [microsoft, gpt, gptOf4096].some((probe) => probe(ends)))
    return undefined;
  const entries = [446, 462, 478, 494].map((offset) => ({
    flags: sector[offset],
    kind: sector[offset + 4],
    end: sector.readUInt32LE(offset + 8) + sector.readUInt32LE(offset + 12),
  }));
  const plausible = entries.every(({ flags }) => flags === 0 || flags === 0x80);
  if (!plausible || entries.every(({ kind }) => kind === 0)) return undefined;
  // One of kind 0xee stands for all of a disk, as large as may be. Sectors that are longer than these end further on.
  const endBytes = Math.max(...entries.map(({ kind, end }) => (kind === 0 || kind === 0xee ? 0 : end * 512)));
  return signature("dos", { uuid: hexOf(sector.readUInt32LE(440), 8), endBytes });
};

const PROBES: readonly Probe[] = [
  gpt,
  gptOf4096,
  mbr,
  ext,
  xfs,
  btrfs,
  microsoft,
  swap,
  luks,
  lvm,
  md,
  iso9660,
  squashfs,
  zfs,
  ...FORMAT_PROBES,
];

/** Everything that is recognized, partition tables first. */
export function signaturesOf(ends: Ends): Signature[] {
  const found = PROBES.map((probe) => probe(ends)).filter((one) => one !== undefined);
  return found.length === 0 && isPackedDmg(ends) ? [signature("dmg")] : found;
}

/** What the first bytes of something are recognized by, whose end is not known. */
export function signaturesOfHead(head: Buffer): Signature[] {
  return signaturesOf(new Ends(Number.MAX_SAFE_INTEGER, head, Buffer.alloc(0)));
}

/** Types of what is found by its mark at the very end, and so outlives a shorter image that is written over it. */
export function typesAtEnd(ends: Ends): string[] {
  const { sizeBytes } = ends;
  const labelled = Math.floor(sizeBytes / ZFS_LABEL) * ZFS_LABEL;
  const found = {
    gpt: [512, 4096].some((sectorBytes) => ends.has(sizeBytes - sectorBytes, GPT_MARK)),
    linux_raid_member: mdAtEnd(ends) !== undefined,
    zfs_member: hasUberblock(ends.at(labelled - ZFS_UBERBLOCKS, ZFS_UBERBLOCKS)),
  };
  return Object.entries(found).flatMap(([type, is]) => (is ? [type] : []));
}
