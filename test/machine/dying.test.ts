/** A disk that dies: what is bad told from what is gone, the map at any moment, and how a second run goes on. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { BINARY, fakeSsh, run, summaryOf, until } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { attachLoop } from "../helpers/loop.ts";
import { watch } from "../helpers/meddle.ts";
import { badDisk, failingDisk, lyingDisk } from "../helpers/nbd.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const onFaulty = testWith("nbd");

function file(dir: TempDir, name: string, data: Buffer): string {
  fs.writeFileSync(dir.file(name), data);
  return dir.file(name);
}

/** The words that make a path the far side of a connection. */
function farWords(dir: TempDir): string[] {
  return [...fakeSsh(dir.file("fake-ssh")), "-S", BINARY];
}

/** What a map says, as "OFFSET LENGTH STATUS" in MiB. */
function areasOf(map: string): string[] {
  const lines = fs.readFileSync(map, "utf8").matchAll(/^0x(\w+) {2}0x(\w+) {2}(.)$/gm);
  return [...lines].map(([, offset, length, status]) =>
    [Number(`0x${offset}`) / MIB, Number(`0x${length}`) / MIB, status].join(" "),
  );
}

for (const far of [false, true]) {
  const where = far ? "over a connection" : "here";
  describe(`a dying source ${where}`, () => {
    for (const there of ["nothing", "another image"]) {
      onFaulty(`stop stops at the first bad place, with ${there} at the destination`, async () => {
        using dir = tempDir();
        const image = file(dir, "image", bytes(401, 16 * MIB));
        fs.truncateSync(image, 1024 * MIB);
        await using disk = await badDisk(image, [{ offset: 8 * MIB + 4096, length: 4096 }]);
        if (there !== "nothing") file(dir, "d", bytes(402, 16 * MIB));
        const from = `${far ? "host:" : ""}${disk.path}`;
        const result = await run([...(far ? farWords(dir) : []), "--json", from, dir.file("d")]);
        expect(result.exitCode).toBe(4);
        expect(result.stderr).toContain(`Cannot read 4096 bytes at offset ${8 * MIB + 4096} of `);
        expect(result.stderr).toContain(
          "hint: a sync with --on-read-error skip --mapfile FILE copies what can still be read",
        );
        // What was under way at that moment; it was all 1023 others of 1024.
        const { blocksMatching, blocksDiffering } = summaryOf(result);
        expect(Number(blocksMatching) + Number(blocksDiffering)).toBeLessThan(1023);
      });
    }

    onFaulty("a source that is gone ends the run at once, and nothing of it is called bad", async () => {
      using dir = tempDir();
      const data = bytes(403, 16 * MIB);
      await using disk = await failingDisk(file(dir, "image", data), "read", "EIO");
      const words = ["--on-read-error", "skip", "--mapfile", dir.file("map"), "-p", "500", "-t", "0.05"];
      const from = `${far ? "host:" : ""}${disk.path}`;
      const result = await watch([...(far ? farWords(dir) : []), ...words, from, dir.file("d")], "remaining)", () =>
        disk.fail(true),
      );
      expect(result.stderr).toContain("it is gone (nothing on it can be read)\n");
      expect(result.stderr).toContain("hint: check its cable and the kernel log (dmesg)");
      expect(result.exitCode).toBe(4);
      // Below a read of a block the kernel tries its 256 pages, some of them twice, and eight reads may be in flight; sector
      // by sector it would be tens of thousands.
      expect(disk.failures()).toBeLessThan(8 * 256 * 2);
      expect(fs.readFileSync(dir.file("map"), "utf8")).not.toMatch(/ [-*/]$/m);
      expect(areasOf(dir.file("map")).at(-1)).toEndWith(" ?");
      // It is plugged in again.
      disk.fail(false);
      expect((await run([...(far ? farWords(dir) : []), ...words.slice(0, 4), from, dir.file("d")])).exitCode).toBe(0);
      expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
      expect(areasOf(dir.file("map"))).toEqual(["0 16 +"]);
    });
  });
}

