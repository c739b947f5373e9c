/** The fingerprint of what was copied or compared: one number for the same bytes, however a run came to know them. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { BlockLayout } from "../../src/sync/blocks.ts";
import { Fingerprint, printOf } from "../../src/sync/fingerprint.ts";
import { BINARY, fakeSsh, type Result, run, summaryOf } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { equalPrints, fingerprintOf, fingerprintOfPrints, sha256 } from "../helpers/fingerprint.ts";
import { badDisk } from "../helpers/nbd.ts";
import { testWith } from "../helpers/requirements.ts";
import { ROADS, syncFiles } from "../helpers/sync.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;

/** Data, zeros at the start and in between, and a short last block. */
function image(): Buffer {
  const data = bytes(81, 4 * MIB + 12_345);
  data.fill(0, 0, MIB);
  data.fill(0, 2 * MIB, 3 * MIB);
  return data;
}

function write(dir: TempDir, name: string, data: Buffer): string {
  fs.writeFileSync(dir.file(name), data);
  return dir.file(name);
}

/** The same bytes with its zeros as holes. */
function writeSparse(dir: TempDir, name: string, data: Buffer): string {
  const file = fs.openSync(dir.file(name), "w");
  fs.ftruncateSync(file, data.length);
  for (let offset = 0; offset < data.length; offset += MIB) {
    const part = data.subarray(offset, offset + MIB);
    if (part.some((byte) => byte !== 0)) fs.writeSync(file, part, 0, part.length, offset);
  }
  fs.closeSync(file);
  return dir.file(name);
}

function far(dir: TempDir): string[] {
  return [...fakeSsh(dir.file("fake-ssh")), "-S", BINARY];
}

function fingerprintsOf(result: Result): unknown[] {
  const summary = summaryOf(result);
  return [result.exitCode, summary["sourceFingerprint"], summary["destinationFingerprint"]];
}

/** What the line of the summary says. */
function said({ stderr }: Result): string | undefined {
  return /^ {2}fingerprint {2}(.*)$/m.exec(stderr)?.[1];
}

const BLOCK = 4096;
const ZERO = printOf(new Uint8Array(16).fill(9));

/** Of blocks of which those of zeros have the print ZERO. */
function fingerprint(blocks: number): Fingerprint {
  return new Fingerprint(new BlockLayout(blocks * BLOCK, BLOCK), new Uint8Array(16).fill(9), sha256);
}

