/** The undo file of a day as a source: the disk as it was, onto another, or onto itself. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { DayDisk } from "../../src/local/undo/day.ts";
import { encodeHead, geometryOf } from "../../src/local/undo/qcow2.ts";
import { type Result, run, start, summaryOf } from "../helpers/binary.ts";
import { bytes, changeLeaves, random } from "../helpers/bytes.ts";
import { attachLoop } from "../helpers/loop.ts";
import { testWith } from "../helpers/requirements.ts";
import { tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const onLoop = testWith("loop");

/** A disk after some nights, each of which changed and resized it, and what it was before each. */
async function nights(images: readonly Buffer[]) {
  const dir = tempDir();
  const [disk, folder] = [dir.file("disk"), dir.file("kept")];
  fs.mkdirSync(folder);
  const days = new Map<string, Buffer>();
  const [first = Buffer.alloc(0), ...later] = images;
  fs.writeFileSync(disk, first);
  let before = first;
  for (const image of later) {
    fs.writeFileSync(dir.file("source"), image);
    expect((await run(["-q", "-f", "-T", "--undo", `${folder}/`, dir.file("source"), disk])).exitCode).toBe(0);
    for (const name of fs.readdirSync(folder)) if (!days.has(name)) days.set(name, before);
    before = image;
  }
  const names = [...days.keys()];
  return {
    dir,
    disk,
    folder,
    days,
    path: (night: number) => `${folder}/${names[night]}`,
    /** Whether each file still shows its day, as new files say. */
    shows: async () => {
      const shown: boolean[] = [];
      for (const [name, day] of days) {
        fs.rmSync(dir.file("shown"), { force: true });
        expect((await run(["-q", `${folder}/${name}`, dir.file("shown")])).exitCode).toBe(0);
        shown.push(fs.readFileSync(dir.file("shown")).equals(day));
      }
      return shown;
    },
    [Symbol.dispose]: () => dir[Symbol.dispose](),
  };
}

/** Nights that change it here and there, make it longer, and shorter by what is then nowhere else. */
function someImages(): Buffer[] {
  const first = bytes(41, 2 * MIB + 700);
  const second = changeLeaves(first, [1, 2, 300, 512]);
  const longer = Buffer.concat([changeLeaves(second, [2, 3]), bytes(42, MIB)]);
  const shorter = Buffer.concat([longer.subarray(0, MIB), Buffer.alloc(MIB / 2)]);
  return [first, second, longer, shorter, changeLeaves(shorter, [3, 4, 300])];
}

function said({ exitCode, stderr }: Result): string {
  return `${exitCode} ${stderr}`;
}

test("a day is a source like any other, for a new file and a longer one, and says whose it is", async () => {
  using kept = await nights(someImages());
  expect(await kept.shows()).toEqual([true, true, true, true]);
  const { dir, path } = kept;
  fs.writeFileSync(dir.file("other"), bytes(43, 4 * MIB));
  const result = await run(["-T", "--verify", "--progress", "none", path(1), dir.file("other")]);
  expect(result.stderr).toMatch(
    new RegExp(
      `^"${path(1)}" is an undo file, so the source is "${kept.disk}" as it was before the run of 20..-..-..T..:..:..Z; --decompress never copies the file\n`,
    ),
  );
  expect(result.exitCode).toBe(0);
  expect(fs.readFileSync(dir.file("other")).equals(someImages()[1] ?? Buffer.alloc(0))).toBe(true);
  // Nothing of the chain or its disk was touched.
  expect(fs.readFileSync(kept.disk).equals(someImages()[4] ?? Buffer.alloc(0))).toBe(true);
  expect(await kept.shows()).toEqual([true, true, true, true]);
});