onFaulty("a bad sector is tried a few times, and not once for each page before it", async () => {
  using dir = tempDir();
  const data = bytes(425, 8 * MIB);
  // At the end of a block, which is where a read of it gets last.
  const areas = Array.from({ length: 6 }, (_, i) => ({ offset: (i + 2) * MIB - 512, length: 512 }));
  await using disk = await badDisk(file(dir, "image", data), areas);
  const before = disk.reads();
  const result = await run(["--on-read-error", "skip", "--json", disk.path, file(dir, "d", bytes(426, 8 * MIB))]);
  expect(summaryOf(result)).toMatchObject({ exitCode: 8, sourceUnreadableBytes: 6 * 512 });
  const after = disk.reads();
  // Its block, twice where the first time was the page cache's way, its page and itself; how far the kernel reads ahead
  // depends on what else the machine does. Each page before it would be 255.
  expect(after.failed - before.failed).toBeLessThan(6 * 20);
  // What else was tried before a bad place was read around the page cache was the disk's beginning, each time.
  expect(after.first - before.first).toBeLessThanOrEqual(2 * 6);
});

onFaulty("a bad sector of 4096 bytes is not tried eight times as if it were eight", async () => {
  using dir = tempDir();
  const areas = [{ offset: MIB, length: 4096 }];
  await using disk = await badDisk(file(dir, "image", bytes(431, 4 * MIB)), areas);
  using native = attachLoop(disk.file, "--direct-io=on", "--sector-size", "4096");
  const failed = async (...words: string[]) => {
    const before = disk.reads().failed;
    const result = await run(["--on-read-error", "skip", "--json", ...words, native.path, dir.file("d")]);
    expect(summaryOf(result)).toMatchObject({ exitCode: 8, sourceUnreadableBytes: 4096 });
    return disk.reads().failed - before;
  };
  expect(await failed()).toBeLessThan(8);
  expect(await failed("--retries", "3")).toBeLessThan(12);
});

onFaulty("a disk that is nearly all bad is not taken for one that is gone", async () => {
  using dir = tempDir();
  const data = bytes(427, 2 * MIB);
  const good = { offset: 1.875 * MIB, length: 64 * 1024 };
  const end = good.offset + good.length;
  const areas = [
    { offset: 0, length: good.offset },
    { offset: end, length: 2 * MIB - end },
  ];
  await using disk = await badDisk(file(dir, "image", data), areas);
  const result = await run(["--json", "--on-read-error", "skip", disk.path, dir.file("d")]);
  expect(summaryOf(result)).toMatchObject({ exitCode: 8, sourceUnreadableBytes: 2 * MIB - good.length });
  expect(fs.readFileSync(dir.file("d")).subarray(good.offset, end).equals(data.subarray(good.offset, end))).toBe(true);
});

onFaulty("a disk of which nothing at all can be read is not read sector by sector", async () => {
  using dir = tempDir();
  await using disk = await failingDisk(file(dir, "image", bytes(404, 8 * MIB)), "read", "EIO");
  disk.fail(true);
  const before = bytes(405, 8 * MIB);
  const words = ["--on-read-error", "skip", "--mapfile", dir.file("map"), disk.path, file(dir, "d", before)];
  const result = await run(words);
  expect(result.stderr).toContain("it is gone (nothing on it can be read)\n");
  expect(result.exitCode).toBe(4);
  // Below a read of a block the kernel tries its parts; sector by sector it would be tens of thousands.
  expect(disk.failures()).toBeLessThan(2000);
  expect(areasOf(dir.file("map"))).toEqual(["0 8 ?"]);
  expect(fs.readFileSync(dir.file("d")).equals(before)).toBe(true);
});

const SKIP = ["--on-read-error", "skip", "--mapfile"];

/** Runs and ends the run with a signal once the map calls what is before, and some of what is behind, `place` read. */
async function endedBy(
  signal: "SIGINT" | "SIGKILL",
  words: readonly string[],
  map: string,
  place?: string,
): Promise<number> {
  const child = Bun.spawn([BINARY, ...words], { stdio: ["ignore", "ignore", "ignore"] });
  await until("the map has something", () => {
    const areas = fs.existsSync(map) ? areasOf(map) : [];
    const isRead = (area: string | undefined) => area?.endsWith(" +") === true;
    if (place === undefined) return areas.some(isRead);
    return areas[1] === place && isRead(areas[0]) && isRead(areas[2]);
  });
  child.kill(signal);
  return await child.exited;
}

