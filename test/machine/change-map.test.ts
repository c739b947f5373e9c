/** --map with the compiled program: what it shows and writes after every kind of run, and what it refuses. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import type { ChangeRange } from "../../src/sync/changes.ts";
import { addRange, type ByteRange } from "../../src/sync/ranges.ts";
import { BINARY, fakeSsh, run } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { mounted } from "../helpers/disk.ts";
import { attachLoop } from "../helpers/loop.ts";
import { badDisk } from "../helpers/nbd.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const LEAF = 4096;
const SIZE = 12 * MIB + 5000;

interface MapList {
  readonly source: string;
  readonly destination: string;
  readonly size: number;
  readonly differ: number;
  readonly zero: number;
  readonly unreadable: number;
  readonly merged: boolean;
  readonly ranges: readonly ChangeRange[];
}

function readMap(path: string): MapList {
  const map: MapList = JSON.parse(fs.readFileSync(path, "utf8"));
  return map;
}

function file(dir: TempDir, name: string, data: Buffer): string {
  fs.writeFileSync(dir.file(name), data);
  return dir.file(name);
}

/** The ranges that compare prints. */
async function compared(...words: string[]): Promise<ByteRange[]> {
  const { stdout } = await run(["compare", ...words]);
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [offset = Number.NaN, length = Number.NaN] = line.split(" ").map(Number);
      return { offset, length };
    });
}

/** A map's ranges whatever their kinds, neighbours joined, as compare prints them. */
function joinedRanges(map: MapList): ByteRange[] {
  const ranges: ByteRange[] = [];
  for (const range of map.ranges) addRange(ranges, range);
  return ranges;
}

/** A source with scattered changes, one block that differs wholly, zeros where there was data, and a changed tail. */
function pair(dir: TempDir): { source: string; destination: string } {
  const data = bytes(1, SIZE);
  const [whole, last] = [Array.from({ length: 256 }, (_, i) => 4 * 256 + i), Math.floor((SIZE - 1) / LEAF)];
  const before = changeLeaves(data, [0, 3, 4, 700, 1200, ...whole, 2000, last]);
  // Zeros that were data, zeros that were zeros, and data that was zeros.
  data.fill(0, 7 * MIB + 3 * LEAF, 7 * MIB + 9 * LEAF);
  data.fill(0, 8 * MIB, 9 * MIB);
  before.fill(0, 8 * MIB + 2 * LEAF, 10 * MIB);
  return { source: file(dir, "source", data), destination: file(dir, "destination", before) };
}

