/** --undo DIR/: a file a run, each of which shows the whole disk of its day to the real qemu-img. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { DayDisk } from "../../src/local/undo/day.ts";
import { decodeHead, encodeHead, geometryOf, HEAD_LENGTH } from "../../src/local/undo/qcow2.ts";
import { run, start } from "../helpers/binary.ts";
import { bytes, changeLeaves, random } from "../helpers/bytes.ts";
import { openLocal } from "../helpers/endpoints.ts";
import { attachLoop } from "../helpers/loop.ts";
import { testWith } from "../helpers/requirements.ts";
import { tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const withQemu = testWith("qemuImg");

/** All that a day's disk had, read in pieces that end within clusters. */
async function dayOf(path: string): Promise<Buffer> {
  const day = await DayDisk.open(path);
  if (day === undefined) throw new Error(`${path} is no undo file`);
  const whole = Buffer.alloc(day.sizeBytes, 1);
  const piece = 123_457;
  for (let at = 0; at < whole.length; at += piece) await day.read(whole.subarray(at, at + piece), at);
  day.confirmUnchanged();
  await day.close();
  return whole;
}

function command(...words: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(words);
  if (exitCode !== 0) throw new Error(`${words.join(" ")}: ${stdout}${stderr}`);
  return stdout.toString();
}

/** Fails unless each file is whole and shows its day, to qemu-img and as a source. */
async function check(folder: string, days: ReadonlyMap<string, Buffer>, expected: string): Promise<void> {
  for (const [name, day] of days) {
    expect({ name, equal: (await dayOf(`${folder}/${name}`)).equals(day) }).toEqual({ name, equal: true });
    const path = `${folder}/${name}`;
    const { exitCode, stdout, stderr } = Bun.spawnSync(["qemu-img", "check", path]);
    // 3: space that is not used.
    if (![0, 3].includes(exitCode)) throw new Error(`${name}: ${stdout}${stderr}`);
    fs.writeFileSync(expected, day);
    const compared = command("qemu-img", "compare", "-f", "qcow2", "-F", "raw", path, expected);
    expect({ name, compared }).toEqual({ name, compared: "Images are identical.\n" });
  }
}

/** A source and a destination, and a folder with the days that it is known to hold, by the names of their files. */
function kept(source: Buffer, destination: Buffer) {
  const dir = tempDir();
  const [from, to, folder] = [dir.file("source"), dir.file("destination"), dir.file("kept")];
  fs.writeFileSync(from, source);
  fs.writeFileSync(to, destination);
  fs.mkdirSync(folder);
  const days = new Map<string, Buffer>();
  return {
    dir,
    source: from,
    destination: to,
    folder,
    days,
    words: ["-f", "--undo", `${folder}/`, from, to],
    /** To be called with what the destination was before the run that has just ended; returns the name of the file of it. */
    note: (before: Buffer): string | undefined => {
      const [name, ...others] = fs.readdirSync(folder).filter((one) => !days.has(one));
      expect(others).toEqual([]);
      if (name !== undefined) days.set(name, before);
      return name;
    },
    check: () => check(folder, days, dir.file("day")),
    [Symbol.dispose]: () => dir[Symbol.dispose](),
  };
}

withQemu(
  "D16.2 a folder keeps a file a run, each the whole disk of its day, whatever size it had and wherever the folder is",
  async () => {
    const first = bytes(21, 2 * MIB);
    using pair = kept(first, changeLeaves(first, [1]));
    const second = changeLeaves(first, [1, 2, 511]);
    const longer = Buffer.concat([changeLeaves(second, [2]), bytes(22, MIB + 512)]);
    const shorter = longer.subarray(0, MIB + 1024);
    const zeros = Buffer.concat([shorter.subarray(0, MIB), Buffer.alloc(MIB)]);
    for (const image of [second, longer, longer, shorter, zeros]) {
      fs.writeFileSync(pair.source, image);
      const before = fs.readFileSync(pair.destination);
      const { exitCode, stdout } = await run(["-T", "--json", ...pair.words]);
      expect(exitCode).toBe(0);
      const name = pair.note(before);
      expect(name).toMatch(/^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z\.qcow2$/);
      expect(stdout).toContain(`"undo":"${pair.folder}/${name}"`);
    }
    expect(pair.days.size).toBe(5);
    await pair.check();
    // The newest alone names the destination.
    const [oldest = "", ...newer] = [...pair.days.keys()].toSorted();
    const names = (name: string) =>
      command("qemu-img", "info", `${pair.folder}/${name}`).includes(`backing file: ${pair.destination}`);
    expect([oldest, ...newer].filter(names)).toEqual(newer.slice(-1));
    fs.rmSync(`${pair.folder}/${oldest}`);
    pair.days.delete(oldest);
    const moved = pair.dir.file("moved");
    fs.renameSync(pair.folder, moved);
    await check(moved, pair.days, pair.dir.file("day"));
  },
);

