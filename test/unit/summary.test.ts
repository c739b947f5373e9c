/** What is said when a run is over. */
import { expect, test } from "bun:test";
import { type Finished, stoppedLine, summaryLines } from "../../src/report/summary.ts";
import { BlockLayout } from "../../src/sync/blocks.ts";
import { Statistics } from "../../src/sync/statistics.ts";

const MIB = 2 ** 20;

function statistics(): Statistics {
  const result = new Statistics(new BlockLayout(100 * MIB, MIB), 2);
  const [first, second] = result.lanes;
  Object.assign(first, { blocksMatching: 50, blocksZero: 3 });
  if (second !== undefined) Object.assign(second, { blocksMatching: 46, blocksDiffering: 4, bytesWritten: 4 * 4096 });
  result.countRead(204 * MIB);
  return result;
}

const HERE = { bytesSent: 0, bytesReceived: 0, bytesBootstrapped: 0, bytesFetched: 0 };

function finished(changes: Partial<Finished> = {}): Finished {
  return {
    statistics: statistics(),
    traffic: HERE,
    elapsedMs: 2000,
    task: "sync",
    names: "",
    sizes: undefined,
    next: undefined,
    ...changes,
  };
}

test("summaryLines() says what it came to, what was read and saved, and how it was proved", () => {
  expect(summaryLines(finished())).toEqual([
    "Completed in 2.0 s (50.0 MiB/s): 100.0 MiB equal, 16.0 KiB written",
    "  read         204.0 MiB from both sides",
    "  saved        100.0 MiB (99.9%) not written",
    "  verified     written blocks were read back; --verify reads both sides again",
  ]);
});

test("summaryLines() says what was sent, where anything was", () => {
  const lines = summaryLines(
    finished({ traffic: { bytesSent: 10 * MIB, bytesReceived: 2048, bytesBootstrapped: 49 * MIB, bytesFetched: 0 } }),
  );
  expect(lines).toHaveLength(5);
  expect(lines.slice(2, 4)).toEqual([
    "  wire         10.0 MiB sent, 2.0 KiB received; 49.0 MiB once, for blocksync itself",
    "  saved        90.0 MiB (89.9%) not sent",
  ]);
});

test("summaryLines() says how both sides were read again", () => {
  const verified = (how: "direct" | "dropped" | "partly") => {
    const state = statistics();
    state.verified = how;
    return summaryLines(finished({ statistics: state })).at(-1);
  };
  expect(verified("direct")).toBe("  verified     both sides read again, the destination past its page cache");
  expect(verified("dropped")).toEndWith("the destination after its page cache was dropped");
  expect(verified("partly")).toEndWith("but a page cache below the destination may have answered");
});

test("summaryLines() of a dry run counts, and says what would make the two equal", () => {
  expect(summaryLines(finished({ task: "dry run", next: "without it" }))).toEqual([
    "Completed in 2.0 s (50.0 MiB/s): up to 4.0 MiB of 100.0 MiB differ; nothing was written (dry run)",
    "  read         204.0 MiB from both sides",
    "  next         without it",
  ]);
});

test("summaryLines() of a dry run says what becomes of the destination's size", () => {
  const [first] = summaryLines(finished({ task: "dry run", sizes: "the destination would be cut from 9 to 8 bytes" }));
  expect(first).toBe(
    "Completed in 2.0 s (50.0 MiB/s): up to 4.0 MiB of 100.0 MiB differ; the destination would be cut from 9 to 8 bytes; nothing was written (dry run)",
  );
});

test("summaryLines() names what could not be read", () => {
  const state = statistics();
  state.lanes[0].unreadable.add({ offset: 4096, length: 512 });
  state.lanes[0].kept.add({ offset: 8192, length: 1024 });
  state.lanes[0].bytesBelieved = 3 * MIB;
  expect(summaryLines(finished({ statistics: state }))[0]).toBe(
    "Completed in 2.0 s (50.0 MiB/s): 100.0 MiB equal except for 1.5 KiB that cannot be read (the destination has 1.0 KiB of it from an earlier run), 3.0 MiB not read again since the rescue map lists it as rescued, 16.0 KiB written",
  );
});

