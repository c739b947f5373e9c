/** That each who keeps something of what became of the blocks is told of it, once. */
import { expect, test } from "bun:test";
import { addLeaf, addSectors, BlockLayout, emptyLeafSet, emptySectorSet, LEAF_SIZE } from "../../src/sync/blocks.ts";
import { Changes } from "../../src/sync/changes.ts";
import { printOf } from "../../src/sync/fingerprint.ts";
import { Outcomes } from "../../src/sync/outcomes.ts";
import { BlockRecord } from "../../src/sync/record.ts";
import { Rescue } from "../../src/sync/rescue.ts";
import { LaneStatistics } from "../../src/sync/statistics.ts";
import { sha256 } from "../helpers/fingerprint.ts";

const BLOCK = 4 * LEAF_SIZE;
const BLOCKS = 6;
const ZERO_HASH = new Uint8Array(16).fill(9);
const print = (value: number) => printOf(new Uint8Array(16).fill(value));

function lane() {
  const layout = new BlockLayout(BLOCKS * BLOCK, BLOCK);
  const statistics = new LaneStatistics({ first: 0, count: BLOCKS });
  const record = new BlockRecord(layout, ZERO_HASH, { keep: true, sha256 });
  const map = [{ offset: 0, length: layout.sizeBytes, status: "?" }] as const;
  const rescue = new Rescue({ map, heldBytes: 0, retries: 0 });
  const changes = new Changes(layout.sizeBytes, { exact: true, zeroLeafHash: () => new Uint8Array(8) });
  return { statistics, record, rescue, changes, outcomes: new Outcomes(layout, statistics, record, rescue, changes) };
}

function leaves(...numbers: number[]) {
  const set = emptyLeafSet(4);
  for (const number of numbers) addLeaf(set, number);
  return set;
}

test("what matches and what was copied is in the statistics, the record and the rescue map", () => {
  const { statistics, record, rescue, outcomes } = lane();
  outcomes.matched({ kind: "match", first: 0, count: 2, zero: false, prints: [print(1), print(2)] });
  outcomes.matched({ kind: "match", first: 2, count: 1, zero: true, prints: undefined });
  outcomes.copied({ first: 3, count: 2 }, [print(3), print(4)], { matching: 1, differing: 1, zero: 1, changed: 1 });
  expect(statistics).toMatchObject({ blocksMatching: 4, blocksDiffering: 1, blocksZero: 2, blocksChanged: 1 });
  expect(record.holds(1, new Uint8Array(16).fill(2))).toBe(true);
  expect(record.holds(4, new Uint8Array(16).fill(4))).toBe(true);
  expect(rescue.written).toEqual([{ offset: 0, length: 5 * BLOCK }]);
  // Each but the last is noted, and none may be again.
  expect(() => outcomes.matched({ kind: "match", first: 4, count: 1, zero: true, prints: undefined })).toThrow("twice");
});

test("a write that was not proved counts as one, and is a change when it is", () => {
  const { statistics, changes, outcomes } = lane();
  const data = {
    hashes: ZERO_HASH,
    leaves: leaves(0, 1),
    zeros: leaves(3),
    bytes: new Uint8Array(),
    release: () => {},
  };
  outcomes.wrote({ first: 1, count: 1 }, data, { proved: false, bytesWritten: 2 * LEAF_SIZE });
  expect(changes.total).toMatchObject({ differ: 0, zero: 0 });
  outcomes.wrote({ first: 1, count: 1 }, data, { proved: true, bytesWritten: 3 * LEAF_SIZE });
  expect(changes.total).toMatchObject({ differ: 2 * LEAF_SIZE, zero: LEAF_SIZE });
  expect(statistics).toMatchObject({ leavesWritten: 6, bytesWritten: 5 * LEAF_SIZE, bytesZeroed: LEAF_SIZE });
});

test("a salvaged block is missed where it is bad, by all, and differs where something was written", () => {
  const { statistics, record, rescue, changes, outcomes } = lane();
  outcomes.deferred({ first: 1, count: 2 });
  expect(statistics.blocksDeferred).toBe(2);
  const sectors = emptySectorSet(BLOCK);
  addSectors(sectors, { offset: 512, length: BLOCK - 512 });
  const missing = [{ offset: BLOCK, length: 512 }];
  const salvage = { sectors, bytes: new Uint8Array(BLOCK - 512) };
  outcomes.salvaged({ index: 1, salvage, missing, believes: false, isThere: true, bytesWritten: 0 });
  expect(statistics).toMatchObject({ blocksDeferred: 1, blocksUnreadable: 1, blocksDiffering: 0, bytesWritten: 0 });
  expect(changes.total).toMatchObject({ unreadable: 512, differ: 0 });
  const further = [{ offset: 2 * BLOCK, length: 512 }];
  outcomes.salvaged({
    index: 2,
    salvage,
    missing: further,
    believes: false,
    isThere: false,
    bytesWritten: BLOCK - 512,
  });
  expect(statistics).toMatchObject({ blocksDeferred: 0, blocksUnreadable: 1, blocksDiffering: 1, leavesWritten: 4 });
  expect(statistics.unreadable.all()).toEqual([...missing, ...further]);
  expect(changes.total).toMatchObject({ unreadable: 1024, differ: BLOCK - 512 });
  expect(record.missingOf(1)).toBeDefined();
  expect(record.missingOf(0)).toBeUndefined();
  expect(rescue.written).toEqual([
    { offset: BLOCK + 512, length: BLOCK - 512 },
    { offset: 2 * BLOCK + 512, length: BLOCK - 512 },
  ]);
});

test("what is believed, or only known to differ, is in no fingerprint", () => {
  for (const tell of ["believed", "differed"] as const) {
    const { statistics, record, outcomes } = lane();
    if (tell === "believed") outcomes.believed({ first: 0, count: BLOCKS });
    else outcomes.differed({ first: 0, count: BLOCKS }, undefined);
    expect(record.fingerprint).toBeUndefined();
    expect(record.isBelieved(3)).toBe(tell === "believed");
    const [believed, differing] = tell === "believed" ? [BLOCKS, 0] : [0, BLOCKS];
    expect(statistics).toMatchObject({ blocksBelieved: believed, blocksDiffering: differing, blocksDone: BLOCKS });
    expect(statistics.bytesBelieved).toBe(believed * BLOCK);
  }
});
