/** The fingerprint of what was copied or compared: one number for the same bytes, however a run came to know them. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { BINARY, fakeSsh, type Result, run, summaryOf } from "./helpers/binary.ts";
import { bytes, changeLeaves } from "./helpers/bytes.ts";
import { fingerprintOf } from "./helpers/fingerprint.ts";
import { badDisk } from "./helpers/nbd.ts";
import { testWith } from "./helpers/requirements.ts";
import { type TempDir, tempDir } from "./helpers/temp.ts";

const MIB = 1 << 20;

/** Data, zeros at the start and in between, and a short last block. */
function image(): Buffer {
  const data = bytes(81, 9 * MIB + 12_345);
  data.fill(0, 0, MIB);
  data.fill(0, 4 * MIB, 6 * MIB);
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

describe("the fingerprint", () => {
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
  for (const { name, words, blockSize = MIB } of ways) {
    test(`is that of the image ${name}: new, changed and unchanged, here, pushed and pulled`, async () => {
      using dir = tempDir();
      const data = image();
      const expected = [0, fingerprintOf(data, blockSize), fingerprintOf(data, blockSize)];
      const source = write(dir, "s", data);
      const changed = changeLeaves(data, [0, 300, 2000]);
      const pairs = [
        ["here", [source, dir.file("here")], "here"],
        ["pushed", [...far(dir), source, `host:${dir.file("pushed")}`], "pushed"],
        ["pulled", [...far(dir), `host:${source}`, dir.file("pulled")], "pulled"],
      ] as const;
      for (const [where, ends, destination] of pairs) {
        const go = () => run([...words, "--json", ...ends]);
        const first = await go();
        expect({ where, fingerprints: fingerprintsOf(first) }).toEqual({ where, fingerprints: expected });
        expect(said(first)).toBe(`${expected[1]} on both sides`);
        fs.writeFileSync(dir.file(destination), changed);
        expect({ where, fingerprints: fingerprintsOf(await go()) }).toEqual({ where, fingerprints: expected });
        expect({ where, fingerprints: fingerprintsOf(await go()) }).toEqual({ where, fingerprints: expected });
        expect(fs.readFileSync(dir.file(destination)).equals(data)).toBe(true);
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
      write(dir, "d", changeLeaves(data, [300, 2000]));
      for (const name of ["d", "missing"]) {
        const result = await run(["-n", "--json", ...words, source, `${host}${dir.file(name)}`]);
        expect({ name, found: fingerprintsOf(result) }).toEqual({ name, found: [1, fingerprintOf(data, MIB), null] });
        expect(said(result)).toBe(`${fingerprintOf(data, MIB)} of the source`);
      }
    });

    test(`of compare ${where} is that of either side`, async () => {
      using dir = tempDir();
      const data = image();
      const changed = changeLeaves(data, [300, 2000]);
      const source = write(dir, "s", data);
      const words = where === "here" ? [] : far(dir);
      const host = where === "here" ? "" : "host:";
      write(dir, "d", changed);
      const [mine, theirs] = [fingerprintOf(data, MIB), fingerprintOf(changed, MIB)];
      const compare = (name: string) => run(["compare", "--json", ...words, source, `${host}${dir.file(name)}`]);
      const differing = await compare("d");
      expect(fingerprintsOf(differing)).toEqual([1, mine, theirs]);
      expect(said(differing)).toBe(`${mine} and ${theirs}`);
      expect(differing.stderr).toMatch(/^Completed in \d:\d\d:\d\d: 2 of 10 blocks differ$/m);
      write(dir, "d", data);
      const equal = await compare("d");
      expect(fingerprintsOf(equal)).toEqual([0, mine, mine]);
      expect(said(equal)).toBe(`${mine} on both sides`);
      expect(equal.stderr).toMatch(/^Completed in \d:\d\d:\d\d: 9\.0 MiB equal$/m);
      fs.appendFileSync(dir.file("d"), "x");
      const longer = await compare("d");
      expect(fingerprintsOf(longer)).toEqual([1, null, null]);
      expect(said(longer)).toBeUndefined();
      expect(longer.stderr).toMatch(
        /^Completed in \d:\d\d:\d\d: 0 of 10 blocks differ; the second is 1 bytes larger$/m,
      );
    });
  }

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
