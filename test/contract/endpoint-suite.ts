/** The contract of an endpoint, as a function of how one is opened. */

import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { IoError, RefusedError, VerificationError } from "../../src/errors.ts";
import { addLeaf, addSectors, emptyLeafSet, emptySectorSet, hasLeaf, LEAF_SIZE } from "../../src/sync/blocks.ts";
import type { BlockData, Endpoint, Run } from "../../src/sync/endpoint.ts";
import { PRINT_SIZE } from "../../src/sync/endpoint.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import type { OpenEndpoint } from "../helpers/endpoints.ts";
import { one } from "../helpers/one.ts";
import { settled } from "../helpers/settled.ts";
import { tempDir } from "../helpers/temp.ts";

const BLOCK = 64 << 10;
const PREPARE = { exact: false };

async function runsOf(
  endpoint: Endpoint,
  first: number,
  count: number,
  hashed: boolean,
  readHoles = false,
): Promise<Run[]> {
  const runs: Run[] = [];
  for await (const run of endpoint.scan([{ first, count }], { hashed, tolerant: false, readHoles, ahead: 100 })) {
    runs.push(run);
    endpoint.advance(run.first + run.count);
  }
  return runs;
}

/** All block hashes of a hashed scan as hexadecimal, holes as the zero hash. */
async function hashesOf(endpoint: Endpoint, count: number): Promise<string[]> {
  const size = endpoint.description.zeroHash.length;
  const hashes: string[] = [];
  for (const run of await runsOf(endpoint, 0, count, true)) {
    for (let i = 0; i < run.count; i++) {
      const hash =
        run.kind === "hashed" ? run.hashes.subarray(i * size, (i + 1) * size) : endpoint.description.zeroHash;
      hashes.push(Buffer.from(hash).toString("hex"));
    }
  }
  return hashes;
}

function fullBlock(block: Buffer, hash: Uint8Array, release: () => void): BlockData {
  const leaves = emptyLeafSet(Math.ceil(block.length / LEAF_SIZE));
  for (let leaf = 0; leaf * LEAF_SIZE < block.length; leaf++) addLeaf(leaves, leaf);
  return { hashes: hash, leaves, zeros: new Uint8Array(leaves.length), bytes: block, release };
}