/** Insists that the destination has what the map calls read, and that the map is about all of it. */
function expectTrue(map: string, there: string, data: Buffer): void {
  const held = fs.readFileSync(there);
  let end = 0;
  for (const area of areasOf(map)) {
    const [offset = 0, length = 0] = area.split(" ").map((word) => Number(word) * MIB);
    expect(offset).toBe(end);
    end = offset + length;
    if (area.endsWith("+")) expect(held.subarray(offset, end).equals(data.subarray(offset, end))).toBe(true);
  }
  expect(end).toBe(data.length);
  expect(Bun.spawnSync(["ddrescuelog", "-t", map]).exitCode).toBe(0);
}

/** Processes that a process has started, and those that these have. */
function descendants(pid: number): number[] {
  const listed = Bun.spawnSync(["ps", "-o", "pid=", "--ppid", String(pid)]).stdout.toString();
  return [...listed.matchAll(/\d+/g)].flatMap(([child]) => [Number(child), ...descendants(Number(child))]);
}

for (const far of [false, true]) {
  const where = far ? "over a connection" : "here";
  describe(`the map ${where}`, () => {
    onFaulty("of a source that was healthy makes no new bad sector good", async () => {
      using dir = tempDir();
      const data = bytes(411, 8 * MIB);
      const image = file(dir, "image", data);
      const place = { offset: 3 * MIB + 512, length: 512 };
      const words = (disk: string) => {
        const from = `${far ? "host:" : ""}${disk}`;
        return [...(far ? farWords(dir) : []), "--json", ...SKIP, dir.file("map"), from, dir.file("d")];
      };
      expect((await run(words(image))).exitCode).toBe(0);
      expect(areasOf(dir.file("map"))).toEqual(["0 8 +"]);
      // The sector is rewritten, and goes bad.
      const changed = Buffer.from(data);
      bytes(412, 512).copy(changed, place.offset);
      fs.writeFileSync(image, changed);
      await using disk = await badDisk(image, [place]);
      for (const _ of ["once", "and again"]) {
        const result = await run(words(disk.path));
        expect(summaryOf(result)).toMatchObject({
          exitCode: 8,
          sourceUnreadableBytes: 512,
          bytesKept: 512,
          bytesBelieved: 0,
        });
        expect(result.stderr).toContain(
          `Unreadable: 512 bytes at offset ${3 * MIB + 512} of the source; the destination keeps what an earlier run read there\n`,
        );
        // What was rescued stays rescued.
        expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
        expect(areasOf(dir.file("map"))).toEqual(["0 8 +"]);
      }
    });

    onFaulty("of a run that was interrupted says what was read, and the same command goes on", async () => {
      using dir = tempDir();
      const data = bytes(413, 24 * MIB);
      const bad = { offset: 2 * MIB + 4096, length: 4096 };
      await using disk = await badDisk(file(dir, "image", data), [bad]);
      const from = `${far ? "host:" : ""}${disk.path}`;
      const words = [...(far ? farWords(dir) : []), "--json", ...SKIP, dir.file("map"), from, dir.file("d")];
      expect(await endedBy("SIGINT", ["-p", "1000", ...words], dir.file("map"), "2 1 *")).toBe(130);
      expectTrue(dir.file("map"), dir.file("d"), data);
      const first = areasOf(dir.file("map"));
      expect(first.at(-1)).toEndWith(" ?");
      expect(first.slice(0, 3)).toEqual(["0 2 +", "2 1 *", expect.stringMatching(/^3 \d+ \+$/)]);
      const result = summaryOf(await run(words));
      expect(result).toMatchObject({ exitCode: 8, sourceUnreadableBytes: 4096, bytesKept: 0 });
      // All but the samples of what it had.
      const had = 2 + Number(first[2]?.split(" ")[1]);
      expect(result["bytesBelieved"]).toBe((had - 1) * MIB);
      const there = fs.readFileSync(dir.file("d"));
      expect(there.subarray(0, bad.offset).equals(data.subarray(0, bad.offset))).toBe(true);
      expect(there.subarray(bad.offset + 4096).equals(data.subarray(bad.offset + 4096))).toBe(true);
      expect(areasOf(dir.file("map")).map((area) => area.slice(-1))).toEqual(["+", "-", "+"]);
    });

    onFaulty("is true after kill -9 at any moment, and blocksync and ddrescue go on with it", async () => {
      using dir = tempDir();
      const data = bytes(414, 24 * MIB);
      await using disk = await badDisk(file(dir, "image", data), [{ offset: 2 * MIB, length: 4096 }]);
      const words = [...(far ? farWords(dir) : []), ...SKIP, dir.file("map"), `${far ? "host:" : ""}${disk.path}`];
      // A far side that waited for its controller would go on reading ahead while ddrescue does.
      const killed = ["-p", "1000", "--reconnect", "0", ...words, dir.file("d")];
      await endedBy("SIGKILL", killed, dir.file("map"), "2 1 *");
      expectTrue(dir.file("map"), dir.file("d"), data);
      expect(areasOf(dir.file("map"))).toContain("2 1 *");
      const rescue = Bun.spawnSync(["ddrescue", "-q", "-f", disk.path, dir.file("d"), dir.file("map")]);
      expect({ exitCode: rescue.exitCode, stderr: rescue.stderr.toString() }).toEqual({ exitCode: 0, stderr: "" });
      expectTrue(dir.file("map"), dir.file("d"), data);
      const result = await run([...words, dir.file("d")]);
      expect(result.exitCode).toBe(8);
      expect(result.stderr).toContain("equal except for 4.0 KiB that cannot be read, nothing written");
      expect(areasOf(dir.file("map"))).toEqual(["0 2 +", "2 0.00390625 -", "2.00390625 21.99609375 +"]);
    });
  });

  onFaulty(`60 blocks with bad sectors are all salvaged ${where}`, async () => {
    using dir = tempDir();
    const data = bytes(415, 60 * 65_536);
    const areas = Array.from({ length: 60 }, (_, i) => ({ offset: i * 65_536 + 8192, length: 512 }));
    await using disk = await badDisk(file(dir, "image", data), areas);
    const link = far ? farWords(dir) : [];
    const there = Buffer.alloc(data.length, 1);
    const words = [...link, "-b", "64K", "--on-read-error", "skip", "--json", `${far ? "host:" : ""}${disk.path}`];
    const result = await run([...words, `${far ? "host:" : ""}${file(dir, "d", there)}`]);
    expect(summaryOf(result)).toMatchObject({ exitCode: 8, sourceUnreadableBytes: 60 * 512, blocksDiffering: 60 });
    const expected = Buffer.from(data);
    for (const { offset } of areas) expected.fill(1, offset, offset + 512);
    expect(fs.readFileSync(dir.file("d")).equals(expected)).toBe(true);
  });
}

