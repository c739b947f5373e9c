/** When the map may call something read: after the flush that began after it was written. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { GoneError, IoError, VerificationError } from "../../src/errors.ts";
import { RescueMapFile, RescueMapKeeper } from "../../src/run/rescue-map.ts";
import { Rescue } from "../../src/sync/rescue.ts";
import { areasWith, fitRescueMap, parseRescueMap, type Status } from "../../src/sync/rescue-map.ts";
import { tempDir } from "../helpers/temp.ts";

const BLOCK = 4096;
const block = (index: number) => ({ offset: index * BLOCK, length: BLOCK });

/** The map that a keeper leaves behind; block 0 was written, 2 failed, and 1 is written while the flush is under way. */
async function left(
  end: (keeper: RescueMapKeeper) => Promise<void>,
  flush: () => void,
): Promise<(...statuses: Status[]) => number[]> {
  using dir = tempDir();
  const rescue = new Rescue({ map: fitRescueMap([], 4 * BLOCK, "s"), heldBytes: 0, retries: undefined });
  const checkpoint = async () => {
    rescue.done(block(1));
    flush();
  };
  const keeper = new RescueMapKeeper({
    file: RescueMapFile.open(dir.file("map"), []),
    subject: { source: "s", sizeBytes: 4 * BLOCK, destination: "d" },
    rescue,
    checkpoint,
    onTrouble: (failure) => expect(failure).toBeUndefined(),
  });
  rescue.done(block(0));
  rescue.failed(block(2));
  await end(keeper);
  const map = parseRescueMap(fs.readFileSync(dir.file("map"), "utf8"), "map");
  return (...statuses) =>
    areasWith(map, ...statuses).flatMap(({ offset, length }) =>
      Array.from({ length: length / BLOCK }, (_, i) => offset / BLOCK + i),
    );
}

const FLUSHED = () => undefined;
const LOST = () => {
  throw new IoError("Cannot flush");
};

test("a run that fails leaves what was written before its flush, and what failed", async () => {
  const map = await left((keeper) => keeper.fail(new IoError("Cannot write")), FLUSHED);
  expect([map("+"), map("*"), map("?")]).toEqual([[0], [2], [1, 3]]);
});

test("a flush that fails makes nothing of it safe", async () => {
  const map = await left((keeper) => keeper.fail(new IoError("Cannot write")), LOST);
  expect([map("+"), map("*"), map("?")]).toEqual([[], [2], [0, 1, 3]]);
});

test("of a source that is gone nothing is called bad, of a destination that lies nothing read", async () => {
  const gone = await left((keeper) => keeper.fail(new GoneError("gone")), FLUSHED);
  expect([gone("+"), gone("*", "-"), gone("?")]).toEqual([[0], [], [1, 2, 3]]);
  const lying = await left((keeper) => keeper.fail(new VerificationError("wrong")), FLUSHED);
  expect([lying("+"), lying("*"), lying("?")]).toEqual([[], [2], [0, 1, 3]]);
});

test("a run that came to its end has flushed all that it wrote", async () => {
  const map = await left((keeper) => keeper.finish(), LOST);
  expect([map("+"), map("*"), map("?")]).toEqual([[0], [2], [1, 3]]);
});