test("summaryLines() tells what was made zero without writing, and that nothing was written", () => {
  const state = statistics();
  state.lanes[0].bytesZeroed = 4 * MIB;
  const said = (changes: Partial<Finished>) => summaryLines(finished(changes))[0]?.split("): ")[1];
  expect(said({ statistics: state })).toBe("100.0 MiB equal, 16.0 KiB written, 4.0 MiB zeroed");
  const equal = new Statistics(new BlockLayout(100 * MIB, MIB), 1);
  Object.assign(equal.lanes[0], { blocksMatching: 100 });
  expect(said({ statistics: equal })).toBe("100.0 MiB equal, nothing written");
  expect(said({ statistics: equal, isLonger: true })).toBe(
    "the destination is equal in its first 100.0 MiB, nothing written",
  );
  expect(said({ statistics: equal, task: "dry run" })).toBe("100.0 MiB equal; nothing was written (dry run)");
  equal.lanes[0].unreadable.add({ offset: 0, length: 4096 });
  expect(said({ statistics: equal, task: "dry run" })).toBe(
    "100.0 MiB equal except for 4.0 KiB that cannot be read; nothing was written (dry run)",
  );
});

test("summaryLines() of a comparison tells what differs to the leaf, and what only one side has", () => {
  const said = (changes: Partial<Finished>) => summaryLines(finished({ task: "compare", ...changes }))[0];
  expect(said({ bytesDiffering: 16_384 })).toBe("Completed in 2.0 s (50.0 MiB/s): 16.0 KiB of 100.0 MiB differ");
  const statistics = new Statistics(new BlockLayout(MIB, MIB), 1);
  expect(said({ statistics, bytesDiffering: 0, sizes: "the second is 1 byte larger", names: '"a" and "b": ' })).toBe(
    'Completed in 2.0 s (512.0 KiB/s): "a" and "b": 1.0 MiB equal; the second is 1 byte larger',
  );
});

test("summaryLines() saves nothing where more was sent than there is, and of an empty image", () => {
  const saved = (changes: Partial<Finished>) => summaryLines(finished(changes)).find((line) => line.includes("saved"));
  expect(saved({ traffic: { ...HERE, bytesSent: 200 * MIB } })).toBe("  saved        0 bytes (0%) not sent");
  const empty = new Statistics(new BlockLayout(0, MIB), 1);
  expect(saved({ statistics: empty })).toBe("  saved        0 bytes (0%) not written");
  expect(summaryLines(finished({ statistics: empty }))[0]).toBe("Completed in 2.0 s: 0 bytes equal, nothing written");
});

test("what a stream came to names the destination alone as read again, and no size that nobody knows", () => {
  const state = new Statistics(new BlockLayout(0, MIB), 1);
  state.beginStream(undefined);
  state.grow(new BlockLayout(48 * MIB, MIB), { isLast: false, expectedBytes: undefined });
  Object.assign(state.lanes[0], { blocksMatching: 46, blocksDiffering: 2, bytesWritten: 2 * MIB });
  expect(stoppedLine({ statistics: state, elapsedMs: 12_000, names: "", task: "sync" })).toBe(
    "Stopped after 12.0 s: 48.0 MiB done, 2.0 MiB written",
  );
  const verified = () => summaryLines(finished({ statistics: state })).find((line) => line.includes("  verified"));
  expect(verified()).toContain("written blocks were read back; --verify reads the destination again");
  state.verified = "direct";
  expect(verified()).toContain("the destination read again, past its page cache");
});

test("stoppedLine() says how far a run came", () => {
  const state = new Statistics(new BlockLayout(100 * MIB, MIB), 1);
  Object.assign(state.lanes[0], { blocksMatching: 46, blocksDiffering: 2, bytesWritten: 2 * MIB });
  const stand = { statistics: state, elapsedMs: 12_000, names: "" };
  expect(stoppedLine({ ...stand, task: "sync" })).toBe(
    "Stopped after 12.0 s: 48.0 MiB of 100.0 MiB done, 2.0 MiB written",
  );
  expect(stoppedLine({ ...stand, task: "compare", names: '"a" and "b": ' })).toBe(
    'Stopped after 12.0 s: "a" and "b": 48.0 MiB of 100.0 MiB done',
  );
});
