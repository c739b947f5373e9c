/** --undo: the file that shows the destination as it was, read and put back by the real qemu-img. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { addLeaf } from "../../src/sync/blocks.ts";
import { BINARY, fakeSsh, type Result, run, summaryOf } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { openLocal, openServed } from "../helpers/endpoints.ts";
import { attachLoop } from "../helpers/loop.ts";
import { one } from "../helpers/one.ts";
import { NEEDS, testWith } from "../helpers/requirements.ts";
import { settled } from "../helpers/settled.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const LEAF = 4096;
const MIB = 1 << 20;
const withQemu = testWith("qemuImg");
const onDevice = testWith("qemuImg", "loop", "mkfs", "mounts");

function command(...words: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(words);
  if (exitCode !== 0) throw new Error(`${words.join(" ")}: ${stdout}${stderr}`);
  return stdout.toString();
}

interface Ends extends Disposable {
  readonly dir: TempDir;
  readonly source: string;
  readonly destination: string;
  readonly undo: string;
  /** Runs a sync of the two with these words, and an undo file. */
  sync(...words: string[]): Promise<Result>;
  /** Fails unless the undo file is whole and shows `before`, and puts it back. */
  restore(before: Buffer): void;
}

function ends(source: Buffer, destination: Buffer | undefined): Ends {
  const dir = tempDir();
  const [from, to, undo] = [dir.file("source"), dir.file("destination"), dir.file("undo.qcow2")];
  fs.writeFileSync(from, source);
  if (destination !== undefined) fs.writeFileSync(to, destination);
  return {
    dir,
    source: from,
    destination: to,
    undo,
    sync: async (...words) => await run(["-f", "--undo", undo, ...words, from, to]),
    restore: (before) => restore(undo, to, before),
    [Symbol.dispose]: () => dir[Symbol.dispose](),
  };
}

function restore(undo: string, destination: string, before: Buffer): void {
  expect(command("qemu-img", "check", undo)).toContain("No errors were found");
  const expected = `${undo}.before`;
  fs.writeFileSync(expected, before);
  command("qemu-img", "compare", "-f", "qcow2", "-F", "raw", undo, expected);
  command("qemu-img", "commit", "-d", undo);
  const there = fs.readFileSync(destination);
  // What is longer by then says the run how to cut.
  expect(there.subarray(0, before.length).equals(before)).toBe(true);
}