test("a healthy source whose copy was interrupted is compared as a whole, what was missing first", async () => {
  using dir = tempDir();
  const data = bytes(417, 24 * MIB);
  const words = ["--json", ...SKIP, dir.file("map"), file(dir, "s", data), dir.file("d")];
  expect(await endedBy("SIGINT", ["-p", "100", ...words], dir.file("map"))).toBe(130);
  // What was copied is another one by now, or somebody was at it.
  data.fill(7, 0, 4096);
  file(dir, "s", data);
  const result = summaryOf(await run(words));
  expect(result).toMatchObject({ exitCode: 0, bytesBelieved: 0 });
  expect(result["sourceFingerprint"]).toBe(result["destinationFingerprint"]);
  expect(result["sourceFingerprint"]).toBeString();
  expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
  expect(areasOf(dir.file("map"))).toEqual(["0 24 +"]);
});

onFaulty("a map is not believed of another destination, nor of one that holds something else", async () => {
  using dir = tempDir();
  const data = bytes(418, 64 * MIB);
  await using disk = await badDisk(file(dir, "image", data), [{ offset: 63 * MIB, length: 512 }]);
  const map = (destination: string) =>
    `${destination}0x0 ? 1\n0x0 0x3F00000 +\n0x3F00000 0x200 -\n0x3F00200 0xFFE00 ?\n`;
  for (const [heading, said] of [
    [`# Destination: "/srv/other.img"\n`, "The rescue map was made for another destination"],
    ["", "The destination does not hold what the rescue map lists as rescued, so everything is compared"],
  ] as const) {
    file(dir, "map", Buffer.from(map(heading)));
    file(dir, "d", bytes(419, 64 * MIB));
    const result = await run(["--json", ...SKIP, dir.file("map"), disk.path, dir.file("d")]);
    expect(result.stderr).toContain(said);
    expect(summaryOf(result)).toMatchObject({ exitCode: 8, bytesBelieved: 0, sourceUnreadableBytes: 512 });
    expect(
      fs
        .readFileSync(dir.file("d"))
        .subarray(0, 63 * MIB)
        .equals(data.subarray(0, 63 * MIB)),
    ).toBe(true);
  }
  // Its own map is believed, under any name that leads there.
  fs.symlinkSync("d", dir.file("link"));
  file(dir, "map", Buffer.from(map(`# Destination: ${JSON.stringify(dir.file("d"))}\n`)));
  const again = await run(["--json", ...SKIP, dir.file("map"), disk.path, dir.file("link")]);
  expect(again.stderr).not.toMatch(/another destination|does not hold/);
  expect(summaryOf(again)).toMatchObject({ exitCode: 8, bytesBelieved: 62 * MIB });
  // A sample of both sides, and the block with the bad place.
  expect(Number(summaryOf(again)["bytesRead"])).toBeLessThan(5 * MIB);
});

