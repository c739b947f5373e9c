import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import fc from "fast-check";
import { RefusedError, UnreachableError, VerificationError } from "../../src/errors.ts";
import type { BlockData, Endpoint } from "../../src/sync/endpoint.ts";
import { checkHashes, checkPair, sizeDiffers } from "../../src/sync/pair.ts";
import { Statistics } from "../../src/sync/statistics.ts";
import { type Lane, layoutOf, synchronize } from "../../src/sync/sync.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { openLocal, openRemote, openServed } from "../helpers/endpoints.ts";
import { equalPrints } from "../helpers/fingerprint.ts";
import { settled } from "../helpers/settled.ts";
import { allocated, altered, noLane, OPTIONS, ROADS, syncFiles } from "../helpers/sync.ts";
import { tempDir } from "../helpers/temp.ts";

const LEAF = 4096;
const BLOCK = 64 << 10;

/** Leaves (of the source's length) in which two files differ, the shorter one continued with zeros. */
function differingLeaves(a: Buffer, b: Buffer): number {
  const other = Buffer.alloc(a.length);
  b.copy(other, 0, 0, Math.min(b.length, a.length));
  let count = 0;
  for (let offset = 0; offset < a.length; offset += LEAF) {
    if (!a.subarray(offset, offset + LEAF).equals(other.subarray(offset, offset + LEAF))) count++;
  }
  return count;
}

