/** Sizes and numbers of blocks far above those of the other cases, as sparse files: what grows, and what must not. */
import type { Case, Contender } from "../case.ts";
import { blocksync, HERE, throughPipe } from "../contenders.ts";
import { type Goal, growthOfMemory, growthOfTime } from "../goals.ts";
import { checkSparseImage, SPARSE_PAGES } from "../images.ts";
import type { Workspace } from "../workspace.ts";

const GIB = 2 ** 30;

/** Some noise is no growth. */
const FLAT = 1.15;

interface Size {
  readonly name: string;
  readonly bytes: number;
}

interface Work {
  readonly name: string;
  readonly isFresh: boolean;
  readonly isPiped: boolean;
}

const IDENTICAL: Work = { name: "identical", isFresh: false, isPiped: false };

const OTHER_WORK: readonly Work[] = [
  { name: "identical, pipe", isFresh: false, isPiped: true },
  { name: "fresh", isFresh: true, isPiped: false },
  { name: "fresh, pipe", isFresh: true, isPiped: true },
];

function rowName(size: Size, work: Work): string {
  return `${size.name} ${work.name}`;
}

/** A goal looks at each row of one size and the same row of another. */
function rowPairs(from: Size, to: Size): (readonly [from: string, to: string])[] {
  return [IDENTICAL, ...OTHER_WORK].map((work) => [rowName(from, work), rowName(to, work)]);
}

function linearTime(from: Size, to: Size): Goal {
  const text = `time from ${from.name} to ${to.name}, in the worst row:`;
  return growthOfTime(text, Math.round(to.bytes / from.bytes), rowPairs(from, to));
}

function flatMemory(from: Size, to: Size): Goal {
  return growthOfMemory(`memory from ${from.name} to ${to.name}, in the worst row:`, FLAT, rowPairs(from, to));
}

/** The rows and what must be there for them; `words` are further options of blocksync. */
function rows(
  program: string,
  workspace: Workspace,
  words: readonly string[],
  [smallest, ...larger]: readonly [Size, ...Size[]],
): Pick<Case, "setup" | "prepare" | "contenders"> {
  const sizes = [smallest, ...larger];
  const row = (work: Work, size: Size): Contender => {
    const route = work.isPiped ? throughPipe(workspace) : HERE;
    const source = workspace.sparseImage("source", size.bytes);
    const destination = work.isFresh ? workspace.destination : workspace.sparseImage("equal", size.bytes);
    const contender = blocksync(program, route, source, destination, { name: rowName(size, work), words });
    const check = () => checkSparseImage(destination, size.bytes);
    return { ...contender, compareBy: "nothing", ...(work.isFresh ? { check } : {}) };
  };
  return {
    setup: async () => {
      for (const { bytes } of sizes) {
        await workspace.needSparseImage("source", bytes);
        await workspace.needSparseImage("equal", bytes);
      }
    },
    prepare: async () => workspace.removeDestination(),
    contenders: [
      row(IDENTICAL, smallest),
      ...larger.map((size) => row(IDENTICAL, size)),
      ...OTHER_WORK.flatMap((work) => sizes.map((size) => row(work, size))),
    ],
  };
}

export function scale(program: string, workspace: Workspace): Case {
  const small: Size = { name: "64 GiB", bytes: 64 * GIB };
  const middle: Size = { name: "1 TiB", bytes: 1024 * GIB };
  const large: Size = { name: "4 TiB", bytes: 4096 * GIB };
  return {
    name: "scale",
    title: `Sparse files with ${SPARSE_PAGES} pages of data`,
    ...rows(program, workspace, [], [small, middle, large]),
    goals: [linearTime(middle, large), flatMemory(small, large)],
  };
}

/** 2^22 blocks and one, and four times as many. */
export function scaleBlocks(program: string, workspace: Workspace): Case {
  const small: Size = { name: "16 GiB + 4 KiB", bytes: 16 * GIB + 4096 };
  const large: Size = { name: "64 GiB", bytes: 64 * GIB };
  return {
    name: "scale-blocks",
    title: `4,194,305 and 16,777,216 blocks of 4 KiB: sparse files with ${SPARSE_PAGES} pages of data`,
    ...rows(program, workspace, ["-b", "4K"], [small, large]),
    goals: [linearTime(small, large), flatMemory(small, large)],
  };
}