describe("--undo", () => {
  withQemu(
    "D16.1 what is overwritten is in the file first: QEMU shows the old disk, and commit puts it back",
    async () => {
      const source = bytes(1, 3 * MIB + 512);
      const before = Buffer.concat([
        changeLeaves(source, [0, 5, 6, 700]).subarray(0, 2 * MIB),
        Buffer.alloc(MIB),
        source.subarray(3 * MIB),
      ]);
      using pair = ends(source, before);
      fs.truncateSync(pair.source, source.length);
      const result = await pair.sync("--json", "--verify");
      expect(summaryOf(result)).toMatchObject({ exitCode: 0, undo: pair.undo, verified: true });
      expect(result.stderr).toContain(
        `  undo         qemu-img commit -d '${pair.undo}' restores what was there before\n`,
      );
      expect(fs.readFileSync(pair.destination).equals(source)).toBe(true);
      expect(fs.statSync(pair.undo).mode & 0o777).toBe(0o600);
      // The leaves that held data, and tables: nothing for what was zero.
      expect(fs.statSync(pair.undo).size).toBeLessThan(30 * LEAF);
      pair.restore(before);
    },
  );

  withQemu("a source that is read once, part by part, has all that it overwrites and cuts in one file", async () => {
    const source = bytes(41, 34 * MIB + 5);
    const before = Buffer.concat([changeLeaves(source, [0, 4096, 8192, 8704]), bytes(42, MIB + 3)]);
    using pair = ends(Buffer.from(Bun.zstdCompressSync(source)), before);
    const result = await pair.sync("-T", "--decompress", "always");
    expect({ exitCode: result.exitCode, said: result.stderr.includes(`' && truncate -s ${before.length} '`) }).toEqual({
      exitCode: 0,
      said: true,
    });
    expect(fs.readFileSync(pair.destination).equals(source)).toBe(true);
    pair.restore(before);
  });

  withQemu("a destination that grows, or is cut, has its old size in the file, and its tail", async () => {
    const [short, long] = [bytes(2, MIB + 777), bytes(3, 3 * MIB + 100)];
    using grown = ends(long, short);
    const { exitCode, stderr } = await grown.sync();
    expect({ exitCode, said: stderr.includes(`' && truncate -s ${short.length} '`) }).toEqual({
      exitCode: 0,
      said: true,
    });
    grown.restore(short);
    using cut = ends(short, long);
    expect((await cut.sync("-T")).exitCode).toBe(0);
    expect(fs.statSync(cut.destination).size).toBe(short.length);
    cut.restore(long);
  });

  withQemu("holes are kept in the entries of a table, not as data", async () => {
    const source = bytes(4, 4 * MIB);
    using pair = ends(source, Buffer.alloc(0));
    fs.truncateSync(pair.destination, 4 * MIB);
    expect((await pair.sync()).exitCode).toBe(0);
    expect(fs.statSync(pair.undo).size).toBeLessThan(24 * LEAF);
    pair.restore(Buffer.alloc(4 * MIB));
  });

  withQemu("on the far side the file is there, found from where the login begins", async () => {
    const source = bytes(5, 2 * MIB);
    const before = changeLeaves(source, [1, 2, 511]);
    using pair = ends(source, before);
    const words = ["-f", "--json", ...fakeSsh(pair.dir.file("rsh")), "-S", BINARY, "--undo", "far undo"];
    const result = await run([...words, pair.source, `backup:${pair.destination}`], { cwd: pair.dir.path });
    expect(summaryOf(result)).toMatchObject({ exitCode: 0, undo: "far undo", bytesWritten: 3 * LEAF });
    expect(result.stderr).toContain("qemu-img commit -d 'far undo' (on backup) restores what was there before\n");
    restore(pair.dir.file("far undo"), pair.destination, before);
  });

  onDevice("a device is saved as a file is, and not in its own file system", async () => {
    const source = bytes(6, 8 * MIB);
    using pair = ends(source, Buffer.alloc(8 * MIB));
    command("mkfs.ext4", "-q", pair.destination);
    const before = fs.readFileSync(pair.destination);
    using loop = attachLoop(pair.destination);
    const { exitCode, stdout } = await run(["-f", "--json", "--undo", pair.undo, pair.source, loop.path]);
    expect({ exitCode, undo: stdout.includes(pair.undo) }).toEqual({ exitCode: 0, undo: true });
    restore(pair.undo, loop.path, before);
    const point = pair.dir.file("mounted");
    fs.mkdirSync(point);
    command("mount", loop.path, point);
    try {
      const inside = ["--allow", "mounted", "-f", "--undo", `${point}/undo`, pair.source, loop.path];
      const refused = await run(inside);
      expect({ exitCode: refused.exitCode, stderr: refused.stderr }).toMatchObject({
        exitCode: 3,
        stderr: expect.stringContaining(`it would be in the file system of "${loop.path}" (undo-place)`),
      });
      expect(fs.existsSync(`${point}/undo`)).toBe(false);
    } finally {
      command("umount", point);
    }
  });

  testWith("qemuImg", "mounts")(
    "a full disk ends the run before anything is overwritten that is not saved",
    async () => {
      const source = bytes(7, 16 * MIB);
      const before = bytes(8, 16 * MIB);
      using pair = ends(source, before);
      const full = pair.dir.file("full");
      fs.mkdirSync(full);
      command("mount", "-t", "tmpfs", "-o", "size=3M", "tmpfs", full);
      try {
        const undo = `${full}/undo`;
        const { exitCode, stderr } = await run(["-f", "-b", "64K", "--undo", undo, pair.source, pair.destination]);
        expect({ exitCode, stderr }).toMatchObject({
          exitCode: 4,
          stderr: expect.stringContaining(
            `Cannot write the undo file "${undo}": no space left on device; nothing was overwritten that it does not hold\n`,
          ),
        });
        expect(stderr).toContain(`  undo         qemu-img commit -d '${undo}' restores what was there before\n`);
        expect([0, 3]).toContain(Bun.spawnSync(["qemu-img", "check", undo]).exitCode);
        command("qemu-img", "commit", "-d", undo);
        expect(fs.readFileSync(pair.destination).equals(before)).toBe(true);
        const none = await run(["-f", "--undo", `${full}/x/undo`, pair.source, pair.destination]);
        expect(none.exitCode).toBe(4);
      } finally {
        command("umount", full);
      }
    },
  );

  test("a name that is taken is refused, whatever has it, and so is a place where no file may be", async () => {
    const source = bytes(9, MIB);
    const before = changeLeaves(source, [3]);
    using pair = ends(source, before);
    const { dir, undo } = pair;
    fs.symlinkSync("nowhere", undo);
    const linked = await pair.sync("--json");
    expect(summaryOf(linked)).toMatchObject({ exitCode: 3, undo: null });
    expect(linked.stderr).toContain(
      `Refused to create "${undo}": it exists already, and may hold what another run has overwritten (undo-exists)\n`,
    );
    expect(fs.existsSync(dir.file("nowhere"))).toBe(false);
    const as = async (path: string) => (await run(["-f", "--undo", path, pair.source, pair.destination])).exitCode;
    expect([
      await as(dir.path),
      await as(`${dir.file("new")}/`),
      await as(dir.file("no/undo")),
      await as("/dev/undo"),
      await as(pair.source),
    ]).toEqual([3, 4, 4, 2, 2]);
    const lanes = await pair.sync("-w", "2");
    expect(lanes.exitCode).toBe(2);
    expect(lanes.stderr).toContain("--undo and --workers 2 contradict each other");
    expect(fs.readFileSync(pair.destination).equals(before)).toBe(true);
    expect(fs.readdirSync(dir.path).toSorted()).toEqual(["destination", "source", "undo.qcow2"]);
  });

  test("what cannot be overwritten has no file: a new destination, an empty one, and a dry run", async () => {
    const source = bytes(10, MIB);
    using pair = ends(source, undefined);
    const made = await pair.sync("--json");
    expect(summaryOf(made)).toMatchObject({ exitCode: 0, undo: null });
    expect(made.stderr).toContain(`"${pair.destination}" holds nothing yet, so there is nothing to undo`);
    fs.truncateSync(pair.destination, 0);
    expect(summaryOf(await pair.sync("--json"))).toMatchObject({ exitCode: 0, undo: null });
    fs.writeFileSync(pair.destination, changeLeaves(source, [1]));
    expect(summaryOf(await pair.sync("--json", "-n"))).toMatchObject({ exitCode: 1, undo: null });
    expect(fs.existsSync(pair.undo)).toBe(false);
  });

  test("a far side that may write one path makes no other file", async () => {
    const source = bytes(11, MIB);
    const before = changeLeaves(source, [9]);
    using pair = ends(source, before);
    const script = pair.dir.file("only");
    fs.writeFileSync(script, `#!/bin/sh\nexec '${BINARY}' serve --only '${pair.destination}'\n`, { mode: 0o755 });
    const words = ["-f", "-e", JSON.stringify(script), "-S", BINARY, "--undo", pair.undo];
    const { exitCode, stderr } = await run([...words, pair.source, `backup:${pair.destination}`]);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 3, stderr: expect.stringContaining(" (only)\n") });
    expect(fs.existsSync(pair.undo)).toBe(false);
    expect(fs.readFileSync(pair.destination).equals(before)).toBe(true);
  });
});

