/**
 * All arithmetic on byte ranges. A list of ranges is in ascending order and has no overlaps; neighbours may meet. Each
 * function takes time in proportion to the total length of its lists, so a disk with a million bad areas costs a second,
 * not an hour.
 */
import { IoError } from "../errors.ts";

/** A part of something; offset and length are bytes. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** The byte behind it. */
export function endOf({ offset, length }: ByteRange): number {
  return offset + length;
}

/** The same bytes where what was at 0 is at `by`. */
export function shifted({ offset, length }: ByteRange, by: number): ByteRange {
  return { offset: offset + by, length };
}

/** All of the units of `size` bytes that it touches, the last one up to `end` at most. */
export function outward(range: ByteRange, size: number, end: number): ByteRange {
  const start = Math.floor(range.offset / size) * size;
  return { offset: start, length: Math.min(end, Math.ceil(endOf(range) / size) * size) - start };
}

/** The units of `size` bytes that lie in it as a whole, the last one ending at `end`; undefined where there is none. */
export function inward(range: ByteRange, size: number, end: number): ByteRange | undefined {
  const start = Math.ceil(range.offset / size) * size;
  const stop = endOf(range) >= end ? end : Math.floor(endOf(range) / size) * size;
  return stop > start ? { offset: start, length: stop - start } : undefined;
}

/** Cuts it into pieces of `size` bytes, the last of which may be shorter. */
export function* pieces(range: ByteRange, size: number): Generator<ByteRange> {
  const end = endOf(range);
  for (let offset = range.offset; offset < end; offset += size) yield { offset, length: Math.min(size, end - offset) };
}

/** Appends a range to others that all end before it, joined with the last where they meet. */
export function addRange(ranges: ByteRange[], { offset, length }: ByteRange): void {
  const last = ranges.at(-1);
  if (last === undefined || endOf(last) !== offset) ranges.push({ offset, length });
  else ranges[ranges.length - 1] = { offset: last.offset, length: last.length + length };
}

/** Makes one of each run of neighbours that meet and are alike: push() gives back what can grow no more, and so does `last`. */
export class Joiner<Range extends ByteRange> {
  readonly #areAlike: (one: Range, other: Range) => boolean;
  #last: Range | undefined;

  constructor(areAlike: (one: Range, other: Range) => boolean = () => true) {
    this.#areAlike = areAlike;
  }

  push(range: Range): Range | undefined {
    const last = this.#last;
    const joins = last !== undefined && endOf(last) === range.offset && this.#areAlike(last, range);
    this.#last = joins ? { ...last, length: last.length + range.length } : range;
    return joins ? undefined : last;
  }

  get last(): Range | undefined {
    return this.#last;
  }
}

/** The ranges with neighbours that meet and are alike in one. */
export function* joinedAlike<Range extends ByteRange>(
  ranges: Iterable<Range>,
  areAlike: (one: Range, other: Range) => boolean,
): Generator<Range> {
  const joiner = new Joiner(areAlike);
  for (const range of ranges) {
    const whole = joiner.push(range);
    if (whole !== undefined) yield whole;
  }
  if (joiner.last !== undefined) yield joiner.last;
}

/** What is in ascending order in whole units of `size` bytes up to `end`, the one before keeping a unit that two of them touch. */
export function* rounded<Range extends ByteRange>(
  ranges: Iterable<Range>,
  size: number,
  end: number,
): Generator<Range> {
  let position = 0;
  for (const range of ranges) {
    const whole = outward(range, size, end);
    const [start, stop] = [Math.max(position, whole.offset), endOf(whole)];
    if (stop <= start) continue;
    yield { ...range, offset: start, length: stop - start };
    position = stop;
  }
}

/** Both in one order, `over` in the place of what it lies over; `ranges` up to `limit`. */
export function* overlaid<Range extends ByteRange>(
  ranges: Iterable<Range>,
  over: readonly Range[],
  limit: number,
): Generator<Range> {
  let position = 0;
  let next = 0;
  for (const range of ranges) {
    const end = Math.min(endOf(range), limit);
    position = Math.max(position, range.offset);
    for (let upper = over[next]; upper !== undefined && upper.offset < end; upper = over[next]) {
      if (position < upper.offset) yield { ...range, offset: position, length: upper.offset - position };
      yield upper;
      position = Math.max(position, endOf(upper));
      next++;
    }
    if (position < end) yield { ...range, offset: position, length: end - position };
  }
  yield* over.slice(next);
}

/** What of `ranges` lies outside all of `others`. */
export function without(ranges: readonly ByteRange[], others: readonly ByteRange[]): ByteRange[] {
  const parts: ByteRange[] = [];
  let next = 0;
  for (const range of ranges) {
    const end = endOf(range);
    let start = range.offset;
    for (let other = others[next]; start < end && other !== undefined && other.offset < end; other = others[next]) {
      if (other.offset > start) parts.push({ offset: start, length: other.offset - start });
      start = Math.max(start, endOf(other));
      // One that reaches beyond this range may cover a part of the next one too.
      if (endOf(other) > end) break;
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
 * Most separate ranges in a set, at 16 bytes each: more bad areas than any disk worth reading has, and a limit for a far
 * side that makes them up to fill the memory.
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
      this.#append(range.offset, endOf(range));
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
        hint: "for a disk with so many bad areas use GNU ddrescue with a large --cluster-size",
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
  partsIn(range: ByteRange): ByteRange[] {
    this.#settle();
    const [offset, end] = [range.offset, endOf(range)];
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
