/** The most that a client can ask of serve, of each kind of request, without reading an answer: memory, and what stays behind. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fs from "node:fs";
import { bytes } from "../helpers/bytes.ts";
import { MuteClient, type MuteOptions } from "../helpers/mute.ts";
import { ask, dataFields, frame, Type, u64 } from "../helpers/peer.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const SIZE = 32 * MIB;
const MEMORY_CAP = 200e6;
/** So that serve, which does not read while too much is unanswered, soon notices that its client is gone. */
const TIMEOUT_SECONDS = 4;

let dir: TempDir;
beforeAll(() => {
  dir = tempDir();
  const block = bytes(81, 16 * MIB);
  fs.writeFileSync(dir.file("d"), Buffer.concat([block, block]));
});
afterAll(() => dir[Symbol.dispose]());

interface Flood {
  readonly access: "read" | "write";
  readonly request: (number: number) => Uint8Array;
  readonly count: number;
  /** What serve is told of the size, when that is no truth. */
  readonly size?: number;
  readonly label?: string;
}

/** Of as many requests as do harm; what is written is written again and again at one place. */
function floods(blockSize: number): Readonly<Record<string, Flood>> {
  const count = SIZE / blockSize;
  const leaves = blockSize / 4096;
  const setOf = (pieces: number) => Buffer.alloc(Math.ceil(pieces / 8), pieces < 8 ? (1 << pieces) - 1 : 255);
  const noneOf = (pieces: number) => Buffer.alloc(Math.ceil(pieces / 8));
  const block = bytes(82, blockSize);
  const packed = Bun.zstdCompressSync(Buffer.alloc(blockSize, 1));
  const hashes = Buffer.from(bytes(83, leaves * 4));
  const one = noneOf(8 * leaves);
  one[0] = 1;
  const none = { leaves: noneOf(leaves), zeros: noneOf(leaves), body: Buffer.alloc(0) };
  const write = (fields: Parameters<typeof ask.write>[2]) => ask.write(9, 0, fields);
  const bulk = Math.min(4000, (320 * MIB) / blockSize);
  const whole = write({ ...none, leaves: setOf(leaves), body: block });
  const bomb = write({ ...none, leaves: setOf(leaves), length: blockSize, body: packed });
  const zeros = write({ ...none, zeros: setOf(leaves) });
  const patch = ask.patch(9, 0, setOf(8 * leaves), block);
  const tiny = ask.patch(9, 0, one, block.subarray(0, 512));
  const source = { access: "read", count: 6000 } as const;
  const destination = { access: "write", count: 6000 } as const;
  return {
    salvage: { ...source, request: (n) => ask.salvage(n + 3, n % count, noneOf(8 * leaves), 1000) },
    "leaf hashes": { ...source, request: (n) => ask.leafHashes(n + 3, n % count, 8) },
    read: { ...source, request: (n) => ask.read(n + 3, n % count) },
    "read with leaf hashes": { ...source, request: (n) => ask.read(n + 3, n % count, 2, hashes) },
    "read that fails, under a long name": {
      ...source,
      size: 2 * SIZE,
      label: "x".repeat(60_000),
      request: (n) => ask.read(n + 3, count + (n % count)),
    },
    scan: { ...source, count: 1, request: () => ask.scan(3, 0, count, 2 ** 50) },
    write: { ...destination, count: bulk, request: () => whole },
    "write that expands": { ...destination, count: bulk, request: () => bomb },
    "write of zeros": { ...destination, count: 100, request: () => zeros },
    patch: { ...destination, count: bulk, request: () => patch },
    "patch of a sector": { ...destination, request: () => tiny },
    bypass: { ...source, count: 1500, request: (n) => ask.bypass(n + 3) },
    counters: { ...source, count: 40_000, request: (n) => ask.counters(n + 3) },
    confirm: { ...source, count: 40_000, request: (n) => frame(Type.confirm, n + 3, []) },
    flush: { ...destination, request: (n) => ask.flush(n + 3) },
    "sign of life, each with another timeout": {
      ...source,
      count: 60_000,
      request: (n) => ask.alive(TIMEOUT_SECONDS + (n % 2)),
    },
    advance: { ...source, count: 60_000, request: (n) => ask.advance(n % count) },
  };
}

describe.each([
  ["16M", 16 * MIB],
  ["4K", 4096],
] as const)("serve asked for blocks of %s without end, and never listened to, stays under 200 MB:", (_, blockSize) => {
  for (const [name, { access, request, count, size = SIZE, label }] of Object.entries(floods(blockSize))) {
    test(`${name}, and ends with its client`, async () => {
      const opening = { access, path: dir.file("d"), blockSize, ...(label === undefined ? {} : { label }) };
      const options: MuteOptions = { opening, size };
      const client = await MuteClient.open(options);
      await client.send(ask.alive(TIMEOUT_SECONDS));
      client.flood(request, count);
      expect(await client.standstill()).toBeLessThan(MEMORY_CAP);
      // Gone while it is read from: 0. While it is not, or in the midst of a request: a lost connection.
      expect([0, 5]).toContain(await client.leave());
      expect(client.taken).toBeGreaterThan(0);
    });
  }
});

describe("serve and a request that breaks the rules", () => {
  const set = Buffer.alloc(2);
  test.each([
    ["a salvage with 2^32 - 1 retries", ask.salvage(9, 0, Buffer.alloc(16), 0xffff_ffff)],
    ["a salvage with 1001 retries", ask.salvage(9, 0, Buffer.alloc(16), 1001)],
    ["a salvage of a set that is none", ask.salvage(9, 0, set)],
    [
      "a write with a head of 64 KiB",
      frame(Type.write, 9, [u64(0), ...dataFields({ hash: Buffer.from(bytes(84, 65_000)) })]),
    ],
  ] as const)("%s ends it with exit 6", async (_, request) => {
    const opening = { access: "write", path: dir.file("d"), blockSize: 65_536 } as const;
    const client = await MuteClient.open({ opening, size: SIZE });
    client.flood(() => request, 5000);
    expect(await client.standstill()).toBeLessThan(MEMORY_CAP);
    expect(await client.leave()).toBe(6);
  });
});
