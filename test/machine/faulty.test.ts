/** Disks that fail: what may and may not come out. Rows of the project's fault matrix are named by their number. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { formatBytes } from "../../src/format.ts";
import { BINARY, fakeSsh, run, summaryOf } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { attachLoop } from "../helpers/loop.ts";
import { meddle, watch } from "../helpers/meddle.ts";
import {
  type Area,
  ailingDisk,
  badDisk,
  failingDisk,
  flippingDisk,
  lyingDisk,
  mapOf,
  weakDisk,
} from "../helpers/nbd.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const SIZE = 8 * MIB;
const onFaulty = testWith("nbd");

function file(dir: TempDir, name: string, data: Buffer): string {
  fs.writeFileSync(dir.file(name), data);
  return dir.file(name);
}

/** Whether the file system of this machine that tests write to reads around its page cache (open(2): O_DIRECT). */
function readsDirectly(path: string): boolean {
  try {
    fs.closeSync(fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECT));
    return true;
  } catch {
    return false;
  }
}

/** The words that make a path the far side of a connection. */
function farWords(dir: TempDir): string[] {
  return [...fakeSsh(dir.file("fake-ssh")), "-S", BINARY];
}

/** `data` with the areas as they are in `other`. */
function mixed(data: Buffer, other: Buffer, areas: readonly Area[]): Buffer {
  const result = Buffer.from(data);
  for (const { offset, length } of areas) other.copy(result, offset, offset, offset + length);
  return result;
}

