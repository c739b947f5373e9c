/** What threads do with blocks, done here. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { Hasher } from "../../src/local/work/hash.ts";
import { type Job, PAIRS, perform, type Tools } from "../../src/local/work/job.ts";
import { addLeaf, emptyLeafSet } from "../../src/sync/blocks.ts";
import { SEED_SIZE } from "../../src/sync/spec.ts";
import { bytes } from "../helpers/bytes.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const CHOICE = { name: "gmac", additional: undefined, seed: new Uint8Array(SEED_SIZE).fill(3) } as const;
const BLOCK = 1 << 20;

function toolsWith(memory: SharedArrayBuffer): Tools {
  return { hasherOf: (choice) => Hasher.create(choice), memoryOf: () => memory };
}

const TOOLS = toolsWith(new SharedArrayBuffer(0));

function opened(dir: TempDir, name: string, contents: Uint8Array, flags = "r"): number {
  fs.writeFileSync(dir.file(name), contents);
  return fs.openSync(dir.file(name), flags);
}

/** How each block of two files compares, and its prints. */
async function pairsOf(dir: TempDir, a: Uint8Array, b: Uint8Array, blockSize: number) {
  const [source, destination] = [opened(dir, "a", a), opened(dir, "b", b)];
  const job: Job = { kind: "compare", source, destination, leaves: undefined, offset: 0, length: a.length, blockSize };
  const outcome = await perform(job, TOOLS);
  if (outcome === "undone" || !("pairs" in outcome)) return [];
  return [...outcome.pairs.kinds].map(
    (kind, i) => [PAIRS[kind], outcome.pairs.prints.slice(2 * i, 2 * i + 2)] as const,
  );
}

test("a job compares blocks by every byte, and tells what the destination holds where they differ", async () => {
  using dir = tempDir();
  const data = bytes(61, BLOCK);
  for (const at of [0, 4095, (256 << 10) - 1, 256 << 10, 700_001, BLOCK - 1]) {
    const changed = Buffer.from(data);
    changed[at] = (changed[at] ?? 0) ^ 1;
    const found = await pairsOf(dir, data, changed, BLOCK);
    const prints = BigUint64Array.of(Bun.hash.xxHash3(data), Bun.hash.xxHash3(changed));
    expect({ at, found }).toEqual({ at, found: [["differ", prints]] });
  }
  const [zeros, tail] = [Buffer.alloc(4096), bytes(62, 1000)];
  const a = Buffer.concat([data.subarray(0, 4096), zeros, data.subarray(0, 4096), tail]);
  const b = Buffer.concat([data.subarray(0, 4096), zeros, zeros, tail]);
  const pairs = await pairsOf(dir, a, b, 4096);
  expect(pairs.map(([kind]) => kind)).toEqual(["equal", "equal zeros", "differ from zeros", "equal"]);
});

test("a job that cannot read all of its blocks, of either side, leaves them undone", async () => {
  using dir = tempDir();
  const data = bytes(63, 300_000);
  const [source, destination] = [opened(dir, "a", data), opened(dir, "b", data.subarray(0, -1))];
  for (const [one, other] of [
    [source, destination],
    [destination, source],
  ] as const) {
    const place = { offset: 0, length: 300_000, blockSize: 4096 };
    const job: Job = { kind: "compare", source: one, destination: other, leaves: undefined, ...place };
    expect(await perform(job, TOOLS)).toBe("undone");
  }
  const folder = fs.openSync(dir.path, "r");
  const scan = { kind: "scan", choice: CHOICE, leaves: false, offset: 0, length: 4096, blockSize: 4096 } as const;
  expect(await perform({ ...scan, fd: folder }, TOOLS)).toBe("undone");
  expect(await perform({ ...scan, fd: 9999 }, TOOLS)).toBe("undone");
  const fd = opened(dir, "c", data);
  expect(await perform({ ...scan, fd, offset: 299_000 }, TOOLS)).toBe("undone");
});

