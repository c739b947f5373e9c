/** A source that is read once: every size, whatever the destination has, and every way its end can come. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { IoError, VerificationError } from "../../src/errors.ts";
import { sha256, zeroLeafHashes } from "../../src/local/work/hash.ts";
import type { ByteSource } from "../../src/remote/wire/streams.ts";
import { StreamEndpoint, type StreamInput } from "../../src/stream/endpoint.ts";
import { BlockLayout } from "../../src/sync/blocks.ts";
import { Changes } from "../../src/sync/changes.ts";
import type { Endpoint } from "../../src/sync/endpoint.ts";
import type { SyncOptions } from "../../src/sync/share.ts";
import { Statistics } from "../../src/sync/statistics.ts";
import { copyStream } from "../../src/sync/stream.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { type OpenEndpoint, openLocal, openRemote, SEED } from "../helpers/endpoints.ts";
import { altered, OPTIONS, ROADS, syncFiles } from "../helpers/sync.ts";
import { tempDir } from "../helpers/temp.ts";

const BLOCK = 8192;
/** Of a part: three blocks. */
const PART = 3 * BLOCK;

/** Bytes in pieces of 5000, then what `end` does. */
function input(data: Buffer, end: () => void = () => undefined): StreamInput & { readonly closed: () => boolean } {
  let at = 0;
  let isClosed = false;
  const source: ByteSource = {
    read() {
      const piece = data.subarray(at, at + 5000);
      at += piece.length;
      if (piece.length === 0) end();
      return Promise.resolve(piece.length === 0 ? undefined : piece);
    },
  };
  return {
    bytes: source,
    expectedBytes: () => undefined,
    bytesRead: () => at,
    confirmUnchanged: () => Promise.resolve(),
    close: () => {
      isClosed = true;
      return Promise.resolve();
    },
    closed: () => isClosed,
  };
}

function openStream(from: StreamInput, sizeBytes?: number): Promise<StreamEndpoint> {
  const hash = { name: "xxh3-xxh64", additional: undefined, seed: SEED } as const;
  const origin = { label: "stream", identity: "", within: [], facts: undefined };
  return StreamEndpoint.open({ origin, blockSize: BLOCK, hash, sizeBytes, partBytes: PART }, from);
}

interface Copied {
  readonly statistics: Statistics;
  readonly bytesWritten: number;
}

/** Copies a stream to a path. */
async function copy(
  source: Endpoint,
  path: string,
  options: Partial<SyncOptions> = {},
  open: OpenEndpoint = openLocal,
  change: (destination: Endpoint) => Endpoint = (same) => same,
): Promise<Copied> {
  const access = options.dryRun === true ? "rehearse" : "write";
  const destination = change(await open(path, { access, blockSize: BLOCK }));
  const statistics = new Statistics(new BlockLayout(0, BLOCK), 1);
  statistics.beginStream(undefined);
  try {
    await copyStream({ source, destination }, { ...OPTIONS, blockSize: BLOCK, ...options }, statistics);
    return { statistics, bytesWritten: (await destination.counters()).bytesWritten };
  } finally {
    await Promise.all([source.close(), destination.close()]);
  }
}

const SIZES = [1, 4096, BLOCK - 1, BLOCK, PART - 1, PART, PART + 1, 2 * PART, 5 * PART + 4097];

for (const [name, open] of [
  ["here", openLocal],
  ["at the far side", openRemote],
] as const) {
  describe(`a stream to a destination ${name}`, () => {
    test("makes it equal, whatever it has and wherever the stream ends, with the fingerprint of a file", async () => {
      using dir = tempDir();
      for (const size of SIZES) {
        const data = bytes(size, size);
        // A hole, where there is room for one.
        if (size > 2 * PART) data.fill(0, PART, 2 * PART);
        fs.writeFileSync(dir.file("file"), data);
        for (const [there, before] of [
          ["nothing", undefined],
          ["less", bytes(1, Math.floor(size / 2))],
          ["the same", data],
          ["something else", bytes(2, size)],
          ["more", bytes(3, size + 3 * PART)],
        ] as const) {
          const path = dir.file("to");
          fs.rmSync(path, { force: true });
          if (before !== undefined) fs.writeFileSync(path, before);
          const { statistics } = await copy(await openStream(input(data)), path, { exact: true, verify: true }, open);
          expect({ size, there, equal: fs.readFileSync(path).equals(data) }).toEqual({ size, there, equal: true });
          const [local] = ROADS;
          if (local === undefined) throw new RangeError("There is a road");
          const plain = await syncFiles(local, dir.file("file"), dir.file("to"), { blockSize: BLOCK });
          expect({ size, there, print: statistics.sourceFingerprint }).toEqual({
            size,
            there,
            print: plain.statistics.sourceFingerprint,
          });
          expect(statistics.blocksDone).toBe(statistics.blocksTotal);
          expect([statistics.blocksTotal, statistics.sizeBytes]).toEqual([Math.ceil(size / BLOCK), size]);
        }
      }
    });

    test("writes only what differs, and leaves the tail of a longer file", async () => {
      using dir = tempDir();
      const data = bytes(4, 4 * PART + 100);
      const before = Buffer.concat([changeLeaves(data, [1, 9, 20]), bytes(5, 5000)]);
      fs.writeFileSync(dir.file("to"), before);
      const { bytesWritten, statistics } = await copy(await openStream(input(data)), dir.file("to"), {}, open);
      expect([bytesWritten, statistics.leavesWritten]).toEqual([3 * 4096, 3]);
      expect(fs.readFileSync(dir.file("to")).equals(Buffer.concat([data, before.subarray(data.length)]))).toBe(true);
    });

    test("that ends with an error says how far the destination was made equal, and leaves the rest", async () => {
      using dir = tempDir();
      // More than is looked at before anything is copied.
      const data = bytes(6, 12 * PART + 77);
      const before = bytes(7, 13 * PART);
      fs.writeFileSync(dir.file("to"), before);
      const from = input(data, () => {
        throw new IoError("Cannot unpack it: it ends too early", { hint: "get it again" });
      });
      await expect(copy(await openStream(from), dir.file("to"), { exact: true }, open)).rejects.toMatchObject({
        message: `Cannot unpack it: it ends too early; the first ${12 * PART} bytes of the destination were made equal to what came before, and the rest was left as it was`,
        hint: "get it again",
        exitCode: 4,
      });
      const there = fs.readFileSync(dir.file("to"));
      expect(there.equals(Buffer.concat([data.subarray(0, 12 * PART), before.subarray(12 * PART)]))).toBe(true);
      expect(from.closed()).toBe(true);
    });
  });
}