withQemu("D16.2 killed at any moment, a folder keeps every day", async () => {
  const seed = Math.floor(Math.random() * 1e9);
  const next = random(seed);
  let image = bytes(23, 2 * MIB);
  using pair = kept(image, Buffer.alloc(2 * MIB, 1));
  let durationMs = 0;
  for (let night = 0; night < 7; night++) {
    image = changeLeaves(
      image,
      Array.from({ length: 40 }, () => next() % 512),
    );
    fs.writeFileSync(pair.source, image);
    const before = fs.readFileSync(pair.destination);
    const begun = performance.now();
    const child = start(["-p", "5", "-b", "64K", ...pair.words]);
    // The first is left alone.
    if (night > 0) await Promise.race([child.exited, Bun.sleep((next() / 2 ** 32) * durationMs)]);
    if (night > 0) child.kill("SIGKILL");
    await child.exited;
    if (night === 0) durationMs = performance.now() - begun;
    const name = pair.note(before);
    const path = `${pair.folder}/${name}`;
    if (name !== undefined && fs.readFileSync(path).subarray(0, 3).equals(Buffer.from("QFI"))) continue;
    // There is none yet, or it is no overlay yet: nothing was written.
    expect({ seed, night, same: fs.readFileSync(pair.destination).equals(before) }).toMatchObject({ same: true });
    fs.rmSync(path, { force: true });
    pair.days.delete(name ?? "");
  }
  expect(pair.days.size).toBeGreaterThan(1);
  await pair.check();
});

withQemu(
  "of two files that go on with the destination, as a run leaves them that ends early, both get the next",
  async () => {
    const image = bytes(24, MIB);
    const before = changeLeaves(image, [7]);
    using pair = kept(image, before);
    expect((await run(pair.words)).exitCode).toBe(0);
    pair.note(before);
    const early = { path: `${pair.folder}/early`, label: "early", run: new Uint8Array(16), chain: false };
    const endpoint = await openLocal(pair.destination, { access: "write", undo: early });
    await endpoint.prepare(MIB, { exact: true });
    await endpoint.close();
    pair.note(image);
    fs.writeFileSync(pair.source, changeLeaves(image, [7, 8]));
    // What else is there is nobody's business.
    fs.symlinkSync("early", `${pair.folder}/link`);
    fs.writeFileSync(`${pair.folder}/notes`, bytes(25, 5000));
    expect((await run(pair.words)).exitCode).toBe(0);
    expect(fs.readFileSync(`${pair.folder}/notes`).equals(bytes(25, 5000))).toBe(true);
    for (const name of ["link", "notes"]) fs.rmSync(`${pair.folder}/${name}`);
    pair.note(image);
    expect(pair.days.size).toBe(3);
    await pair.check();
  },
);

