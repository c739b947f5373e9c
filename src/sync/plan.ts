/**
 * The blocks to look at, handed to lanes piece by piece, so that a lane with much to copy leaves the rest to the others: with all that
 * differs in the first quarter, four lanes over limited pipes were no faster than one.
 */
import { type ListMeaning, listedBlocks } from "./block-list.ts";
import type { BlockLayout, BlockRange } from "./blocks.ts";
import type { ByteRange } from "./ranges.ts";

/** What --used-blocks or --changed-blocks lists. */
export interface Listed {
  readonly ranges: readonly ByteRange[];
  readonly meaning: ListMeaning;
}

/** What a plan tells of a lane. */
export interface Taker {
  /** Blocks that it has taken. */
  blocksTaken: number;
  /** Blocks that it will have taken in the end, as far as is known. */
  blocksExpected: number;
}

/** A lane begins with one piece of so many that would make up its part, or with this length, whichever is shorter. */
const PIECES = 16;
const MOST_AT_FIRST = 16 << 20;
/** What a lane may have under way when it takes more: what it copies in this time, so much as long as nobody knows, and never less than that. */
const UNDER_WAY_MS = 1000;
const UNDER_WAY_AT_FIRST = 16 << 20;
const LEAST_UNDER_WAY = 4 << 20;

/** How much a lane takes next, and when: more where nothing differs, and where much does about what it copies in a quarter of a second. */
export class Appetite {
  readonly #least: number;
  readonly #leastUnderWay: number;
  #sinceMs: number;
  #doneBefore = 0;
  /** Blocks of the next piece. */
  piece: number;
  /** Blocks that may still be under way when it is taken. */
  underWay: number;

  constructor({ blockSize, together }: BlockLayout, first: number, nowMs: number) {
    this.#least = together;
    this.#leastUnderWay = Math.max(1, Math.floor(LEAST_UNDER_WAY / blockSize));
    this.#sinceMs = nowMs;
    this.piece = first;
    this.underWay = Math.max(1, Math.floor(UNDER_WAY_AT_FIRST / blockSize));
  }

  /** A piece of which some blocks `differed` was looked at; `done` blocks were copied so far. */
  learn(differed: boolean, done: number, nowMs: number): void {
    const elapsedMs = nowMs - this.#sinceMs;
    if (elapsedMs >= UNDER_WAY_MS) {
      const copied = Math.floor(((done - this.#doneBefore) * UNDER_WAY_MS) / elapsedMs);
      this.underWay = Math.max(this.#leastUnderWay, copied);
      this.#sinceMs = nowMs;
      this.#doneBefore = done;
    }
    this.piece = differed ? Math.max(this.#least, Math.floor(this.underWay / 4)) : this.piece * 2;
  }
}

export class SharedPlan {
  readonly #lanes: readonly Taker[];
  readonly #ranges: readonly BlockRange[];
  /** Blocks that a list lets nobody look at, in ascending order. */
  readonly others: readonly BlockRange[];
  readonly #layout: BlockLayout;
  /** Blocks of a lane's first piece. */
  readonly #first: number;
  /** Blocks that nobody has taken. */
  #left: number;
  /** Where they begin: so many blocks into that range. */
  #number = 0;
  #into = 0;

  constructor(layout: BlockLayout, listed: Listed | undefined, lanes: readonly Taker[]) {
    const parts = listed === undefined ? undefined : listedBlocks(listed.ranges, layout, layout.all);
    this.#layout = layout;
    this.#lanes = lanes;
    this.#ranges = parts?.listed ?? [layout.all];
    this.others = parts?.others ?? [];
    this.#left = countBlocks(this.#ranges);
    const part = Math.ceil(this.#left / lanes.length / PIECES);
    this.#first = Math.max(layout.together, Math.min(part, Math.floor(MOST_AT_FIRST / layout.blockSize)));
    this.#tell();
  }

  /** Of a lane that begins. */
  appetite(nowMs: number): Appetite {
    return new Appetite(this.#layout, this.#first, nowMs);
  }

  /**
   * The next blocks, `wanted` or fewer, for a lane to look at, in ascending order and behind all that it took before; none when all
   * are taken. One lane alone takes all at once.
   */
  take(lane: Taker, wanted: number): BlockRange[] {
    // The others are to have something to do as long as this lane has, but for what is not worth the round trips.
    const fair = Math.max(this.#first, Math.ceil(this.#left / this.#lanes.length / 2));
    const most = this.#lanes.length === 1 ? this.#left : Math.min(wanted, fair);
    const piece: BlockRange[] = [];
    for (let room = most; room > 0; ) {
      const range = this.#ranges[this.#number];
      if (range === undefined) break;
      const count = Math.min(room, range.count - this.#into);
      if (count > 0) piece.push({ first: range.first + this.#into, count });
      room -= count;
      this.#into += count;
      if (this.#into < range.count) continue;
      this.#number++;
      this.#into = 0;
    }
    const taken = countBlocks(piece);
    this.#left -= taken;
    lane.blocksTaken += taken;
    this.#tell();
    return piece;
  }

  /** Nothing more is taken: another lane has failed. */
  end(): void {
    this.#number = this.#ranges.length;
    this.#left = 0;
  }

  /** As if what is left fell to all lanes alike; what nobody looks at is counted by the first. */
  #tell(): void {
    const { length } = this.#lanes;
    for (const [i, lane] of this.#lanes.entries())
      lane.blocksExpected =
        lane.blocksTaken + Math.floor((this.#left + i) / length) + (i === 0 ? countBlocks(this.others) : 0);
  }
}

function countBlocks(ranges: readonly BlockRange[]): number {
  return ranges.reduce((sum, { count }) => sum + count, 0);
}