describe("--map=FILE.json has the ranges that compare printed before", () => {
  const ways: readonly (readonly [name: string, words: readonly string[], exitCode: number])[] = [
    ["of a sync", [], 0],
    ["of a sync in lanes", ["-w", "3", "-l", "0"], 0],
    ["of a sync that is verified", ["--verify"], 0],
    ["of a dry run", ["-n"], 1],
    ["of compare", ["compare"], 1],
  ];
  for (const far of [false, true]) {
    for (const [name, words, exitCode] of ways) {
      test(`${name}${far ? ", over a connection" : ""}`, async () => {
        using dir = tempDir();
        const { source, destination } = pair(dir);
        const expected = await compared(source, destination);
        expect(expected.length).toBeGreaterThan(8);
        const ssh = far ? [...fakeSsh(dir.file("fake-ssh")), "-S", BINARY] : [];
        const there = far ? `host:${destination}` : destination;
        const map = dir.file("map.json");
        const result = await run([...words, ...ssh, "--map", map, source, there]);
        expect({ exitCode: result.exitCode, stderr: result.stderr }).toMatchObject({ exitCode });
        const found = readMap(map);
        expect(joinedRanges(found)).toEqual(expected);
        const zeroed = [
          { offset: 7 * MIB + 3 * LEAF, length: 6 * LEAF, kind: "zero" },
          { offset: 8 * MIB, length: 2 * LEAF, kind: "zero" },
        ];
        expect<readonly ChangeRange[]>(found.ranges.filter(({ kind }) => kind === "zero")).toEqual(
          zeroed.map((range) => ({ ...range, kind: "zero" as const })),
        );
        const { ranges, ...rest } = found;
        const sum = expected.reduce((total, { length }) => total + length, 0);
        expect(rest).toEqual({
          source,
          destination: there,
          size: SIZE,
          differ: sum - 8 * LEAF,
          zero: 8 * LEAF,
          unreadable: 0,
          unit: LEAF,
          merged: false,
        } as typeof rest);
        expect(fs.readdirSync(dir.path).filter((one) => one.endsWith(".part"))).toEqual([]);
        if (exitCode === 0) {
          expect((await run(["--map", map, ...ssh, source, there])).exitCode).toBe(0);
          expect(readMap(map)).toMatchObject({ ranges: [], differ: 0, zero: 0 });
        }
      });
    }
  }

  test("of blocks of one leaf, and of blocks that nearly all differ wholly", async () => {
    using dir = tempDir();
    const data = bytes(2, 40 * MIB);
    const every = Array.from({ length: data.length / LEAF }, (_, leaf) => leaf).filter((leaf) => leaf % 97 !== 5);
    const before = changeLeaves(data, every);
    const source = file(dir, "source", data);
    for (const blockSize of ["4K", "64K", "1M"]) {
      const destination = file(dir, "destination", before);
      const expected = await compared(source, destination);
      expect(expected.length).toBe(data.length / LEAF - every.length + 1);
      expect((await run(["-b", blockSize, "--map", dir.file("map.json"), source, destination])).exitCode).toBe(0);
      expect({ blockSize, ranges: joinedRanges(readMap(dir.file("map.json"))) }).toEqual({
        blockSize,
        ranges: expected,
      });
    }
  });

  test("of a new file: all its data; of compare with a shorter file: its end, too", async () => {
    using dir = tempDir();
    const data = bytes(3, 3 * MIB + 100);
    data.fill(0, MIB, 2 * MIB);
    const source = file(dir, "source", data);
    const map = dir.file("map.json");
    for (const words of [["-n"], []]) {
      await run([...words, "--map", map, source, dir.file("new")]);
      expect(readMap(map).ranges).toEqual([
        { offset: 0, length: MIB, kind: "differ" },
        { offset: 2 * MIB, length: MIB + 100, kind: "differ" },
      ]);
    }
    const short = file(dir, "short", changeLeaves(data.subarray(0, 5000), [1]));
    expect(await compared("--map", map, source, short)).toEqual([
      { offset: LEAF, length: 5000 - LEAF },
      { offset: 5000, length: data.length - 5000 },
    ]);
    expect(readMap(map)).toMatchObject({
      size: data.length,
      ranges: [{ offset: LEAF, length: data.length - LEAF, kind: "differ" }],
    });
  });
});