withQemu("what is patched, sector by sector, is saved before", async () => {
  const before = bytes(13, MIB + 700);
  using pair = ends(Buffer.alloc(0), before);
  const undo = { path: pair.undo, label: pair.undo, run: new Uint8Array(16), chain: false };
  const endpoint = await openLocal(pair.destination, { access: "write", undo });
  try {
    await endpoint.prepare(before.length, { exact: true });
    // Two sectors of a block, and the short one at the end of the other.
    expect(await endpoint.patch(0, { sectors: sectors(2048, [7, 2047]), bytes: bytes(14, 1024) })).toBe(1024);
    expect(await endpoint.patch(1, { sectors: sectors(2, [1]), bytes: bytes(15, 188) })).toBe(188);
    await endpoint.flush();
  } finally {
    await endpoint.close();
  }
  expect(fs.readFileSync(pair.destination).equals(before)).toBe(false);
  pair.restore(before);
});

/** A set of `count` sectors that has these. */
function sectors(count: number, chosen: readonly number[]): Uint8Array {
  const set = new Uint8Array(Math.ceil(count / 8));
  for (const sector of chosen) addLeaf(set, sector);
  return set;
}

describe("a run that starts over", () => {
  const hashes = (endpoint: { description: { zeroHash: Uint8Array } }) => endpoint.description.zeroHash;

  for (const [where, open] of [
    ["here", openLocal],
    ["on the far side", async (...words: Parameters<typeof openLocal>) => (await openServed(...words)).endpoint],
  ] as const) {
    test(`goes on with its own undo file, and with no other one (${where})`, async () => {
      using pair = ends(Buffer.alloc(0), bytes(12, 2 * MIB));
      const before = fs.readFileSync(pair.destination);
      const run = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
      const undo = { path: pair.undo, label: pair.undo, run, chain: false };
      const pass = async (block: number, sizeBytes: number, id: Uint8Array) => {
        const endpoint = await open(pair.destination, { access: "write", undo: { ...undo, run: id } });
        try {
          await endpoint.prepare(sizeBytes, { exact: false });
          const data = { leaves: new Uint8Array(32), zeros: new Uint8Array(32).fill(255), bytes: new Uint8Array() };
          await endpoint.write(one(block), { hashes: hashes(endpoint), ...data, release: () => undefined });
        } finally {
          await endpoint.close();
        }
      };
      await pass(0, 3 * MIB, run);
      // It is as long now as the first pass has made it.
      await pass(1, 3 * MIB, run);
      (
        await settled(
          pass(
            1,
            3 * MIB,
            run.map((byte) => byte + 1),
          ),
        )
      ).rejects.toThrow("it exists already");
      expect(fs.readFileSync(pair.destination).equals(Buffer.alloc(3 * MIB))).toBe(true);
      if (NEEDS.qemuImg === undefined) pair.restore(before);
    });
  }
});
