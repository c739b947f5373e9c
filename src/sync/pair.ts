/** Whether two ends make a pair: what is refused, or said, before anything is written. Pure. */

import { RefusedError, refusedDestination, tooSmall, VerificationError } from "../errors.ts";
import { quote } from "../name.ts";
import type { Description } from "./endpoint.ts";

/**
 * Checks, before anything is written, that the pair makes sense. Returns notices for the user.
 * @throws {RefusedError}
 */
export function checkPair(
  source: Description,
  destination: Description,
  options: { readonly exact: boolean },
): string[] {
  const name = quote(destination.label);
  if (source.identity !== "" && source.identity === destination.identity) {
    throw refusedDestination(
      destination.label,
      "same-file",
      `it is the same ${source.kind} as the source ${quote(source.label)}`,
      "both names lead to it (readlink -f, hard links): check which of the two was meant to be another",
    );
  }
  if (source.within.includes(destination.identity) || destination.within.includes(source.identity)) {
    const relation = source.within.includes(destination.identity) ? "contains" : "lies within";
    throw refusedDestination(
      destination.label,
      "overlap",
      `it ${relation} the source ${quote(source.label)}`,
      "a partition and its disk, or a loop device and its file, are the same bytes",
    );
  }
  if (destination.kind === "device" && source.sizeBytes > destination.sizeBytes) {
    throw tooSmall(destination.label, source.sizeBytes, destination.sizeBytes);
  }
  const extra = destination.sizeBytes - source.sizeBytes;
  if (extra <= 0) return [];
  if (destination.kind === "device")
    return [`${name} is ${extra} bytes larger than the source; what lies beyond is left alone`];
  if (options.exact) return [];
  return [`${name} is ${extra} bytes larger than the source and keeps its tail; --create-dest would cut it`];
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

/** Fails when two ends given the same hash and seed do not hash alike: comparing would be worthless. */
export function checkHashes(source: Description, destination: Description): void {
  const same =
    source.zeroHash.length === destination.zeroHash.length &&
    source.zeroHash.every((byte, i) => byte === destination.zeroHash[i]);
  if (!same) throw new VerificationError("The two sides hash the same bytes differently");
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
    throw new RefusedError(`Refused to go on: another lane found another ${side} under the same name (other-${side})`, {
      hint: "the host's name may stand for several machines; name one of them, or leave --workers out",
    });
  }
}
