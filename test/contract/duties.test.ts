/** What the algorithm owes its endpoints and its user: each lane asked, told, flushed, waited for and counted. */
import { describe, expect, spyOn, test } from "bun:test";
import fs from "node:fs";
import { IoError, VerificationError } from "../../src/errors.ts";
import { addSectors, BlockLayout } from "../../src/sync/blocks.ts";
import { pairRuns } from "../../src/sync/compare.ts";
import type { Endpoint, Run } from "../../src/sync/endpoint.ts";
import { Rescue } from "../../src/sync/rescue.ts";
import { Statistics } from "../../src/sync/statistics.ts";
import { type Lane, layoutOf, type SyncOptions, synchronize } from "../../src/sync/sync.ts";
import { bytes } from "../helpers/bytes.ts";
import { openLocal } from "../helpers/endpoints.ts";
import { altered, OPTIONS, syncFiles } from "../helpers/sync.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const BLOCK = 4096;
const LOCAL_ROAD = { name: "local", source: openLocal, destination: openLocal };

interface Alterations {
  source?(endpoint: Endpoint, lane: number): Partial<Endpoint>;
  destination?(endpoint: Endpoint, lane: number): Partial<Endpoint>;
}

/** Syncs s to d of the folder over `lanes` lanes with some calls done in another way. */
async function sync(
  dir: TempDir,
  lanes: number,
  alterations: Alterations,
  options: Partial<SyncOptions> = {},
): Promise<Statistics> {
  const opened: Lane[] = [];
  const open = async (number: number) => {
    const source = await openLocal(dir.file("s"), { access: "read", blockSize: BLOCK });
    const access = number === 0 ? "write" : "join";
    const destination = await openLocal(dir.file("d"), { access, blockSize: BLOCK });
    opened.push({ source, destination });
    const asBefore = { compareWith: () => source.compareWith?.(destination) };
    return {
      source: altered(source, alterations.source?.(source, number) ?? asBefore),
      destination: altered(destination, alterations.destination?.(destination, number) ?? {}),
    };
  };
  try {
    const first = await open(0);
    const statistics = new Statistics(layoutOf(first.source.description, BLOCK), lanes);
    await synchronize(first, { ...OPTIONS, blockSize: BLOCK, ...options }, statistics, open);
    return statistics;
  } finally {
    for (const { source, destination } of opened) await Promise.all([source.close(), destination.close()]);
  }
}

function files(dir: TempDir, source: Buffer, destination: Buffer): void {
  fs.writeFileSync(dir.file("s"), source);
  fs.writeFileSync(dir.file("d"), destination);
}