describe("--map of a source that cannot be read in places", () => {
  const BAD = [
    { offset: 2 * MIB + 512, length: 1024 },
    { offset: 5 * MIB - 512, length: 512 },
  ];
  const unreadable = BAD.map((area) => ({ ...area, kind: "unreadable" as const }));

  testWith("nbd")("lists them, the rest of a block that was written, and shows their marks", async () => {
    using dir = tempDir();
    const data = bytes(4, 8 * MIB);
    await using disk = await badDisk(file(dir, "image", data), BAD);
    // Differs in the block of the first area, and elsewhere; equal around the second.
    const destination = file(dir, "destination", changeLeaves(data, [2 * 256 + 9, 6 * 256 + 1]));
    const map = dir.file("map.json");
    for (const words of [["-w", "2", "-l", "0"], []]) {
      fs.writeFileSync(destination, changeLeaves(data, [2 * 256 + 9, 6 * 256 + 1]));
      const result = await run([...words, "--on-read-error", "skip", "--map", map, disk.path, destination]);
      expect(result.exitCode).toBe(8);
      expect(readMap(map).unreadable).toBe(1536);
      expect(readMap(map).ranges).toEqual([
        { offset: 2 * MIB, length: 512, kind: "differ" },
        ...unreadable.slice(0, 1),
        { offset: 2 * MIB + 1536, length: MIB - 1536, kind: "differ" },
        ...unreadable.slice(1),
        { offset: 6 * MIB + LEAF, length: LEAF, kind: "differ" },
      ]);
    }
    // Once more: all is equal now but for what cannot be read.
    const again = await run(["--on-read-error", "skip", "--map", map, disk.path, destination]);
    expect(again.exitCode).toBe(8);
    expect(readMap(map).ranges).toEqual(unreadable);
    const shown = await run(["--on-read-error", "skip", "--map", disk.path, destination], { env: { LC_ALL: "C" } });
    expect(shown.stderr).toContain("Map: 0 bytes of 8.0 MiB differ, 1.5 KiB unreadable\n");
    expect(shown.stderr).toMatch(/ {2}\. equal {2}! unreadable\n/);
    expect(shown.stderr.match(/^ .*[.!]+$/gm)?.join("")).toMatch(/![^!]+!/);
    const picture = dir.file("map.svg");
    expect((await run(["--on-read-error", "skip", "--map", picture, disk.path, destination])).exitCode).toBe(8);
    expect(fs.readFileSync(picture, "utf8").match(/class="cell unreadable"/g)?.length).toBe(1 + 1 + 1);
  });

  testWith("nbd")("leaves no map of a run that fails, nor anything else, and the old map as it was", async () => {
    using dir = tempDir();
    await using disk = await badDisk(file(dir, "image", bytes(5, 8 * MIB)), BAD);
    fs.writeFileSync(dir.file("old.json"), "old");
    for (const words of [
      ["--map", dir.file("new.svg"), disk.path, dir.file("d")],
      ["compare", "--map", dir.file("old.json"), disk.path, dir.file("image")],
    ]) {
      const result = await run(words);
      expect(result.exitCode).toBe(4);
      expect(result.stderr).not.toContain("Map: ");
    }
    expect(fs.readdirSync(dir.path).toSorted()).toEqual(["d", "image", "image.log", "image.map", "old.json"]);
    expect(fs.readFileSync(dir.file("old.json"), "utf8")).toBe("old");
  });
});

testWith("loop")("--map of a device, to a picture in its place", async () => {
  using dir = tempDir();
  const data = bytes(6, 8 * MIB);
  using loop = attachLoop(file(dir, "disk", changeLeaves(data, [1000])));
  const source = file(dir, "source", data);
  fs.writeFileSync(dir.file("real.svg"), "old");
  fs.symlinkSync("real.svg", dir.file("map.svg"));
  expect((await run(["-f", "--map", dir.file("map.svg"), source, loop.path])).exitCode).toBe(0);
  const picture = fs.readFileSync(dir.file("real.svg"), "utf8");
  expect(picture).toContain(`<title>blocksync: ${source} → ${loop.path}</title>`);
  expect(picture).toContain("4096000 to 4100095 (at 3.9 MiB): all 4.0 KiB differ");
  expect(picture.match(/class="cell d4"/g)?.length).toBe(2);
  expect(fs.lstatSync(dir.file("map.svg")).isSymbolicLink()).toBe(true);
});

describe("--map alone", () => {
  const UTF8 = { LC_ALL: "C.UTF-8" };

  test("shows the map among the messages, behind the last of them, without colour, whatever the place of the word", async () => {
    using dir = tempDir();
    const { source, destination } = pair(dir);
    const maps: string[] = [];
    for (const words of [
      ["-n", "--map", source, destination],
      ["-n", source, destination, "--map"],
      ["compare", source, "--map", destination],
      [source, destination, "-f", "--map", "-q"],
    ]) {
      const { stdout, stderr } = await run(words, { env: { ...UTF8, NO_COLOR: undefined } });
      expect(stdout).not.toContain("Map");
      expect(stderr).toContain("Map: 2.0 MiB of 12.0 MiB differ, 32.0 KiB of it zeros\n         0 ");
      maps.push(stderr.slice(stderr.indexOf("Map: ")));
    }
    expect(new Set(maps).size).toBe(1);
    expect(maps[0]).toMatch(/ {2}12\.0 MiB end {2}\d+\.\d KiB a cell {2}· equal {2}░▒▓█ up to 25-100 % {2}0 zeros\n$/);
    const equal = await run(["--map", source, destination], { env: { LC_ALL: "C" } });
    expect(equal.stderr).toMatch(
      /Map: 0 bytes of 12\.0 MiB differ\n( +[\d.]+( MiB)? \.+\n){8} {2}12\.0 MiB end .* {2}\. equal\n$/,
    );
  });

  test("goes where messages go with --output, and away from the events of --json", async () => {
    using dir = tempDir();
    const { source, destination } = pair(dir);
    await run(["-n", "--map", "-o", dir.file("log"), source, destination]);
    expect(fs.readFileSync(dir.file("log"), "utf8")).toContain("Map: 2.0 MiB of 12.0 MiB differ");
    const { stdout, stderr } = await run(["-n", "--map", "--json", source, destination]);
    for (const line of stdout.trimEnd().split("\n")) expect(JSON.parse(line)).toHaveProperty("event");
    expect(stderr).toContain("Map: 2.0 MiB of 12.0 MiB differ");
  });
});

