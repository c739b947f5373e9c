/** The undo file by itself: its format as QEMU reads it, the order of what is written to it, and what a power cut leaves. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { IoError, ReadError } from "../../src/errors.ts";
import { Overlay } from "../../src/local/undo/overlay.ts";
import { decodeHead, encodeHead, geometryOf, HEAD_LENGTH, type Head } from "../../src/local/undo/qcow2.ts";
import { type Saved, Saver } from "../../src/local/undo/saver.ts";
import { bytes, random } from "../helpers/bytes.ts";
import { RecordedFile } from "../helpers/recorded-file.ts";
import { testWith } from "../helpers/requirements.ts";
import { tempDir } from "../helpers/temp.ts";

const LEAF = 4096;
const TIB = 2 ** 40;

function headOf(sizeBytes: number, backing = "/srv/disk.img"): Head {
  return {
    run: Uint8Array.from({ length: 16 }, (_, i) => i),
    timeMs: 1_700_000_000_000,
    sizeBytes,
    mark: Uint8Array.from({ length: 16 }, (_, i) => 255 - i),
    backing,
  };
}

/** A disk in memory; `reads` are the offsets and lengths of what was read. */
function diskOf(memory: Buffer): Saved & { readonly reads: [number, number][] } {
  const reads: [number, number][] = [];
  return {
    label: "/dev/sdb",
    reads,
    reader: {
      read: async (buffer, offset) => {
        reads.push([offset, buffer.length]);
        memory.copy(buffer, 0, offset, offset + buffer.length);
      },
    },
  };
}

function qemuImg(...words: string[]): { exitCode: number; said: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["qemu-img", ...words]);
  return { exitCode, said: `${stdout.toString()}${stderr.toString()}` };
}

/** Of `qemu-img check`: clean, or with nothing worse than space that is not used. */
const WHOLE = [0, 3];

describe("geometryOf()", () => {
  test("saves leaves as far as QEMU's limits allow, longer pieces of larger disks", () => {
    const sizes = [0, 1, LEAF, TIB, 7.9 * TIB, 8 * TIB, 1000 * TIB, 2 ** 52 - 1];
    expect(sizes.map((size) => geometryOf(size).clusterSize)).toEqual([
      LEAF,
      LEAF,
      LEAF,
      LEAF,
      LEAF,
      1 << 16,
      1 << 16,
      1 << 21,
    ]);
    for (const size of sizes) {
      const { l1Entries, clusterSize, clustersPerTable, refcountTableClusters, coverage } = geometryOf(size);
      expect(l1Entries * clustersPerTable * clusterSize).toBeGreaterThanOrEqual(size);
      // block/qcow2.h: QCOW_MAX_L1_SIZE, QCOW_MAX_REFTABLE_SIZE
      expect(l1Entries * 8).toBeLessThanOrEqual(32 << 20);
      expect(refcountTableClusters * clusterSize).toBeLessThanOrEqual(8 << 20);
      // All of the disk and its tables has refcounts.
      const entries = (refcountTableClusters * clusterSize) / 8;
      expect(entries * coverage).toBeGreaterThan(size * (1 + 1 / clustersPerTable));
    }
  });
});

describe("a head", () => {
  test("gives back what it was made of, with the longest name and one of other bytes too", () => {
    for (const backing of ["/srv/disk.img", `/${"x".repeat(1022)}`, "/srv/\udcff\u{1f980}", "2026.qcow2"]) {
      const head = headOf(1 << 30, backing);
      expect(decodeHead(encodeHead(head))).toEqual(head);
    }
  });

  test("that says anything else is none of ours", () => {
    const head = encodeHead(headOf(1 << 30));
    for (let at = 0; at < 120; at++) {
      const other = Buffer.from(head);
      other[at] = (other[at] ?? 0) ^ 1;
      expect({ at, head: decodeHead(other) }).toEqual({ at, head: undefined });
    }
    expect(decodeHead(Buffer.alloc(HEAD_LENGTH))).toBeUndefined();
    expect(decodeHead(head.subarray(0, 512))).toBeUndefined();
    const wild = Buffer.from(head);
    for (const at of [8, 16, 144, 152]) wild.fill(0xff, at, at + 4);
    expect(decodeHead(wild)).toBeUndefined();
  });
});