testWith("users", "mkfs")(
  "a file that cannot go on with the new one ends the run before anything is overwritten",
  async () => {
    const image = bytes(26, MIB);
    using pair = kept(image, changeLeaves(image, [3]));
    expect((await run(pair.words)).exitCode).toBe(0);
    const [old = ""] = fs.readdirSync(pair.folder);
    fs.writeFileSync(pair.source, changeLeaves(image, [4]));
    command("chattr", "+i", `${pair.folder}/${old}`);
    try {
      const { exitCode, stderr } = await run(pair.words);
      expect({ exitCode, stderr }).toMatchObject({
        exitCode: 4,
        stderr: expect.stringContaining(`Cannot chain "${pair.folder}/${old}": operation not permitted`),
      });
      expect(fs.readFileSync(pair.destination).equals(image)).toBe(true);
      // The new one was not needed.
      expect(fs.readdirSync(pair.folder).length).toBeLessThanOrEqual(2);
    } finally {
      command("chattr", "-i", `${pair.folder}/${old}`);
    }
  },
);

for (const kind of ["hard", "symbolic"] as const) {
  test(`a day with a ${kind} link ends the run before anything is overwritten, as it could not go on`, async () => {
    const image = bytes(35, MIB);
    using pair = kept(image, changeLeaves(image, [3]));
    expect((await run(pair.words)).exitCode).toBe(0);
    const [old = ""] = fs.readdirSync(pair.folder);
    const [here, away] = [`${pair.folder}/${old}`, pair.dir.file("away")];
    if (kind === "hard") fs.linkSync(here, away);
    else {
      fs.renameSync(here, away);
      fs.symlinkSync(away, here);
    }
    const before = fs.readFileSync(away);
    fs.writeFileSync(pair.source, changeLeaves(image, [4]));
    const { exitCode, stderr } = await run(pair.words);
    expect({ exitCode, stderr }).toMatchObject({
      exitCode: 3,
      stderr: expect.stringMatching(/Refused to chain ".*\.qcow2": it is an undo file .* \(undo-day\)/),
    });
    expect(fs.readFileSync(pair.destination).equals(image)).toBe(true);
    expect(fs.readFileSync(away).equals(before)).toBe(true);
    expect(fs.readdirSync(pair.folder)).toEqual([old]);
  });
}

test("what else is named like a day, and shows nothing of the destination, is left alone", async () => {
  const image = bytes(36, MIB);
  using pair = kept(image, changeLeaves(image, [3]));
  const others = ["headless.qcow2", "nowhere.qcow2", "folder.qcow2", "linked.qcow2"];
  fs.writeFileSync(`${pair.folder}/headless.qcow2`, "");
  fs.symlinkSync("gone", `${pair.folder}/nowhere.qcow2`);
  fs.mkdirSync(`${pair.folder}/folder.qcow2`);
  fs.linkSync(pair.source, `${pair.folder}/linked.qcow2`);
  expect(await run(pair.words)).toMatchObject({ exitCode: 0 });
  expect(fs.readdirSync(pair.folder)).toEqual(expect.arrayContaining(others));
  expect(fs.readdirSync(pair.folder).length).toBe(others.length + 1);
});

testWith("loop", "qemuImg")("a disk that comes back under another name goes on with its days", async () => {
  const image = bytes(41, MIB);
  using pair = kept(image, changeLeaves(image, [3]));
  for (const [leaf, name] of ["first", "second", "third"].entries()) {
    fs.writeFileSync(pair.source, changeLeaves(image, [leaf]));
    const before = fs.readFileSync(pair.destination);
    using loop = attachLoop(pair.destination);
    fs.symlinkSync(loop.path, pair.dir.file(name));
    expect(await run(["-f", "--undo", `${pair.folder}/`, pair.source, pair.dir.file(name)])).toMatchObject({
      exitCode: 0,
    });
    pair.note(before);
    await pair.check();
    // The name may be nobody's after that, or lead to the same device by chance.
    fs.rmSync(pair.dir.file(name));
  }
  expect(pair.days.size).toBe(3);
});

test("a file under two names has one chain", async () => {
  const image = bytes(42, MIB);
  using pair = kept(image, changeLeaves(image, [3]));
  const name = pair.dir.file("another");
  fs.symlinkSync(pair.destination, name);
  expect(await run(pair.words)).toMatchObject({ exitCode: 0 });
  fs.writeFileSync(pair.source, changeLeaves(image, [4]));
  expect(await run([...pair.words.slice(0, -1), name])).toMatchObject({ exitCode: 0 });
  const [oldest = "", newest = ""] = fs.readdirSync(pair.folder).toSorted();
  expect(await dayOf(`${pair.folder}/${oldest}`)).toEqual(changeLeaves(image, [3]));
  expect(await dayOf(`${pair.folder}/${newest}`)).toEqual(image);
});

