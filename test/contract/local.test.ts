/** An endpoint on this machine: the contract, and what only this one has: descriptors, devices, a pool. */

import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { createPipe } from "../../src/local/kernel/libc.ts";
import { Descriptor } from "../../src/local/medium/descriptor.ts";
import { Device } from "../../src/local/medium/device.ts";
import { directBuffer } from "../../src/local/medium/direct.ts";
import { BufferPool } from "../../src/local/work/pool.ts";
import { LEAF_SIZE } from "../../src/sync/blocks.ts";
import { until } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { openOf } from "../helpers/descriptors.ts";
import { openLocal } from "../helpers/endpoints.ts";
import { attachLoop } from "../helpers/loop.ts";
import { one } from "../helpers/one.ts";
import { testWith } from "../helpers/requirements.ts";
import { settled } from "../helpers/settled.ts";
import { tempDir } from "../helpers/temp.ts";
import { describeEndpoint } from "./endpoint-suite.ts";
import { describeLending, describeMuch } from "./lending-suite.ts";

const BLOCK = 64 << 10;
const MIB = 1 << 20;
/** linux/magic.h */
const TMPFS_MAGIC = 0x01021994;
const PREPARE = { exact: false };

describeEndpoint("LocalEndpoint", openLocal);
describeLending("LocalEndpoint", openLocal);
describeMuch("LocalEndpoint", openLocal);

describe("LocalEndpoint lets go", () => {
  test("of the data of a write that fails, once", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(511, BLOCK));
    const source = await openLocal(dir.file("s"), { access: "read", blockSize: BLOCK });
    await source.prepare(BLOCK, PREPARE);
    let released = 0;
    for (let i = 0; i < 40; i++) {
      const data = await source.read(one(0), { kind: "all" });
      const release = () => {
        released++;
        data.release();
      };
      // It is open for reading only.
      await (await settled(source.write(one(0), { ...data, release }))).rejects.toThrow("Cannot write");
    }
    expect(released).toBe(40);
    await source.close();
  });

  test("of those who wait for memory, when it is closed", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(512, BLOCK));
    const source = await openLocal(dir.file("s"), { access: "read", blockSize: BLOCK });
    await source.prepare(BLOCK, PREPARE);
    const held = await Promise.all(Array.from({ length: 16 }, () => source.read(one(0), { kind: "all" })));
    const waiting = source.read(one(0), { kind: "all" });
    waiting.catch(() => undefined);
    await source.close();
    await (await settled(waiting)).rejects.toThrow("it is closed");
    for (const { release } of held) release();
  });

  test("of every descriptor, also of one for direct reads and of a file that is still being created", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(513, BLOCK));
    const source = await openLocal(dir.file("s"), { access: "read", blockSize: BLOCK });
    await source.prepare(BLOCK, PREPARE);
    const direct = (await source.bypassCache()) === "direct";
    expect(openOf(dir.path)).toEqual(direct ? [dir.file("s"), dir.file("s")] : [dir.file("s")]);
    const destination = await openLocal(dir.file("d"), { access: "write", blockSize: BLOCK });
    const preparing = destination.prepare(BLOCK, PREPARE);
    await Promise.all([source.close(), destination.close()]);
    expect(openOf(dir.path)).toEqual([]);
    await preparing;
  });

  testWith("loop")("of a device, the whole disk it locked, and the file below it", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("disk"), bytes(514, BLOCK));
    using loop = attachLoop(dir.file("disk"));
    const destination = await openLocal(loop.path, { access: "write", blockSize: BLOCK });
    await destination.prepare(BLOCK, PREPARE);
    const lock = () => Bun.spawnSync(["flock", "--nonblock", loop.path, "true"]).exitCode;
    expect(lock()).toBe(1);
    await destination.bypassCache();
    await destination.close();
    expect(lock()).toBe(0);
    expect(openOf(dir.path, loop.path)).toEqual([]);
  });

  test("of what turns out to be another file than was looked at", async () => {
    using dir = tempDir();
    for (const name of ["s", "other"]) fs.writeFileSync(dir.file(name), name);
    // While all threads wait for a pipe, nothing is opened.
    const { readEnd, writeEnd } = createPipe();
    const waiting = Array.from(
      { length: 300 },
      () => new Promise((done) => fs.read(readEnd, Buffer.alloc(1), 0, 1, null, done)),
    );
    const opening = Device.open(dir.file("s"), "s", "read");
    opening.catch(() => undefined);
    fs.renameSync(dir.file("other"), dir.file("s"));
    fs.writeSync(writeEnd, Buffer.alloc(waiting.length));
    await Promise.all(waiting);
    for (const fd of [readEnd, writeEnd]) fs.closeSync(fd);
    await (await settled(opening)).rejects.toThrow('Cannot open "s": it was replaced while it was opened');
    expect(openOf(dir.path)).toEqual([]);
  });

  test("of a destination whose lock another has", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("d"), bytes(520, BLOCK));
    const other = await openLocal(dir.file("d"), { access: "write", blockSize: BLOCK });
    const opening = openLocal(dir.file("d"), { access: "write", blockSize: BLOCK });
    await (await settled(opening)).rejects.toThrow("(locked)");
    expect(openOf(dir.path)).toEqual([dir.file("d")]);
    await other.close();
    expect(openOf(dir.path)).toEqual([]);
  });
});

