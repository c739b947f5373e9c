/** What is said when a run is over. */
import { expect, test } from "bun:test";
import { type Finished, savedBytes, stoppedLine, summaryLines } from "../../src/report/summary.ts";
import { BlockLayout } from "../../src/sync/blocks.ts";
import { Statistics } from "../../src/sync/statistics.ts";

const MIB = 2 ** 20;

function statistics(): Statistics {
  const result = new Statistics(new BlockLayout(100 * MIB, MIB), 2);
  const [first, second] = result.lanes;
  Object.assign(first, { blocksMatching: 50, blocksZero: 3 });
  if (second !== undefined) Object.assign(second, { blocksMatching: 46, blocksDiffering: 4, bytesWritten: 4 * 4096 });
  result.bytesRead = 204 * MIB;
  return result;
}

const HERE = { bytesSent: 0, bytesReceived: 0, bytesBootstrapped: 0 };

function finished(changes: Partial<Finished> = {}): Finished {
  return {
    statistics: statistics(),
    traffic: HERE,
    elapsedMs: 2000,
    task: "sync",
    sizes: undefined,
    next: undefined,
    ...changes,
  };
}

test("summaryLines() says what it came to, what was read and saved, and how it was proved", () => {
  expect(summaryLines(finished())).toEqual([
    "Completed in 0:00:02: 100.0 MiB equal, 4 of 100 blocks differed, 16.0 KiB written",
    "  read         204.0 MiB of both sides together, 102.0 MiB/s; 3 blocks are zero",
    "  saved        100.0 MiB not written, 99.9% of everything",
    "  verified     written blocks were read back; --verify reads both sides again",
  ]);
});

test("summaryLines() says what was sent, where anything was", () => {
  const lines = summaryLines(
    finished({ traffic: { bytesSent: 10 * MIB, bytesReceived: 2048, bytesBootstrapped: 49 * MIB } }),
  );
  expect(lines).toHaveLength(5);
  expect(lines.slice(2, 4)).toEqual([
    "  sent         10.0 MiB, and 2.0 KiB received; 49.0 MiB of blocksync itself, once",
    "  saved        90.0 MiB not sent, 89.9% of everything",
  ]);
});

test("summaryLines() says how both sides were read again", () => {
  const verified = (how: "direct" | "dropped" | "partly") => {
    const state = statistics();
    state.verified = how;
    return summaryLines(finished({ statistics: state })).at(-1);
  };
  expect(verified("direct")).toBe("  verified     both sides read again, the destination around the page cache");
  expect(verified("dropped")).toEndWith("after the page cache was emptied");
  expect(verified("partly")).toEndWith("could not be bypassed and may have answered");
});

test("summaryLines() of a dry run counts, and says what would make the two equal", () => {
  expect(summaryLines(finished({ task: "dry run", next: "without it" }))).toEqual([
    "Completed in 0:00:02: 4 of 100 blocks differ; nothing was written (dry run)",
    "  read         204.0 MiB of both sides together, 102.0 MiB/s; 3 blocks are zero",
    "  next         without it",
  ]);
});

test("summaryLines() of a dry run says what becomes of the destination's size", () => {
  const [first] = summaryLines(finished({ task: "dry run", sizes: "the destination would be cut from 9 to 8 bytes" }));
  expect(first).toBe(
    "Completed in 0:00:02: 4 of 100 blocks differ; the destination would be cut from 9 to 8 bytes; nothing was written (dry run)",
  );
});

test("summaryLines() names what could not be read", () => {
  const state = statistics();
  state.lanes[0].unreadable.add({ offset: 4096, length: 512 });
  state.lanes[0].kept.add({ offset: 8192, length: 1024 });
  state.lanes[0].bytesBelieved = 3 * MIB;
  expect(summaryLines(finished({ statistics: state }))[0]).toBe(
    "Completed in 0:00:02: equal except for 1536 bytes that cannot be read, of which the destination has 1024 as they were read before, 3.0 MiB not read again as the rescue map has them, 4 of 100 blocks differed, 16.0 KiB written",
  );
});

test("savedBytes() is never negative, and nothing for an empty image", () => {
  expect(savedBytes(statistics(), { bytesSent: 200 * MIB, bytesReceived: 0 })).toBe(0);
  const empty = new Statistics(new BlockLayout(0, MIB), 1);
  expect(savedBytes(empty, HERE)).toBe(0);
  expect(summaryLines(finished({ statistics: empty }))[2]).toBe("  saved        0 bytes not written, 0% of everything");
});

test("stoppedLine() says how far a run came", () => {
  const state = new Statistics(new BlockLayout(100 * MIB, MIB), 1);
  Object.assign(state.lanes[0], { blocksMatching: 46, blocksDiffering: 2, bytesWritten: 2 * MIB });
  expect(stoppedLine(state, 12_000, "sync")).toBe("Stopped after 0:00:12: 48 of 100 blocks were done, 2.0 MiB written");
  expect(stoppedLine(state, 12_000, "compare")).toBe("Stopped after 0:00:12: 48 of 100 blocks were done");
});
