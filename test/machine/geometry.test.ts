/** Zeros, odd sizes and odd sectors, with the compiled program: here, over a connection, and on block devices. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { fakeSsh, run, summaryOf } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { attachLoop } from "../helpers/loop.ts";
import { testWith } from "../helpers/requirements.ts";
import { allocated } from "../helpers/sync.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const LEAF = 4096;
const BLOCK = 64 << 10;
const onLoop = testWith("loop");

/** Words for the pair on each road: both here, or the destination behind a stand-in for ssh. */
function roads(dir: TempDir, source: string, destination: string): readonly (readonly string[])[] {
  return [
    [source, destination],
    [...fakeSsh(dir.file("rsh")), source, `h:${destination}`],
  ];
}

/** Where a test for zeros that goes by words or vectors could miss a byte: the ends of a block, of a leaf, of a word. */
const EDGES = [0, 1, 7, 8, 15, 31, 32, 63, 64, 511, 512, LEAF - 8, LEAF - 1, LEAF, LEAF + 7, BLOCK / 2];
const ALL_EDGES = [...EDGES, ...EDGES.map((edge) => BLOCK - 1 - edge)];
const TAIL_LENGTH = 3 * LEAF + 5;

/** Blocks of zeros with one bit in each, at one edge after the other, and a short one whose very last bit is set. */
function singleBits(): Buffer {
  const data = Buffer.alloc(ALL_EDGES.length * BLOCK + TAIL_LENGTH);
  for (const [index, edge] of ALL_EDGES.entries()) data[index * BLOCK + edge] = index % 2 === 0 ? 1 : 0x80;
  data[data.length - 1] = 0x80;
  return data;
}

describe("D5.24 blocks that are zero except for one bit", () => {
  for (const [name, before] of [
    ["nothing", undefined],
    ["zeros", Buffer.alloc(singleBits().length)],
    ["data", bytes(1, singleBits().length)],
  ] as const) {
    test(`arrive over ${name} in a file, here and over a connection`, async () => {
      using dir = tempDir();
      const data = singleBits();
      fs.writeFileSync(dir.file("s"), data);
      for (const words of roads(dir, dir.file("s"), dir.file("d"))) {
        fs.rmSync(dir.file("d"), { force: true });
        if (before !== undefined) fs.writeFileSync(dir.file("d"), before);
        const summary = summaryOf(await run(["--json", "-b", "64K", ...words]));
        expect(summary).toMatchObject({ exitCode: 0, blocksDiffering: ALL_EDGES.length + 1 });
        expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
        // Over what is zero already only the leaves with a bit are written; the very last one is 5 bytes long.
        if (name !== "data") expect(summary["bytesWritten"]).toBe(ALL_EDGES.length * LEAF + 5);
      }
    });
  }

  onLoop("arrive on a device over zeros and over data", async () => {
    using dir = tempDir();
    const data = singleBits();
    fs.writeFileSync(dir.file("s"), data);
    const size = Math.ceil(data.length / LEAF) * LEAF;
    for (const before of [Buffer.alloc(size), bytes(2, size)]) {
      fs.writeFileSync(dir.file("disk"), before);
      using loop = attachLoop(dir.file("disk"));
      for (const words of roads(dir, dir.file("s"), loop.path)) {
        fs.writeFileSync(loop.path, before);
        expect((await run(["-f", "-b", "64K", ...words])).exitCode).toBe(0);
        const expected = Buffer.concat([data, before.subarray(data.length)]);
        expect(fs.readFileSync(loop.path).equals(expected)).toBe(true);
      }
    }
  });
});