test("a job hashes blocks where they lie, as the hasher does, and selects leaves of them", async () => {
  using dir = tempDir();
  const data = Buffer.concat([bytes(64, 4096), Buffer.alloc(4096), bytes(65, 5000)]);
  const fd = opened(dir, "a", Buffer.concat([bytes(66, 8192), data]));
  const hasher = await Hasher.create(CHOICE);
  const place = { offset: 8192, length: data.length, blockSize: 4096 };
  const scan: Job = { kind: "scan", fd, choice: CHOICE, leaves: false, ...place };
  expect(await perform(scan, TOOLS)).toEqual({ hashes: hasher.hashEach(data, 4096), leafHashes: undefined });
  expect(await perform({ ...scan, leaves: true }, TOOLS)).toEqual({
    hashes: hasher.hashEach(data, 4096),
    leafHashes: hasher.leafHashes(data, 4),
  });
  const memory = new SharedArrayBuffer(BLOCK);
  const select: Job = {
    kind: "select",
    fd,
    choice: CHOICE,
    ...place,
    memory: 1,
    filter: { kind: "nonzero" },
    known: undefined,
  };
  const leaves = emptyLeafSet(4);
  for (const leaf of [0, 2, 3]) addLeaf(leaves, leaf);
  expect(await perform(select, toolsWith(memory))).toEqual({
    selected: {
      hashes: hasher.hashEach(data, 4096),
      leaves,
      zeros: emptyLeafSet(4),
      used: 9096,
      bytesRead: data.length,
    },
  });
  expect(Buffer.from(memory, 0, 9096).equals(Buffer.concat([data.subarray(0, 4096), data.subarray(8192)]))).toBe(true);
});

test("a job that compares hashes what differs, and a later one reads no other leaves, unless they are others by then", async () => {
  using dir = tempDir();
  const block = 4 * 4096;
  const same = bytes(68, block);
  // Of the second block a leaf is zero, of the third, a short one, the last leaf is another.
  const theirs = Buffer.concat([same, bytes(69, block), bytes(70, 5000)]);
  const mine = Buffer.from(theirs);
  mine
    .fill(0, block + 4096, block + 8192)
    .fill(7, block + 8192, block + 8292)
    .fill(7, theirs.length - 1);
  const hasher = await Hasher.create(CHOICE);
  const place = { offset: 0, length: mine.length, blockSize: block };
  const [source, destination] = [opened(dir, "a", mine), opened(dir, "b", theirs)];
  const outcome = await perform({ kind: "compare", source, destination, leaves: CHOICE, ...place }, TOOLS);
  const known = outcome !== "undone" && "pairs" in outcome ? outcome.pairs.known : undefined;
  const wide = (data: Buffer) => Buffer.from(hasher.leafHashes(data, 4)).fill(0, 0, 16);
  expect(known).toEqual({
    source: { hashes: Buffer.from(hasher.hashEach(mine, block)).fill(0, 0, hasher.hashSize), leafHashes: wide(mine) },
    destination: { hashes: new Uint8Array(0), leafHashes: wide(theirs) },
  });
  if (known === undefined) return;
  const memory = new SharedArrayBuffer(BLOCK);
  const tools = toolsWith(memory);
  const filter = { kind: "differing", hashes: hasher.leafHashes(theirs, 4) } as const;
  const select = { kind: "select", fd: source, choice: CHOICE, ...place, memory: 1, filter } as const;
  // That of the first block, which is equal, is nobody's business.
  known.source.leafHashes.set(filter.hashes.subarray(0, 16));
  const leaves = emptyLeafSet(10);
  for (const leaf of [6, 9]) addLeaf(leaves, leaf);
  const zeros = emptyLeafSet(10);
  addLeaf(zeros, 5);
  const chosen = { leaves, zeros, used: 4096 + 904 };
  const wanted = Buffer.concat([mine.subarray(block + 8192, block + 12_288), mine.subarray(-904)]);
  expect(await perform({ ...select, known: known.source }, tools)).toEqual({
    selected: { hashes: known.source.hashes, ...chosen, bytesRead: 2 * 4096 + 904 },
  });
  expect(Buffer.from(memory, 0, wanted.length).equals(wanted)).toBe(true);
  // Another byte of a leaf that is sent: nothing that was known is true for certain.
  mine[block + 4100] = 1;
  fs.writeFileSync(dir.file("a"), mine);
  addLeaf(leaves, 5);
  const again = await perform({ ...select, known: known.source }, tools);
  expect(again).toEqual({
    selected: {
      hashes: hasher.hashEach(mine, block),
      ...chosen,
      zeros: emptyLeafSet(10),
      used: chosen.used + 4096,
      bytesRead: mine.length,
    },
  });
});

test("a job writes all it is given in pieces, and tells how far it came where the system stops it", async () => {
  using dir = tempDir();
  const data = bytes(67, 300_000);
  const memory = new SharedArrayBuffer(400_000);
  Buffer.from(memory).set(data, 50);
  const fd = opened(dir, "a", new Uint8Array(0), "r+");
  const write: Job = { kind: "write", fd, offset: 1000, memory: 1, start: 50, length: data.length };
  expect(await perform(write, toolsWith(memory))).toEqual({ written: data.length, problem: undefined });
  expect(fs.readFileSync(dir.file("a")).equals(Buffer.concat([Buffer.alloc(1000), data]))).toBe(true);
  const reading = { ...write, fd: fs.openSync(dir.file("a"), "r") };
  expect(await perform(reading, toolsWith(memory))).toMatchObject({ written: 0, problem: { code: "EBADF" } });
});
