/** Connections that are slow in one way or another, made by slow-link.ts. */
import type { Case, Contender } from "../case.ts";
import { blocksync, throughLink } from "../contenders.ts";
import { type Goal, roundTrips, shareOfLink, speedup } from "../goals.ts";
import { choosePages, pageBytes } from "../images.ts";
import type { Workspace } from "../workspace.ts";

const PAGES_PER_MIB = 256;

/** 1 % of the image, scattered. */
function changedPages(workspace: Workspace): number[] {
  return choosePages(workspace.sizeMib, Math.round((workspace.sizeMib * PAGES_PER_MIB) / 100));
}

const ONE_WAY_MS = 50;
const WITHOUT_DELAY = "blocksync at 0 ms";

/** The same connection with and without a delay: the difference is round trips. */
function delayed(program: string, workspace: Workspace, limit: number): Pick<Case, "contenders" | "goals"> {
  const { randomImage: source, destination } = workspace;
  const through = (delayMs: number, name: string): Contender =>
    blocksync(program, throughLink(workspace, delayMs, 0), source, destination, { name });
  return {
    contenders: [through(ONE_WAY_MS, "blocksync"), { ...through(0, WITHOUT_DELAY), compareBy: "difference" }],
    goals: [roundTrips(WITHOUT_DELAY, (2 * ONE_WAY_MS) / 1000, limit)],
  };
}

export function rttIdentical(program: string, workspace: Workspace): Case {
  return {
    name: "rtt-identical",
    title: `Two equal files, ${2 * ONE_WAY_MS} ms round trip`,
    setup: () => workspace.needEqualPair(),
    ...delayed(program, workspace, 5),
  };
}

export function rttPages(program: string, workspace: Workspace): Case {
  const pages = changedPages(workspace);
  return {
    name: "rtt-pages",
    title: `1 % of the 4 KiB pages differ, scattered, ${2 * ONE_WAY_MS} ms round trip`,
    setup: () => workspace.needEqualPair(),
    prepare: () => workspace.changeDestination(pages),
    expected: workspace.randomImage,
    ...delayed(program, workspace, 8),
    changedBytes: pageBytes(pages),
  };
}

/** 20 Mbit/s. */
const SLOW_BYTES_PER_SECOND = 2_500_000;

export function slowPages(program: string, workspace: Workspace): Case {
  const { randomImage: source, destination } = workspace;
  const pages = changedPages(workspace);
  const changedBytes = pageBytes(pages);
  return {
    name: "slow-pages",
    title: "1 % of the 4 KiB pages differ, scattered, over 20 Mbit/s",
    setup: () => workspace.needEqualPair(),
    prepare: () => workspace.changeDestination(pages),
    expected: source,
    contenders: [blocksync(program, throughLink(workspace, 0, SLOW_BYTES_PER_SECOND), source, destination)],
    goals: [shareOfLink(changedBytes, SLOW_BYTES_PER_SECOND, 0.9)],
    changedBytes,
  };
}

/** So slow that four of them at once leave a machine of two cores idle most of the time. */
const LANE_BYTES_PER_SECOND = 20_000_000;

/** Of what as many lanes could reach at best. */
const LANE_EFFICIENCY = 0.9;

export function lanes(program: string, workspace: Workspace): Case {
  const { smallImage: source, destination, smallMib } = workspace;
  const route = throughLink(workspace, 0, LANE_BYTES_PER_SECOND);
  const contender = (count: number): Contender =>
    blocksync(program, route, source, destination, {
      name: `blocksync -w ${count}`,
      words: ["-w", String(count), "-l", "0"],
    });
  const goals: Goal[] = [speedup("blocksync -w 4", 4 * LANE_EFFICIENCY)];
  return {
    name: "lanes",
    title: `A new file of ${smallMib} MiB over 1, 2 and 4 connections of ${LANE_BYTES_PER_SECOND / 1e6} MB/s each, random data`,
    setup: () => workspace.needSmallImage(),
    prepare: async () => workspace.removeDestination(),
    expected: source,
    contenders: [contender(1), { ...contender(2), compareBy: "speedup" }, { ...contender(4), compareBy: "speedup" }],
    goals,
  };
}