for (const road of ROADS) {
  describe(`synchronize() ${road.name}`, () => {
    test("says what it is at, and counts what it verifies in each lane", async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("s"), bytes(71, 40 * BLOCK + 5));
      const options = { blockSize: BLOCK, lanes: 3 };
      const copied = (await syncFiles(road, dir.file("s"), dir.file("d"), options)).statistics;
      expect([copied.phase, copied.blocksVerified]).toEqual(["flushing", 0]);
      const verified = (await syncFiles(road, dir.file("s"), dir.file("d"), { ...options, verify: true })).statistics;
      expect([verified.phase, verified.blocksVerified]).toEqual(["verifying", 41]);
      expect(verified.lanes.map((lane) => lane.blocksVerified)).toEqual(
        verified.lanes.map(({ verifying }) => verifying.blocksTaken),
      );
      const dry = (await syncFiles(road, dir.file("s"), dir.file("d"), { ...options, dryRun: true })).statistics;
      expect([dry.phase, dry.blocksDone]).toEqual(["comparing", 41]);
    });

    test("makes any destination equal, writes only what differs, and nothing the second time", async () => {
      const leafKind = fc.constantFrom("same", "same", "same", "changed", "zeroed", "was zero");
      const cases = fc.record({
        seed: fc.integer({ min: 0, max: 2 ** 31 }),
        blockSize: fc.constantFrom(4096, 8192, 65536, 1 << 20),
        leaves: fc.array(leafKind, { maxLength: 48 }),
        sourceTail: fc.constantFrom(0, 1, 511, 4095),
        lanes: fc.constantFrom(1, 1, 2, 3, 7),
        destinationDelta: fc.constantFrom(0, 0, 0, -5000, -1, 1, 4096, 70_000, Number.NEGATIVE_INFINITY),
      });
      await fc.assert(
        fc.asyncProperty(cases, async ({ seed, blockSize, leaves, sourceTail, lanes, destinationDelta }) => {
          using dir = tempDir();
          const [s, d] = [dir.file("s"), dir.file("d")];
          const source = bytes(seed, leaves.length * LEAF + sourceTail);
          let before: Buffer<ArrayBufferLike> = Buffer.from(source);
          leaves.forEach((kind, leaf) => {
            if (kind === "changed") before = changeLeaves(before, [leaf]);
            if (kind === "zeroed") source.fill(0, leaf * LEAF, (leaf + 1) * LEAF);
            if (kind === "was zero") before.fill(0, leaf * LEAF, (leaf + 1) * LEAF);
          });
          const length = before.length + destinationDelta;
          const existed = Number.isFinite(length);
          before = existed
            ? Buffer.concat([before, bytes(seed + 1, Math.max(0, destinationDelta))]).subarray(0, Math.max(0, length))
            : Buffer.alloc(0);
          fs.writeFileSync(s, source);
          if (existed) fs.writeFileSync(d, before);

          const differing = differingLeaves(source, before);
          const dry = await syncFiles(road, s, d, { blockSize, lanes, dryRun: true });
          expect(fs.existsSync(d)).toBe(existed);
          if (existed) expect(fs.readFileSync(d).equals(before)).toBe(true);
          expect(dry.statistics.blocksDiffering > 0).toBe(differing > 0);

          const first = await syncFiles(road, s, d, { blockSize, lanes });
          const after = fs.readFileSync(d);
          expect(after.subarray(0, source.length).equals(source)).toBe(true);
          // A larger destination keeps its tail, byte for byte.
          expect(after.subarray(source.length).equals(before.subarray(source.length))).toBe(true);
          expect(after.length).toBe(Math.max(source.length, before.length));
          expect(first.bytesWritten).toBeLessThanOrEqual(differing * LEAF);
          expect(first.statistics.leavesWritten).toBe(differing);
          expect(first.statistics.blocksDiffering).toBe(dry.statistics.blocksDiffering);

          const second = await syncFiles(road, s, d, { blockSize, lanes });
          expect(second.bytesWritten).toBe(0);
          expect(second.statistics).toMatchObject({
            blocksDiffering: 0,
            leavesWritten: 0,
            blocksMatching: second.statistics.blocksTotal,
          });
        }),
        { numRuns: 60 },
      );
    });

    test("sends and writes one leaf for one changed byte", async () => {
      using dir = tempDir();
      const data = bytes(21, 40 * BLOCK + 300);
      fs.writeFileSync(dir.file("s"), data);
      fs.writeFileSync(dir.file("d"), changeLeaves(data, [123]));
      const { statistics, bytesWritten } = await syncFiles(road, dir.file("s"), dir.file("d"), { blockSize: BLOCK });
      expect(bytesWritten).toBe(LEAF);
      expect(statistics).toMatchObject({ blocksDiffering: 1, blocksMatching: 40, leavesWritten: 1 });
      expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
    });

    test("counts small blocks each by itself, though neighbours are copied together", async () => {
      using dir = tempDir();
      const data = bytes(25, 600 * LEAF + 77);
      data.fill(0, 100 * LEAF, 110 * LEAF);
      fs.writeFileSync(dir.file("s"), data);
      const fresh = await syncFiles(road, dir.file("s"), dir.file("d"), { blockSize: LEAF });
      expect(fresh.statistics).toMatchObject({ blocksDiffering: 591, blocksMatching: 10, blocksZero: 10 });
      expect(fresh.statistics.leavesWritten).toBe(591);
      expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
      // Over data the zeros are written, too, and the block in between is left alone.
      const before = bytes(26, data.length);
      data.copy(before, 300 * LEAF, 300 * LEAF, 301 * LEAF);
      fs.writeFileSync(dir.file("d"), before);
      const { statistics } = await syncFiles(road, dir.file("s"), dir.file("d"), { blockSize: LEAF });
      expect(statistics).toMatchObject({ blocksDiffering: 600, blocksMatching: 1, blocksZero: 10, leavesWritten: 600 });
      expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
    });

    test("creates a sparse file from a sparse source without reading its holes", async () => {
      using dir = tempDir();
      const fd = fs.openSync(dir.file("s"), "w");
      fs.ftruncateSync(fd, 5 * 2 ** 30 + 1);
      const data = bytes(22, 3 * LEAF);
      fs.writeSync(fd, data, 0, data.length, 4.5 * 2 ** 30 + LEAF);
      fs.closeSync(fd);
      const { statistics } = await syncFiles(road, dir.file("s"), dir.file("d"), { blockSize: 1 << 20 });
      expect(fs.statSync(dir.file("d")).size).toBe(5 * 2 ** 30 + 1);
      expect(allocated(dir.file("d"))).toBeLessThanOrEqual(64 << 10);
      expect(statistics).toMatchObject({ blocksTotal: 5121, blocksDiffering: 1, blocksZero: 5120, leavesWritten: 3 });
      const read = Buffer.alloc(data.length);
      const check = fs.openSync(dir.file("d"), "r");
      fs.readSync(check, read, 0, read.length, 4.5 * 2 ** 30 + LEAF);
      fs.closeSync(check);
      expect(read.equals(data)).toBe(true);
    });

    test("with exact cuts a larger file and says nothing about a tail", async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("s"), bytes(23, 1000));
      fs.writeFileSync(dir.file("d"), bytes(24, 3000));
      const { notices } = await syncFiles(road, dir.file("s"), dir.file("d"), { blockSize: BLOCK, exact: true });
      expect(notices).toEqual([]);
      expect(fs.readFileSync(dir.file("d")).equals(bytes(23, 1000))).toBe(true);
    });

    test("refuses the source itself by any name, before anything is written", async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("s"), bytes(25, 1000));
      fs.linkSync(dir.file("s"), dir.file("hard"));
      fs.symlinkSync(dir.file("s"), dir.file("soft"));
      for (const name of ["s", "hard", "soft"]) {
        const sync = syncFiles(road, dir.file("s"), dir.file(name), { blockSize: BLOCK });
        await (await settled(sync)).rejects.toBeInstanceOf(RefusedError);
        await (await settled(sync)).rejects.toThrow("it is the same file as the source");
      }
      expect(fs.readFileSync(dir.file("s")).equals(bytes(25, 1000))).toBe(true);
    });
  });
}