describe("synchronize()", () => {
  test("every lane's destination is flushed, and the run ends after the last", async () => {
    for (const verify of [false, true]) {
      using dir = tempDir();
      files(dir, bytes(601, 9 * BLOCK), bytes(602, 9 * BLOCK));
      const flushed: number[] = [];
      const destination = (endpoint: Endpoint, lane: number) => ({
        flush: async () => {
          // The one that began first ends last.
          for (let turn = 0; turn < 5 * (3 - lane); turn++) await new Promise((resolve) => setImmediate(resolve));
          await endpoint.flush();
          flushed.push(lane);
        },
      });
      await sync(dir, 3, { destination }, { verify });
      expect(flushed.toSorted()).toEqual([0, 1, 2]);
    }
  });

  for (const lane of [0, 2])
    test(`a flush that fails in lane ${lane} is the failure of the run`, async () => {
      using dir = tempDir();
      files(dir, bytes(603, 9 * BLOCK), bytes(604, 9 * BLOCK));
      const failure = new IoError("Cannot flush");
      const destination = (endpoint: Endpoint, number: number) => ({
        flush: async () => {
          await endpoint.flush();
          if (number === lane) throw failure;
        },
      });
      await expect(sync(dir, 3, { destination })).rejects.toBe(failure);
    });

  test("tells both ends no more than is done", async () => {
    using dir = tempDir();
    files(dir, bytes(605, 40 * BLOCK), bytes(606, 40 * BLOCK));
    const underWay = new Set<number>();
    const told: number[] = [];
    const tooFar: number[] = [];
    const advance = (endpoint: Endpoint) => (index: number) => {
      told.push(index);
      if ([...underWay].some((block) => block < index)) tooFar.push(index);
      endpoint.advance(index);
    };
    const source = (endpoint: Endpoint): Partial<Endpoint> => ({
      advance: advance(endpoint),
      read: (blocks, filter) => {
        underWay.add(blocks.first);
        return endpoint.read(blocks, filter);
      },
    });
    const destination = (endpoint: Endpoint): Partial<Endpoint> => ({
      advance: advance(endpoint),
      write: async (blocks, data) => {
        const outcome = await endpoint.write(blocks, data);
        // The first of them takes longest.
        for (let turn = 0; turn < 40 - blocks.first; turn++) await new Promise((resolve) => setImmediate(resolve));
        underWay.delete(blocks.first);
        return outcome;
      },
    });
    await sync(dir, 1, { source, destination });
    expect(tooFar).toEqual([]);
    expect(told.at(-1)).toBe(40);
  });

  test("rests for each block that was read, however many match at once", async () => {
    using dir = tempDir();
    files(dir, bytes(607, 40 * BLOCK), bytes(607, 40 * BLOCK));
    const real = globalThis.setTimeout;
    const waits: number[] = [];
    const timer = spyOn(globalThis, "setTimeout").mockImplementation(
      Object.assign((work: () => void, ms?: number) => {
        waits.push(ms ?? 0);
        return real(work, 0);
      }, real),
    );
    try {
      await sync(dir, 1, {}, { pauseMs: 7 });
    } finally {
      timer.mockRestore();
    }
    expect(waits.filter((ms) => ms > 0 && ms % 7 === 0).reduce((sum, ms) => sum + ms, 0)).toBe(40 * 7);
  });

  test("the lanes verify everything once, each through its own two ends", async () => {
    using dir = tempDir();
    const data = bytes(608, 24 * MIB);
    files(dir, data, data);
    const scans: string[] = [];
    const noting =
      (side: string) =>
      (endpoint: Endpoint, lane: number): Partial<Endpoint> => ({
        scan: (ranges, options) => {
          for (const { first, count } of ranges) scans.push(`${side} ${lane}: ${first}+${count}`);
          return endpoint.scan(ranges, options);
        },
      });
    const alterations = { source: noting("source"), destination: noting("destination") };
    const statistics = await sync(dir, 3, alterations, { verify: true, onVerify: () => scans.splice(0) });
    const of = (side: string) => scans.filter((one) => one.startsWith(side)).map((one) => one.slice(side.length + 1));
    expect(of("source").toSorted()).toEqual(of("destination").toSorted());
    expect(new Set(of("source").map((one) => one.split(":")[0])).size).toBe(3);
    const places = of("source").map((one) => one.split(": ")[1]?.split("+").map(Number) ?? []);
    let end = 0;
    for (const [first, count] of places.toSorted(([a = 0], [b = 0]) => a - b)) {
      expect(first).toBe(end);
      end += count ?? 0;
    }
    expect(end).toBe(statistics.blocksTotal);
    expect(statistics.lanes.map(({ verifying }) => verifying.blocksTaken)).toEqual(
      statistics.lanes.map(({ blocksVerified }) => blocksVerified),
    );
  });

  test("lanes share what differs, wherever that is", async () => {
    using dir = tempDir();
    const [data, hot] = [bytes(615, 48 * MIB), 24 * MIB];
    files(dir, data, Buffer.concat([bytes(616, hot), data.subarray(hot)]));
    // Nothing is written before all lanes have something to write.
    const writing = new Set<number>();
    const all = Promise.withResolvers<void>();
    const destination = (endpoint: Endpoint, lane: number): Partial<Endpoint> => ({
      write: async (...args) => {
        if (writing.add(lane).size === 2) all.resolve();
        await all.promise;
        return await endpoint.write(...args);
      },
    });
    const statistics = await sync(dir, 2, { destination });
    expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
    expect(statistics.bytesWritten).toBe(hot);
    expect(statistics.lanes.map((lane) => lane.blocksExpected)).toEqual(
      statistics.lanes.map((lane) => lane.blocksDone),
    );
    expect(statistics.blocksDone).toBe(statistics.blocksTotal);
  });

  test("counts what was read of both sides, in every lane", async () => {
    using dir = tempDir();
    const data = bytes(612, 40 * BLOCK);
    files(dir, data, data);
    expect((await sync(dir, 1, {})).bytesRead).toBe(2 * data.length);
    expect((await sync(dir, 3, {})).bytesRead).toBe(2 * data.length);
  });

  test("a destination that cannot be read when it is verified does not hold what was written", async () => {
    using dir = tempDir();
    files(dir, bytes(609, 5 * BLOCK), bytes(609, 5 * BLOCK));
    let verifying = false;
    const destination = (endpoint: Endpoint): Partial<Endpoint> => ({
      async *scan(ranges, options) {
        if (!verifying) yield* endpoint.scan(ranges, options);
        else
          for (const range of ranges)
            for (let first = range.first; first < range.first + range.count; first++) yield unreadableAt(first);
      },
    });
    const onVerify = () => {
      verifying = true;
    };
    const run = sync(dir, 1, { destination }, { verify: true, onVerify });
    await expect(run).rejects.toBeInstanceOf(VerificationError);
    await expect(run).rejects.toThrow(`does not hold what was written: ${5 * BLOCK} bytes`);
  });

  for (const wrong of [undefined, 2 * BLOCK + 100, 3 * BLOCK - 1])
    test(`verifies what was salvaged of a block: ${wrong === undefined ? "all right" : `wrong at ${wrong}`}`, async () => {
      using dir = tempDir();
      const [data, old] = [bytes(613, 5 * BLOCK), bytes(614, 5 * BLOCK)];
      files(dir, data, old);
      // The third block has one sector that cannot be read.
      const bad = { offset: 2 * BLOCK + 1536, length: 512 };
      const source = (endpoint: Endpoint): Partial<Endpoint> => ({
        async *scan(ranges, options) {
          for await (const run of endpoint.scan(ranges, options))
            for (let first = run.first; first < run.first + run.count; first++) {
              if (first === 2) yield unreadableAt(first);
              else yield* endpoint.scan([{ first, count: 1 }], options);
            }
        },
        salvage: (index, known, retries) => {
          const more = Uint8Array.from(known);
          addSectors(more, { offset: bad.offset - 2 * BLOCK, length: bad.length });
          return endpoint.salvage(index, index === 2 ? more : known, retries);
        },
      });
      const map = [{ offset: 0, length: data.length, status: "?" }] as const;
      const rescue = new Rescue({ map, heldBytes: 0, retries: undefined });
      const onVerify = () => {
        if (wrong === undefined) return;
        const fd = fs.openSync(dir.file("d"), "r+");
        fs.writeSync(fd, Buffer.of((data[wrong] ?? 0) ^ 1), 0, 1, wrong);
        fs.closeSync(fd);
      };
      const run = sync(dir, 1, { source }, { verify: true, rescue, onVerify });
      if (wrong === undefined) {
        expect((await run).sourceUnreadableBytes).toBe(512);
        const expected = Buffer.from(data);
        old.copy(expected, bad.offset, bad.offset, bad.offset + bad.length);
        expect(fs.readFileSync(dir.file("d")).equals(expected)).toBe(true);
      } else {
        await expect(run).rejects.toThrow(
          `does not hold what was written: ${BLOCK} bytes (${BLOCK} at offset ${2 * BLOCK})`,
        );
      }
    });

  test("names every wrong place that a verification finds, also beyond those that are read once more", async () => {
    using dir = tempDir();
    const data = bytes(610, 300 * BLOCK);
    files(dir, data, data);
    const onVerify = () => {
      const wrong = Buffer.from(data);
      for (let block = 0; block < 300; block += 2) wrong[block * BLOCK] = (wrong[block * BLOCK] ?? 0) ^ 1;
      fs.writeFileSync(dir.file("d"), wrong);
    };
    const run = sync(dir, 1, {}, { verify: true, onVerify });
    await expect(run).rejects.toThrow(`does not hold what was written: ${150 * BLOCK} bytes`);
  });
});

