/** --used-blocks and --changed-blocks: only what is listed is read, on either side, and what is believed is said. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { BINARY, fakeSsh, run, summaryOf } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const LEAF = 4096;
const LEAVES = 512;
const SIZE = LEAVES * LEAF;
const DATA = bytes(1, SIZE);
/** Listed are leaves 8 to 11 and 300, the second of them not from its beginning. */
const LIST = JSON.stringify([
  { offset: 8 * LEAF, length: 4 * LEAF, exists: true },
  { offset: 300 * LEAF + 100, length: 10, exists: true },
]);
const LISTED = 5;

function write(dir: TempDir, name: string, content: Uint8Array | string): string {
  fs.writeFileSync(dir.file(name), content);
  return dir.file(name);
}

for (const far of [false, true]) {
  const where = far ? "with a destination at the far side" : "here";
  const ends = (dir: TempDir) => (far ? [...fakeSsh(dir.file("rsh")), "-S", BINARY] : []);

  test(`only what is listed is read and written, ${where}, by several lanes too`, async () => {
    for (const lanes of ["1", "3"]) {
      using dir = tempDir();
      const from = write(dir, "from", DATA);
      const before = changeLeaves(DATA, [0, 9, 300, 511]);
      const to = write(dir, "to", before);
      const list = write(dir, "list", LIST);
      const words = ["-b", "4K", "-w", lanes, "-l", "0", "--json", "--used-blocks", list];
      const result = await run([...words, ...ends(dir), from, far ? `h:${to}` : to]);
      expect(summaryOf(result)).toMatchObject({
        exitCode: 0,
        leavesWritten: 2,
        bytesBelieved: SIZE - LISTED * LEAF,
        sourceFingerprint: null,
        blocksTotal: LEAVES,
      });
      // What differs is read to copy it, and once more where it was written; besides, each side is looked at for what it carries.
      const read = Number(summaryOf(result)["bytesRead"]);
      expect(read).toBeLessThanOrEqual(2 * LISTED * LEAF + 3 * 2 * LEAF);
      expect(fs.readFileSync(to).equals(changeLeaves(DATA, [0, 511]))).toBe(true);
      const said = far ? undefined : await run(["-b", "4K", "--progress", "none", "--used-blocks", list, from, to]);
      if (said !== undefined)
        expect(said.stderr).toContain(
          ": 20.0 KiB equal, 2.0 MiB not looked at since --used-blocks does not list it, nothing written\n",
        );
    }
  });
}

test("--verify looks at what is used alone, and of what has not changed at everything", async () => {
  using dir = tempDir();
  const from = write(dir, "from", DATA);
  const to = write(dir, "to", changeLeaves(DATA, [9, 100]));
  const list = write(dir, "list", LIST);
  const words = ["-b", "4K", "-q", "--verify"];
  expect((await run([...words, "--used-blocks", list, from, to])).exitCode).toBe(0);
  const changed = await run([...words, "--changed-blocks", list, from, to]);
  expect(changed).toMatchObject({
    exitCode: 7,
    stderr: `blocksync: Verification failed: "${to}" differs from "${from}" where --changed-blocks says that nothing has changed: 4096 bytes (4096 at offset ${100 * LEAF})\nblocksync: hint: the list is of other contents, or wrong: run again without it\n`,
  });
  fs.writeFileSync(to, changeLeaves(DATA, [9]));
  const right = await run(["-b", "4K", "--json", "--verify", "--changed-blocks", list, from, to]);
  expect(summaryOf(right)).toMatchObject({ exitCode: 0, verified: true, leavesWritten: 1 });
  expect(fs.readFileSync(to).equals(DATA)).toBe(true);
});

test("the map of a dry run is a list of what has changed; a new destination takes what is used", async () => {
  using dir = tempDir();
  const from = write(dir, "from", DATA);
  const to = write(dir, "to", changeLeaves(DATA, [7, 400]));
  expect((await run(["-n", "-q", `--map=${dir.file("map.json")}`, from, to])).exitCode).toBe(1);
  expect((await run(["-q", "--changed-blocks", dir.file("map.json"), from, to])).exitCode).toBe(0);
  expect(fs.readFileSync(to).equals(DATA)).toBe(true);
  const list = write(dir, "list", LIST);
  expect((await run(["-q", "-b", "4K", "--used-blocks", list, from, dir.file("new")])).exitCode).toBe(0);
  const expected = Buffer.alloc(SIZE);
  for (const leaf of [8, 9, 10, 11, 300]) DATA.copy(expected, leaf * LEAF, leaf * LEAF, (leaf + 1) * LEAF);
  expect(fs.readFileSync(dir.file("new")).equals(expected)).toBe(true);
});

test("a list that is older than the last change of its source is said to be, before anything is written", async () => {
  using dir = tempDir();
  const list = write(dir, "list", LIST);
  const from = write(dir, "from", DATA);
  const to = write(dir, "to", changeLeaves(DATA, [9]));
  const said = async (listTime: number) => {
    fs.utimesSync(list, listTime, listTime);
    fs.utimesSync(from, 2000, 2000);
    return (await run(["-n", "-b", "4K", "--progress", "none", "--changed-blocks", list, from, to])).stderr;
  };
  const notice = `The list of blocks "${list}" is older than the last change of "${from}", of which it says nothing\n`;
  expect(await said(1999)).toStartWith(notice);
  for (const time of [2000, 2001]) expect(await said(time)).not.toContain("older");
});

test("a list that does not fit, or does not go with the rest, is refused before anything is written", async () => {
  using dir = tempDir();
  const from = write(dir, "from", DATA);
  const old = bytes(2, SIZE);
  const to = write(dir, "to", old);
  const list = write(dir, "list", LIST);
  const long = write(dir, "long", LIST.replace(/\d+(?=,"length":10)/, String(SIZE + LEAF)));
  const dirty = write(dir, "dirty", `[{"offset":0,"length":${SIZE},"description":"dirty"}]`);
  const cases: [string[], number, string][] = [
    [
      ["--used-blocks", long, from, to],
      3,
      `it is about ${SIZE + LEAF + 10} bytes, and the source "${from}" has ${SIZE} (other-list)`,
    ],
    [["--changed-blocks", list, from, dir.file("new")], 3, "it does not exist, so it cannot be equal"],
    [["--used-blocks", dir.file("none"), from, to], 4, "Cannot use the list of blocks"],
    [["--used-blocks", from, from, to], 2, "Cannot read the list of blocks"],
    [["--used-blocks", dirty, from, to], 2, "says what has changed, not what is used"],
    [["--used-blocks", write(dir, "empty", "[]"), from, to], 2, "says that nothing is used"],
    [["--used-blocks", list, "--changed-blocks", list, from, to], 2, "contradict each other"],
    [["--used-blocks", list, "--on-read-error", "skip", from, to], 2, "does not go with --on-read-error skip"],
    [["--used-blocks", list, "http://127.0.0.1:1/image", to], 2, "does not go with a hash tree"],
  ];
  for (const [words, exitCode, message] of cases) {
    const result = await run(["-q", ...words]);
    expect({ words, exitCode: result.exitCode }).toEqual({ words, exitCode });
    expect(result.stderr).toContain(message);
  }
  expect(fs.readFileSync(to).equals(old)).toBe(true);
  expect(fs.existsSync(dir.file("new"))).toBe(false);
});