/** What a terminal of this width shows of a run. */
async function watched(
  words: readonly string[],
  columns: number,
  env: Record<string, string | undefined> = {},
): Promise<string[]> {
  let seen = "";
  const decoder = new TextDecoder();
  const child = Bun.spawn([BINARY, ...words], {
    env: { ...process.env, LC_ALL: "C.UTF-8", TERM: "xterm", NO_COLOR: undefined, ...env },
    terminal: {
      cols: columns,
      rows: 50,
      data: (_terminal, data) => {
        seen += decoder.decode(data, { stream: true });
      },
    },
  });
  await child.exited;
  child.terminal?.close();
  return seen.split("\r\n");
}

describe("a terminal", () => {
  test("shows two lines at its width at the end when something differed, in colour, and none otherwise", async () => {
    using dir = tempDir();
    const { source, destination } = pair(dir);
    for (const columns of [40, 80, 200]) {
      const lines = (await watched(["compare", source, destination], columns)).filter((line) => line !== "");
      const end = lines.findIndex((line) => line.includes("12.0 MiB end"));
      const row = lines[end - 1] ?? "";
      expect(row).toContain("\x1b[33m");
      expect(/ {9}0 [·░▒▓█0]+$/.exec(Bun.stripANSI(row))?.[0].length).toBe(columns);
      if (columns >= 80) expect(lines[end]).toEndWith("zeros");
    }
    const plain = await watched(["-n", source, destination], 80, { NO_COLOR: "1", LC_ALL: "C" });
    expect(plain.join("\n")).not.toContain("\x1b[33m");
    expect(plain.join("\n")).toMatch(/\n {9}0 [-.+*#0]+\n {2}12\.0 MiB end {2}\. equal {2}-\+\*# blocks differ\n/);
    for (const quiet of [["-q"], ["--progress", "none"], ["--json"], ["-o", dir.file("log")]]) {
      expect((await watched(["-n", ...quiet, source, destination], 80)).join("\n")).not.toContain("12.0 MiB end");
    }
    expect((await watched([source, destination], 80)).join("\n")).toContain("12.0 MiB end");
    expect((await watched([source, destination], 80)).join("\n")).not.toContain("12.0 MiB end");
  });
});

describe("--map refuses", () => {
  test("a file of another kind, before anything is opened", async () => {
    using dir = tempDir();
    const source = file(dir, "s", bytes(7, LEAF));
    const destination = dir.file("d");
    for (const words of [
      ["--map=map.png", source, destination],
      ["--map=map", source, destination],
      ["--map=.json.gz", source, destination],
      ["--map=", source, destination],
      ["--map", "map.png", source, destination],
      ["--map", "map", source, destination],
      [source, destination, "--map", "map.png"],
      ["compare", "--map", "map.png", source, source],
      ["--map", "a.svg", "b.svg", source, destination],
    ]) {
      const result = await run(words, { cwd: dir.path });
      expect({ words, exitCode: result.exitCode }).toEqual({ words, exitCode: 2 });
      expect(fs.readdirSync(dir.path)).toEqual(["s"]);
    }
  });

  test("what has another part in the run, or cannot be written, before anything is copied", async () => {
    using dir = tempDir();
    const source = file(dir, "s.json", bytes(8, LEAF));
    const [destination, rescue] = [dir.file("d.json"), dir.file("rescue.json")];
    fs.mkdirSync(dir.file("folder.svg"));
    fs.symlinkSync("d.json", dir.file("link.json"));
    fs.symlinkSync("log.json", dir.file("log link.json"));
    for (const [map, exitCode, text] of [
      [source, 2, "is the source itself"],
      [destination, 2, "is the destination itself"],
      [dir.file("link.json"), 2, "is the destination itself"],
      [rescue, 2, "is the rescue map itself"],
      [dir.file("log link.json"), 2, "is the file of --output itself"],
      [dir.file("folder.svg"), 2, "is not a regular file"],
      [dir.file("none/map.svg"), 4, "no such file or directory"],
    ] as const) {
      const words = ["--on-read-error", "skip", "--mapfile", rescue, "-o", dir.file("log.json"), "--map", map];
      const result = await run([...words, source, destination]);
      expect(result.stderr).toContain(`change map ${JSON.stringify(map)}`);
      expect(result.stderr).toContain(text);
      expect(result.exitCode).toBe(exitCode);
      expect(fs.existsSync(destination)).toBe(false);
    }
    expect(fs.readFileSync(source).equals(bytes(8, LEAF))).toBe(true);
  });

  testWith("loop")("nothing that cannot be put into its place: it is kept beside it, and said", async () => {
    using dir = tempDir();
    const source = file(dir, "s", bytes(9, LEAF));
    fs.writeFileSync(dir.file("map.json"), "old", { mode: 0o640 });
    // As a file is mounted into a container: rename(2) says EBUSY.
    using _ = mounted(dir.file("map.json"), dir.file("map.json"), "--bind");
    const result = await run(["--map", dir.file("map.json"), source, dir.file("d")]);
    expect(result.exitCode).toBe(4);
    expect(result.stderr).toContain(`Cannot write the change map ${JSON.stringify(dir.file("map.json"))}: `);
    const kept = /hint: it is complete in "(.*)": move it by hand$/m.exec(result.stderr)?.[1] ?? "";
    expect(JSON.parse(fs.readFileSync(kept, "utf8"))).toMatchObject({ size: LEAF, differ: LEAF });
    expect(fs.statSync(kept).mode & 0o777).toBe(0o640);
  });

  testWith("loop")(
    "a map on a full file system, or in a directory that is not there, with what to do about it",
    async () => {
      using dir = tempDir();
      const source = file(dir, "s", bytes(9, LEAF));
      using _ = mounted("tmpfs", dir.file("mnt"), "-t", "tmpfs", "-o", "size=4k");
      fs.writeFileSync(dir.file("mnt/fill"), bytes(1, LEAF));
      for (const words of [["--map"], ["--on-read-error", "skip", "--mapfile"]]) {
        const called = words.length === 1 ? "change map" : "rescue map";
        const full = await run([...words, dir.file("mnt/m.json"), "-q", source, dir.file("d")]);
        expect(full.exitCode).toBe(4);
        expect(full.stderr).toBe(
          `blocksync: Cannot write the ${called} "${dir.file("mnt/m.json")}": no space left on device\n` +
            "blocksync: hint: free some space (df -h) and run again\n",
        );
        expect(fs.readdirSync(dir.file("mnt"))).toEqual(["fill"]);
        const missing = await run([...words, dir.file("none/m.json"), "-q", source, dir.file("d")]);
        expect(missing.exitCode).toBe(4);
        expect(missing.stderr).toBe(
          `blocksync: Cannot use the ${called} "${dir.file("none/m.json")}": no such file or directory\n` +
            "blocksync: hint: create its directory first (mkdir -p), or correct the path\n",
        );
      }
    },
  );

  testWith("loop")("a map on a file system that can only be read", async () => {
    using dir = tempDir();
    const source = file(dir, "s", bytes(9, LEAF));
    using _ = mounted("tmpfs", dir.file("mnt"), "-t", "tmpfs", "-o", "ro");
    const result = await run(["--map", dir.file("mnt/map.json"), source, dir.file("d")]);
    expect(result.stderr).toContain("the file system is read-only");
    expect(result.exitCode).toBe(4);
    expect(fs.existsSync(dir.file("d"))).toBe(false);
  });
});