onFaulty("what a map calls read is not believed of a blank disk, though most of it is zero", async () => {
  using dir = tempDir();
  const data = Buffer.alloc(64 * MIB);
  for (const block of [3, 22, 47]) bytes(428 + block, 4096).copy(data, block * MIB + 8192);
  await using disk = await badDisk(file(dir, "image", data), [{ offset: 63 * MIB, length: 512 }]);
  const map = "0x0 ? 1\n0x0 0x3F00000 +\n0x3F00000 0x200 -\n0x3F00200 0xFFE00 ?\n";
  file(dir, "map", Buffer.from(map));
  file(dir, "d", Buffer.alloc(data.length));
  const blank = await run(["--json", ...SKIP, dir.file("map"), disk.path, dir.file("d")]);
  expect(blank.stderr).toContain(
    "The destination does not hold what the rescue map lists as rescued, so everything is compared",
  );
  expect(summaryOf(blank)).toMatchObject({ exitCode: 8, bytesBelieved: 0, sourceUnreadableBytes: 512 });
  expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
  // One that has it is believed, but for what was looked at.
  file(dir, "map", Buffer.from(map));
  const again = await run(["--json", ...SKIP, dir.file("map"), disk.path, dir.file("d")]);
  expect(again.stderr).not.toContain("does not hold");
  expect(summaryOf(again)).toMatchObject({ exitCode: 8, sourceUnreadableBytes: 512 });
});

onFaulty("what a map calls read is not read sector by sector once the source has become worse", async () => {
  using dir = tempDir();
  const data = bytes(432, 4 * MIB);
  await using disk = await badDisk(file(dir, "image", data), [{ offset: 0, length: 3.75 * MIB }]);
  file(dir, "map", Buffer.from("0x0 ? 1\n0x0 0x3C0000 +\n0x3C0000 0x40000 ?\n"));
  file(dir, "d", Buffer.concat([data.subarray(0, 3.75 * MIB), Buffer.alloc(0.25 * MIB)]));
  const before = disk.reads().failed;
  const result = await run(["--json", "-b", "64K", ...SKIP, dir.file("map"), disk.path, dir.file("d")]);
  expect(summaryOf(result)).toMatchObject({ exitCode: 8, bytesKept: 65_536, bytesBelieved: 59 * 65_536 });
  expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
  // Those of one sample, and of what the kernel reads ahead.
  expect(disk.reads().failed - before).toBeLessThan(1000);
});

