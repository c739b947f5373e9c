/**
 * All arithmetic of byte ranges. A list of ranges is in ascending order and without overlap, its neighbours may meet; the
 * functions take time in proportion to their lists together, so that a disk with a million bad areas costs a second and
 * not an hour.
 */
import { IoError } from "../errors.ts";

/** A part of something; offset and length are bytes. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** Appends a range to others that all end before it, joined with the last where they meet. */
export function addRange(ranges: ByteRange[], { offset, length }: ByteRange): void {
  const last = ranges.at(-1);
  if (last === undefined || last.offset + last.length !== offset) ranges.push({ offset, length });
  else ranges[ranges.length - 1] = { offset: last.offset, length: last.length + length };
}

/** What of `ranges` lies outside all of `others`. */
export function without(ranges: readonly ByteRange[], others: readonly ByteRange[]): ByteRange[] {
  const parts: ByteRange[] = [];
  let next = 0;
  for (const { offset, length } of ranges) {
    const end = offset + length;
    let start = offset;
    for (let other = others[next]; start < end && other !== undefined && other.offset < end; other = others[next]) {
      if (other.offset > start) parts.push({ offset: start, length: other.offset - start });
      start = Math.max(start, other.offset + other.length);
      // One that reaches beyond this range may cover a part of the next one too.
      if (other.offset + other.length > end) break;
      next++;
    }
    if (start < end) parts.push({ offset: start, length: end - start });
  }
  return parts;
}

/** What of `ranges` lies in `others`. */
export function within(ranges: readonly ByteRange[], others: readonly ByteRange[]): ByteRange[] {
  return without(ranges, without(ranges, others));
}

/** What lies in either, joined. */
export function union(ranges: readonly ByteRange[], others: readonly ByteRange[]): ByteRange[] {
  return joined([...ranges, ...without(others, ranges)].sort((a, b) => a.offset - b.offset));
}

/** The same with neighbours that meet in one. */
export function joined(ranges: readonly ByteRange[]): ByteRange[] {
  const list: ByteRange[] = [];
  for (const range of ranges) addRange(list, range);
  return list;
}

export function totalLength(ranges: readonly ByteRange[]): number {
  return ranges.reduce((sum, { length }) => sum + length, 0);
}

/**
 * Separate ranges that a set holds at most, in 16 bytes each: as many bad areas as no disk has that is worth reading, and a
 * far side that makes them up must not fill the memory.
 */
const MAX_RANGES = 1 << 20;
/** What comes out of order is put in its place in batches of an eighth of what is there, and at least of so many. */
const MIN_WAITING = 256;

/** Ranges that come in any order and may overlap; most come in ascending order. */
export class RangeSet {
  /** Ascending, apart from each other. */
  #starts: number[] = [];
  #ends: number[] = [];
  #length = 0;
  /** What came out of order, until there is enough of it: an insertion moves all that lies behind. */
  #waiting: ByteRange[] = [];

  /** Separate ranges, those that meet being one. */
  get count(): number {
    this.#settle();
    return this.#starts.length;
  }

  /** Bytes in all of them. */
  get length(): number {
    this.#settle();
    return this.#length;
  }

  /** @throws {IoError} when there are too many. */
  add(range: ByteRange): void {
    if (range.length === 0) return;
    if (range.offset >= (this.#starts.at(-1) ?? 0)) {
      this.#append(range.offset, range.offset + range.length);
      return;
    }
    this.#waiting.push(range);
    if (this.#waiting.length > MIN_WAITING + this.#starts.length / 8) this.#settle();
  }

  /** Adds what begins no earlier than the last range. */
  #append(start: number, end: number): void {
    const last = this.#ends.length - 1;
    const lastEnd = this.#ends[last];
    if (lastEnd === undefined || lastEnd < start) {
      this.#starts.push(start);
      this.#ends.push(end);
      this.#length += end - start;
    } else if (end > lastEnd) {
      this.#ends[last] = end;
      this.#length += end - lastEnd;
    }
    if (this.#starts.length > MAX_RANGES)
      throw new IoError(`Cannot track more than ${MAX_RANGES} separate areas`, {
        hint: "a disk that is bad in so many places is a case for GNU ddrescue with a large --cluster-size",
      });
  }

  #settle(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting.sort((a, b) => a.offset - b.offset);
    const [starts, ends] = [this.#starts, this.#ends];
    [this.#starts, this.#ends, this.#length, this.#waiting] = [[], [], 0, []];
    let next = 0;
    for (const { offset, length } of waiting) {
      for (; next < starts.length && (starts[next] ?? 0) <= offset; next++)
        this.#append(starts[next] ?? 0, ends[next] ?? 0);
      this.#append(offset, offset + length);
    }
    for (; next < starts.length; next++) this.#append(starts[next] ?? 0, ends[next] ?? 0);
  }

  /** What of the set lies in a range, in ascending order. */
  partsIn({ offset, length }: ByteRange): ByteRange[] {
    this.#settle();
    const end = offset + length;
    const parts: ByteRange[] = [];
    for (let i = this.#firstEndingAfter(offset); i < this.#starts.length && (this.#starts[i] ?? 0) < end; i++) {
      const start = Math.max(offset, this.#starts[i] ?? 0);
      const stop = Math.min(end, this.#ends[i] ?? 0);
      if (start < stop) parts.push({ offset: start, length: stop - start });
    }
    return parts;
  }

  #firstEndingAfter(offset: number): number {
    let [low, high] = [0, this.#ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#ends[middle] ?? 0) <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** All ranges, in ascending order, at this moment. */
  all(): ByteRange[] {
    this.#settle();
    return this.#starts.map((start, i) => ({ offset: start, length: (this.#ends[i] ?? 0) - start }));
  }
}