test("LocalEndpoint reads nothing again of blocks that it has compared and found to differ, but for the leaves it sends", async () => {
  using dir = tempDir();
  const data = bytes(515, 200 * BLOCK);
  fs.writeFileSync(dir.file("s"), data);
  fs.writeFileSync(
    dir.file("d"),
    changeLeaves(
      data,
      Array.from({ length: 200 }, (_, block) => 16 * block + (block % 16)),
    ),
  );
  const source = await openLocal(dir.file("s"), { access: "read", blockSize: BLOCK });
  const destination = await openLocal(dir.file("d"), { access: "write", blockSize: BLOCK });
  await Promise.all([source, destination].map((endpoint) => endpoint.prepare(data.length, PREPARE)));
  const compare = async (first: number) => {
    const comparison = source.compareWith?.(destination);
    const options = { tolerant: { source: false, destination: false }, ahead: 100 };
    for await (const verdict of comparison?.([{ first, count: 100 }], options) ?? [])
      expect(verdict.kind).toBe("differ");
  };
  const read = async () => (await source.counters()).bytesRead + (await destination.counters()).bytesRead;
  const copy = async (index: number) => {
    const hashes = await destination.leafHashes(one(index), 4);
    return await destination.write(one(index), await source.read(one(index), { kind: "differing", hashes }));
  };
  await compare(0);
  for (let index = 0; index < 100; index++) {
    expect(await copy(index)).toEqual({ proved: true, bytesWritten: LEAF_SIZE });
  }
  // Compared, of either side, and read for its leaves, and proved.
  expect(await read()).toBe(5 * 100 * BLOCK);
  await compare(100);
  for (let index = 100; index < 200; index++) {
    expect(await copy(index)).toEqual({ proved: true, bytesWritten: LEAF_SIZE });
  }
  expect(await read()).toBe((5 + 3) * 100 * BLOCK + 100 * LEAF_SIZE);
  expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
  await Promise.all([source.close(), destination.close()]);
});

