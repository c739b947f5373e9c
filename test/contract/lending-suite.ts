/** What an endpoint lends and takes is given back, and what it proves is proved, as a function of how one is opened. */

import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { VerificationError } from "../../src/errors.ts";
import { addLeaf, emptyLeafSet, emptySectorSet, LEAF_SIZE } from "../../src/sync/blocks.ts";
import { type Endpoint, LEAF_HASH_SIZE } from "../../src/sync/endpoint.ts";
import type { Access } from "../../src/sync/spec.ts";
import { bytes } from "../helpers/bytes.ts";
import type { OpenEndpoint } from "../helpers/endpoints.ts";
import { one } from "../helpers/one.ts";
import { settled } from "../helpers/settled.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const BLOCK = 64 << 10;
/** More blocks than any endpoint has buffers for, or lets wait on a channel. */
const MANY = 300;

export function describeLending(name: string, open: OpenEndpoint): void {
  async function opened(dir: TempDir, access: Access, data: Buffer): Promise<Endpoint> {
    fs.writeFileSync(dir.file("image"), data);
    const endpoint = await open(dir.file("image"), { access, blockSize: BLOCK });
    await endpoint.prepare(data.length, { exact: false });
    return endpoint;
  }

  /** What a write wants to make of block `index`: its leaves `leaves` from `data`, and `zeros` all zero. */
  async function leavesFor(endpoint: Endpoint, data: Buffer, index: number, leaves: number[], zeros: number[] = []) {
    const start = index * BLOCK;
    const block = data.subarray(start, start + BLOCK);
    const set = (members: number[]) => {
      const found = emptyLeafSet(BLOCK / LEAF_SIZE);
      for (const leaf of members) addLeaf(found, leaf);
      return found;
    };
    const pieces = leaves.map((leaf) => block.subarray(leaf * LEAF_SIZE, (leaf + 1) * LEAF_SIZE));
    // Read as a whole, so the hash is that of the block as it should be.
    const { hashes, release } = await endpoint.read(one(index), { kind: "all" });
    release();
    return { hashes, leaves: set(leaves), zeros: set(zeros), bytes: Buffer.concat(pieces), release: () => undefined };
  }

  describe(name, () => {
    test("reads that fail keep no memory", async () => {
      using dir = tempDir();
      const data = bytes(501, 2 * BLOCK);
      const source = await opened(dir, "read", data);
      fs.truncateSync(dir.file("image"), BLOCK);
      const outcomes = await Promise.allSettled(
        Array.from({ length: MANY }, (_, i) =>
          i % 2 === 0 ? source.read(one(1), { kind: "all" }) : source.leafHashes(one(1), 4),
        ),
      );
      for (const outcome of outcomes)
        expect(outcome.status === "rejected" && outcome.reason instanceof VerificationError).toBe(true);
      const { bytes: read, release } = await source.read(one(0), { kind: "all" });
      expect(data.subarray(0, BLOCK).equals(read)).toBe(true);
      release();
      await source.close();
    });

    test("a scan that tolerates what cannot be read tolerates no source that became shorter", async () => {
      using dir = tempDir();
      const source = await opened(dir, "read", bytes(509, 3 * BLOCK));
      fs.truncateSync(dir.file("image"), BLOCK + 10);
      const scan = async () => {
        for await (const run of source.scan([{ first: 0, count: 3 }], {
          hashed: true,
          tolerant: true,
          readHoles: false,
          ahead: 3,
        }))
          expect(run.kind).not.toBe("unreadable");
      };
      await (await settled(scan())).rejects.toBeInstanceOf(VerificationError);
      await source.close();
    });

    test("a scan that is left early keeps no memory", async () => {
      using dir = tempDir();
      const data = bytes(502, 40 * BLOCK);
      const source = await opened(dir, "read", data);
      for (let i = 0; i < 3; i++) {
        for await (const run of source.scan([{ first: 0, count: 1 }], {
          hashed: true,
          tolerant: false,
          readHoles: false,
          ahead: 1,
        }))
          expect(run.first).toBe(0);
      }
      const held = await Promise.all([3, 17, 39].map((index) => source.read(one(index), { kind: "all" })));
      for (const [i, index] of [3, 17, 39].entries())
        expect(data.subarray(index * BLOCK, (index + 1) * BLOCK).equals(held[i]?.bytes ?? Buffer.alloc(0))).toBe(true);
      for (const block of held) block.release();
      await source.close();
    });

    test("memory that came back is lent to one reader at a time, after hashing, writing and proving", async () => {
      using dir = tempDir();
      const data = bytes(503, 12 * BLOCK);
      const destination = await opened(dir, "write", data);
      for (const run of [0, 1]) {
        for (let index = 0; index < 3; index++) {
          const block = await destination.read(one(index), { kind: "all" });
          expect((await destination.write(one(index), block)).proved).toBe(true);
        }
        await destination.leafHashes(one(run), 8);
        const held = [];
        for (let index = 0; index < 12; index++) held.push(await destination.read(one(index), { kind: "all" }));
        const right = held.map(({ bytes: read }, i) => data.subarray(i * BLOCK, (i + 1) * BLOCK).equals(read));
        expect(right).toEqual(held.map(() => true));
        for (const { release } of held) release();
      }
      await destination.close();
    });

    test("several runs of leaves and zeros of a block go each to its place", async () => {
      using dir = tempDir();
      const wanted = bytes(504, 2 * BLOCK);
      wanted.fill(0, BLOCK + 3 * LEAF_SIZE, BLOCK + 5 * LEAF_SIZE);
      wanted.fill(0, BLOCK + 15 * LEAF_SIZE, 2 * BLOCK);
      const source = await opened(dir, "write", wanted);
      const data = await leavesFor(source, wanted, 1, [0, 1, 6, 9, 10, 14], [3, 4, 15]);
      const before = bytes(505, BLOCK);
      for (const leaf of [2, 5, 7, 8, 11, 12, 13])
        wanted.copy(before, leaf * LEAF_SIZE, BLOCK + leaf * LEAF_SIZE, BLOCK + (leaf + 1) * LEAF_SIZE);
      const fd = fs.openSync(dir.file("image"), "r+");
      fs.writeSync(fd, before, 0, BLOCK, BLOCK);
      fs.closeSync(fd);
      expect(await source.write(one(1), data)).toEqual({ proved: true, bytesWritten: 6 * LEAF_SIZE });
      await source.close();
      expect(fs.readFileSync(dir.file("image")).equals(wanted)).toBe(true);
    });

    test("a leaf is told apart by each byte of its hash", async () => {
      using dir = tempDir();
      const source = await opened(dir, "read", bytes(510, BLOCK));
      const hashes = await source.leafHashes(one(0), LEAF_HASH_SIZE);
      for (let at = 0; at < LEAF_HASH_SIZE; at++) {
        const other = Uint8Array.from(hashes, (byte, i) => (i === 7 * LEAF_HASH_SIZE + at ? byte ^ 1 : byte));
        const { leaves, release } = await source.read(one(0), { kind: "differing", hashes: other });
        expect([at, ...leaves]).toEqual([at, 1 << 7, 0]);
        release();
      }
      await source.close();
    });

    test("a read around the page cache counts what was asked for", async () => {
      using dir = tempDir();
      const source = await opened(dir, "read", bytes(511, BLOCK + 777));
      await source.bypassCache();
      for (const [index, count] of [
        [1, 777],
        [0, 777 + BLOCK],
      ] as const) {
        (await source.read(one(index), { kind: "all" })).release();
        expect((await source.counters()).bytesRead).toBe(count);
      }
      await source.close();
    });

    test("a proof takes the whole hash, each byte of it", async () => {
      using dir = tempDir();
      const data = bytes(506, BLOCK);
      const destination = await opened(dir, "write", data);
      const { hashes, ...rest } = await leavesFor(destination, data, 0, [4]);
      expect((await destination.write(one(0), { ...rest, hashes })).proved).toBe(true);
      for (let at = 0; at < hashes.length; at++) {
        const wrong = Uint8Array.from(hashes, (byte, i) => (i === at ? byte ^ 0x10 : byte));
        expect([at, (await destination.write(one(0), { ...rest, hashes: wrong })).proved]).toEqual([at, false]);
      }
      await destination.close();
    });
  });
}