onFaulty("what a map calls read beside a bad place is not believed of a disk that holds something else", async () => {
  for (const held of [0, 20]) {
    using dir = tempDir();
    const data = bytes(429, 24 * MIB);
    const bad = { offset: 20 * MIB + 4096, length: 512 };
    await using disk = await badDisk(file(dir, "image", data), [bad]);
    const hex = (value: number) => `0x${value.toString(16)}`;
    const start = held === 0 ? 20 * MIB : 0;
    const areas = [
      [0, start, "?"],
      [start, bad.offset - start, "+"],
      [bad.offset, 512, "-"],
      [bad.offset + 512, 24 * MIB - bad.offset - 512, "?"],
    ].filter(([, length]) => length !== 0);
    const lines = areas.map(([offset, length, status]) => `${hex(Number(offset))} ${hex(Number(length))} ${status}\n`);
    file(dir, "map", Buffer.from(`0x0 ? 1\n${lines.join("")}`));
    file(dir, "d", bytes(430, 24 * MIB));
    const result = summaryOf(await run(["--json", ...SKIP, dir.file("map"), disk.path, dir.file("d")]));
    expect(result).toMatchObject({ exitCode: 8, bytesBelieved: 0, sourceUnreadableBytes: 512 });
    const there = fs.readFileSync(dir.file("d"));
    expect(there.subarray(0, bad.offset).equals(data.subarray(0, bad.offset))).toBe(true);
  }
});

testWith("strace")(
  "a map calls nothing read that was not flushed, and a run that failed saves none that is complete",
  async () => {
    using dir = tempDir();
    const data = bytes(420, 4 * MIB);
    const words = [...SKIP, dir.file("map"), file(dir, "s", data), dir.file("d")];
    const argv0 = ["strace", "-f", "-o", dir.file("trace"), "-P", dir.file("d"), "-e", "trace=fsync,fdatasync"];
    const result = await run(words, { argv0: [...argv0, "-e", "inject=fsync,fdatasync:error=EIO"] });
    expect(result.stderr).toContain("Cannot flush ");
    expect(result.exitCode).toBe(4);
    expect(areasOf(dir.file("map"))).toEqual(["0 4 ?"]);
  },
);

onFaulty("a destination that stores nothing leaves a map that calls nothing read", async () => {
  using dir = tempDir();
  await using liar = await lyingDisk(file(dir, "lie", Buffer.alloc(4 * MIB)));
  const words = ["-f", "--verify", ...SKIP, dir.file("map"), file(dir, "s", bytes(424, 4 * MIB)), liar.path];
  const result = await run(words);
  expect(result.stderr).toContain("does not hold what was written");
  expect(result.exitCode).toBe(7);
  expect(areasOf(dir.file("map"))).toEqual(["0 4 ?"]);
});

onFaulty("what is bad is said while the run goes on, in lines and as events", async () => {
  using dir = tempDir();
  const block = MIB / 4;
  const areas = Array.from({ length: 20 }, (_, i) => ({ offset: i * block, length: 4096 }));
  await using disk = await badDisk(file(dir, "image", bytes(421, 30 * block)), areas);
  const words = ["-b", "256K", "--on-read-error", "skip", "-t", "0.01", "-p", "5", disk.path, dir.file("d")];
  const lines = await run(words);
  expect(lines.stderr).toMatch(/^\[worker 0\] same: 0, diff: \d+, to retry: 20, \d+\/30, /m);
  expect(lines.stderr).toMatch(/^\[worker 0\] same: 0, diff: \d+, bad: \d+ \(\d+\.0 KiB\), to retry: \d+, \d+\/30, /m);
  expect(lines.stderr).toMatch(/^\[worker 0\] same: 0, diff: 30, bad: 20 \(80\.0 KiB\), 30\/30, /m);
  const events = (await run(["--json", ...words])).stdout
    .trim()
    .split("\n")
    .map((line): Record<string, unknown> => JSON.parse(line));
  const steps = events.filter(({ event }) => event === "progress");
  expect(steps.some(({ blocksDeferred }) => blocksDeferred === 20)).toBe(true);
  expect(steps.some(({ unreadableAreas }) => Number(unreadableAreas) > 0)).toBe(true);
  // Equal but for what is bad: none of these is the same.
  expect(events.at(-1)).toMatchObject({ blocksMatching: 10, blocksDiffering: 0, sourceUnreadableBytes: 20 * 4096 });
});