describe("synchronize()", () => {
  test("an unchanged image costs a few hundred bytes and no more per block than its hash", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(26, 64 << 20));
    fs.copyFileSync(dir.file("s"), dir.file("d"));
    const source = await openLocal(dir.file("s"), { access: "read" });
    const { endpoint, wire } = await openServed(dir.file("d"), { access: "write" });
    const statistics = new Statistics(layoutOf(source.description, 1 << 20), 1);
    await synchronize({ source, destination: endpoint }, OPTIONS, statistics, noLane);
    expect(wire.toServer.count()).toBeLessThan(600);
    // 64 hashes of 16 bytes, each in a frame of 24 and a head of 17.
    expect(wire.toClient.count()).toBeLessThan(64 * (16 + 24 + 17) + 500);
    await source.close();
    await endpoint.close();
  });

  test("changed leaves cost their bytes and little more", async () => {
    using dir = tempDir();
    const data = bytes(27, 64 << 20);
    fs.writeFileSync(dir.file("s"), data);
    const changed = Array.from({ length: 160 }, (_, i) => i * 102);
    fs.writeFileSync(dir.file("d"), changeLeaves(data, changed));
    const source = await openLocal(dir.file("s"), { access: "read" });
    const { endpoint, wire } = await openServed(dir.file("d"), { access: "write" });
    const statistics = new Statistics(layoutOf(source.description, 1 << 20), 1);
    await synchronize({ source, destination: endpoint }, OPTIONS, statistics, noLane);
    expect(statistics.bytesWritten).toBe(160 * LEAF);
    expect(wire.toServer.count()).toBeLessThanOrEqual(160 * LEAF * 1.05 + data.length * 0.001);
    await source.close();
    await endpoint.close();
    expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
  });

  /** A run of three lanes from s to d whose further lanes `openLane` opens instead. */
  async function inThreeLanes(dir: { file(name: string): string }, openLane: (number: number) => Promise<Lane>) {
    const first = {
      source: await openLocal(dir.file("s"), { access: "read" }),
      destination: (await openServed(dir.file("d"), { access: "write" })).endpoint,
    };
    const statistics = new Statistics(layoutOf(first.source.description, 1 << 20), 3);
    try {
      await synchronize(first, OPTIONS, statistics, openLane);
    } finally {
      await Promise.all([first.source.close(), first.destination.close()]);
    }
  }

  test("the first lane's failure to open is the failure of the run", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(31, 4 << 20));
    const failure = new UnreachableError("Cannot start blocksync on the third host");
    const run = inThreeLanes(dir, (number) => (number === 2 ? Promise.reject(failure) : new Promise(() => undefined)));
    await (await settled(run)).rejects.toBe(failure);
  });

  for (const there of [true, false]) {
    test(`a lane that finds ${there ? "another file" : "no file"} under the name is refused and writes nothing`, async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("s"), bytes(31, 4 << 20));
      const [other] = [dir.file("other")];
      if (there) fs.writeFileSync(other, "kept");
      const opened: Lane[] = [];
      const run = inThreeLanes(dir, async () => {
        const lane = {
          source: await openLocal(dir.file("s"), { access: "read" }),
          destination: await openLocal(other, { access: "join" }),
        };
        opened.push(lane);
        return lane;
      });
      await (await settled(run)).rejects.toBeInstanceOf(RefusedError);
      await (await settled(run)).rejects.toThrow(
        "another lane found a different destination under the same name (other-destination)",
      );
      for (const { source, destination } of opened) await Promise.all([source.close(), destination.close()]);
      expect(fs.existsSync(other) ? fs.readFileSync(other, "utf8") : undefined).toBe(there ? "kept" : undefined);
    });
  }

  test("the scans are asked for before the ends say that they are prepared, which spares a round trip", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(33, 3 * BLOCK));
    const source = await openLocal(dir.file("s"), { access: "read", blockSize: BLOCK });
    for (const there of ["nothing", "old data"]) {
      if (there === "old data") fs.writeFileSync(dir.file("d"), bytes(34, BLOCK));
      else fs.rmSync(dir.file("d"), { force: true });
      const { endpoint } = await openServed(dir.file("d"), { access: "write", blockSize: BLOCK });
      const scanned = Promise.withResolvers<void>();
      const noting = (end: Endpoint) =>
        altered(end, {
          prepare: async (...args) => {
            const identity = end.prepare(...args);
            await scanned.promise;
            return await identity;
          },
          scan: (...args) => {
            scanned.resolve();
            return end.scan(...args);
          },
        });
      const statistics = new Statistics(layoutOf(source.description, BLOCK), 1);
      const lane = { source: noting(source), destination: noting(endpoint) };
      await synchronize(lane, { ...OPTIONS, blockSize: BLOCK }, statistics, noLane);
      await endpoint.close();
      expect(fs.readFileSync(dir.file("d")).equals(bytes(33, 3 * BLOCK))).toBe(true);
      fs.rmSync(dir.file("d"));
    }
    await source.close();
  });

  test("further lanes are opened once the destination is prepared, or they would find what it was before", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(35, 3 << 20));
    const source = await openLocal(dir.file("s"), { access: "read" });
    const { endpoint } = await openServed(dir.file("d"), { access: "write" });
    const asked = Promise.withResolvers<void>();
    const destination = altered(endpoint, {
      prepare: async (...args) => {
        await asked.promise;
        return await endpoint.prepare(...args);
      },
    });
    const found: string[] = [];
    const openLane = (number: number) => {
      found.push(fs.existsSync(dir.file("d")) ? "prepared" : "nothing");
      return noLane(number);
    };
    const statistics = new Statistics(layoutOf(source.description, 1 << 20), 3);
    const run = synchronize({ source, destination }, OPTIONS, statistics, openLane);
    // By now a lane that waits for nothing has been asked for.
    await Promise.resolve();
    asked.resolve();
    await (await settled(run)).rejects.toThrow("was opened");
    expect(found).toEqual(["prepared", "prepared"]);
    await Promise.all([source.close(), endpoint.close()]);
  });

  /** A source that gives other bytes for block 1 when it is read than it was hashed from. */
  function changing(source: Endpoint, times: number): Endpoint {
    let left = times;
    return altered(source, {
      async read(blocks, filter): Promise<BlockData> {
        const data = await source.read(blocks, filter);
        if (left === 0) return data;
        left--;
        return { ...data, hashes: data.hashes.map((byte) => byte ^ 1) };
      },
    });
  }

  for (const [name, times, message] of [
    ["a block that is proved only at the second attempt counts as a changed source", 1, "changed during the run"],
    ["a destination that never holds what was written fails with its offset", 2, "at offset 65536 of"],
  ] as const) {
    test.each(["here", "elsewhere"])(`${name}, with the destination %s`, async (where) => {
      using dir = tempDir();
      const data = bytes(28, 3 * BLOCK);
      fs.writeFileSync(dir.file("s"), data);
      fs.writeFileSync(dir.file("d"), changeLeaves(data, [20]));
      const source = await openLocal(dir.file("s"), { access: "read", blockSize: BLOCK });
      const openEndpoint = where === "here" ? openLocal : openRemote;
      const endpoint = await openEndpoint(dir.file("d"), { access: "write", blockSize: BLOCK });
      const statistics = new Statistics(layoutOf(source.description, BLOCK), 1);
      const options = { ...OPTIONS, blockSize: BLOCK };
      const lane = { source: changing(source, times), destination: endpoint };
      const sync = synchronize(lane, options, statistics, noLane);
      await (await settled(sync)).rejects.toBeInstanceOf(VerificationError);
      await (await settled(sync)).rejects.toThrow(message);
      await source.close();
      await endpoint.close();
      expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
    });
  }
});