describe("Fingerprint", () => {
  test("is the same whatever the order and the way blocks are added", () => {
    for (const blocks of [0, 1, 7, 4095, 4096, 4097, 3 * 4096 + 5]) {
      const prints = Array.from({ length: blocks }, (_, i) =>
        i % 5 === 0 ? ZERO : BigInt.asUintN(64, BigInt(i) * 0x9e3779b97f4a7c15n),
      );
      const [inOrder, backwards, together] = [fingerprint(blocks), fingerprint(blocks), fingerprint(blocks)];
      for (const [i, value] of prints.entries()) inOrder.add(i, value);
      for (const [i, value] of [...prints.entries()].reverse()) {
        if (value === ZERO) backwards.addEach(i, 1, undefined);
        else backwards.add(i, value);
      }
      together.addEach(0, blocks, prints);
      const expected = fingerprintOfPrints(prints, blocks * BLOCK, BLOCK);
      const found = [inOrder.value, backwards.value, together.value];
      expect({ blocks, found }).toEqual({ blocks, found: [expected, expected, expected] });
    }
  });

  test("of holes is that of zeros that were read, wherever they begin and end", () => {
    for (const blocks of [4096, 3 * 4096, 3 * 4096 + 1]) {
      const expected = fingerprintOfPrints(Array(blocks).fill(ZERO), blocks * BLOCK, BLOCK);
      for (const cut of [0, 1, 4000, 4096, blocks - 1, blocks]) {
        const holes = fingerprint(blocks);
        holes.addEach(cut, blocks - cut, undefined);
        holes.addEach(0, cut, undefined);
        expect({ blocks, cut, value: holes.value }).toEqual({ blocks, cut, value: expected });
      }
    }
  });

  test("of something whose end was not known is the same, whatever its size turns out to be", () => {
    for (const blocks of [0, 1, 7, 4095, 4096, 4097, 3 * 4096 + 5, 4096 * 4096, 4096 * 4096 + 4097]) {
      const open = new Fingerprint(BlockLayout.endless(BLOCK), new Uint8Array(16).fill(9), sha256);
      const closed = fingerprint(blocks);
      for (const one of [open, closed]) {
        if (blocks > 2) one.add(0, 5n);
        one.addEach(Math.min(blocks, 1) * (blocks > 2 ? 1 : 0), blocks > 2 ? blocks - 2 : blocks, undefined);
        if (blocks > 2) one.add(blocks - 1, 6n);
      }
      open.end(new BlockLayout(blocks * BLOCK, BLOCK));
      expect({ blocks, value: open.value }).toEqual({ blocks, value: closed.value });
    }
  });

  test("of something whose end was not known fails where a block is missing", () => {
    for (const missing of [0, 4, 5000, 9999]) {
      const open = new Fingerprint(BlockLayout.endless(BLOCK), new Uint8Array(16).fill(9), sha256);
      open.addEach(0, missing, undefined);
      open.addEach(missing + 1, 10_000 - missing - 1, undefined);
      open.end(new BlockLayout(10_000 * BLOCK, BLOCK));
      expect(() => open.value).toThrow("A block was neither compared nor copied");
    }
  });

  test("goes as deep as there are blocks", () => {
    const blocks = 4096 * 4096 + 4097;
    const deep = fingerprint(blocks);
    deep.addEach(1, blocks - 1, undefined);
    deep.add(0, 1n);
    const prints = new BigUint64Array(blocks).fill(ZERO);
    prints[0] = 1n;
    expect(deep.value).toBe(fingerprintOfPrints(prints, blocks * BLOCK, BLOCK));
  });

  test("of 4 EiB of hole takes a few steps", () => {
    const huge = fingerprint(2 ** 40);
    huge.addEach(0, 5, undefined);
    huge.addEach(5, 2 ** 40 - 5, undefined);
    expect(huge.value).toMatch(/^[0-9a-f]{32}$/);
  });

  test("depends on each block, their order, the size and the block size", () => {
    const of = (sizeBytes: number, blockSize: number, ...prints: bigint[]) => {
      const one = new Fingerprint(new BlockLayout(sizeBytes, blockSize), new Uint8Array(16), sha256);
      one.addEach(0, prints.length, prints);
      return one.value;
    };
    const found = [
      of(3 * BLOCK, BLOCK, 1n, 2n, 3n),
      of(3 * BLOCK, BLOCK, 1n, 3n, 2n),
      of(3 * BLOCK, BLOCK, 1n, 2n, 4n),
      of(3 * BLOCK - 1, BLOCK, 1n, 2n, 3n),
      of(6 * BLOCK, 2 * BLOCK, 1n, 2n, 3n),
    ];
    expect(new Set(found).size).toBe(5);
  });

  test("fails when a block was forgotten", () => {
    const one = fingerprint(2 * 4096);
    one.addEach(4096, 4096, undefined);
    for (let index = 0; index < 4096; index++) {
      expect(() => one.value).toThrow(new RangeError("A block was neither compared nor copied"));
      one.add(index, 1n);
    }
    expect(one.value).toBeDefined();
  });

  test("fails when a block is added twice, at once or at the end", () => {
    const twice = new RangeError("Blocks were compared twice");
    const never = new RangeError("A block was neither compared nor copied");
    const small = fingerprint(2);
    small.add(0, 1n);
    expect(() => small.add(0, 1n)).toThrow(twice);
    small.add(1, 1n);
    expect(small.value).toBeDefined();
    small.add(0, 1n);
    expect(() => small.value).toThrow(never);
    expect(() => small.add(1, 1n)).toThrow(twice);
    const again = fingerprint(2 * 4096);
    again.addEach(0, 4096, undefined);
    expect(() => again.addEach(0, 4096, undefined)).toThrow(twice);
    const over = fingerprint(2 * 4096);
    over.add(1, 1n);
    over.addEach(0, 2 * 4096, undefined);
    expect(() => over.value).toThrow(never);
  });

  test("printOf() is the first 8 bytes of a digest, wherever it lies", () => {
    expect(printOf(Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7, 8, 9).subarray(1))).toBe(0x0807060504030201n);
  });
});