for (const [what, data] of [
  ["data", bytes(611, 40 << 16)],
  ["zeros that are no hole", Buffer.alloc(40 << 16)],
] as const)
  for (const dryRun of [true, false])
    test(`a ${dryRun ? "dry run" : "sync"} of ${what} over nothing keeps no memory of its blocks`, async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("s"), data);
      const options = { blockSize: 1 << 16, dryRun };
      const { statistics } = await syncFiles(LOCAL_ROAD, dir.file("s"), dir.file("d"), options);
      expect(statistics.blocksDone).toBe(40);
      expect(statistics.blocksDiffering).toBe(what === "data" ? 40 : 0);
      expect(fs.existsSync(dir.file("d"))).toBe(!dryRun);
    });

function unreadableAt(first: number): Run {
  return { kind: "unreadable", first, count: 1 };
}

test("Statistics counts what could not be read in every lane", () => {
  const statistics = new Statistics(new BlockLayout(8 * BLOCK, BLOCK), 2);
  const [first, second] = statistics.lanes;
  first.unreadable.add({ offset: 512, length: 1024 });
  second?.unreadable.add({ offset: 5 * BLOCK, length: 512 });
  second?.unreadable.add({ offset: 6 * BLOCK, length: 512 });
  expect(statistics.sourceUnreadableBytes).toBe(2048);
  expect(statistics.unreadable.length).toBe(3);
});

test("pairRuns() fails when one side ends before the other", async () => {
  async function* scanOf(...counts: number[]): AsyncGenerator<Run> {
    let first = 0;
    for (const count of counts) {
      yield { kind: "hole", first, count };
      first += count;
    }
  }
  for (const [a, b] of [
    [[2, 2], [2]],
    [[2], [1, 1, 1]],
  ] as const) {
    const pairs = async () => {
      let blocks = 0;
      for await (const { count } of pairRuns(scanOf(...a), scanOf(...b))) blocks += count;
      return blocks;
    };
    await expect(pairs()).rejects.toThrow("ranges of different length");
  }
});