test("the undo file itself is copied where that is meant", async () => {
  using kept = await nights(someImages());
  const { dir, path } = kept;
  const file = fs.readFileSync(path(0));
  const copies: [string[], string][] = [
    [[], "copy.qcow2"],
    [["--decompress", "never"], "copy"],
    // What there is already was meant.
    [[], "copy"],
  ];
  for (const [words, name] of copies) {
    expect(said(await run(["-q", ...words, path(0), dir.file(name)]))).toBe("0 ");
    expect(fs.readFileSync(dir.file(name)).equals(file)).toBe(true);
  }
  expect(said(await run(["-q", "-f", "-T", "--decompress", "always", path(0), dir.file("copy")]))).toBe("0 ");
  expect(fs.readFileSync(dir.file("copy")).equals(someImages()[0] ?? Buffer.alloc(0))).toBe(true);
});

describe("onto the disk itself", () => {
  test("a day is put back, only what differs is written, and what that costs newer days is said before", async () => {
    using kept = await nights(someImages());
    const { disk, path, folder } = kept;
    const words = ["-f", "-T", "--json", path(1), disk];
    const result = await run(words);
    const newer = `"${path(1)}" and what is older go on to show their days, and the 2 newer undo files do not: --undo "${folder}/" keeps them`;
    expect(result.stdout).toContain(JSON.stringify(newer).slice(1, -1));
    expect(result.exitCode).toBe(0);
    expect(fs.readFileSync(disk).equals(someImages()[1] ?? Buffer.alloc(0))).toBe(true);
    expect((await kept.shows()).slice(0, 2)).toEqual([true, true]);
    expect(summaryOf(await run(words))).toMatchObject({ exitCode: 0, bytesWritten: 0 });
  });

  test("with --undo into the same folder each day stays, and the one that was left is another", async () => {
    using kept = await nights(someImages());
    const { dir, disk, path, folder } = kept;
    const left = fs.readFileSync(disk);
    const result = await run(["-f", "-T", "--progress", "none", "--undo", `${folder}/`, path(1), disk]);
    expect(result.stderr).not.toContain("do not");
    expect(result.exitCode).toBe(0);
    expect(fs.readFileSync(disk).equals(someImages()[1] ?? Buffer.alloc(0))).toBe(true);
    expect(await kept.shows()).toEqual([true, true, true, true]);
    const own = fs.readdirSync(folder).find((name) => !kept.days.has(name)) ?? "";
    expect((await run(["-q", `${folder}/${own}`, dir.file("left")])).exitCode).toBe(0);
    expect(fs.readFileSync(dir.file("left")).equals(left)).toBe(true);
  });

  test("killed at any moment it can be put back again, and no day is lost", async () => {
    const seed = Math.floor(Math.random() * 1e9);
    const next = random(seed);
    const first = bytes(44, 16 * MIB);
    const some = () => Array.from({ length: 400 }, () => next() % 4096);
    const second = changeLeaves(first, some());
    using kept = await nights([first, second, changeLeaves(second, some())]);
    const { disk, path, folder } = kept;
    for (let kill = 0; kill < 6; kill++) {
      const night = kill % 2;
      const before = fs.readFileSync(disk);
      const own = new Set(fs.readdirSync(folder));
      const child = start(["-q", "-f", "-p", "3", "--undo", `${folder}/`, path(night), disk]);
      await Promise.race([child.exited, Bun.sleep(40 + (next() % 100))]);
      child.kill("SIGKILL");
      await child.exited;
      for (const name of fs.readdirSync(folder)) {
        if (own.has(name)) continue;
        // Before it has its head nothing was written.
        if (fs.readFileSync(`${folder}/${name}`).subarray(0, 3).equals(Buffer.from("QFI"))) kept.days.set(name, before);
        else fs.rmSync(`${folder}/${name}`);
      }
      expect({ seed, kill, shown: (await kept.shows()).includes(false) }).toEqual({ seed, kill, shown: false });
    }
    expect((await run(["-q", "-f", path(0), disk])).exitCode).toBe(0);
    expect(fs.readFileSync(disk).equals(first)).toBe(true);
  });
});