test("a dry run of a stream writes nothing, and says what differs", async () => {
  using dir = tempDir();
  const data = bytes(8, 2 * PART + 5);
  const before = changeLeaves(data, [0, 7]);
  fs.writeFileSync(dir.file("to"), before);
  const { statistics, bytesWritten } = await copy(await openStream(input(data)), dir.file("to"), { dryRun: true });
  expect([statistics.blocksDiffering, bytesWritten]).toEqual([2, 0]);
  expect(fs.readFileSync(dir.file("to")).equals(before)).toBe(true);
});

describe("a size that is told beforehand", () => {
  for (const [told, how, written] of [
    [PART + 1, "has more bytes", PART],
    [4 * PART, `ended after ${3 * PART} bytes`, 3 * PART],
  ] as const) {
    test(`of ${told} bytes, where the stream ${how}, is exit 7`, async () => {
      using dir = tempDir();
      const data = bytes(9, 3 * PART);
      const source = await openStream(input(data), told);
      expect(source.description.sizeBytes).toBe(told);
      const copying = copy(source, dir.file("to"), { exact: true });
      await expect(copying).rejects.toBeInstanceOf(VerificationError);
      await expect(copying).rejects.toThrow(`"stream" ${how}, where --source-size says ${told}; `);
      expect(fs.statSync(dir.file("to")).size).toBe(written);
    });
  }
});

test("--verify of a stream finds what the destination does not hold", async () => {
  using dir = tempDir();
  const data = bytes(10, 3 * PART + 9);
  const path = dir.file("to");
  const spoil = (destination: Endpoint) =>
    altered(destination, {
      bypassCache: () => {
        fs.writeFileSync(path, changeLeaves(data, [5]));
        return destination.bypassCache();
      },
    });
  const copying = copy(await openStream(input(data)), path, { verify: true }, openLocal, spoil);
  await expect(copying).rejects.toThrow(`does not hold what was written: 8192 bytes (8192 at offset ${2 * BLOCK})`);
});

test("a map of a stream has its size, and every leaf that differed", async () => {
  using dir = tempDir();
  const data = bytes(11, 2 * PART + 100);
  fs.writeFileSync(dir.file("to"), changeLeaves(data, [2, 3, 12]));
  const changes = new Changes(2 ** 52, { exact: true, zeroLeafHash: zeroLeafHashes(SEED) });
  await copy(await openStream(input(data)), dir.file("to"), { changes, sha256 });
  const ended = changes.ended(data.length);
  expect([...ended.ranges().ranges]).toEqual([
    { kind: "differ", offset: 2 * 4096, length: 2 * 4096 },
    { kind: "differ", offset: 12 * 4096, length: 100 },
  ]);
  expect(ended.total).toMatchObject({ offset: 0, length: data.length, differ: 2 * 4096 + 100 });
});

test("nothing of a stream can be read twice, or written", async () => {
  const source = await openStream(input(bytes(12, 2 * PART)));
  await source.readOn();
  await source.prepare(PART);
  expect((await source.read({ first: 0, count: 1 }, { kind: "all" })).bytes.length).toBe(BLOCK);
  await source.readOn();
  await source.prepare(2 * PART);
  await expect(source.read({ first: 0, count: 1 }, { kind: "all" })).rejects.toBeInstanceOf(RangeError);
  expect(() => source.write()).toThrow(RangeError);
  await source.close();
});
