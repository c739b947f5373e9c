import { afterEach, beforeEach, expect, jest, test } from "bun:test";
import { progressLine, progressLines, startTicking } from "../../src/report/progress.ts";
import { BlockLayout } from "../../src/sync/blocks.ts";
import { LaneStatistics, Statistics } from "../../src/sync/statistics.ts";

function lane(matching: number, differing: number, total: number): LaneStatistics {
  const result = new LaneStatistics({ first: 0, count: total });
  result.blocksMatching = matching;
  result.blocksDiffering = differing;
  return result;
}

test("progressLine() is blocksync.py's line", () => {
  expect(progressLine(0, lane(46, 128, 947), 857 * 4096, 126_700, true)).toBe(
    "[worker 0] same: 46, diff: 128, 174/947,   4.6 MB/s (0:09:23 remaining)",
  );
});

test("progressLine() of a source that does not know its size has no total, and nothing that remains", () => {
  const statistics = new Statistics(new BlockLayout(0, 1 << 20), 1);
  const said = () => progressLines(statistics, 1000, 0);
  statistics.beginStream(undefined);
  statistics.grow(new BlockLayout(16 << 20, 1 << 20), { isLast: false, expectedBytes: undefined });
  statistics.lanes[0].blocksMatching = 8;
  expect(said()).toEqual(["[worker 0] same: 8, diff: 0, 8/?,   8.0 MB/s"]);
  statistics.grow(new BlockLayout(24 << 20, 1 << 20), { isLast: false, expectedBytes: 80 << 20 });
  expect(said()).toEqual(["[worker 0] same: 8, diff: 0, 8/80,   8.0 MB/s (0:00:09 remaining)"]);
  statistics.grow(new BlockLayout((24 << 20) + 1, 1 << 20), { isLast: true, expectedBytes: undefined });
  expect(said()).toEqual(["[worker 0] same: 8, diff: 0, 8/25,   8.0 MB/s (0:00:02 remaining)"]);
});

test("progressLine() counts what is done against the total", () => {
  expect(progressLine(0, lane(0, 0, 10), 1 << 20, 1000, true)).toBe("[worker 0] same: 0, diff: 0, 0/10,   0.0 MB/s");
  expect(progressLine(0, lane(10, 0, 10), 1 << 20, 1000, true)).toBe(
    "[worker 0] same: 10, diff: 0, 10/10,  10.0 MB/s (0:00:00 remaining)",
  );
});

test("progressLine() gives the rate of the whole run in units of 2^20 bytes", () => {
  const rate = (blocks: number, blockSize: number, elapsedMs: number) =>
    progressLine(0, lane(blocks, 0, blocks), blockSize, elapsedMs, false)
      .split(", ")
      .at(-1)
      ?.trim();
  expect(rate(100, 1 << 20, 10_000)).toBe("10.0 MB/s");
  expect(rate(100, 4096, 1000)).toBe("0.4 MB/s");
  expect(rate(4000, 1 << 20, 1000)).toBe("4000.0 MB/s");
});

test("progressLine() pads the rate to five characters, so that lines stay aligned", () => {
  const text = (blocks: number) => progressLine(0, lane(blocks, 0, blocks), 1 << 20, 1000, false);
  expect(text(1)).toEndWith(",   1.0 MB/s");
  expect(text(20)).toEndWith(",  20.0 MB/s");
  expect(text(300)).toEndWith(", 300.0 MB/s");
});

test("progressLine() estimates the rest from the time so far", () => {
  const text = (done: number, total: number, elapsedMs: number) =>
    /\((.*)\)$/.exec(progressLine(0, lane(0, done, total), 1 << 20, elapsedMs, true))?.[1];
  expect(text(1, 2, 5000)).toBe("0:00:05 remaining");
  expect(text(10, 100, 60_000)).toBe("0:09:00 remaining");
  expect(text(1, 3601, 1000)).toBe("1:00:00 remaining");
});

test("progressLine() as the closing line has no estimate", () => {
  expect(progressLine(0, lane(1, 2, 3), 1 << 20, 3000, false)).toBe("[worker 0] same: 1, diff: 2, 3/3,   1.0 MB/s");
});

test("progressLine() stays a number at the very start and for nothing to do", () => {
  expect(progressLine(0, lane(1, 0, 2), 1 << 20, 0, true)).toBe(
    "[worker 0] same: 1, diff: 0, 1/2, 1000.0 MB/s (0:00:00 remaining)",
  );
  expect(progressLine(0, lane(0, 0, 0), 1 << 20, 0, false)).toBe("[worker 0] same: 0, diff: 0, 0/0,   0.0 MB/s");
});

beforeEach(() => {
  jest.useFakeTimers();
});

afterEach(() => {
  jest.useRealTimers();
});

test("startTicking() ticks once an interval and not before", () => {
  let ticks = 0;
  const ticking = startTicking(250, () => ticks++);
  expect(ticks).toBe(0);
  jest.advanceTimersByTime(249);
  expect(ticks).toBe(0);
  jest.advanceTimersByTime(1);
  expect(ticks).toBe(1);
  jest.advanceTimersByTime(1000);
  expect(ticks).toBe(5);
  ticking.stop();
});

test("startTicking() ticks no more after stop(), which may come twice", () => {
  let ticks = 0;
  const ticking = startTicking(100, () => ticks++);
  jest.advanceTimersByTime(100);
  ticking.stop();
  ticking.stop();
  jest.advanceTimersByTime(10_000);
  expect(ticks).toBe(1);
});

test("progressLine() names the lane and counts its own share", () => {
  expect(progressLine(3, lane(1, 2, 6), 1 << 20, 3000, true)).toBe(
    "[worker 3] same: 1, diff: 2, 3/6,   1.0 MB/s (0:00:03 remaining)",
  );
});

test("progressLines() has a line for each lane, and says what a run is at after its blocks", () => {
  const statistics = new Statistics(new BlockLayout(10 << 20, 1 << 20), 2);
  for (const one of statistics.lanes) Object.assign(one, { blocksMatching: 5, blocksVerified: 1 });
  expect(progressLines(statistics, 5000, 0)).toEqual([
    "[worker 0] same: 5, diff: 0, 5/5,   1.0 MB/s (0:00:00 remaining)",
    "[worker 1] same: 5, diff: 0, 5/5,   1.0 MB/s (0:00:00 remaining)",
  ]);
  statistics.phase = "flushing";
  expect(progressLines(statistics, 5000, 0)).toEqual(["Flushing to stable storage"]);
  statistics.phase = "verifying";
  for (const { verifying } of statistics.lanes) verifying.blocksExpected = 5;
  expect(progressLines(statistics, 5000, 1000)).toEqual([
    "[worker 0] verified: 1/5,   1.0 MB/s (0:00:04 remaining)",
    "[worker 1] verified: 1/5,   1.0 MB/s (0:00:04 remaining)",
  ]);
});