describe("the fingerprint", () => {
  const STATES = ["new", "changed", "unchanged"] as const;

  for (const road of ROADS)
    test(`is that of the image however it was copied, ${road.name}: new, changed and unchanged`, async () => {
      using dir = tempDir();
      const data = image();
      const source = write(dir, "s", data);
      for (const options of [
        { blockSize: MIB },
        { blockSize: 64 << 10 },
        { blockSize: 16 * MIB },
        { blockSize: MIB, verify: true },
        { blockSize: MIB, lanes: 3 },
        { blockSize: 4096, lanes: 3 },
      ]) {
        const expected = fingerprintOf(data, options.blockSize);
        fs.rmSync(dir.file("d"), { force: true });
        for (const state of STATES) {
          if (state === "changed") fs.writeFileSync(dir.file("d"), changeLeaves(data, [0, 300, 900]));
          const { statistics } = await syncFiles(road, source, dir.file("d"), options);
          const found = [statistics.sourceFingerprint, statistics.destinationFingerprint];
          expect({ options, state, found }).toEqual({ options, state, found: [expected, expected] });
        }
        expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
      }
    });

  const PLACES = ["here", "pushed", "pulled"] as const;
  const ways: readonly { name: string; words: readonly string[]; blockSize?: number }[] = [
    { name: "by default", words: [] },
    { name: "in blocks of 64K", words: ["-b", "64K"], blockSize: 64 << 10 },
    { name: "in blocks of 16M", words: ["-b", "16M"], blockSize: 16 << 20 },
    { name: "with --verify", words: ["--verify"] },
    { name: "with another hash", words: ["--hash", "sha256", "--additional-hash", "xxh128"] },
    { name: "with a change map", words: ["--map"] },
    { name: "in three lanes", words: ["-w", "3", "-l", "0"] },
    { name: "in three lanes of small blocks", words: ["-w", "3", "-l", "0", "-b", "4K"], blockSize: 4096 },
  ];
  for (const [i, { name, words, blockSize = MIB }] of ways.entries()) {
    test(`is that of the image ${name}: new, changed and unchanged, here, pushed and pulled`, async () => {
      using dir = tempDir();
      const data = image();
      const expected = [0, fingerprintOf(data, blockSize), fingerprintOf(data, blockSize)];
      const source = write(dir, "s", data);
      const ends = (where: (typeof PLACES)[number]) => {
        if (where === "here") return [source, dir.file(where)];
        const [from, to] =
          where === "pushed" ? [source, `host:${dir.file(where)}`] : [`host:${source}`, dir.file(where)];
        return [...far(dir), from, to];
      };
      const prepare: Record<(typeof STATES)[number], (path: string) => void> = {
        new: () => undefined,
        changed: (path) => fs.writeFileSync(path, changeLeaves(data, [0, 300, 900])),
        unchanged: (path) => fs.writeFileSync(path, data),
      };
      // By default in every state at every place; each other way meets each state and each place once.
      for (const [place, where] of PLACES.entries())
        for (const [turn, state] of STATES.entries()) {
          if (i > 0 && (place + turn) % 3 !== i % 3) continue;
          prepare[state](dir.file(where));
          const result = await run([...words, "--json", ...ends(where)]);
          expect({ where, state, found: fingerprintsOf(result) }).toEqual({ where, state, found: expected });
          expect(said(result)).toBe(`${expected[1]} on both sides`);
          expect(fs.readFileSync(dir.file(where)).equals(data)).toBe(true);
        }
    });
  }

  test("of holes is that of zeros", async () => {
    using dir = tempDir();
    const data = image();
    const fingerprint = fingerprintOf(data, MIB);
    const [zeros, holes] = [write(dir, "zeros", data), writeSparse(dir, "holes", data)];
    for (const ends of [
      [zeros, holes],
      [holes, zeros],
      [holes, dir.file("new")],
      [...far(dir), holes, `host:${zeros}`],
      [...far(dir), holes, `host:${dir.file("far")}`],
    ]) {
      const result = await run(["--json", ...ends]);
      expect({ ends, found: fingerprintsOf(result) }).toEqual({ ends, found: [0, fingerprint, fingerprint] });
    }
  });

  test("is about as much of the destination as the source has", async () => {
    using dir = tempDir();
    const data = image();
    const fingerprint = fingerprintOf(data, MIB);
    const larger = write(dir, "larger", Buffer.concat([data, bytes(82, MIB)]));
    const result = await run(["--json", write(dir, "s", data), larger]);
    expect(fingerprintsOf(result)).toEqual([0, fingerprint, fingerprint]);
  });

  test("of nothing is one too", async () => {
    using dir = tempDir();
    const fingerprint = fingerprintOf(Buffer.alloc(0), MIB);
    const result = await run(["--json", write(dir, "s", Buffer.alloc(0)), dir.file("d")]);
    expect(fingerprintsOf(result)).toEqual([0, fingerprint, fingerprint]);
  });

  for (const where of ["here", "over a connection"]) {
    test(`of a dry run ${where} is the source's`, async () => {
      using dir = tempDir();
      const data = image();
      const source = write(dir, "s", data);
      const words = where === "here" ? [] : far(dir);
      const host = where === "here" ? "" : "host:";
      write(dir, "d", changeLeaves(data, [300, 900]));
      for (const name of ["d", "missing"]) {
        const result = await run(["-n", "--json", ...words, source, `${host}${dir.file(name)}`]);
        expect({ name, found: fingerprintsOf(result) }).toEqual({ name, found: [1, fingerprintOf(data, MIB), null] });
        expect(said(result)).toBe(`${fingerprintOf(data, MIB)} of the source`);
      }
    });

    test(`of compare ${where} is that of either side`, async () => {
      using dir = tempDir();
      const data = image();
      const changed = changeLeaves(data, [300, 900]);
      const source = write(dir, "s", data);
      const words = where === "here" ? [] : far(dir);
      const host = where === "here" ? "" : "host:";
      write(dir, "d", changed);
      const [mine, theirs] = [fingerprintOf(data, MIB), fingerprintOf(changed, MIB)];
      const compare = (name: string) => run(["compare", "--json", ...words, source, `${host}${dir.file(name)}`]);
      const differing = await compare("d");
      expect(fingerprintsOf(differing)).toEqual([1, mine, theirs]);
      expect(said(differing)).toBe(`${mine} and ${theirs}`);
      expect(differing.stderr).toMatch(/^Completed in \S+ s \(.*\/s\): 8\.0 KiB of 4\.0 MiB differ$/m);
      write(dir, "d", data);
      const equal = await compare("d");
      expect(fingerprintsOf(equal)).toEqual([0, mine, mine]);
      expect(said(equal)).toBe(`${mine} on both sides`);
      expect(equal.stderr).toMatch(/^Completed in \S+ s \(.*\/s\): 4\.0 MiB equal$/m);
      fs.appendFileSync(dir.file("d"), "x");
      const longer = await compare("d");
      expect(fingerprintsOf(longer)).toEqual([1, null, null]);
      expect(said(longer)).toBeUndefined();
      expect(longer.stderr).toMatch(/^Completed in \S+ s \(.*\/s\): 4\.0 MiB equal; the second is 1 byte larger$/m);
    });
  }

  test("of compare names no number on both sides where something differs", async () => {
    using dir = tempDir();
    const [one, other] = equalPrints();
    const result = await run(["compare", "-b", "4K", write(dir, "a", one), write(dir, "b", other)]);
    const number = fingerprintOf(one, 4096);
    expect([result.exitCode, result.stdout, said(result)]).toEqual([1, "0 4096\n", `${number} and ${number}`]);
  });

  testWith("nbd")("is left out where the source cannot be read as a whole", async () => {
    using dir = tempDir();
    const data = bytes(83, 4 * MIB);
    await using disk = await badDisk(write(dir, "image", data), [{ offset: MIB, length: 4096 }]);
    const result = await run(["--on-read-error", "skip", "--json", disk.path, dir.file("d")]);
    expect(fingerprintsOf(result)).toEqual([8, null, null]);
    expect(said(result)).toBeUndefined();
  });

  test("is not told of a run that failed", async () => {
    using dir = tempDir();
    const result = await run(["--json", write(dir, "s", image()), "/dev/full"]);
    expect(fingerprintsOf(result).slice(1)).toEqual([null, null]);
    expect(result.exitCode).not.toBe(0);
  });
});