test.each([BLOCK, 4 * BLOCK])(
  "LocalEndpoint reads nothing of a source's hole, nor of the hole that it becomes, with blocks of %d",
  async (blockSize) => {
    using dir = tempDir();
    const data = bytes(516, 64 * BLOCK);
    fs.writeFileSync(dir.file("s"), "");
    fs.truncateSync(dir.file("s"), data.length);
    fs.writeFileSync(dir.file("d"), data);
    const source = await openLocal(dir.file("s"), { access: "read", blockSize });
    const destination = await openLocal(dir.file("d"), { access: "write", blockSize });
    await Promise.all([source, destination].map((endpoint) => endpoint.prepare(data.length, PREPARE)));
    const options = { tolerant: { source: false, destination: false }, ahead: 100 };
    const all = { first: 0, count: data.length / blockSize };
    for await (const verdict of source.compareWith?.(destination)?.([all], options) ?? [])
      expect(verdict.kind).toBe("differ");
    const read = async () => (await source.counters()).bytesRead + (await destination.counters()).bytesRead;
    expect(await read()).toBe(data.length);
    for (let first = 0; first < all.count; first += 4) {
      const found = await source.read({ first, count: 4 }, { kind: "all" });
      expect([
        found.bytes.length,
        found.leaves.some((byte) => byte !== 0),
        found.zeros.every((byte) => byte === 255),
      ]).toEqual([0, false, true]);
      expect(await destination.write({ first, count: 4 }, found)).toEqual({ proved: true, bytesWritten: 0 });
    }
    expect(await read()).toBe(data.length);
    expect(fs.readFileSync(dir.file("d")).equals(Buffer.alloc(data.length))).toBe(true);
    expect(fs.statSync(dir.file("d")).blocks).toBe(0);
    await Promise.all([source.close(), destination.close()]);
  },
);

test("LocalEndpoint proves no zeros by a hash where there is data", async () => {
  using dir = tempDir();
  fs.writeFileSync(dir.file("d"), Buffer.concat([Buffer.alloc(BLOCK), bytes(517, BLOCK)]));
  const destination = await openLocal(dir.file("d"), { access: "write", blockSize: BLOCK });
  await destination.prepare(2 * BLOCK, PREPARE);
  const none = new Uint8Array(2);
  const hashes = destination.description.zeroHash;
  const nothing = { hashes, leaves: none, zeros: none, bytes: new Uint8Array(), release: () => undefined };
  // The first is zero, and no hole.
  expect(await destination.write(one(0), nothing)).toEqual({ proved: true, bytesWritten: 0 });
  expect(await destination.write(one(1), nothing)).toEqual({ proved: false, bytesWritten: 0 });
  await destination.close();
});

test("LocalEndpoint makes a long run of zeros zero to its end, in one block", async () => {
  using dir = tempDir();
  const blockSize = 4 * MIB;
  fs.writeFileSync(dir.file("d"), bytes(521, 2 * blockSize));
  const destination = await openLocal(dir.file("d"), { access: "write", blockSize });
  await destination.prepare(2 * blockSize, PREPARE);
  const leaves = new Uint8Array(blockSize / 4096 / 8);
  const zeros = Uint8Array.from(leaves, () => 255);
  const data = {
    hashes: destination.description.zeroHash,
    leaves,
    zeros,
    bytes: leaves.subarray(0, 0),
    release: () => undefined,
  };
  expect((await destination.write(one(1), data)).proved).toBe(true);
  await destination.close();
  const expected = bytes(521, 2 * blockSize).fill(0, blockSize);
  expect(fs.readFileSync(dir.file("d")).equals(expected)).toBe(true);
});

describe("LocalEndpoint.advance()", () => {
  for (const [size, dropCache] of [
    [20 * MIB, true],
    [70 * MIB + 5, true],
    [40 * MIB, false],
  ] as const) {
    testWith("fincore")(`of ${size} bytes ${dropCache ? "drops what was read, all of it" : "keeps it"}`, async () => {
      using dir = tempDir();
      const path = dir.file("s");
      const fd = fs.openSync(path, "w");
      fs.writeSync(fd, bytes(519, size));
      fs.fsyncSync(fd);
      fs.closeSync(fd);
      const cached = () =>
        Number(Bun.spawnSync(["fincore", "--bytes", "--noheadings", "--output", "RES", path]).stdout.toString());
      expect(cached()).toBe(Math.ceil(size / 4096) * 4096);
      const source = await openLocal(path, { access: "read", blockSize: MIB, dropCache });
      await source.prepare(size, PREPARE);
      // Pages of a file in memory stay.
      const drops = dropCache && fs.statfsSync(path).type !== TMPFS_MAGIC;
      const count = Math.ceil(size / MIB);
      for await (const run of source.scan([{ first: 0, count }], {
        hashed: true,
        tolerant: false,
        readHoles: false,
        ahead: 4,
      })) {
        source.advance(run.first + run.count);
        // Steps of 32 MiB, and what is read ahead. Nobody waits for the kernel to do it, but here.
        if (run.first === 45 && drops) await until("a step is dropped", () => cached() < size - 31 * MIB);
      }
      await source.close();
      if (drops) await until("the rest is dropped", () => cached() === 0);
      else expect(cached()).toBe(Math.ceil(size / 4096) * 4096);
    });
  }
});