testWith("loop")("another disk under the same name is not taken for the one of the days, by no command", async () => {
  const image = bytes(43, MIB);
  using pair = kept(image, changeLeaves(image, [3]));
  const other = pair.dir.file("other");
  const foreign = changeLeaves(image, [5]);
  fs.writeFileSync(other, foreign);
  using first = attachLoop(pair.destination);
  using second = attachLoop(other);
  const name = pair.dir.file("disk");
  const lead = (path: string) => {
    fs.rmSync(name, { force: true });
    fs.symlinkSync(path, name);
  };
  const words = [...pair.words.slice(0, -1), name];
  lead(first.path);
  expect(await run(words)).toMatchObject({ exitCode: 0 });
  const [day = ""] = fs.readdirSync(pair.folder);
  lead(second.path);
  expect(await run(words)).toMatchObject({
    exitCode: 3,
    stderr: expect.stringContaining(
      `Refused to chain "${pair.folder}/${day}": "${name}" was another disk when it was made (undo-day)`,
    ),
  });
  expect(fs.readFileSync(other).equals(foreign)).toBe(true);
  expect(fs.readdirSync(pair.folder)).toEqual([day]);
  const problem = `"${name}" is another disk than it was`;
  expect(await run(["history", pair.folder])).toMatchObject({
    exitCode: 7,
    stdout: expect.stringContaining(`not whole: ${problem}`),
  });
  const copy = pair.dir.file("copy");
  expect(await run([`${pair.folder}/${day}`, copy])).toMatchObject({
    exitCode: 7,
    stderr: expect.stringContaining(problem),
  });
  expect(fs.existsSync(copy)).toBe(false);
  lead(first.path);
  expect(await run(["history", pair.folder])).toMatchObject({ exitCode: 0 });
  expect(await dayOf(`${pair.folder}/${day}`)).toEqual(changeLeaves(image, [3]));
});

test("a folder that is not there is said", async () => {
  using pair = kept(bytes(27, MIB), bytes(28, MIB));
  fs.rmdirSync(pair.folder);
  const { exitCode, stderr } = await run(pair.words);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 4, stderr: expect.stringContaining("mkdir -p") });
  expect(fs.readFileSync(pair.destination).equals(bytes(28, MIB))).toBe(true);
});

