/** The benchmark's arithmetic: what it says must follow from what it measured. */
import { describe, expect, test } from "bun:test";
import type { Case, Contender } from "../../scripts/bench/case.ts";
import {
  type Goal,
  growthOfMemory,
  growthOfTime,
  roundTrips,
  secondsAbove,
  sentAtMost,
  shareOfLink,
  sparse,
  speedup,
  timesAsFastAs,
  timesAsLongAs,
  verdicts,
  writesOnly,
} from "../../scripts/bench/goals.ts";
import { parseOptions, UsageError } from "../../scripts/bench/options.ts";
import { type CaseResult, median, type Result } from "../../scripts/bench/results.ts";
import { countByProcess } from "../../scripts/bench/samples.ts";

function contender(name: string): Contender {
  return { name, argv: [] };
}

function result(name: string, seconds: readonly number[], more: Partial<Result> = {}): Result {
  const none = { failure: undefined, peaks: undefined, summary: undefined, allocatedBytes: undefined };
  return { contender: contender(name), seconds, ...none, ...more };
}

/** A case whose first contender is blocksync. */
function caseOf(goal: Goal, own: Result, ...others: readonly Result[]): CaseResult {
  const one: Case = {
    name: "case",
    title: "",
    setup: () => Promise.resolve(),
    contenders: [own.contender, ...others.map((other) => other.contender)],
    goals: [goal],
  };
  return { case: one, results: [own, ...others], absent: [] };
}

function verdict(goal: Goal, own: Result, ...others: readonly Result[]) {
  const [first] = verdicts(caseOf(goal, own, ...others));
  return { measured: first?.measured, outcome: first?.outcome };
}

test("median is the middle, or between the two in the middle", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
});

describe("goals", () => {
  const own = result("blocksync", [2, 1, 3]);

  test("against a peer's time: medians, and the limit itself is good enough", () => {
    expect(verdict(timesAsFastAs("peer", 3), own, result("peer", [6]))).toEqual({ measured: 3, outcome: "met" });
    expect(verdict(timesAsFastAs("peer", 3), own, result("peer", [5]))).toEqual({ measured: 2.5, outcome: "not met" });
    expect(verdict(timesAsLongAs("peer", 1.25), own, result("peer", [1.6]))).toEqual({
      measured: 1.25,
      outcome: "met",
    });
    expect(verdict(timesAsLongAs("peer", 1.2), own, result("peer", [1]))).toEqual({ measured: 2, outcome: "not met" });
    expect(verdict(secondsAbove("peer", 0.5), own, result("peer", [1.5]))).toEqual({ measured: 0.5, outcome: "met" });
    expect(verdict(speedup("more", 4), own, result("more", [0.5]))).toEqual({ measured: 4, outcome: "met" });
  });

  test("a link's delay is counted in round trips, its rate as a share", () => {
    expect(verdict(roundTrips("at 0 ms", 0.5, 3), own, result("at 0 ms", [0.5]))).toEqual({
      measured: 3,
      outcome: "met",
    });
    expect(verdict(shareOfLink(100, 100, 0.9), own)).toEqual({ measured: 0.5, outcome: "not met" });
  });

  test("bytes are those of blocksync's summary and of the disk", () => {
    const summary = { bytesSent: 110, bytesReceived: 0, bytesWritten: 100, blocksDiffering: 1 };
    const counted = result("blocksync", [1], { summary, allocatedBytes: 50 });
    expect(verdict(sentAtMost("", 105), counted)).toEqual({ measured: 110, outcome: "not met" });
    expect(verdict(writesOnly(100), counted)).toEqual({ measured: 100, outcome: "met" });
    expect(verdict(sparse(100, 0.5), counted)).toEqual({ measured: 0.5, outcome: "met" });
  });

  test("growth is that of the worst pair, in memory of the side that needs more", () => {
    const peaks = (hereBytes: number, thereBytes: number) => ({ hereBytes, thereBytes, thereProcesses: 1 });
    const rows = [
      result("a", [1], { peaks: peaks(10, 20) }),
      result("a large", [2], { peaks: peaks(30, 20) }),
      result("b", [1], { peaks: peaks(10, 10) }),
      result("b large", [3], { peaks: peaks(10, 10) }),
    ] as const;
    const pairs = [
      ["a", "a large"],
      ["b", "b large"],
    ] as const;
    expect(verdict(growthOfTime("", 3, pairs), ...rows)).toEqual({ measured: 3, outcome: "met" });
    expect(verdict(growthOfMemory("", 1.2, pairs), ...rows)).toEqual({ measured: 1.5, outcome: "not met" });
  });

  test("a peer that is not here says nothing, one that failed is no success", () => {
    expect(verdict(timesAsFastAs("peer", 3), own).outcome).toBe("not measured");
    const broken = result("peer", [9], { failure: "exit 1" });
    expect(verdict(timesAsFastAs("peer", 3), own, broken).outcome).toBe("not met");
  });

  test("every case has the goal for memory, of either side and of every blocksync", () => {
    const peaks = (hereBytes: number, thereBytes: number) => ({ hereBytes, thereBytes, thereProcesses: 1 });
    const first = result("blocksync", [1], { peaks: peaks(1e6, 2e6) });
    const second = result("blocksync -w 2", [1], { peaks: peaks(160e6, 3e6) });
    const [, memory] = verdicts(caseOf(timesAsFastAs("peer", 1), first, second));
    expect(memory).toMatchObject({ measured: 160e6, outcome: "met", detail: "160.0 MB" });
  });
});

describe("options", () => {
  test("have defaults, and the program is a path from here", () => {
    expect(parseOptions([])).toMatchObject({ sizeMib: 2048, runs: 5, only: undefined });
    expect(parseOptions(["--only", "a,b", "--program", "/x/../y"])).toMatchObject({ only: ["a", "b"], program: "/y" });
  });

  test("refuse what is no number", () => {
    for (const text of ["0", "-1", "2.5", "x", ""]) expect(() => parseOptions([`--runs=${text}`])).toThrow(UsageError);
  });
});

test("samples are counted by process, whatever its threads are called, without the idle processor", () => {
  const lines = [
    "         swapper     0/0     ffffffff8219e49b pv_native_safe_halt ([kernel.kallsyms])",
    "            perf    10/10    ffffffff81b6ccb0 begin_new_exec ([kernel.kallsyms])",
    "       blocksync    10/10    ffffffff81b6ccb0 _copy_to_iter ([kernel.kallsyms])",
    "      Bun Pool 1    10/12    ffffffff81b6ccb0 _copy_to_iter ([kernel.kallsyms])",
    "      Bun Pool 1    10/12             1c3853e [unknown] (/x/blocksync)",
    " blocksync-3d075    20/20             1c3853e [unknown] (/tmp/perf-20.map)",
    "            cron    30/30             1c3853e main (/usr/sbin/cron)",
  ];
  expect(countByProcess(lines.join("\n"), "blocksync")).toEqual([
    {
      name: "blocksync here",
      samples: 4,
      symbols: [
        { symbol: "kernel: _copy_to_iter", samples: 2 },
        { symbol: "kernel: begin_new_exec", samples: 1 },
        { symbol: "blocksync, no symbol", samples: 1 },
      ],
    },
    { name: "blocksync there", samples: 1, symbols: [{ symbol: "JavaScript, compiled", samples: 1 }] },
    { name: "everything else", samples: 1, symbols: [{ symbol: "cron: main", samples: 1 }] },
  ]);
});
