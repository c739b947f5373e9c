/**
 * Where bytes lie: the same ones can have several names (a disk and its partition, a file and the loop devices over it), and
 * two of these mean the same bytes where both lie in the same place of something below. Pure.
 */

/** A place in a file or device, which something else lies in. */
export interface Extent {
  /** See Description.identity. */
  readonly identity: string;
  /** Bytes [start, end) of it; up to UNBOUNDED where nobody says how long. */
  readonly start: number;
  readonly end: number;
  /** Byte for byte, as a partition lies in its disk; false: somewhere in there, as a file lies in a device. */
  readonly exact: boolean;
}

export const UNBOUNDED = Number.MAX_SAFE_INTEGER;
/** Extents of one description, so that it stays within one message's head (64 KiB, remote/wire/protocol.ts). */
export const MAX_EXTENTS = 96;

/** All of a file or device. */
export function wholeOf(identity: string): Extent {
  return { identity, start: 0, end: UNBOUNDED, exact: true };
}

/** Whether some byte is of both. Two that lie somewhere in one device, as two files do, have none in common. */
export function shareBytes(some: readonly Extent[], others: readonly Extent[]): boolean {
  return some.some((one) =>
    others.some(
      (other) =>
        one.identity === other.identity &&
        (one.exact || other.exact) &&
        Math.max(one.start, other.start) < Math.min(one.end, other.end),
    ),
  );
}

/** As lines "START END = IDENTITY", with "~" for "=" where it is not exact. */
export function extentsText(extents: readonly Extent[]): string {
  const line = ({ start, end, exact, identity }: Extent) => `${start} ${end} ${exact ? "=" : "~"} ${identity}\n`;
  return extents.slice(0, MAX_EXTENTS).map(line).join("");
}

/** What extentsText() wrote; undefined where it did not. */
export function parseExtents(text: string): Extent[] | undefined {
  const extents: Extent[] = [];
  for (const line of text.split("\n").slice(0, -1)) {
    const [, start, end, sign, identity] = /^(\d{1,16}) (\d{1,16}) ([=~]) (.+)$/.exec(line) ?? [];
    if (start === undefined || end === undefined || identity === undefined) return undefined;
    const [from, to] = [Number(start), Number(end)];
    if (from > to || to > UNBOUNDED) return undefined;
    extents.push({ identity, start: from, end: to, exact: sign === "=" });
  }
  return text === "" || text.endsWith("\n") ? extents : undefined;
}