describe("--verify", () => {
  for (const far of [false, true]) {
    const where = far ? "over a connection" : "here";
    test(`reads both sides again ${where} and says how`, async () => {
      using dir = tempDir();
      const data = bytes(11, SIZE + 777);
      data.fill(0, MIB, 3 * MIB);
      const from = file(dir, "s", data);
      const words = [
        "--verify",
        "--json",
        ...(far ? farWords(dir) : []),
        from,
        `${far ? "host:" : ""}${dir.file("d")}`,
      ];
      const first = await run(words);
      expect(first.stderr).toContain("Verifying: reading both sides again");
      const how = readsDirectly(from) ? "past its page cache" : "after its page cache was dropped";
      expect(first.stderr).toContain(`\n  verified     both sides read again, the destination ${how}\n`);
      expect(summaryOf(first)).toMatchObject({ exitCode: 0, verified: true, blocksDiffering: 7 });
      fs.writeFileSync(dir.file("d"), changeLeaves(data, [5, 1000]));
      const again = summaryOf(await run([...words, "-w", "3", "-l", "0"]));
      expect(again).toMatchObject({ exitCode: 0, verified: true, blocksDiffering: 2, bytesWritten: 8192 });
      expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
      expect(summaryOf(await run(words.filter((word) => word !== "--verify")))).toMatchObject({ verified: false });
    });

    onFaulty(`D1.3 a disk that stores nothing is found out ${where}, with the places`, async () => {
      using dir = tempDir();
      const before = bytes(12, SIZE);
      const image = file(dir, "image", before);
      await using disk = await lyingDisk(image);
      const from = file(dir, "s", changeLeaves(before, [3, 4, 1500]));
      const words = [
        "-f",
        "--verify",
        "--json",
        ...(far ? farWords(dir) : []),
        from,
        `${far ? "host:" : ""}${disk.path}`,
      ];
      const result = await run(words);
      expect(result.exitCode).toBe(7);
      expect(result.stderr).toContain("Verification failed: ");
      expect(result.stderr).toContain(
        `does not hold what was written: ${2 * MIB} bytes (${MIB} at offset 0, ${MIB} at offset ${5 * MIB})`,
      );
      expect(result.stderr).not.toContain("the source");
      expect(summaryOf(result)).toMatchObject({ exitCode: 7, verified: false });
      expect(fs.readFileSync(image).equals(before)).toBe(true);
    });
  }

  onFaulty("D1.8 a bit that flips when it is read back is a failed verification", async () => {
    using dir = tempDir();
    const data = bytes(13, SIZE);
    const image = file(dir, "image", data);
    await using disk = await flippingDisk(image, 3 * MIB + 5, { once: false });
    const from = file(dir, "s", data);
    disk.fail(true);
    const result = await run(["-f", "--verify", from, disk.path]);
    expect(result.exitCode).toBe(7);
    expect(result.stderr).toContain(`at offset ${3 * MIB}`);
  });

  onFaulty("D1.8 a bit that flips only once when it is read back is called unstable", async () => {
    using dir = tempDir();
    const data = bytes(35, 4 * SIZE);
    const image = file(dir, "image", data);
    await using disk = await flippingDisk(image, 4 * SIZE - 1, { once: true });
    const from = file(dir, "s", data);
    // The last byte is read long after the notice.
    const result = await watch(["-f", "--verify", from, disk.path], "Verifying: ", () => disk.fail(true));
    expect(result.stderr).toContain(`is unstable and returns different bytes on each read: ${MIB} bytes`);
    expect(result.exitCode).toBe(7);
    expect(fs.readFileSync(image).equals(data)).toBe(true);
  });

  test("D2.11 a source that changes after it was copied is told apart from a destination that is wrong", async () => {
    using dir = tempDir();
    const data = bytes(14, SIZE);
    const from = file(dir, "s", data);
    const to = file(dir, "d", changeLeaves(data, [1000]));
    // The far side is slow to flush, and in the meantime someone writes to the source.
    const ssh = dir.file("meddling-ssh");
    const script = `printf X | dd of="${from}" bs=1 seek=${2 * MIB} conv=notrunc status=none`;
    fs.writeFileSync(
      ssh,
      `#!/bin/sh\nshift\nexec strace -f -o /dev/null -P "${to}" -e trace=fsync -e inject=fsync:delay_enter=1500000 sh -c "$*"\n`,
      { mode: 0o755 },
    );
    const words = ["--verify", "-e", JSON.stringify(ssh), "-S", BINARY, from, `host:${to}`];
    const child = Bun.spawn([BINARY, ...words], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
    // Once the destination holds what it should, all blocks of the source were compared.
    const equal = async () => {
      while (!fs.readFileSync(to).equals(data)) await new Promise((resolve) => setImmediate(resolve));
    };
    await equal();
    Bun.spawnSync(["sh", "-c", script]);
    const [stderr, exitCode] = await Promise.all([child.stderr.text(), child.exited]);
    expect(stderr).toContain(`the source ${JSON.stringify(from)} changed during the run`);
    expect(stderr).toContain(`${MIB} at offset ${2 * MIB}`);
    expect(stderr).not.toContain("does not hold what was written");
    expect(exitCode).toBe(7);
  });
});

describe("a source that is not left alone", () => {
  for (const far of [false, true]) {
    const where = far ? "over a connection" : "here";
    for (const [name, size, message] of [
      ["grows", 2 * SIZE, "changed during the run"],
      ["shrinks", MIB, "it became shorter during the run"],
    ] as const) {
      test(`D2.11 a source that ${name} during the run is exit 7 ${where}, and no broken rule`, async () => {
        using dir = tempDir();
        const from = file(dir, "s", bytes(33, SIZE));
        const to = file(dir, "d", bytes(34, SIZE));
        const words = far ? [...farWords(dir), `host:${from}`, to] : [from, to];
        const result = await meddle(words, () => fs.truncateSync(from, size));
        expect(result.stderr).toContain(message);
        expect(result.stderr).toContain("hint: ");
        expect(result.exitCode).toBe(7);
      });
    }
  }
});

describe("destinations that fail", () => {
  for (const far of [false, true]) {
    const where = far ? "over a connection" : "here";
    onFaulty(`D1.1 EIO on every write is exit 4 with the first offset ${where}, never success`, async () => {
      using dir = tempDir();
      const data = bytes(15, SIZE);
      const image = file(dir, "image", changeLeaves(data, [513]));
      await using disk = await failingDisk(image, "write", "EIO");
      disk.fail(true);
      const words = [
        "-f",
        "--json",
        ...(far ? farWords(dir) : []),
        file(dir, "s", data),
        `${far ? "host:" : ""}${disk.path}`,
      ];
      const result = await run(words);
      expect(result.exitCode).toBe(4);
      expect(result.stderr).toContain("input/output error");
      expect(result.stderr).toContain("hint: ");
      disk.fail(false);
      expect((await run(words)).exitCode).toBe(0);
    });

    onFaulty(`D1.7 a place of the destination that cannot be read is written anew and proved ${where}`, async () => {
      using dir = tempDir();
      const data = bytes(16, SIZE);
      const image = file(dir, "image", data);
      // Zeros have to get there too, beside what cannot be read.
      data.fill(0, 2 * MIB + 16_384, 2 * MIB + 20_480);
      await using disk = await weakDisk(image, [{ offset: 2 * MIB + 8192, length: 4096 }]);
      const words = [
        "-f",
        "--json",
        ...(far ? farWords(dir) : []),
        file(dir, "s", data),
        `${far ? "host:" : ""}${disk.path}`,
      ];
      const result = await run(words);
      expect(result.stderr).not.toContain("hint");
      expect(summaryOf(result)).toMatchObject({ exitCode: 0, blocksDiffering: 1, bytesWritten: MIB });
      expect(fs.readFileSync(image).equals(data)).toBe(true);
      expect(summaryOf(await run(words))).toMatchObject({ exitCode: 0, blocksDiffering: 0 });
    });
  }

  onFaulty("a disk that takes writes and gives nothing back is told from a source that is bad", async () => {
    using dir = tempDir();
    await using disk = await failingDisk(file(dir, "image", bytes(38, 2 * MIB)), "read", "EIO");
    disk.fail(true);
    const result = await run(["-f", file(dir, "s", bytes(39, 2 * MIB)), disk.path]);
    expect(result.stderr).toContain("hint: the destination does not return what was written to it: ");
    expect(result.stderr).not.toContain("--on-read-error");
    expect(result.exitCode).toBe(4);
  });

  onFaulty("a disk of which nothing can be read until it is written is written", async () => {
    using dir = tempDir();
    const image = file(dir, "image", bytes(36, 2 * MIB));
    await using disk = await weakDisk(image, [{ offset: 0, length: 2 * MIB }]);
    const data = bytes(37, 2 * MIB);
    const result = await run(["-f", "--json", "-b", "256K", file(dir, "s", data), disk.path]);
    expect(summaryOf(result)).toMatchObject({ exitCode: 0, blocksDiffering: 8 });
    expect(fs.readFileSync(image).equals(data)).toBe(true);
  });

  for (const [often, suffix] of [
    ["once", ""],
    ["from then on", "+"],
  ] as const) {
    testWith("strace")(
      `D1.1 the Nth write fails ${often}, for every N there is: exit 4, and a rerun makes it equal`,
      async () => {
        using dir = tempDir();
        const data = bytes(27, 12 << 16);
        const from = file(dir, "s", data);
        const to = dir.file("d");
        const trace = dir.file("trace");
        for (let n = 1; ; n++) {
          file(dir, "d", bytes(28, data.length));
          const inject = `inject=pwrite64:error=EIO:when=${n}${suffix}`;
          const argv0 = ["strace", "-f", "-o", trace, "-P", to, "-e", "trace=pwrite64", "-e", inject];
          // With a pause the blocks are written one by one.
          const result = await run(["-b", "64K", "-p", "1", from, to], { argv0 });
          // A thread counts its own writes, so at last there is none that comes so far.
          if (!fs.readFileSync(trace, "utf8").includes("(INJECTED)")) {
            expect(n).toBeGreaterThan(1);
            expect(result.exitCode).toBe(0);
            break;
          }
          expect([result.exitCode, result.stderr]).toEqual([4, expect.any(String)]);
          expect(result.stderr).toMatch(/Cannot write 65536 bytes at offset \d+ of ".*": input\/output error\n/);
          expect(result.stderr).toContain("hint: the destination is a mixture of old and new until a run succeeds");
          expect((await run(["-b", "64K", from, to])).exitCode).toBe(0);
          expect(fs.readFileSync(to).equals(data)).toBe(true);
        }
      },
    );
  }

  testWith("strace")("D1.2 a flush that failed is not tried again until it succeeds", async () => {
    using dir = tempDir();
    const [from, to, trace] = [file(dir, "s", bytes(29, MIB)), dir.file("d"), dir.file("trace")];
    const argv0 = ["strace", "-f", "-o", trace, "-P", to, "-e", "trace=fsync,fdatasync"];
    const result = await run([from, to], { argv0: [...argv0, "-e", "inject=fsync:error=EIO:when=1"] });
    expect(result.exitCode).toBe(4);
    expect(result.stderr).toContain("some of what was written is lost");
    expect(fs.readFileSync(trace, "utf8").match(/fsync\(/g)).toHaveLength(1);
  });

  onFaulty("D1.6 a device that goes away in the middle is exit 4", async () => {
    using dir = tempDir();
    const data = bytes(30, SIZE);
    const image = file(dir, "image", bytes(31, SIZE));
    await using disk = await failingDisk(image, "write", "EIO");
    const result = await meddle(["-f", file(dir, "s", data), disk.path], () => disk.fail(true));
    expect(result.exitCode).toBe(4);
    disk.fail(false);
    expect((await run(["-f", dir.file("s"), disk.path])).exitCode).toBe(0);
    expect(fs.readFileSync(image).equals(data)).toBe(true);
  });

  testWith("mounts")("D1.5 a file system that is full is exit 4 and says so", async () => {
    using dir = tempDir();
    const from = file(dir, "s", bytes(32, SIZE));
    fs.mkdirSync(dir.file("small"));
    expect(Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=3000K", "tmpfs", dir.file("small")]).exitCode).toBe(0);
    try {
      const result = await run(["-b", "64K", "-p", "1", from, dir.file("small/d")]);
      expect(result.exitCode).toBe(4);
      const [, length, offset] =
        /Cannot write (\d+) bytes at offset (\d+) of ".*": no space left on device/.exec(result.stderr) ?? [];
      // Some of the block found its place: a short write is gone on with, and what is left of it fails.
      expect(Number(length)).toBeLessThan(65_536);
      expect((Number(offset) + Number(length)) % 65_536).toBe(0);
      expect(result.stderr).toContain("hint: ");
    } finally {
      Bun.spawnSync(["umount", dir.file("small")]);
    }
  });

  onFaulty("D1.5 a device that says it is full is exit 4, and a rerun makes it equal", async () => {
    using dir = tempDir();
    const data = bytes(17, SIZE);
    const image = file(dir, "image", bytes(18, SIZE));
    await using disk = await failingDisk(image, "write", "ENOSPC");
    disk.fail(true);
    const from = file(dir, "s", data);
    const result = await run(["-f", from, disk.path]);
    expect(result.exitCode).toBe(4);
    disk.fail(false);
    expect((await run(["-f", from, disk.path])).exitCode).toBe(0);
    expect(fs.readFileSync(image).equals(data)).toBe(true);
  });
});

describe("--on-read-error", () => {
  /** A sector, a leaf, something across a block border, and the end. */
  const BAD: readonly Area[] = [
    { offset: MIB + 512, length: 512 },
    { offset: 3 * MIB + 8192, length: 4096 },
    { offset: 5 * MIB - 1024, length: 3072 },
    { offset: SIZE - 512, length: 512 },
  ];
  const bytesBad = BAD.reduce((sum, { length }) => sum + length, 0);
  /** A block with a bad sector is read sector by sector: of the blocks of 1 MiB that are the default, 2048 calls each. */
  const SMALL = ["-b", "128K"];

  onFaulty("lists ten areas, and counts the others", async () => {
    using dir = tempDir();
    const areas = Array.from({ length: 25 }, (_, i) => ({ offset: i * 65_536, length: 512 }));
    await using disk = await badDisk(file(dir, "image", bytes(25, SIZE)), areas);
    const result = await run(["--on-read-error", "skip", "--json", disk.path, dir.file("d")]);
    expect(result.exitCode).toBe(8);
    expect(result.stderr.match(/Unreadable: 512 bytes at offset/g)).toHaveLength(10);
    expect(result.stderr).toContain("Unreadable: 15 more areas; --mapfile FILE lists them all\n");
    expect(result.stdout.match(/"event":"unreadable"/g)).toHaveLength(25);
  });

  for (const far of [false, true]) {
    const where = far ? "over a connection" : "here";
    onFaulty(`D2.9 stop names the offset ${where}`, async () => {
      using dir = tempDir();
      await using disk = await badDisk(file(dir, "image", bytes(19, SIZE)), BAD);
      const words = [...(far ? farWords(dir) : []), `${far ? "host:" : ""}${disk.path}`, dir.file("d")];
      const result = await run(words);
      expect(result.exitCode).toBe(4);
      const [, offset] = /Cannot read 4096 bytes at offset (\d+) of .*: input\/output error/.exec(result.stderr) ?? [];
      const page = Number(offset);
      expect(BAD.some((area) => area.offset < page + 4096 && page < area.offset + area.length)).toBe(true);
      expect(result.stderr).toContain("--on-read-error skip");
    });

    onFaulty(`D2.9 a dry run compares what can be read, and changes nothing ${where}`, async () => {
      using dir = tempDir();
      const data = bytes(24, SIZE);
      await using disk = await badDisk(file(dir, "image", data), BAD);
      const rescued = mixed(data, Buffer.alloc(SIZE), BAD);
      const dry = async (there: Buffer) => {
        file(dir, "d", there);
        const words = ["-n", "--on-read-error", "skip", "--json", ...SMALL, ...(far ? farWords(dir) : [])];
        const result = await run([...words, `${far ? "host:" : ""}${disk.path}`, dir.file("d")]);
        expect(fs.readFileSync(dir.file("d")).equals(there)).toBe(true);
        expect(summaryOf(result)).toMatchObject({ sourceUnreadableBytes: bytesBad, bytesWritten: 0 });
        return [result.exitCode, /: (.*); nothing was written/.exec(result.stderr)?.[1]];
      };
      const bad = formatBytes(bytesBad);
      expect(await dry(rescued)).toEqual([8, `8.0 MiB equal except for ${bad} that cannot be read`]);
      const changed = changeLeaves(rescued, [256 + 5]);
      expect(await dry(changed)).toEqual([1, `up to 128.0 KiB of 8.0 MiB differ, besides ${bad} that cannot be read`]);
      const [exitCode, text] = await dry(rescued.subarray(0, 7 * MIB));
      expect([exitCode, text]).toEqual([
        1,
        `up to 1.0 MiB of 8.0 MiB differ, besides ${bad} that cannot be read; the destination would grow from 7.0 MiB to 8.0 MiB`,
      ]);
    });

    onFaulty(
      `D2.9 skip copies all but the bad sectors and leaves the destination under them alone ${where}`,
      async () => {
        using dir = tempDir();
        const data = bytes(20, SIZE);
        const other = bytes(21, SIZE);
        await using disk = await badDisk(file(dir, "image", data), BAD);
        const from = `${far ? "host:" : ""}${disk.path}`;
        const words = [
          "--on-read-error",
          "skip",
          "--json",
          ...SMALL,
          ...(far ? farWords(dir) : []),
          "--mapfile",
          dir.file("map"),
          from,
        ];
        const expected = mixed(data, other, BAD);
        const result = await run([...words, file(dir, "d", other)]);
        expect(result.exitCode).toBe(8);
        expect(fs.readFileSync(dir.file("d")).equals(expected)).toBe(true);
        expect(summaryOf(result)).toMatchObject({ exitCode: 8, sourceUnreadableBytes: bytesBad });
        for (const { offset, length } of BAD)
          expect(result.stderr).toContain(`Unreadable: ${formatBytes(length)} at offset ${offset} of the source`);
        const areas = (map: string) =>
          map
            .split("\n")
            .filter((line) => /^0x\S+ +0x/.test(line))
            .map((line) => line.split(/ +/).map((word) => (word.startsWith("0x") ? Number(word) : word)));
        expect(areas(fs.readFileSync(dir.file("map"), "utf8"))).toEqual(areas(mapOf(BAD, SIZE)));
        // A second run changes nothing, and with the map tries no bad sector again.
        const again = await run([...words, "--verify", dir.file("d")]);
        expect(summaryOf(again)).toMatchObject({
          exitCode: 8,
          bytesWritten: 0,
          sourceUnreadableBytes: bytesBad,
          verified: true,
        });
        expect(fs.readFileSync(dir.file("d")).equals(expected)).toBe(true);
        // A new destination gets all there is, with zeros under what is bad.
        expect((await run([...words, dir.file("new")])).exitCode).toBe(8);
        expect(fs.readFileSync(dir.file("new")).equals(mixed(data, Buffer.alloc(SIZE), BAD))).toBe(true);
      },
    );
  }

  onFaulty("D2.9 a good destination is not made worse", async () => {
    using dir = tempDir();
    const data = bytes(22, SIZE);
    await using disk = await badDisk(file(dir, "image", data), BAD);
    const result = await run(["--on-read-error", "skip", "--json", disk.path, file(dir, "d", data)]);
    expect(summaryOf(result)).toMatchObject({ exitCode: 8, bytesWritten: 0 });
    expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
  });

  onFaulty("D2.10 a thousand bad sectors are each tried so often and no more", async () => {
    using dir = tempDir();
    const areas = Array.from({ length: 1000 }, (_, i) => ({ offset: i * 8192, length: 512 }));
    const data = bytes(23, SIZE);
    await using disk = await badDisk(file(dir, "image", data), areas);
    const words = ["--on-read-error", "skip", "--retries", "2", "--json", disk.path, dir.file("d")];
    const result = await run(words);
    expect(summaryOf(result)).toMatchObject({ exitCode: 8, sourceUnreadableBytes: 512_000 });
    expect(fs.readFileSync(dir.file("d")).equals(mixed(data, Buffer.alloc(SIZE), areas))).toBe(true);
  });

  testWith("nbd", "strace")(
    "D2.10 each of four bad sectors is tried once and as often again as --retries says",
    async () => {
      using dir = tempDir();
      const areas = [1, 3, 4, 6].map((sector) => ({ offset: MIB + sector * 512, length: 512 }));
      await using disk = await badDisk(file(dir, "image", bytes(45, 2 * MIB)), areas);
      const trace = dir.file("trace");
      const argv0 = ["strace", "-f", "-o", trace, "-P", disk.path, "-e", "trace=pread64"];
      for (const retries of [0, 1, 3]) {
        const words = ["--on-read-error", "skip", "--retries", `${retries}`, disk.path, dir.file("d")];
        expect((await run(words, { argv0 })).exitCode).toBe(8);
        // Calls of one sector each; strace may show the end of one in a line of its own.
        const tries = fs.readFileSync(trace, "utf8").matchAll(/, 512, (\d+)(?:\)| <unfinished)/g);
        const counts = new Map(areas.map(({ offset }) => [offset, 0]));
        for (const [, at] of tries) counts.set(Number(at), (counts.get(Number(at)) ?? 0) + 1);
        for (const { offset } of areas) expect([retries, counts.get(offset)]).toEqual([retries, 1 + retries]);
      }
    },
  );

  onFaulty("what ddrescue has read meanwhile counts as done, and its map is taken over", async () => {
    using dir = tempDir();
    const data = bytes(24, SIZE);
    await using disk = await badDisk(file(dir, "image", data), BAD);
    // Another tool got the first bad sector out of the disk, into the destination.
    const rest = BAD.slice(1);
    const expected = mixed(data, Buffer.alloc(SIZE), rest);
    fs.writeFileSync(dir.file("map"), mapOf(rest, SIZE));
    const words = ["--on-read-error", "skip", "--mapfile", dir.file("map"), disk.path, file(dir, "d", expected)];
    const result = await run(words);
    expect(result.exitCode).toBe(8);
    // It is there, but nobody can say that it is what the source has now.
    const kept = `Unreadable: 512 bytes at offset ${BAD[0]?.offset} of the source; the destination keeps what an earlier run read there`;
    expect(result.stderr).toContain(kept);
    expect(result.stderr).toContain(`at offset ${BAD[1]?.offset} of the source; the destination was left as it was`);
    expect(fs.readFileSync(dir.file("map"), "utf8")).toContain("0x00000000  0x00302000  +\n");
    expect(fs.readFileSync(dir.file("d")).equals(expected)).toBe(true);
  });

  testWith("nbd", "strace")("D1.3 what was salvaged is read back when it was written, without --verify", async () => {
    using dir = tempDir();
    const length = 65_536;
    await using disk = await badDisk(file(dir, "image", bytes(46, length)), [{ offset: 512, length: 512 }]);
    const to = file(dir, "d", Buffer.alloc(length, 1));
    // The kernel says each time that it took a sector, and takes nothing.
    const argv0 = ["strace", "-f", "-o", "/dev/null", "-P", to, "-e", "inject=pwrite64:retval=512"];
    const result = await run(["--on-read-error", "skip", disk.path, to], { argv0 });
    expect(result.stderr).toContain("it does not hold what was written");
    expect(result.exitCode).toBe(7);
  });

  onFaulty("D1.3 what was salvaged is verified on the medium too", async () => {
    using dir = tempDir();
    const image = file(dir, "lie", Buffer.alloc(SIZE));
    await using source = await badDisk(file(dir, "image", bytes(36, SIZE)), BAD);
    await using disk = await lyingDisk(image);
    // Of a block with a bad sector each sector is written by itself.
    const words = ["-f", "--verify", "-b", "64K", "--on-read-error", "skip"];
    const result = await run([...words, source.path, disk.path]);
    expect(result.stderr).toContain("does not hold what was written");
    expect(result.stderr).toContain(`Unreadable: 512 bytes at offset ${BAD[0]?.offset} of the source`);
    expect(result.exitCode).toBe(7);
  });

  onFaulty("a short last block is salvaged and verified over connections too", async () => {
    using dir = tempDir();
    const data = bytes(44, SIZE + 3 * 512);
    const bad = [{ offset: SIZE + 512, length: 512 }];
    await using disk = await badDisk(file(dir, "image", data), bad);
    const words = ["--verify", "--on-read-error", "skip", "--json", ...farWords(dir), `host:${disk.path}`];
    const result = await run([...words, `host:${file(dir, "d", Buffer.alloc(data.length, 1))}`]);
    expect(summaryOf(result)).toMatchObject({ exitCode: 8, sourceUnreadableBytes: 512, verified: true });
    expect(fs.readFileSync(dir.file("d")).equals(mixed(data, Buffer.alloc(data.length, 1), bad))).toBe(true);
  });

  onFaulty("a sector that can be read again by the time of the verification is no false alarm", async () => {
    using dir = tempDir();
    const data = bytes(37, SIZE);
    await using disk = await ailingDisk(file(dir, "image", data), [{ offset: MIB, length: 65_536 }]);
    // A part of it fails at first, and heals once the copy is over.
    disk.fail(true);
    const there = mixed(data, bytes(38, SIZE), [{ offset: MIB, length: 65_536 }]);
    const words = ["--verify", "--on-read-error", "skip", "--json", ...SMALL, disk.path, file(dir, "d", there)];
    const result = await watch(words, "Verifying: ", () => disk.fail(false));
    expect(result.stderr).toContain(`Unreadable: 64.0 KiB at offset ${MIB} of the source`);
    expect(result.exitCode).toBe(8);
    expect(fs.readFileSync(dir.file("d")).equals(there)).toBe(true);
  });

  onFaulty("a map that calls areas rescued says nothing about a new destination", async () => {
    using dir = tempDir();
    const data = bytes(39, SIZE);
    await using disk = await badDisk(file(dir, "image", data), BAD);
    fs.writeFileSync(dir.file("map"), mapOf([], SIZE));
    const words = ["--on-read-error", "skip", "--json", "--mapfile", dir.file("map"), disk.path, dir.file("d")];
    const nothingHeld = { exitCode: 8, sourceUnreadableBytes: bytesBad, bytesKept: 0, bytesBelieved: 0 };
    expect(summaryOf(await run(words))).toMatchObject(nothingHeld);
    // Nor about one that is there and has no data in it.
    fs.writeFileSync(dir.file("map"), mapOf([], SIZE));
    fs.writeFileSync(dir.file("d"), "");
    fs.truncateSync(dir.file("d"), SIZE);
    expect(summaryOf(await run(words))).toMatchObject(nothingHeld);
    // Nor about what lies beyond the end of a short one.
    fs.writeFileSync(dir.file("map"), mapOf([], SIZE));
    fs.truncateSync(dir.file("d"), 4 * MIB);
    const beyond = BAD.slice(2).reduce((sum, { length }) => sum + length, 0);
    const short = await run(words);
    expect(summaryOf(short)).toMatchObject({ exitCode: 8, sourceUnreadableBytes: beyond });
    // What the map has of the rest is believed, but for a sample.
    expect(short.stderr).toContain(", 3.0 MiB not read again since the rescue map lists it as rescued, ");
    expect(summaryOf(short)).toMatchObject({ bytesBelieved: 3 * MIB, bytesKept: 0 });
  });

  test("a map that is not a regular file, or is what is copied, is refused; a link is followed", async () => {
    using dir = tempDir();
    const from = file(dir, "s", bytes(40, MIB));
    fs.mkdirSync(dir.file("folder"));
    Bun.spawnSync(["mkfifo", dir.file("pipe")]);
    for (const [map, exitCode, text] of [
      [dir.file("folder"), 2, "is not a regular file"],
      [dir.file("pipe"), 2, "is not a regular file"],
      ["/dev/null", 2, "is not a regular file"],
      [from, 2, "is the source itself"],
      [dir.file("d"), 2, "is the destination itself"],
      [dir.file("none/map"), 4, "no such file or directory"],
    ] as const) {
      const result = await run(["--on-read-error", "skip", "--mapfile", map, from, dir.file("d")]);
      expect(result.stderr).toContain(text);
      expect(result.exitCode).toBe(exitCode);
      expect(fs.existsSync(dir.file("d"))).toBe(false);
    }
    fs.writeFileSync(dir.file("real"), "");
    fs.symlinkSync("real", dir.file("link"));
    expect((await run(["--on-read-error", "skip", "--mapfile", dir.file("link"), from, dir.file("d")])).exitCode).toBe(
      0,
    );
    expect(fs.lstatSync(dir.file("link")).isSymbolicLink()).toBe(true);
    expect(fs.readFileSync(dir.file("real"), "utf8")).toContain("0x00000000  0x00100000  +");
  });

  test("a map of another source is refused, and one that is none, before anything is written", async () => {
    using dir = tempDir();
    const from = file(dir, "s", bytes(25, MIB));
    fs.writeFileSync(dir.file("other"), mapOf([], 2 * MIB));
    fs.writeFileSync(dir.file("none"), "0x0 + 1\n0x0 0x10 !\n");
    for (const [name, text] of [
      ["other", "it belongs to another source"],
      ["none", "line 2 is not a line of a GNU ddrescue mapfile"],
    ] as const) {
      const before = fs.readFileSync(dir.file(name), "utf8");
      const result = await run(["--on-read-error", "skip", "--mapfile", dir.file(name), from, dir.file("d")]);
      expect(result.exitCode).toBe(2);
      expect(result.stderr).toContain(text);
      expect(fs.existsSync(dir.file("d"))).toBe(false);
      expect(fs.readFileSync(dir.file(name), "utf8")).toBe(before);
    }
  });

  testWith("loop")("a healthy device is read as ever, and its map says so", async () => {
    using dir = tempDir();
    using loop = attachLoop(file(dir, "image", bytes(26, MIB)));
    const words = ["--on-read-error", "skip", "--mapfile", dir.file("map"), loop.path, dir.file("d")];
    expect((await run(words)).exitCode).toBe(0);
    expect(fs.readFileSync(dir.file("map"), "utf8")).toContain("0x00000000  0x00100000  +\n");
    expect(fs.readdirSync(dir.path).sort()).toEqual(["d", "image", "map"]);
  });
});

describe("--verify with sectors of 4096 bytes", () => {
  testWith("loop")("reads an end of any length", async () => {
    using dir = tempDir();
    using loop = attachLoop(file(dir, "disk", Buffer.alloc(2 * MIB)), "--sector-size", "4096");
    for (const tail of [1, 100, 512, 513, 4096]) {
      const data = bytes(43, MIB + tail);
      const result = await run(["-f", "--verify", "--json", file(dir, "s", data), loop.path]);
      expect(summaryOf(result)).toMatchObject({ exitCode: 0, verified: true });
      expect(fs.readFileSync(dir.file("disk")).subarray(0, data.length).equals(data)).toBe(true);
    }
  });
});