test("a run that writes to the disk meanwhile, and goes on with the chain or not, is noticed at the end", async () => {
  for (const words of [["--undo", "DIR/"], []]) {
    using kept = await nights(someImages());
    const { dir, disk, folder, path } = kept;
    const day = await DayDisk.open(path(0));
    day?.confirmUnchanged();
    fs.writeFileSync(dir.file("source"), changeLeaves(someImages()[4] ?? Buffer.alloc(0), [9]));
    const undo = words.map((word) => word.replace("DIR", folder));
    expect((await run(["-q", "-f", ...undo, dir.file("source"), disk])).exitCode).toBe(0);
    expect(() => day?.confirmUnchanged()).toThrow(
      words.length > 0 ? "another run has gone on with it meanwhile" : `its disk "${disk}" was written to meanwhile`,
    );
    await day?.close();
  }
});

onLoop("a day of a device goes onto a device, its own or another", async () => {
  using dir = tempDir();
  const [first, second] = [bytes(45, 4 * MIB), changeLeaves(bytes(45, 4 * MIB), [0, 5, 1000])];
  for (const [name, data] of [
    ["a", first],
    ["b", Buffer.alloc(5 * MIB)],
    ["source", second],
  ] as const)
    fs.writeFileSync(dir.file(name), data);
  using own = attachLoop(dir.file("a"));
  using other = attachLoop(dir.file("b"));
  const undo = dir.file("undo.qcow2");
  expect((await run(["-q", "-f", "--undo", undo, dir.file("source"), own.path])).exitCode).toBe(0);
  // Under another name than a day's it has to be said.
  const refused = await run(["-q", "-f", undo, other.path]);
  expect([refused.exitCode, refused.stderr.includes("(packed)")]).toEqual([3, true]);
  const unpack = ["--decompress", "always"];
  expect((await run(["-q", "-f", ...unpack, undo, other.path])).exitCode).toBe(0);
  expect(
    fs
      .readFileSync(other.path)
      .subarray(0, 4 * MIB)
      .equals(first),
  ).toBe(true);
  const back = summaryOf(await run(["--json", "-f", ...unpack, undo, own.path]));
  expect(back).toMatchObject({ exitCode: 0, bytesWritten: 3 * 4096 });
  expect(fs.readFileSync(own.path).equals(first)).toBe(true);
});

test("an image that says that it is an undo file leads to no other file of this machine", async () => {
  using dir = tempDir();
  fs.writeFileSync(dir.file("secret"), bytes(46, 8192));
  const backing = dir.file("secret");
  const head = encodeHead({ run: new Uint8Array(16), timeMs: 0, sizeBytes: 8192, mark: new Uint8Array(16), backing });
  const { tablesEnd } = geometryOf(8192);
  const image = Buffer.alloc(tablesEnd);
  image.set(head);
  fs.writeFileSync(dir.file("evil.img"), image);
  expect((await run(["-q", "-f", dir.file("evil.img"), dir.file("out")])).exitCode).toBe(0);
  expect(fs.readFileSync(dir.file("out")).equals(image)).toBe(true);
  // That it would otherwise.
  expect((await run(["-q", "-f", "--decompress", "always", dir.file("evil.img"), dir.file("out2")])).exitCode).toBe(0);
  expect(fs.readFileSync(dir.file("out2")).equals(bytes(46, 8192))).toBe(true);
});

describe("is refused, and nothing written", () => {
  test.each<[string, (kept: Awaited<ReturnType<typeof nights>>) => void, string]>([
    [
      "without a newer file that it needs",
      ({ path }) => fs.rmSync(path(2)),
      "which is not there, or no undo file any more",
    ],
    [
      "with a file that is cut short",
      ({ path }) => fs.truncateSync(path(1), fs.statSync(path(1)).size - 4096),
      "it is damaged, or cut short",
    ],
    ["without its disk", ({ disk }) => fs.rmSync(disk), "which is not there"],
    [
      "with a link for its disk's place",
      ({ disk }) => {
        fs.rmSync(disk);
        fs.symlinkSync("/dev/null", disk);
      },
      "which is not there",
    ],
  ])("%s", async (_, spoil, why) => {
    using kept = await nights(someImages());
    spoil(kept);
    const result = await run(["-q", kept.path(0), kept.dir.file("new")]);
    expect(said(result)).toStartWith(`7 blocksync: Cannot read the day of the undo file "`);
    expect(result.stderr).toContain(why);
    expect(fs.existsSync(kept.dir.file("new"))).toBe(false);
  });
});
