/** What is known of an end besides its bytes, for people and scripts that must not take one disk for another. */

/** A file system, partition table or the like. */
export interface Signature {
  /** "ext4", "gpt", … as blkid(8) names them, where it does. */
  readonly type: string;
  /** "" where there is none. */
  readonly label: string;
  /** What tells it from all others of its type; "" where there is nothing. */
  readonly uuid: string;
  /** More that helps to recognize it, such as where it was mounted last; "" for nothing. */
  readonly note: string;
  /** The sectors a table counts in, or the smallest piece a file system reads, in bytes; 0 where nothing depends on it. */
  readonly sectorBytes: number;
  /** Where it ends by its own account, in bytes from its beginning; 0 where it does not tell. */
  readonly endBytes: number;
}

/** A disk, one of its partitions, or an image, and what it carries. */
export interface Content {
  /** "sdb", "sdb1"; "" for a file. */
  readonly name: string;
  readonly sizeBytes: number;
  /** undefined where it could not be read. */
  readonly signatures: readonly Signature[] | undefined;
}

/** Texts are "" where nothing is known. */
export interface Facts {
  /** Short name of a device where it is: "sdb", "vg0-root". */
  readonly name: string;
  readonly model: string;
  readonly serial: string;
  /** "usb", "nvme", "ata", … */
  readonly transport: string;
  /** Logical sectors of a device; 0 for a file, and where the system does not tell. */
  readonly sectorBytes: number;
  readonly isPartition: boolean;
  /** Names that a file has (hard links); 0 for a device. */
  readonly links: number;
  /** Who may write to it meanwhile, as "sdb1 is mounted on /srv"; "" where nobody is known to. */
  readonly writer: string;
  /** Whether both ends of it were looked at and hold nothing but zeros. */
  readonly isZero: boolean;
  /** Types of what is known by its mark in the last 128 KiB, at most MAX_SIGNATURES. */
  readonly atEnd: readonly string[];
  /** The end itself, then its partitions, at most MAX_CONTENTS. */
  readonly contents: readonly Content[];
}

/** How far an end is looked at: not at all, its beginning and end, or those of its partitions too (384 KiB each). */
export const EXAMINATIONS = ["nothing", "itself", "partitions"] as const;
export type Examination = (typeof EXAMINATIONS)[number];

/** These four keep the facts within one message's head (64 KiB, remote/wire/protocol.ts). */
export const MAX_CONTENTS = 16;
/** Signatures of one content. */
export const MAX_SIGNATURES = 4;
/** Longest text among facts, in characters; longer ones are cut. */
export const MAX_FACT_LENGTH = 64;
/** The same of Facts.writer, which has a path in it. */
export const MAX_WRITER_LENGTH = 256;

/** Of what nothing is known. */
export const NO_FACTS: Facts = {
  name: "",
  model: "",
  serial: "",
  transport: "",
  sectorBytes: 0,
  isPartition: false,
  links: 0,
  writer: "",
  isZero: false,
  atEnd: [],
  contents: [],
};
