/** What a folder of undo files has: for each run what it kept, and whether that still shows the whole disk of its day. Reads only. */
import fs from "node:fs";
import { cannot, reason, systemCode } from "../../errors.ts";
import { quote } from "../../name.ts";
import { entryNames, join } from "../../paths.ts";
import { areOfTwo, markOf } from "../guard/mark.ts";
import { Descriptor } from "../medium/descriptor.ts";
import { look } from "../system/picture.ts";
import { headAt } from "./chain.ts";
import { geometryOf, type Head, isSet, offsetOf, tableBytes } from "./qcow2.ts";

export interface Day {
  /** Of the file, in the folder. */
  readonly name: string;
  /** When its run began, in ms since 1970. */
  readonly timeMs: number;
  /** Of the disk at that time, in bytes. */
  readonly sizeBytes: number;
  /** Bytes of it that the run has overwritten. */
  readonly changedBytes: number;
  /** The disk that it is about. */
  readonly destination: string;
  /** Why it does not show its day any more; undefined where it does, as far as the file and those that it needs can tell. */
  readonly problem: string | undefined;
}

interface Kept {
  readonly head: Head;
  readonly changedBytes: number;
  /** Of this file alone. */
  readonly problem: string | undefined;
}

/** The days that a folder has, the oldest first; what is no undo file of ours is left out. @throws {IoError} */
export async function historyOf(folder: string): Promise<Day[]> {
  const kept = new Map<string, Kept>();
  for (const name of namesIn(folder)) {
    const path = join(folder, name);
    const head = headAt(path);
    if (head !== undefined) kept.set(name, { head, ...(await examine(path, head)) });
  }
  const days: Placed[] = [...kept].map(([name, { head, changedBytes }]) => {
    const { timeMs, sizeBytes } = head;
    return { name, timeMs, sizeBytes, changedBytes, ...leadsTo(name, kept) };
  });
  const byDisk = Map.groupBy(
    days.toSorted((a, b) => a.timeMs - b.timeMs),
    ({ destination }) => destination,
  );
  // By the chain rather than by a clock that may have been set back: nothing needs the first.
  return [...byDisk.values()].flatMap((own) => own.toSorted((a, b) => b.newer - a.newer));
}

function namesIn(folder: string): string[] {
  try {
    return entryNames(folder);
  } catch (error) {
    const hint = systemCode(error) === "ENOTDIR" ? "name the directory that --undo DIR/ keeps its files in" : undefined;
    throw cannot("read", folder, error, hint);
  }
}

/** A day, and how many newer files it needs. */
interface Placed extends Day {
  readonly newer: number;
}

/** Follows the chain from a file to its disk; the first thing that is wrong on the way. */
function leadsTo(name: string, kept: ReadonlyMap<string, Kept>): Pick<Placed, "destination" | "problem" | "newer"> {
  const passed = new Set<string>();
  let problem: string | undefined;
  for (let at = name; ; ) {
    const one = kept.get(at);
    passed.add(at);
    const lost = (why: string) => ({ destination: "", newer: passed.size, problem: problem ?? why });
    if (one === undefined) return lost(`it needs ${quote(at)}, which is not there`);
    if (one.problem !== undefined) problem ??= at === name ? one.problem : `it needs ${quote(at)}: ${one.problem}`;
    const { backing, mark } = one.head;
    if (backing.startsWith("/")) {
      const stat = look(backing);
      const isOther = areOfTwo(mark, markOf(stat));
      const why = stat === undefined ? "is not there" : isOther ? "is another disk than it was" : undefined;
      const newer = passed.size - 1;
      return {
        destination: backing,
        newer,
        problem: problem ?? (why === undefined ? undefined : `${quote(backing)} ${why}`),
      };
    }
    if (passed.has(backing)) return lost("it needs itself");
    at = backing;
  }
}

/** Whether all that the tables of the undo file at `path` lead to is in it, and how much that is. Throws no error of the system. */
export async function examine(path: string, { sizeBytes }: Head): Promise<Omit<Kept, "head">> {
  const { clusterSize, clusterBits, clustersPerTable, l1Offset, l1Entries, tablesEnd } = geometryOf(sizeBytes);
  let clusters = 0;
  /** Bytes of the file that entries have led to. */
  let used = tablesEnd;
  const outcome = (problem: string | undefined) => ({
    changedBytes: Math.min(clusters * clusterSize, sizeBytes),
    problem,
  });
  try {
    const file = await Descriptor.open(path, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
    try {
      const end = Number(file.stat().size);
      // More than there is means that two entries lead to one place, and bounds what a crafted file has read.
      const isIn = (offset: number) => {
        used += clusterSize;
        return offset % 2 ** clusterBits === 0 && offset + clusterSize <= end && used <= end;
      };
      const l1 = Buffer.alloc(tableBytes(l1Entries));
      if (!(await file.fill(l1, l1Offset))) return outcome("it is cut short");
      const table = Buffer.alloc(clusterSize);
      for (let number = 0; number < l1Entries; number++) {
        if (!isSet(l1, number)) continue;
        const place = offsetOf(l1, number);
        if (!isIn(place) || !(await file.fill(table, place))) return outcome("it is damaged, or cut short");
        for (let index = 0; index < clustersPerTable; index++) {
          if (!isSet(table, index)) continue;
          const held = offsetOf(table, index);
          // 0 for what reads as zeros.
          if (held !== 0 && !isIn(held)) return outcome("it is damaged, or cut short");
          clusters++;
        }
      }
      return outcome(undefined);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return outcome(`it cannot be read (${reason(error)})`);
  }
}