/** What takes too long over streams of single bytes. */
export function describeMuch(name: string, open: OpenEndpoint): void {
  test(`${name}: salvaging and patching many blocks keeps no memory`, async () => {
    using dir = tempDir();
    const data = bytes(507, BLOCK);
    fs.writeFileSync(dir.file("s"), data);
    fs.writeFileSync(dir.file("d"), Buffer.alloc(BLOCK));
    const source = await open(dir.file("s"), { access: "read", blockSize: BLOCK });
    const destination = await open(dir.file("d"), { access: "write", blockSize: BLOCK });
    for (const endpoint of [source, destination]) await endpoint.prepare(BLOCK, { exact: false });
    for (let i = 0; i < MANY; i++) {
      const salvage = await source.salvage(0, emptySectorSet(BLOCK), 0);
      expect(data.equals(salvage.bytes)).toBe(true);
      expect(await destination.patch(0, salvage)).toBe(i === 0 ? BLOCK : 0);
    }
    await Promise.all([source.close(), destination.close()]);
    expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
  });

  test(`${name}: any number of requests is answered, one after the other and together`, async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(512, BLOCK));
    const source = await open(dir.file("s"), { access: "read", blockSize: BLOCK });
    await source.prepare(BLOCK, { exact: false });
    const first = await source.leafHashes(one(0), 4);
    for (let turn = 0; turn < 20; turn++) {
      const answers = await Promise.all(Array.from({ length: 100 }, () => source.leafHashes(one(0), 4)));
      expect(answers.every((one) => Buffer.from(one).equals(first))).toBe(true);
    }
    await source.close();
  });

  test(`${name}: reading and writing much that can be compressed keeps no memory`, async () => {
    using dir = tempDir();
    const data = Buffer.alloc(BLOCK, "A line of text, as logs have them. ");
    fs.writeFileSync(dir.file("s"), data);
    fs.writeFileSync(dir.file("d"), Buffer.alloc(BLOCK, 1));
    const source = await open(dir.file("s"), { access: "read", blockSize: BLOCK });
    const destination = await open(dir.file("d"), { access: "write", blockSize: BLOCK });
    for (const endpoint of [source, destination]) await endpoint.prepare(BLOCK, { exact: false });
    for (let i = 0; i < MANY; i++) {
      const block = await source.read(one(0), { kind: "all" });
      expect(data.equals(block.bytes)).toBe(true);
      expect(await destination.write(one(0), block)).toEqual({ proved: true, bytesWritten: BLOCK });
    }
    await Promise.all([source.close(), destination.close()]);
    expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
  });

  test(`${name}: what was salvaged stays what it was while more is salvaged`, async () => {
    using dir = tempDir();
    const data = bytes(508, 8 * BLOCK);
    fs.writeFileSync(dir.file("s"), data);
    const source = await open(dir.file("s"), { access: "read", blockSize: BLOCK });
    await source.prepare(data.length, { exact: false });
    const found = [];
    for (let index = 0; index < 8; index++) found.push(await source.salvage(index, emptySectorSet(BLOCK), 0));
    expect(Buffer.concat(found.map((one) => one.bytes)).equals(data)).toBe(true);
    await source.close();
  });
}
