/** The pieces of a run that its lanes take: each block once, in order, and something for everybody until the end. */
import { expect, test } from "bun:test";
import { BlockLayout, type BlockRange } from "../../src/sync/blocks.ts";
import { Appetite, SharedPlan } from "../../src/sync/plan.ts";
import { Statistics } from "../../src/sync/statistics.ts";

const MIB = 1 << 20;

function planOf(blocks: number, lanes: number, ranges?: readonly BlockRange[]) {
  const layout = new BlockLayout(blocks * MIB, MIB);
  const statistics = new Statistics(layout, lanes);
  const bytes = ranges?.map(({ first, count }) => ({ offset: first * MIB, length: count * MIB }));
  const listed = bytes === undefined ? undefined : ({ ranges: bytes, meaning: "used" } as const);
  return { statistics, plan: new SharedPlan(layout, listed, statistics.lanes) };
}

function* blocksOf(ranges: readonly BlockRange[]): Generator<number> {
  for (const { first, count } of ranges) for (let i = 0; i < count; i++) yield first + i;
}

test("SharedPlan gives each block to one lane, in ascending order, and one lane alone all at once", () => {
  for (const lanes of [1, 2, 4, 7])
    for (const wanted of [1, 3, 1000]) {
      const { plan, statistics } = planOf(1000, lanes);
      const taken: number[] = [];
      for (let turn = 0; ; turn++) {
        const lane = statistics.lanes[turn % lanes] ?? statistics.lanes[0];
        const piece = [...blocksOf(plan.take(lane, wanted))];
        if (piece.length === 0) break;
        expect(piece.length).toBeLessThanOrEqual(lanes === 1 ? 1000 : wanted);
        taken.push(...piece);
        expect(statistics.lanes.reduce((sum, { blocksExpected }) => sum + blocksExpected, 0)).toBe(1000);
      }
      expect(taken).toEqual(Array.from({ length: 1000 }, (_, i) => i));
      expect(statistics.lanes.map(({ blocksExpected }) => blocksExpected)).toEqual(
        statistics.lanes.map(({ blocksTaken }) => blocksTaken),
      );
      if (lanes === 1) expect(statistics.lanes[0].blocksTaken).toBe(1000);
    }
});

test("SharedPlan leaves the other lanes as much as it gives to one, whatever that wants", () => {
  const { plan, statistics } = planOf(1000, 4);
  const [first, second] = statistics.lanes;
  expect(plan.take(first, 1e9)).toEqual([{ first: 0, count: 125 }]);
  expect(plan.take(second ?? first, 1e9)).toEqual([{ first: 125, count: 110 }]);
  plan.end();
  expect(plan.take(first, 1)).toEqual([]);
});

test("SharedPlan has pieces of many ranges where a list has such, and the first lane counts what nobody looks at", () => {
  const ranges = Array.from({ length: 100 }, (_, i) => ({ first: 10 * i, count: 2 }));
  const { plan, statistics } = planOf(1000, 2, ranges);
  expect(plan.others).toHaveLength(100);
  const [lane] = statistics.lanes;
  expect(lane.blocksExpected).toBe(900);
  expect(plan.take(lane, 3)).toEqual([
    { first: 0, count: 2 },
    { first: 10, count: 1 },
  ]);
  expect(plan.take(lane, 2)[0]).toEqual({ first: 11, count: 1 });
});

test("Appetite grows where nothing differs, and where much does is for a part of what is copied in a second", () => {
  const appetite = new Appetite(new BlockLayout(1000 * MIB, MIB), 8, 0);
  const after = (differed: boolean, done: number, nowMs: number) => {
    appetite.learn(differed, done, nowMs);
    return [appetite.piece, appetite.underWay];
  };
  expect([appetite.piece, appetite.underWay]).toEqual([8, 16]);
  expect(after(false, 0, 10)).toEqual([16, 16]);
  // Nobody knows yet how fast it goes.
  expect(after(true, 1, 20)).toEqual([4, 16]);
  expect(after(true, 100, 2000)).toEqual([12, 50]);
  expect(after(true, 110, 2100)).toEqual([12, 50]);
  expect(after(true, 111, 4000)).toEqual([1, 5]);
  expect(after(false, 111, 4100)).toEqual([2, 5]);
});

test("a plan begins with short pieces, of a long disk too", () => {
  expect(planOf(640, 4).plan.appetite(0).piece).toBe(10);
  expect(planOf(1_000_000, 4).plan.appetite(0).piece).toBe(16);
  expect(planOf(3, 3).plan.appetite(0).piece).toBe(1);
});