describe("LocalEndpoint.bypassCache()", () => {
  testWith("loop")("has reads of a device come from what lies below it, now and from then on", async () => {
    using dir = tempDir();
    const [old, changed, again] = [bytes(515, BLOCK), bytes(516, BLOCK), bytes(517, BLOCK)];
    fs.writeFileSync(dir.file("disk"), old);
    using loop = attachLoop(dir.file("disk"));
    const endpoint = await openLocal(loop.path, { access: "read", blockSize: BLOCK });
    await endpoint.prepare(BLOCK, PREPARE);
    const read = async () => {
      const { bytes: found, release } = await endpoint.read(one(0), { kind: "all" });
      const copy = Buffer.from(found);
      release();
      return [old, changed, again].findIndex((one) => one.equals(copy));
    };
    const change = (data: Buffer) => {
      const fd = fs.openSync(dir.file("disk"), "r+");
      fs.writeSync(fd, data, 0, BLOCK, 0);
      fs.closeSync(fd);
    };
    expect(await read()).toBe(0);
    change(changed);
    // The device's own cache holds what it was.
    expect(await read()).toBe(0);
    expect(await endpoint.bypassCache()).toBe("direct");
    expect(await read()).toBe(1);
    change(again);
    expect(await read()).toBe(2);
    await endpoint.close();
  });
});

describe("Descriptor", () => {
  test("is closed after the calls under way, and takes no more", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(518, 1 << 20));
    const descriptor = await Descriptor.open(dir.file("s"), fs.constants.O_RDONLY);
    const buffers = Array.from({ length: 8 }, () => Buffer.alloc(1 << 20));
    let done = 0;
    const reading = buffers.map(async (buffer) => {
      expect(await descriptor.read(buffer, 0, 0)).toBe(1 << 20);
      done++;
    });
    await descriptor.close();
    expect(done).toBe(8);
    await Promise.all(reading);
    expect(buffers.every((buffer) => buffer.equals(bytes(518, 1 << 20)))).toBe(true);
    await (await settled(descriptor.read(Buffer.alloc(1), 0, 0))).rejects.toThrow("it is closed");
  });

  testWith("loop")("gives no more than was asked for where it reads whole sectors", async () => {
    using dir = tempDir();
    const data = bytes(522, BLOCK);
    fs.writeFileSync(dir.file("disk"), data);
    using loop = attachLoop(dir.file("disk"));
    const descriptor = await Descriptor.open(loop.path, fs.constants.O_RDONLY);
    expect(await descriptor.openDirect()).toBe(true);
    const buffer = directBuffer(5000);
    expect(await descriptor.read(buffer, 0, 4096)).toBe(5000);
    expect(buffer.equals(data.subarray(4096, 9096))).toBe(true);
    await descriptor.close();
  });
});

test("BufferPool lends as many buffers as it has, each to one, and fails those who wait", async () => {
  const pool = new BufferPool(4096, 2);
  const [first, second] = await Promise.all([pool.take(), pool.take()]);
  let third: Buffer | undefined;
  const waiting = pool.take().then((buffer) => {
    third = buffer;
  });
  await Promise.resolve();
  await Promise.resolve();
  expect(third).toBeUndefined();
  pool.give(first);
  await waiting;
  expect(third).toBe(first);
  expect(first).not.toBe(second);
  const refused = pool.take();
  pool.fail(new Error("closed"));
  await (await settled(refused)).rejects.toThrow("closed");
});
