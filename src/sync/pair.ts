/** Whether two ends make a pair: what is refused, or said, before anything is written. Pure. */

import { RefusedError, refusedDestination, tooSmall, VerificationError } from "../errors.ts";
import { quote } from "../name.ts";
import { equalBytes } from "./blocks.ts";
import type { Description } from "./endpoint.ts";
import { type Extent, shareBytes, wholeOf } from "./extents.ts";
import type { Content, Facts, Signature } from "./facts.ts";
import { noticesOf, packedAs } from "./notices.ts";

/**
 * Checks, before anything is written, that the pair makes sense. Returns notices for the user.
 * @throws {RefusedError}
 */
export function checkPair(source: Description, destination: Description, options: PairOptions): string[] {
  if (source.identity !== "" && source.identity === destination.identity) {
    throw refusedDestination(
      destination.label,
      "same-file",
      `it is the same ${source.kind} as the source ${quote(source.label)}`,
      "both names lead to it (readlink -f, hard links): check which of them is wrong",
    );
  }
  if (shareBytes(placesOf(source), placesOf(destination))) {
    const relation = liesIn(source, destination)
      ? "contains"
      : liesIn(destination, source)
        ? "lies within"
        : "shares bytes with";
    throw refusedDestination(
      destination.label,
      "overlap",
      `it ${relation} the source ${quote(source.label)}`,
      "a partition and its disk, or a loop device and its file, share their bytes (lsblk, losetup --list)",
    );
  }
  if (destination.kind === "device" && source.sizeBytes > destination.sizeBytes) {
    throw tooSmall(destination.label, source.sizeBytes, destination.sizeBytes);
  }
  const format = packedAs(source, destination);
  if (format !== undefined && destination.kind === "device" && !options.allowsPacked) {
    throw refusedDestination(
      destination.label,
      "packed",
      `the source ${quote(source.label)} is ${format.words}, and a block device would hold neither a disk nor a file system`,
      format.remedy,
    );
  }
  return noticesOf(source, destination, options);
}

/** What a pair may be, as the user says. */
export interface PairOptions {
  readonly exact: boolean;
  /** A block device may get a source that is in another form than a disk's. */
  readonly allowsPacked?: boolean;
}

/** What compare says when both names lead to the same bytes and its verdict is worth nothing; otherwise undefined. */
export function noticeOfItself(a: Description, b: Description): string | undefined {
  if (!shareBytes(placesOf(a), placesOf(b))) return undefined;
  const names = `${quote(a.label)} and ${quote(b.label)}`;
  return a.identity === b.identity
    ? `${names} are the same ${a.kind}: it is compared with itself`
    : `${names} share bytes, which are compared with themselves`;
}

/** Whether two marks are of one thing: a copy has its original's identity, and a format without any only its type. */
function isSame(a: Signature, b: Signature): boolean {
  return a.type === b.type && (a.uuid + b.uuid === "" ? a.label === b.label : a.uuid === b.uuid);
}

/**
 * Whether a destination file looks like anything but an earlier copy of the source. It does if it carries something that
 * the source does not, or nothing known where the source carries something; or if neither carries anything and their
 * sizes differ (an interrupted run leaves a file of the source's size).
 */
export function isAnother(source: Description, destination: Description): boolean {
  const { kind, sizeBytes, blank, facts } = destination;
  const there = facts?.contents[0]?.signatures;
  if (kind !== "file" || sizeBytes === 0 || blank || there === undefined || facts?.isZero === true) return false;
  const here = source.facts?.contents[0]?.signatures;
  if (here === undefined) return false;
  if (here.length === 0 && there.length === 0) return source.kind !== "stream" && sizeBytes !== source.sizeBytes;
  return there.length === 0 || !there.every((one) => here.some((other) => isSame(one, other)));
}

/**
 * What the destination carries that the source does not: another one's file system or partition table, or what could not
 * be read. The same type with the same identity is a copy of the source's from an earlier run.
 */
export function foreignContents(source: Facts | undefined, destination: Facts | undefined): readonly Content[] {
  const [own, ...parts] = destination?.contents ?? [];
  if (own === undefined) return [];
  const sources = source?.contents[0]?.signatures ?? [];
  const isKnown = ({ type, label, uuid }: Signature) =>
    label + uuid !== "" && sources.some((one) => one.type === type && one.label === label && one.uuid === uuid);
  if (own.signatures !== undefined && own.signatures.length > 0 && own.signatures.every(isKnown)) return [];
  return [own, ...parts].filter(({ signatures }) => signatures === undefined || signatures.length > 0);
}

/** Where an end's bytes are, itself among it. */
function placesOf({ identity, within }: Description): Extent[] {
  return identity === "" ? [...within] : [wholeOf(identity), ...within];
}

function liesIn(one: Description, other: Description): boolean {
  return one.within.some(({ identity }) => identity === other.identity);
}

/** Whether a dry run would find the size to be changed. */
export function sizeDiffers(
  source: Description,
  destination: Description,
  options: { readonly exact: boolean },
): boolean {
  if (destination.kind === "missing" || destination.sizeBytes < source.sizeBytes) return true;
  return options.exact && destination.kind === "file" && destination.sizeBytes > source.sizeBytes;
}

/**
 * Bytes that only one of the compared sides has. A device larger than what was written to it does not count as
 * different.
 */
export function tailBeyond(a: Description, b: Description): number {
  if (b.kind === "device" && b.sizeBytes > a.sizeBytes) return 0;
  return Math.abs(a.sizeBytes - b.sizeBytes);
}

/** Fails when two ends given the same hash and seed do not hash alike: comparing would be worthless. */
export function checkHashes(source: Description, destination: Description): void {
  if (equalBytes(source.zeroHash, destination.zeroHash)) return;
  throw new VerificationError("The two sides hash the same bytes differently");
}

/** What a lane has open. */
export interface Identities {
  readonly source: string;
  readonly destination: string;
}

/** A name that stands for several hosts, or a file that was replaced: the lanes would work on different things. */
export function checkSame(first: Identities, further: Identities): void {
  for (const side of ["source", "destination"] as const) {
    if (first[side] === further[side]) continue;
    throw new RefusedError(
      `Refused to continue: another lane found a different ${side} under the same name (other-${side})`,
      {
        hint: "the host's name may stand for several machines: name one of them, or leave out --workers",
      },
    );
  }
}
