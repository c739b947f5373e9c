/** What a case is: some work, who does it, and what blocksync should reach. */
import type { Goal } from "./goals.ts";
import type { Command } from "./process.ts";

export interface Contender extends Command {
  readonly name: string;
  /** The program that must be on PATH, when it is not the first word. */
  readonly needs?: string;
  /**
   * How it is set against the first: "difference" for what does only part of the work, where seconds apart say more than
   * a ratio; "speedup" for the same work done by more; "nothing" for other work. Otherwise by the ratio.
   */
  readonly compareBy?: "difference" | "speedup" | "nothing";
  /** It prints blocksync's summary, and the goal for memory is for it. */
  readonly isBlocksync?: boolean;
  /** Looks at what it did, where cmp would take too long. Returns what is wrong with it. */
  check?(): Promise<string | undefined>;
}

export interface Case {
  readonly name: string;
  readonly title: string;
  /** Once, before the first run. */
  setup(): Promise<void>;
  /** Before every run, not timed. */
  prepare?(): Promise<void>;
  /** The image the destination must equal after a run; undefined when nothing is written. */
  readonly expected?: string;
  /** The first is blocksync, and what the others are compared with. */
  readonly contenders: readonly [Contender, ...Contender[]];
  /** Besides the one for memory, which every case has. */
  readonly goals?: readonly Goal[];
  /** How many bytes differ before a run, to set what was sent and written against. */
  readonly changedBytes?: number;
  /** Report how much of the destination is on the disk. */
  readonly reportSparseness?: boolean;
}