describe("--verify", () => {
  for (const where of ["here", "elsewhere"]) {
    test(`insists that a destination ${where} is still there when all is read`, async () => {
      using dir = tempDir();
      for (const name of ["s", "d"]) fs.writeFileSync(dir.file(name), bytes(36, 3 * BLOCK));
      const source = await openLocal(dir.file("s"), { access: "read", blockSize: BLOCK });
      const openEndpoint = where === "here" ? openLocal : openRemote;
      const endpoint = await openEndpoint(dir.file("d"), { access: "write", blockSize: BLOCK });
      const statistics = new Statistics(layoutOf(source.description, BLOCK), 1);
      const onVerify = () => fs.rmSync(dir.file("d"));
      const options = { ...OPTIONS, blockSize: BLOCK, verify: true, onVerify };
      const sync = synchronize({ source, destination: endpoint }, options, statistics, noLane);
      await (await settled(sync)).rejects.toThrow("is no longer what blocksync wrote: its name no longer exists");
      await source.close();
      await endpoint.close();
    });
  }

  test("says of several lanes what the least of them could get around", async () => {
    using dir = tempDir();
    for (const name of ["s", "d"]) fs.writeFileSync(dir.file(name), bytes(37, 3 * BLOCK));
    for (const [hows, said] of [
      [["direct", "direct", "direct"], "direct"],
      [["direct", "dropped", "direct"], "dropped"],
      [["dropped", "direct", "partly"], "partly"],
    ] as const) {
      const opened: Endpoint[] = [];
      const lane = async (number: number) => {
        const source = await openLocal(dir.file("s"), { access: "read", blockSize: BLOCK });
        const access = number === 0 ? "write" : "join";
        const endpoint = await openLocal(dir.file("d"), { access, blockSize: BLOCK });
        opened.push(source, endpoint);
        const bypassCache = () => Promise.resolve(hows[number] ?? "direct");
        return { source, destination: altered(endpoint, { bypassCache }) };
      };
      const first = await lane(0);
      const statistics = new Statistics(layoutOf(first.source.description, BLOCK), 3);
      await synchronize(first, { ...OPTIONS, blockSize: BLOCK, verify: true }, statistics, lane);
      expect(statistics.verified).toBe(said);
      for (const end of opened) await end.close();
    }
  });

  for (const where of ["here", "elsewhere"]) {
    test(`finds a destination ${where} that changed into a block with the same print`, async () => {
      using dir = tempDir();
      const [one, other] = equalPrints();
      for (const name of ["s", "d"]) fs.writeFileSync(dir.file(name), one);
      const source = await openLocal(dir.file("s"), { access: "read", blockSize: 4096 });
      const openEndpoint = where === "here" ? openLocal : openRemote;
      const endpoint = await openEndpoint(dir.file("d"), { access: "write", blockSize: 4096 });
      const statistics = new Statistics(layoutOf(source.description, 4096), 1);
      const onVerify = () => fs.writeFileSync(dir.file("d"), other);
      const options = { ...OPTIONS, blockSize: 4096, verify: true, onVerify };
      const sync = synchronize({ source, destination: endpoint }, options, statistics, noLane);
      await (await settled(sync)).rejects.toThrow("does not hold what was written: 4096 bytes (4096 at offset 0)");
      await source.close();
      await endpoint.close();
    });
  }
});