describe("history", () => {
  /** The lines of a folder's history, without the times, and the exit code. */
  async function historyOf(folder: string): Promise<{ exitCode: number; lines: string[] }> {
    const { exitCode, stdout, stderr } = await run(["history", folder]);
    expect(stderr).toBe("");
    const lines = stdout.trimEnd().split("\n");
    for (const line of lines) expect(line).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ {2}/);
    return { exitCode, lines: lines.map((line) => line.slice("2026-11-27T06:38:21Z  ".length)) };
  }

  test("lists each day with its size, what its run changed, and whether it is whole", async () => {
    const image = bytes(31, 2 * MIB);
    using pair = kept(image, changeLeaves(image, [1, 2, 3]).subarray(0, MIB));
    const images = [image, Buffer.concat([image.subarray(0, MIB), Buffer.alloc(MIB)]), image];
    for (const next of images) {
      fs.writeFileSync(pair.source, next);
      const before = fs.readFileSync(pair.destination);
      expect((await run(pair.words)).exitCode).toBe(0);
      pair.note(before);
    }
    const names = [...pair.days.keys()].toSorted();
    const path = (name = "") => `${pair.folder}/${name}`;
    const rows = [
      ["1.0 MiB", "12.0 KiB changed"],
      ["2.0 MiB", "1.0 MiB changed "],
      ["2.0 MiB", "1.0 MiB changed "],
    ];
    const whole = names.map((name, i) => [...(rows[i] ?? []), name, "whole"].join("  "));
    expect(await historyOf(pair.folder)).toEqual({ exitCode: 0, lines: whole });

    // One in the middle that is not there, or is cut short, spoils the older ones, and no newer one.
    const [oldest = "", middle = "", newest = ""] = names;
    const copy = fs.readFileSync(path(middle));
    const states = async () => {
      const { exitCode, lines } = await historyOf(`${pair.folder}/`);
      return [exitCode, ...lines.map((line) => line.slice(line.indexOf(".qcow2") + 8).trim())];
    };
    fs.rmSync(path(middle));
    expect(await states()).toEqual([7, `not whole: it needs "${middle}", which is not there`, "whole"]);
    fs.writeFileSync(path(middle), copy.subarray(0, copy.length - 4096));
    const cut = "it is damaged, or cut short";
    expect(await states()).toEqual([7, `not whole: it needs "${middle}": ${cut}`, `not whole: ${cut}`, "whole"]);
    fs.writeFileSync(path(middle), copy);
    expect(await states()).toEqual([0, "whole", "whole", "whole"]);
    fs.rmSync(path(oldest));
    fs.rmSync(pair.destination);
    const gone = `not whole: "${pair.destination}" is not there`;
    expect(await states()).toEqual([7, gone, gone]);
    expect(newest).not.toBe("");
  });

  test("goes by what needs what, where a clock was set back", async () => {
    const image = bytes(37, MIB);
    using pair = kept(image, changeLeaves(image, [1]));
    for (const leaf of [2, 3, 4]) {
      expect((await run(pair.words)).exitCode).toBe(0);
      fs.writeFileSync(pair.source, changeLeaves(image, [leaf]));
    }
    const names = fs.readdirSync(pair.folder).toSorted();
    // The run in the middle is dated after the newest.
    const path = `${pair.folder}/${names[1]}`;
    const file = fs.readFileSync(path);
    const head = decodeHead(file.subarray(0, HEAD_LENGTH));
    if (head === undefined) throw new Error("no head");
    fs.writeFileSync(
      path,
      Buffer.concat([encodeHead({ ...head, timeMs: head.timeMs + 1e9 }), file.subarray(HEAD_LENGTH)]),
    );
    const { exitCode, lines } = await historyOf(pair.folder);
    expect({ exitCode, names: lines.map((line) => names.findIndex((name) => line.includes(name))) }).toEqual({
      exitCode: 0,
      names: [0, 1, 2],
    });
  });

  test("says of a file whose entries lead to one table again and again that it is damaged, and reads no more than it holds", async () => {
    const image = bytes(38, 64 * MIB);
    using pair = kept(
      image,
      changeLeaves(
        image,
        Array.from({ length: 512 }, (_, i) => i),
      ),
    );
    expect((await run(pair.words)).exitCode).toBe(0);
    const [name = ""] = fs.readdirSync(pair.folder);
    const path = `${pair.folder}/${name}`;
    const file = fs.readFileSync(path);
    const { l1Offset, l1Entries } = geometryOf(image.length);
    const table = file.subarray(l1Offset, l1Offset + 8);
    file.fill(table, l1Offset, l1Offset + 8 * l1Entries);
    fs.writeFileSync(path, file);
    const { exitCode, lines } = await historyOf(pair.folder);
    expect({ exitCode, lines }).toEqual({ exitCode: 7, lines: [expect.stringContaining("not whole: it is damaged")] });
    // The table, twice, and what is in it.
    expect(lines[0]).toMatch(/ {2}2\.0 MiB changed/);
  });

  test("of a folder without any is empty, and of none is an error", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("notes"), "none");
    const empty = await run(["history", dir.path]);
    expect(empty).toMatchObject({ exitCode: 0, stdout: "", stderr: `"${dir.path}" holds no undo files\n` });
    expect((await run(["history", dir.file("none")])).exitCode).toBe(4);
    expect((await run(["history", dir.file("notes")])).exitCode).toBe(4);
    for (const words of [["history"], ["history", "a", "b"], ["history", "host:/srv"]])
      expect((await run(words)).exitCode).toBe(2);
  });
});