describe("save()", () => {
  async function begin(memory: Buffer) {
    const file = new RecordedFile();
    const disk = diskOf(memory);
    const saver = new Saver(await Overlay.create(file, "u", headOf(memory.length)), "u", disk);
    file.operations.length = 0;
    return { file, disk, saver };
  }

  test("adds and syncs, then links and syncs, and only then is done", async () => {
    const { file, saver } = await begin(bytes(1, 16 * LEAF));
    await saver.save([{ offset: LEAF + 5, length: LEAF }]);
    const kinds = file.operations.map((one) => (one === "sync" ? "sync" : "write"));
    // The table and the data; the entry and what leads to its table.
    expect(kinds).toEqual(["write", "write", "sync", "write", "write", "sync"]);
  });

  test("reads each leaf once, whoever asks again and how often, and nothing behind the end", async () => {
    const { disk, file, saver } = await begin(bytes(2, 9 * LEAF + 100));
    const ask = () =>
      saver.save([
        { offset: 0, length: 3 * LEAF },
        { offset: 8 * LEAF, length: 8 * LEAF },
      ]);
    await Promise.all([ask(), ask(), saver.save([{ offset: 2 * LEAF, length: LEAF + 1 }])]);
    await ask();
    expect(disk.reads).toEqual([
      [0, 3 * LEAF],
      [8 * LEAF, LEAF + 100],
      [3 * LEAF, LEAF],
    ]);
    const before = file.operations.length;
    await saver.save([{ offset: 10 * LEAF, length: LEAF }]);
    await saver.save([]);
    expect(file.operations.length).toBe(before);
  });

  test("needs no data for what is zero", async () => {
    const { file, saver } = await begin(Buffer.alloc(600 * LEAF));
    await saver.save([{ offset: 0, length: 600 * LEAF }]);
    const written = file.operations.flatMap((one) => (one !== "sync" && "bytes" in one ? [one.bytes.length] : []));
    expect(Math.max(...written)).toBe(LEAF);
  });

  test("many that wait together take few syncs", async () => {
    const { file, saver } = await begin(bytes(3, 64 * LEAF));
    await Promise.all(Array.from({ length: 64 }, (_, leaf) => saver.save([{ offset: leaf * LEAF, length: LEAF }])));
    expect(file.operations.filter((one) => one === "sync").length).toBeLessThanOrEqual(4);
  });

  test("fails for all once the file could not be written, or the disk not be read", async () => {
    const { file, saver } = await begin(bytes(4, 16 * LEAF));
    file.write = () => Promise.reject(Object.assign(new Error("no"), { code: "ENOSPC" }));
    const failed = (saving: Promise<void>) => saving.catch((error: unknown) => error);
    const save = (leaf: number) => failed(saver.save([{ offset: leaf * LEAF, length: 1 }]));
    const failures = [...(await Promise.all([save(0), save(1)])), await save(0)];
    const text =
      'Cannot write the undo file "u": no space left on device; nothing was overwritten that it does not hold';
    for (const failure of failures) expect(failure).toMatchObject({ message: text, exitCode: 4 });
    const torn: Saved = { label: "/dev/sdb", reader: { read: () => Promise.reject(new ReadError("bad")) } };
    const other = new Saver(await Overlay.create(new RecordedFile(), "u", headOf(LEAF)), "u", torn);
    expect(await failed(other.save([{ offset: 0, length: 1 }]))).toMatchObject({
      message:
        'Cannot save 4096 bytes at offset 0 of "/dev/sdb" for --undo: they cannot be read; they were not overwritten',
    });
    await saver.end(new IoError("closed"));
  });
});

testWith("qemuImg")("D16.1 a power cut at any moment leaves an overlay that shows the disk as it was", async () => {
  using dir = tempDir();
  const disk = dir.file("disk");
  // Three tables, holes among the data, and a last leaf that is short.
  const before = Buffer.concat([bytes(7, 300 * LEAF), Buffer.alloc(500 * LEAF), bytes(8, 300 * LEAF + 1000)]);
  fs.writeFileSync(dir.file("before"), before);
  const now = Buffer.from(before);
  const file = new RecordedFile();
  const head = headOf(before.length, disk);
  const saver = new Saver(await Overlay.create(file, "u", head), "u", diskOf(now));
  /** When which leaf was overwritten: after so many operations. */
  const overwritten: [operations: number, leaf: number][] = [];
  const next = random(11);
  const overwrite = async (leaf: number) => {
    const range = { offset: leaf * LEAF, length: Math.min(LEAF, before.length - leaf * LEAF) };
    await saver.save([range]);
    now.fill(0x77, range.offset, range.offset + range.length);
    overwritten.push([file.operations.length, leaf]);
  };
  const created = file.operations.length;
  for (let round = 0; round < 6; round++)
    await Promise.all(Array.from({ length: 10 }, () => overwrite(next() % Math.ceil(before.length / LEAF))));
  await overwrite(Math.floor(before.length / LEAF));
  const cuts = Array.from({ length: 12 }, () => created + (next() % (file.operations.length - created + 1)));
  for (const cut of [...cuts, created, file.operations.length]) {
    const there = Buffer.from(before);
    for (const [operations, leaf] of overwritten) {
      if (operations <= cut) there.fill(0x77, leaf * LEAF, Math.min((leaf + 1) * LEAF, there.length));
    }
    fs.writeFileSync(disk, there);
    fs.writeFileSync(dir.file("undo"), file.after(cut, cut));
    const { exitCode, said } = qemuImg("check", dir.file("undo"));
    expect({ cut, said, whole: WHOLE.includes(exitCode) }).toEqual({ cut, said, whole: true });
    const compared = qemuImg("compare", "-f", "qcow2", "-F", "raw", dir.file("undo"), dir.file("before"));
    expect({ cut, ...compared }).toEqual({ cut, exitCode: 0, said: "Images are identical.\n" });
  }
});