describe("checkPair()", () => {
  const source = {
    label: "a",
    kind: "file",
    sizeBytes: 100,
    identity: "x",
    within: [],
    blank: false,
    zeroHash: new Uint8Array(16),
  } as const;
  const destination = { ...source, label: "b", identity: "y" } as const;

  test("refuses a device that is too small and lets a larger one keep its rest", () => {
    expect(() => checkPair(source, { ...destination, kind: "device", sizeBytes: 99 }, { exact: false })).toThrow(
      RefusedError,
    );
    const [notice] = checkPair(source, { ...destination, kind: "device", sizeBytes: 612 }, { exact: true });
    expect(notice).toContain("512 bytes larger");
  });

  test("says when a larger file keeps its tail", () => {
    expect(checkPair(source, { ...destination, sizeBytes: 101 }, { exact: false })[0]).toContain("keeps its tail");
    expect(checkPair(source, { ...destination, sizeBytes: 101 }, { exact: true })).toEqual([]);
  });

  test("sizeDiffers() is true when a sync would create, grow or cut", () => {
    expect(sizeDiffers(source, { ...destination, kind: "missing", sizeBytes: 0 }, { exact: false })).toBe(true);
    expect(sizeDiffers(source, { ...destination, sizeBytes: 99 }, { exact: false })).toBe(true);
    expect(sizeDiffers(source, { ...destination, sizeBytes: 101 }, { exact: false })).toBe(false);
    expect(sizeDiffers(source, { ...destination, sizeBytes: 101 }, { exact: true })).toBe(true);
    expect(sizeDiffers(source, { ...destination, kind: "device", sizeBytes: 101 }, { exact: true })).toBe(false);
  });

  test("checkHashes() refuses two ends that do not hash alike", () => {
    expect(() => checkHashes(source, { ...destination, zeroHash: new Uint8Array(16).fill(1) })).toThrow(
      VerificationError,
    );
    expect(() => checkHashes(source, destination)).not.toThrow();
  });
});