export function describeEndpoint(name: string, open: OpenEndpoint): void {
  describe(name, () => {
    test("description tells kind, size and whether there is any data", async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("data"), bytes(1, 1000));
      fs.writeFileSync(dir.file("empty"), "");
      fs.writeFileSync(dir.file("hole"), "");
      fs.truncateSync(dir.file("hole"), 1 << 20);
      for (const [file, sizeBytes, blank] of [
        ["data", 1000, false],
        ["empty", 0, true],
        ["hole", 1 << 20, true],
      ] as const) {
        const endpoint = await open(dir.file(file), { access: "read", blockSize: BLOCK });
        expect(endpoint.description).toMatchObject({ kind: "file", sizeBytes, blank });
        await endpoint.close();
      }
    });

    test("description.identity is equal for two names of one file and for nothing else", async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("a"), "same");
      fs.writeFileSync(dir.file("b"), "same");
      fs.linkSync(dir.file("a"), dir.file("hard"));
      fs.symlinkSync("a", dir.file("soft"));
      const identities = [];
      for (const file of ["a", "hard", "soft", "b"]) {
        const endpoint = await open(dir.file(file), { access: "read" });
        identities.push(endpoint.description.identity);
        await endpoint.close();
      }
      const [a, hard, soft, b] = identities;
      expect(hard).toBe(a ?? "");
      expect(soft).toBe(a ?? "");
      expect(b).not.toBe(a ?? "");
    });

    test("open() of a missing source fails and names it", async () => {
      using dir = tempDir();
      const opening = open(dir.file("none"), { access: "read" });
      await (await settled(opening)).rejects.toBeInstanceOf(IoError);
      await (await settled(opening)).rejects.toThrow(
        `Cannot open ${JSON.stringify(dir.file("none"))}: no such file or directory`,
      );
    });

    test("open() of a missing destination writes nothing; prepare() creates it with its size", async () => {
      using dir = tempDir();
      const endpoint = await open(dir.file("new"), { access: "write", blockSize: BLOCK });
      expect(endpoint.description).toMatchObject({ kind: "missing", sizeBytes: 0, blank: true });
      expect(fs.existsSync(dir.file("new"))).toBe(false);
      await endpoint.prepare(100_000, PREPARE);
      expect(fs.statSync(dir.file("new")).size).toBe(100_000);
      expect(fs.statSync(dir.file("new")).blocks).toBe(0);
      await endpoint.close();
    });

    test("open() refuses directories, pipes and character devices as destination", async () => {
      using dir = tempDir();
      for (const [path, what] of [
        [dir.path, "a directory"],
        ["/dev/null", "a character device"],
      ] as const) {
        const opening = open(path, { access: "write" });
        await (await settled(opening)).rejects.toBeInstanceOf(RefusedError);
        await (await settled(opening)).rejects.toThrow(`it is ${what} (not-a-disk)`);
      }
    });

    test("open() creates nothing under /dev", async () => {
      const opening = open("/dev/blocksync-no-such-disk", { access: "write" });
      await (await settled(opening)).rejects.toBeInstanceOf(RefusedError);
      await (await settled(opening)).rejects.toThrow("(missing-device)");
      expect(fs.existsSync("/dev/blocksync-no-such-disk")).toBe(false);
    });

    test("a patch right behind prepare() finds the destination that it makes", async () => {
      using dir = tempDir();
      const endpoint = await open(dir.file("new"), { access: "write", blockSize: BLOCK });
      const sectors = new Uint8Array(BLOCK / 512 / 8);
      sectors[0] = 1;
      const [, written] = await Promise.all([
        endpoint.prepare(BLOCK, PREPARE),
        endpoint.patch(0, { sectors, bytes: bytes(36, 512) }),
      ]);
      expect(written).toBe(512);
      await endpoint.close();
      expect(fs.readFileSync(dir.file("new")).subarray(0, 512).equals(bytes(36, 512))).toBe(true);
    });

    test("prepare() grows, keeps a larger file's tail, and cuts it only when exact", async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("d"), bytes(2, 5000));
      for (const [size, exact, after] of [
        [9000, false, 9000],
        [4000, false, 9000],
        [4000, true, 4000],
      ] as const) {
        const endpoint = await open(dir.file("d"), { access: "write", blockSize: BLOCK });
        await endpoint.prepare(size, { exact });
        await endpoint.close();
        expect(fs.statSync(dir.file("d")).size).toBe(after);
      }
      expect(fs.readFileSync(dir.file("d")).equals(bytes(2, 5000).subarray(0, 4000))).toBe(true);
    });

    test("prepare() of a dry run changes nothing, and what lies beyond the end reads as zeros", async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("d"), bytes(3, 5000));
      const endpoint = await open(dir.file("d"), { access: "rehearse", blockSize: BLOCK });
      await endpoint.prepare(3 * BLOCK, { exact: true });
      const hashes = await hashesOf(endpoint, 3);
      await endpoint.close();
      expect(fs.statSync(dir.file("d")).size).toBe(5000);
      fs.truncateSync(dir.file("d"), 3 * BLOCK);
      const grown = await open(dir.file("d"), { access: "read", blockSize: BLOCK });
      await grown.prepare(3 * BLOCK, PREPARE);
      expect(await hashesOf(grown, 3)).toEqual(hashes);
      await grown.close();
    });

    for (const size of [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 40 * BLOCK + 500]) {
      test(`scan() covers ${size} bytes in order, without gap or overlap`, async () => {
        using dir = tempDir();
        fs.writeFileSync(dir.file("s"), bytes(4, size));
        const endpoint = await open(dir.file("s"), { access: "read", blockSize: BLOCK });
        await endpoint.prepare(size, PREPARE);
        const count = Math.ceil(size / BLOCK);
        for (const hashed of [true, false]) {
          let position = 0;
          for (const run of await runsOf(endpoint, 0, count, hashed)) {
            expect(run.first).toBe(position);
            expect(run.kind).toBe(hashed ? "hashed" : "data");
            position += run.count;
          }
          expect(position).toBe(count);
        }
        await endpoint.close();
      });
    }

    test("scan() reads small blocks together, and tells of them together", async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("s"), bytes(4, 1 << 20));
      const endpoint = await open(dir.file("s"), { access: "read", blockSize: LEAF_SIZE });
      await endpoint.prepare(1 << 20, PREPARE);
      const runs = await runsOf(endpoint, 0, 256, true);
      expect(runs.map(({ count }) => count)).toEqual([100, 100, 56]);
      await endpoint.close();
    });

    test("scan() gives equal hashes for equal blocks only", async () => {
      using dir = tempDir();
      const data = bytes(5, 10 * BLOCK + 77);
      fs.writeFileSync(dir.file("a"), data);
      fs.writeFileSync(dir.file("b"), changeLeaves(data, [0, 16 * 3 + 15, 160]));
      const lists = [];
      for (const file of ["a", "b"]) {
        const endpoint = await open(dir.file(file), { access: "read", blockSize: BLOCK });
        await endpoint.prepare(data.length, PREPARE);
        lists.push(await hashesOf(endpoint, 11));
        await endpoint.close();
      }
      const [a = [], b = []] = lists;
      expect(a.map((hash, i) => hash === b[i])).toEqual([
        false,
        true,
        true,
        false,
        true,
        true,
        true,
        true,
        true,
        true,
        false,
      ]);
      expect(new Set(a).size).toBe(11);
    });

    test("scan() does not read holes", async () => {
      using dir = tempDir();
      const fd = fs.openSync(dir.file("s"), "w");
      fs.ftruncateSync(fd, (1 << 30) + 5);
      fs.writeSync(fd, bytes(6, 4096), 0, 4096, 512 << 20);
      fs.closeSync(fd);
      const endpoint = await open(dir.file("s"), { access: "read", blockSize: BLOCK });
      await endpoint.prepare((1 << 30) + 5, PREPARE);
      const runs = await runsOf(endpoint, 0, (1 << 14) + 1, true);
      // The block with data, and the short last one, which is never reported as a hole.
      expect(runs.map(({ kind, first, count }) => [kind, first, count])).toEqual([
        ["hole", 0, 8192],
        ["hashed", 8192, 1],
        ["hole", 8193, 8191],
        ["hashed", 16384, 1],
      ]);
      expect((await endpoint.counters()).bytesRead).toBe(BLOCK + 5);
      await endpoint.close();
    });

    test("leafHashes() differ exactly where leaves differ, in both sizes", async () => {
      using dir = tempDir();
      const data = bytes(7, BLOCK + 100);
      fs.writeFileSync(dir.file("a"), data);
      fs.writeFileSync(dir.file("b"), changeLeaves(data, [3, 15, 16]));
      const a = await open(dir.file("a"), { access: "read", blockSize: BLOCK });
      const b = await open(dir.file("b"), { access: "read", blockSize: BLOCK });
      for (const endpoint of [a, b]) await endpoint.prepare(data.length, PREPARE);
      for (const size of [4, 8] as const) {
        const differing = [];
        for (const index of [0, 1]) {
          const [first, second] = [
            Buffer.from(await a.leafHashes(one(index), size)),
            Buffer.from(await b.leafHashes(one(index), size)),
          ];
          expect(first.length).toBe(size * (index === 0 ? 16 : 1));
          for (let leaf = 0; leaf * size < first.length; leaf++) {
            const part = [leaf * size, (leaf + 1) * size] as const;
            if (!first.subarray(...part).equals(second.subarray(...part))) differing.push(index * 16 + leaf);
          }
        }
        expect(differing).toEqual([3, 15, 16]);
      }
      await a.close();
      await b.close();
    });

    test("read() returns the wanted leaves, zeros as a set, and the hash of the whole block", async () => {
      using dir = tempDir();
      const data = bytes(8, BLOCK);
      data.fill(0, 2 * LEAF_SIZE, 4 * LEAF_SIZE);
      fs.writeFileSync(dir.file("s"), data);
      fs.writeFileSync(dir.file("d"), changeLeaves(data, [2, 9]));
      const source = await open(dir.file("s"), { access: "read", blockSize: BLOCK });
      const destination = await open(dir.file("d"), { access: "read", blockSize: BLOCK });
      await source.prepare(BLOCK, PREPARE);
      await destination.prepare(BLOCK, PREPARE);
      const leavesOf = (set: Uint8Array) =>
        Array.from({ length: 16 }, (_, leaf) => leaf).filter((leaf) => hasLeaf(set, leaf));
      const [hash] = await hashesOf(source, 1);

      const all = await source.read(one(0), { kind: "all" });
      expect(leavesOf(all.zeros)).toEqual([2, 3]);
      expect(leavesOf(all.leaves)).toEqual([0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
      expect(Buffer.from(all.bytes)).toEqual(Buffer.concat([data.subarray(0, 8192), data.subarray(16384)]));
      expect(Buffer.from(all.hashes).toString("hex")).toBe(hash ?? "");
      all.release();

      const nonzero = await source.read(one(0), { kind: "nonzero" });
      expect(leavesOf(nonzero.zeros)).toEqual([]);
      expect(nonzero.bytes.length).toBe(14 * LEAF_SIZE);
      nonzero.release();

      const hashes = await destination.leafHashes(one(0), 4);
      const differing = await source.read(one(0), { kind: "differing", hashes });
      expect(leavesOf(differing.zeros)).toEqual([2]);
      expect(leavesOf(differing.leaves)).toEqual([9]);
      expect(data.subarray(9 * LEAF_SIZE, 10 * LEAF_SIZE).equals(differing.bytes)).toBe(true);
      expect(Buffer.from(differing.hashes).toString("hex")).toBe(hash ?? "");
      differing.release();
      await source.close();
      await destination.close();
    });

    test("write() writes exactly the given leaves, makes zeros, proves the block and releases the data once", async () => {
      using dir = tempDir();
      const before = bytes(9, 2 * BLOCK);
      const wanted = Buffer.from(before);
      wanted.set(bytes(10, LEAF_SIZE), BLOCK + 5 * LEAF_SIZE);
      wanted.fill(0, BLOCK + 7 * LEAF_SIZE, BLOCK + 8 * LEAF_SIZE);
      fs.writeFileSync(dir.file("s"), wanted);
      fs.writeFileSync(dir.file("d"), before);
      const source = await open(dir.file("s"), { access: "read", blockSize: BLOCK });
      const destination = await open(dir.file("d"), { access: "write", blockSize: BLOCK });
      await source.prepare(wanted.length, PREPARE);
      await destination.prepare(wanted.length, PREPARE);
      const data = await source.read(one(1), { kind: "differing", hashes: await destination.leafHashes(one(1), 4) });
      let released = 0;
      const counted: BlockData = {
        ...data,
        release() {
          released++;
          data.release();
        },
      };
      expect(await destination.write(one(1), counted)).toEqual({ proved: true, bytesWritten: LEAF_SIZE });
      expect(released).toBe(1);
      await destination.flush();
      expect((await destination.counters()).bytesWritten).toBe(LEAF_SIZE);
      await source.close();
      await destination.close();
      expect(fs.readFileSync(dir.file("d")).equals(wanted)).toBe(true);
    });

    test("write() says so when the block does not have the hash afterwards", async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("d"), bytes(11, BLOCK));
      const destination = await open(dir.file("d"), { access: "write", blockSize: BLOCK });
      await destination.prepare(BLOCK, PREPARE);
      const wrongHash = new Uint8Array(destination.description.zeroHash.length);
      const outcome = await destination.write(
        one(0),
        fullBlock(bytes(12, BLOCK), wrongHash, () => undefined),
      );
      expect(outcome).toEqual({ proved: false, bytesWritten: BLOCK });
      await destination.close();
    });

    test("write() takes no block that has the print and not the rest of its hash", async () => {
      using dir = tempDir();
      const data = bytes(12, BLOCK);
      fs.writeFileSync(dir.file("d"), data);
      const destination = await open(dir.file("d"), { access: "write", blockSize: BLOCK });
      await destination.prepare(BLOCK, PREPARE);
      const [run] = await runsOf(destination, 0, 1, true);
      if (run?.kind !== "hashed") throw new Error("it was not hashed");
      for (const at of [run.hashes.length - 1, PRINT_SIZE, 0]) {
        const hash = run.hashes.slice();
        hash[at] = (hash[at] ?? 0) ^ 1;
        const outcome = await destination.write(
          one(0),
          fullBlock(data, hash, () => undefined),
        );
        expect({ at, ...outcome }).toEqual({ at, proved: false, bytesWritten: BLOCK });
      }
      await destination.close();
    });

    test("a scan that reads holes too has none, and gives what all of it hashes to", async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("s"), bytes(12, BLOCK));
      fs.truncateSync(dir.file("s"), 200 * BLOCK + 5);
      const source = await open(dir.file("s"), { access: "read", blockSize: BLOCK });
      await source.prepare(200 * BLOCK + 5, PREPARE);
      const told = await hashesOf(source, 201);
      expect((await runsOf(source, 0, 201, true)).map(({ kind }) => kind)).toContain("hole");
      const runs = await runsOf(source, 0, 201, true, true);
      expect(new Set(runs.map(({ kind }) => kind))).toEqual(new Set(["hashed"]));
      const read = runs.map((run) => (run.kind === "hashed" ? Buffer.from(run.hashes).toString("hex") : ""));
      expect(read.join("")).toBe(told.join(""));
      expect((await source.counters()).bytesRead).toBeGreaterThanOrEqual(200 * BLOCK + 5);
      await source.close();
    });

    test("what a scan has read is not read again for leaf hashes, or for leaves that do not differ, once many are asked for", async () => {
      using dir = tempDir();
      const data = bytes(14, 200 * BLOCK);
      fs.writeFileSync(dir.file("s"), data);
      const [source, other] = [
        await open(dir.file("s"), { access: "read", blockSize: BLOCK }),
        await open(dir.file("s"), { access: "read", blockSize: BLOCK }),
      ];
      for (const endpoint of [source, other]) await endpoint.prepare(data.length, PREPARE);
      // Not by runsOf(), which says that nobody will come back to a block.
      const scan = async (first: number) => {
        const options = { hashed: true, tolerant: false, readHoles: false, ahead: 100 };
        for await (const _ of source.scan([{ first, count: 100 }], options));
      };
      await scan(0);
      for (let index = 0; index < 100; index++) await source.leafHashes(one(index), 4);
      await scan(100);
      const { bytesRead } = await source.counters();
      expect(bytesRead).toBe(300 * BLOCK);
      for (let index = 100; index < 150; index++) {
        expect(Buffer.from(await source.leafHashes(one(index), 4)).equals(await other.leafHashes(one(index), 4))).toBe(
          true,
        );
      }
      expect((await source.counters()).bytesRead).toBe(bytesRead);
      for (let index = 150; index < 200; index++) {
        const hashes = Uint8Array.from(await other.leafHashes(one(index), 4));
        hashes[4 * 3] = (hashes[4 * 3] ?? 0) ^ 1;
        const [mine, theirs] = await Promise.all(
          [source, other].map((end) => end.read(one(index), { kind: "differing", hashes })),
        );
        const plain = (found: BlockData | undefined) => {
          return [found?.hashes, found?.leaves, found?.zeros, Buffer.from(found?.bytes ?? [])];
        };
        expect(plain(mine)).toEqual(plain(theirs));
        for (const found of [mine, theirs]) found?.release();
      }
      expect((await source.counters()).bytesRead).toBe(bytesRead + 50 * LEAF_SIZE);
      await Promise.all([source.close(), other.close()]);
    });

    test("calls for many blocks at once all get their answer", async () => {
      using dir = tempDir();
      const data = bytes(13, 200 * BLOCK);
      fs.writeFileSync(dir.file("s"), data);
      const source = await open(dir.file("s"), { access: "read", blockSize: BLOCK });
      await source.prepare(data.length, PREPARE);
      const blocks = await Promise.all(
        Array.from({ length: 200 }, async (_, index) => {
          const block = await source.read(one(index), { kind: "all" });
          const equal = data.subarray(index * BLOCK, (index + 1) * BLOCK).equals(block.bytes);
          block.release();
          return equal;
        }),
      );
      expect(blocks).toEqual(Array.from({ length: 200 }, () => true));
      await source.close();
    });

    test("reading a source that became shorter is a change of the source", async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("s"), bytes(14, 3 * BLOCK));
      const source = await open(dir.file("s"), { access: "read", blockSize: BLOCK });
      await source.prepare(3 * BLOCK, PREPARE);
      fs.truncateSync(dir.file("s"), BLOCK + 10);
      const reading = source.read(one(1), { kind: "all" });
      await (await settled(reading)).rejects.toBeInstanceOf(VerificationError);
      await (await settled(reading)).rejects.toThrow("it became shorter during the run");
      await source.close();
    });

    test("confirmUnchanged() fails once the source was written to", async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("s"), bytes(15, 100));
      const source = await open(dir.file("s"), { access: "read" });
      await source.prepare(100, PREPARE);
      await source.confirmUnchanged();
      fs.utimesSync(dir.file("s"), 1, 1);
      await (await settled(source.confirmUnchanged())).rejects.toBeInstanceOf(VerificationError);
      await source.close();
    });

    test("confirmUnchanged() fails once a source's time of change moved, though that of modification was set back", async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("s"), bytes(15, 100));
      fs.utimesSync(dir.file("s"), 1000, 1000);
      const source = await open(dir.file("s"), { access: "read" });
      await source.prepare(100, PREPARE);
      fs.readFileSync(dir.file("s"));
      await source.confirmUnchanged();
      fs.writeFileSync(dir.file("s"), bytes(16, 100));
      fs.utimesSync(dir.file("s"), 1000, 1000);
      await (await settled(source.confirmUnchanged())).rejects.toThrow("its ctime changed");
      await source.close();
    });

    for (const [name, action, words] of [
      ["is gone", (path: string) => fs.rmSync(path), "its name no longer exists"],
      [
        "leads to another file",
        (path: string) => {
          fs.writeFileSync(`${path}.other`, bytes(17, 100));
          fs.renameSync(`${path}.other`, path);
        },
        "its name now leads to something else",
      ],
      [
        "leads to a link to another file",
        (path: string) => {
          fs.renameSync(path, `${path}.moved`);
          fs.writeFileSync(`${path}.other`, bytes(17, 100));
          fs.symlinkSync(`${path}.other`, path);
        },
        "its name now leads to something else",
      ],
      ["was cut", (path: string) => fs.truncateSync(path, 99), "it has 99 bytes instead of 100"],
      ["has grown", (path: string) => fs.appendFileSync(path, "x"), "it has 101 bytes instead of 100"],
    ] as const) {
      test(`flush() and confirmUnchanged() fail when the destination's name ${name}`, async () => {
        using dir = tempDir();
        for (const before of ["old", "new"]) {
          const path = dir.file(before);
          if (before === "old") fs.writeFileSync(path, bytes(15, 50));
          const destination = await open(path, { access: "write" });
          await destination.prepare(100, PREPARE);
          await destination.flush();
          await destination.confirmUnchanged();
          action(path);
          await (await settled(destination.confirmUnchanged())).rejects.toThrow(words);
          await (await settled(destination.flush())).rejects.toBeInstanceOf(VerificationError);
          await destination.close();
        }
      });
    }

    test("flush() takes a name that leads to the destination by a link made meanwhile", async () => {
      using dir = tempDir();
      const destination = await open(dir.file("d"), { access: "write" });
      await destination.prepare(100, PREPARE);
      fs.renameSync(dir.file("d"), dir.file("moved"));
      fs.symlinkSync("moved", dir.file("d"));
      await destination.flush();
      await destination.close();
    });

    test("salvage() gives what patch() writes, sector by sector, and nothing of what is known to be bad", async () => {
      using dir = tempDir();
      const data = bytes(17, BLOCK + 5000);
      const other = bytes(18, BLOCK + 5000);
      fs.writeFileSync(dir.file("s"), data);
      fs.writeFileSync(dir.file("d"), other);
      const source = await open(dir.file("s"), { access: "read", blockSize: BLOCK });
      const destination = await open(dir.file("d"), { access: "write", blockSize: BLOCK });
      for (const endpoint of [source, destination]) await endpoint.prepare(BLOCK + 5000, PREPARE);
      const known = emptySectorSet(5000);
      // Sectors 1 to 3, and the short last one.
      addSectors(known, { offset: 600, length: 1200 });
      addSectors(known, { offset: 4999, length: 1 });
      const salvage = await source.salvage(1, known, 0);
      expect(
        Buffer.from(salvage.bytes).equals(
          Buffer.concat([data.subarray(BLOCK, BLOCK + 512), data.subarray(BLOCK + 2048, BLOCK + 4608)]),
        ),
      ).toBe(true);
      expect(await destination.patch(1, salvage)).toBe(512 + 2560);
      expect(await destination.patch(1, salvage)).toBe(0);
      for (const endpoint of [source, destination]) await endpoint.close();
      const expected = Buffer.from(other);
      data.copy(expected, BLOCK, BLOCK, BLOCK + 512);
      data.copy(expected, BLOCK + 2048, BLOCK + 2048, BLOCK + 4608);
      expect(fs.readFileSync(dir.file("d")).equals(expected)).toBe(true);
    });

    test("bypassCache() changes how is read and not what, the short end included", async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("s"), bytes(19, 2 * BLOCK + 777));
      const source = await open(dir.file("s"), { access: "read", blockSize: BLOCK });
      await source.prepare(2 * BLOCK + 777, PREPARE);
      const before = await runsOf(source, 0, 3, true);
      expect(["direct", "dropped"]).toContain(await source.bypassCache());
      expect(await runsOf(source, 0, 3, true)).toEqual(before);
      const { bytes: read, release } = await source.read(one(2), { kind: "all" });
      expect(Buffer.from(read).equals(bytes(19, 2 * BLOCK + 777).subarray(2 * BLOCK))).toBe(true);
      release();
      await source.close();
    });

    test("close() can be called twice, and calls after it fail", async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("s"), bytes(16, 100));
      const source = await open(dir.file("s"), { access: "read" });
      await source.prepare(100, PREPARE);
      await source.close();
      await source.close();
      await (await settled(source.read(one(0), { kind: "all" }))).rejects.toThrow();
    });
  });
}