onFaulty("README's recipe reads a dying disk once, and then its bad places alone", async () => {
  using dir = tempDir();
  const data = bytes(422, 32 * MIB);
  const bad = { offset: 20 * MIB + 512, length: 1024 };
  const image = file(dir, "image", data);
  await using disk = await badDisk(image, [bad]);
  const readme = fs.readFileSync(`${import.meta.dir}/../../README.md`, "utf8");
  const lines = [...readme.matchAll(/^ +\/root\/blocksync (--on-read-error .* vmhost:\/srv\/old\.img)$/gm)];
  const [first = [], second = []] = lines.map(([, words = ""]) => [
    ...farWords(dir),
    "--json",
    ...words.split(" ").map((word) => {
      if (word === "/root/old.map") return dir.file("map");
      if (word === "/dev/sda") return disk.path;
      return word.replace("vmhost:/srv/old.img", `host:${dir.file("old.img")}`);
    }),
  ]);
  expect(lines.length).toBe(2);
  const copied = summaryOf(await run(first));
  expect(copied).toMatchObject({ exitCode: 8, sourceUnreadableBytes: 1024, verified: false });
  // Each side once, to copy it and to see that it is there, and the bad block.
  expect(Number(copied["bytesRead"])).toBeLessThan(68 * MIB);
  const again = summaryOf(await run(second));
  expect(again).toMatchObject({ exitCode: 8, sourceUnreadableBytes: 1024, bytesBelieved: 31 * MIB - 1024 });
  expect(Number(again["bytesRead"])).toBeLessThan(6 * MIB);
  // Once the places can be read, all is compared, so that the run can say that it is equal.
  const healed = second.map((word) => (word === disk.path ? image : word));
  expect(summaryOf(await run(healed))).toMatchObject({ exitCode: 0, bytesBelieved: 0 });
  expect(fs.readFileSync(dir.file("old.img")).equals(data)).toBe(true);
  expect(areasOf(dir.file("map"))).toEqual(["0 32 +"]);
});

onFaulty("the map of several lanes is one, and a far side that is killed leaves it true", async () => {
  using dir = tempDir();
  const data = bytes(423, 24 * MIB);
  const areas = [1, 10, 20].map((block) => ({ offset: block * MIB, length: 512 }));
  await using disk = await badDisk(file(dir, "image", data), areas);
  const words = [...farWords(dir), ...SKIP, dir.file("map"), "-w", "3", "-l", "0", `host:${disk.path}`, dir.file("d")];
  const child = Bun.spawn([BINARY, "--reconnect", "0", "-p", "4000", ...words], {
    stdio: ["ignore", "ignore", "ignore"],
  });
  await until("the map has something", () => fs.existsSync(dir.file("map")) && areasOf(dir.file("map")).length > 3);
  // Of other lanes there may be only a shell as yet, and what that calls for a moment.
  const isProgram = (pid: number) =>
    Bun.spawnSync(["ps", "-o", "comm=", "-p", `${pid}`]).stdout.toString() === "blocksync\n";
  const farSide = () => descendants(child.pid).findLast(isProgram);
  await until("a far side runs", () => farSide() !== undefined);
  expect(child.exitCode).toBeNull();
  process.kill(farSide() ?? child.pid, "SIGKILL");
  expect(await child.exited).toBe(5);
  expectTrue(dir.file("map"), dir.file("d"), data);
  const result = await run(["--json", ...words]);
  expect(summaryOf(result)).toMatchObject({ exitCode: 8, sourceUnreadableBytes: 1536 });
  const expected = Buffer.from(data);
  for (const { offset } of areas) expected.fill(0, offset, offset + 512);
  expect(fs.readFileSync(dir.file("d")).equals(expected)).toBe(true);
  expect(
    areasOf(dir.file("map"))
      .map((area) => area.slice(-1))
      .join(""),
  ).toBe("+-+-+-+");
});