describe("D5.24 a size of", () => {
  for (const size of [0, 1, 511, 512, LEAF - 1, BLOCK + 1]) {
    test(`${size} bytes, over nothing, over a shorter and over a longer file, here and over a connection`, async () => {
      using dir = tempDir();
      const data = bytes(3, size);
      fs.writeFileSync(dir.file("s"), data);
      for (const words of roads(dir, dir.file("s"), dir.file("d"))) {
        for (const before of [undefined, Math.floor(size / 2), size + BLOCK]) {
          fs.rmSync(dir.file("d"), { force: true });
          if (before !== undefined) fs.writeFileSync(dir.file("d"), bytes(4, before));
          const result = await run(["-b", "64K", "--progress", "none", ...words]);
          expect(result.exitCode).toBe(0);
          const tail = bytes(4, before ?? 0).subarray(size);
          expect(fs.readFileSync(dir.file("d")).equals(Buffer.concat([data, tail]))).toBe(true);
          expect(result.stderr.includes("keeps its tail")).toBe(tail.length > 0);
          if (tail.length === 0) continue;
          expect((await run(["-b", "64K", "-q", "-T", ...words])).exitCode).toBe(0);
          expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
        }
      }
    });
  }

  for (const [name, size] of [
    ["2^32", 2 ** 32],
    ["2^40", 2 ** 40],
  ] as const) {
    test(`more than ${name} bytes, sparse: what lies across and beyond it arrives, here and over a connection`, async () => {
      using dir = tempDir();
      const total = size + MIB + 77;
      const places = [0, size - 5000, size + 4097, total - 7] as const;
      const write = (file: string, seed: number) => {
        const fd = fs.openSync(dir.file(file), "w");
        fs.ftruncateSync(fd, total);
        for (const at of places) fs.writeSync(fd, bytes(seed, 10_000), 0, Math.min(10_000, total - at), at);
        fs.closeSync(fd);
      };
      const read = (file: string, at: number) => {
        const fd = fs.openSync(dir.file(file), "r");
        const data = Buffer.alloc(20_000);
        const count = fs.readSync(fd, data, 0, data.length, at);
        fs.closeSync(fd);
        return data.subarray(0, count);
      };
      write("s", 5);
      for (const words of roads(dir, dir.file("s"), dir.file("d"))) {
        write("d", 6);
        expect((await run(["-q", ...words])).exitCode).toBe(0);
        expect(fs.statSync(dir.file("d")).size).toBe(total);
        for (const at of places) {
          const start = Math.max(0, at - 5000);
          expect(read("s", start).length).toBeGreaterThan(0);
          expect(read("d", start).equals(read("s", start))).toBe(true);
        }
        expect(allocated(dir.file("d"))).toBeLessThan(MIB);
        const again = await run(["compare", "-q", ...words]);
        expect(again).toEqual({ exitCode: 0, stdout: "", stderr: "" });
      }
    });
  }
});

describe("D5.25 a device", () => {
  onLoop(
    "with sectors of 4096 bytes takes a source that ends within a sector, and keeps what lies beyond",
    async () => {
      using dir = tempDir();
      const [data, before] = [bytes(7, 2 * MIB + 513), bytes(8, 3 * MIB)];
      fs.writeFileSync(dir.file("s"), data);
      fs.writeFileSync(dir.file("disk"), before);
      using loop = attachLoop(dir.file("disk"), "--sector-size", "4096");
      expect(fs.readFileSync(`/sys/block/${loop.path.replace("/dev/", "")}/queue/logical_block_size`, "utf8")).toBe(
        "4096\n",
      );
      const expected = Buffer.concat([data, before.subarray(data.length)]);
      for (const words of roads(dir, dir.file("s"), loop.path)) {
        fs.writeFileSync(loop.path, before);
        const result = await run(["-f", "--progress", "none", ...words]);
        expect(result.exitCode).toBe(0);
        expect(result.stderr).toContain("1023.5 KiB larger than the source; what lies beyond is left alone");
        expect(fs.readFileSync(loop.path).equals(expected)).toBe(true);
      }
      // And as a source: all of it.
      expect((await run(["-q", loop.path, dir.file("copy")])).exitCode).toBe(0);
      expect(fs.readFileSync(dir.file("copy")).equals(expected)).toBe(true);
    },
  );

  onLoop("of a size that is no multiple of a leaf or block is read and written to its last sector", async () => {
    using dir = tempDir();
    const size = 511 * 512;
    fs.writeFileSync(dir.file("s"), bytes(9, size));
    fs.writeFileSync(dir.file("disk"), bytes(10, size));
    using loop = attachLoop(dir.file("disk"));
    for (const words of roads(dir, dir.file("s"), loop.path)) {
      fs.writeFileSync(loop.path, bytes(10, size));
      expect((await run(["-q", "-f", ...words])).exitCode).toBe(0);
      expect(fs.readFileSync(loop.path).equals(bytes(9, size))).toBe(true);
    }
    expect((await run(["-q", loop.path, dir.file("copy")])).exitCode).toBe(0);
    expect(fs.readFileSync(dir.file("copy")).equals(bytes(9, size))).toBe(true);
  });

  onLoop("smaller than the block size is one short block", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(11, MIB));
    fs.writeFileSync(dir.file("disk"), bytes(12, MIB));
    using loop = attachLoop(dir.file("disk"));
    for (const words of roads(dir, dir.file("s"), loop.path)) {
      fs.writeFileSync(loop.path, bytes(12, MIB));
      const summary = summaryOf(await run(["--json", "-f", "-b", "16M", ...words]));
      expect(summary).toMatchObject({ exitCode: 0, blocksTotal: 1, blocksDiffering: 1, bytesWritten: MIB });
      expect(fs.readFileSync(loop.path).equals(bytes(11, MIB))).toBe(true);
    }
  });
});
