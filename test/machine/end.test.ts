/** The end of a run says what is true: what is refused as empty, gone, changed, lost or not read. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { join } from "node:path";
import { unseenMs } from "../../src/local/medium/state.ts";
import { BINARY, fakeSsh, run, summaryOf, until } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { command, mounted } from "../helpers/disk.ts";
import { attachLoop, changeMedium } from "../helpers/loop.ts";
import { meddle, watch } from "../helpers/meddle.ts";
import { failingDisk, flippingDisk } from "../helpers/nbd.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const onLoop = testWith("loop");

function file(dir: TempDir, name: string, data: Buffer): string {
  fs.writeFileSync(dir.file(name), data);
  return dir.file(name);
}

/** The words that make a path the far side of a connection. */
function farWords(dir: TempDir): string[] {
  return [...fakeSsh(dir.file("fake-ssh")), "-S", BINARY];
}

describe("nothing is no source", () => {
  for (const far of [false, true]) {
    const where = far ? "over a connection" : "here";
    onLoop(`a block device of 0 bytes is refused ${where}, and nothing is cut to it`, async () => {
      using dir = tempDir();
      const backup = bytes(1, 5000);
      const to = file(dir, "backup", backup);
      using empty = attachLoop(file(dir, "empty", Buffer.alloc(0)));
      const device = `${far ? "host:" : ""}${empty.path}`;
      const words = far ? farWords(dir) : [];
      for (const command of [
        ["-T", device, to],
        ["-n", device, to],
        ["-f", to, device],
        ["-n", to, device],
        ["compare", device, to],
        ["compare", to, device],
      ]) {
        const [first = "", ...rest] = command;
        const result = await run(first === "compare" ? [first, ...words, ...rest] : [...words, ...command]);
        expect(result.stderr).toContain(`Refused to use "${device}": the device has a size of 0 bytes (no-medium)\n`);
        expect({ command, exitCode: result.exitCode }).toEqual({ command, exitCode: 3 });
      }
      expect(fs.readFileSync(to).equals(backup)).toBe(true);
    });
  }

  test("a file that hides its size is refused, one that is empty is not", async () => {
    using dir = tempDir();
    const backup = bytes(2, 5000);
    const to = file(dir, "backup", backup);
    const hidden = await run(["-T", "/proc/self/status", to]);
    expect(hidden.stderr).toContain("it reports a size of 0 bytes but has data (no-size)");
    expect(hidden.exitCode).toBe(3);
    expect(fs.readFileSync(to).equals(backup)).toBe(true);
    // A setting of the kernel, which would take what is written for its value.
    const setting = await run(["-f", to, "/proc/self/comm"]);
    expect(setting.stderr).toContain("it reports a size of 0 bytes but has data (no-size)");
    expect(setting.exitCode).toBe(3);
    expect((await run(["-T", file(dir, "nothing", Buffer.alloc(0)), to])).exitCode).toBe(0);
    expect(fs.statSync(to).size).toBe(0);
  });
});

const MIB = 1 << 20;
const SIZE = 8 * MIB;

describe("a destination that is not there at the end", () => {
  type Action = (dir: TempDir) => void;
  const replace: Action = (dir) => fs.renameSync(file(dir, "other", bytes(3, SIZE)), dir.file("folder/d"));
  const ACTIONS: readonly (readonly [
    name: string,
    far: boolean,
    words: readonly string[],
    action: Action,
    said: string,
  ])[] = [
    ["is removed", false, [], (dir) => fs.rmSync(dir.file("folder/d")), "its name no longer exists"],
    ["is replaced", false, ["--verify"], replace, "its name now leads to something else"],
    ["is replaced and far", true, [], replace, "its name now leads to something else"],
    [
      "lies in a folder that is renamed",
      false,
      [],
      (dir) => fs.renameSync(dir.file("folder"), dir.file("moved")),
      "its name no longer exists",
    ],
    [
      "is cut",
      false,
      [],
      (dir) => fs.truncateSync(dir.file("folder/d"), SIZE),
      `it has ${SIZE} bytes instead of ${SIZE + 1}`,
    ],
    [
      "grows",
      true,
      [],
      (dir) => fs.appendFileSync(dir.file("folder/d"), "x"),
      `it has ${SIZE + 2} bytes instead of ${SIZE + 1}`,
    ],
  ];
  for (const [name, far, words, action, said] of ACTIONS) {
    test(`is exit 7, not success, when it ${name} during the run`, async () => {
      using dir = tempDir();
      fs.mkdirSync(dir.file("folder"));
      const to = file(dir, "folder/d", bytes(4, SIZE + 1));
      const from = file(dir, "s", bytes(5, SIZE));
      const ends = far ? [...farWords(dir), from, `host:${to}`] : [from, to];
      const result = await meddle([...words, ...ends], () => action(dir));
      expect(result.stderr).toContain(
        `The destination "${far ? "host:" : ""}${to}" is no longer what blocksync wrote: ${said}\n`,
      );
      expect(result.exitCode).toBe(7);
    });
  }

  onLoop("is exit 7 when another file system is mounted over its folder during the run", async () => {
    using dir = tempDir();
    fs.mkdirSync(dir.file("folder"));
    const to = file(dir, "folder/d", bytes(4, SIZE));
    const words = [file(dir, "s", bytes(5, SIZE)), to];
    try {
      const result = await meddle(words, () => command("mount", "-t", "tmpfs", "none", dir.file("folder")));
      expect(result.stderr).toContain("is no longer what blocksync wrote: its name no longer exists\n");
      expect(result.exitCode).toBe(7);
    } finally {
      Bun.spawnSync(["umount", dir.file("folder")]);
    }
  });

  onLoop("is exit 7 when a device is another one by then, or of another size", async () => {
    using dir = tempDir();
    const from = file(dir, "s", bytes(5, SIZE));
    using one = attachLoop(file(dir, "one", bytes(4, 2 * SIZE)));
    using two = attachLoop(file(dir, "two", bytes(4, SIZE)));
    fs.symlinkSync(one.path, dir.file("disk"));
    const point = (path: string) => {
      fs.rmSync(dir.file("disk"));
      fs.symlinkSync(path, dir.file("disk"));
    };
    const moved = await meddle(["-f", from, dir.file("disk")], () => point(two.path));
    expect(moved.stderr).toContain("is no longer what blocksync wrote: its name now leads to something else\n");
    expect(moved.exitCode).toBe(7);
    point(one.path);
    const resized = await meddle(["-f", from, dir.file("disk")], () => {
      fs.truncateSync(dir.file("one"), SIZE);
      command("losetup", "-c", one.path);
    });
    expect(resized.stderr).toContain(
      `is no longer what blocksync wrote: it has ${SIZE} bytes instead of ${2 * SIZE}\n`,
    );
    expect(resized.exitCode).toBe(7);
  });
});

describe("a source that is not what it was at the end", () => {
  for (const far of [false, true]) {
    const where = far ? "over a connection" : "here";
    test(`is exit 7 ${where} when it is written to and its time set back`, async () => {
      using dir = tempDir();
      const from = file(dir, "s", bytes(6, SIZE));
      fs.utimesSync(from, 1000, 1000);
      const ends = far ? [...farWords(dir), `host:${from}`, dir.file("d")] : [from, dir.file("d")];
      const result = await meddle(ends, () => {
        fs.writeSync(fs.openSync(from, "r+"), "x", 0);
        fs.utimesSync(from, 1000, 1000);
      });
      expect(result.stderr).toContain(
        `The source "${far ? "host:" : ""}${from}" changed during the run: its ctime changed`,
      );
      expect(result.exitCode).toBe(7);
    });

    onLoop(`is exit 7 ${where} when it is a device that grows or whose medium is changed`, async () => {
      using dir = tempDir();
      using loop = attachLoop(file(dir, "image", bytes(7, SIZE)), "--read-only");
      const words = far ? [...farWords(dir), `host:${loop.path}`] : [loop.path];
      const grown = await meddle([...words, dir.file("d")], () => {
        fs.truncateSync(dir.file("image"), 2 * SIZE);
        command("losetup", "-c", loop.path);
      });
      expect(grown.stderr).toContain(`changed during the run: it has ${2 * SIZE} bytes instead of ${SIZE}\n`);
      expect(grown.exitCode).toBe(7);
      const other = file(dir, "other", bytes(7, 2 * SIZE));
      const changed = await meddle([...words, dir.file("d")], () => changeMedium(loop, other));
      expect(changed.stderr).toContain("changed during the run: its medium, or the file underneath it, was replaced\n");
      expect(changed.exitCode).toBe(7);
    });
  }

  testWith("loop", "mkfs")(
    "is exit 7 where a file system keeps whole seconds, and the last one is not over",
    async () => {
      using dir = tempDir();
      const image = file(dir, "image", Buffer.alloc(0));
      fs.truncateSync(image, 64 * MIB);
      command("mkfs.ext4", "-q", "-I", "128", image);
      using loop = attachLoop(image);
      using _mount = mounted(loop.path, dir.file("m"));
      const data = bytes(17, SIZE);
      await until("a second begins", () => Promise.resolve(Date.now() % 1000 < 100));
      fs.writeFileSync(dir.file("m/s"), data);
      const begun = fs.statSync(dir.file("m/s"));
      const { stderr, exitCode } = await meddle([dir.file("m/s"), dir.file("d")], () => {
        const fd = fs.openSync(dir.file("m/s"), "r+");
        fs.writeSync(fd, "x", 0);
        fs.closeSync(fd);
      });
      expect(begun.mtimeMs % 1000).toBe(0);
      expect(stderr).toContain("changed during the run: something wrote to it\n");
      expect(exitCode).toBe(7);
    },
  );

  onLoop("is said before, when another program has it open for writing, or mapped", async () => {
    using dir = tempDir();
    const from = file(dir, "s", bytes(18, SIZE));
    const said = async (...words: string[]) => {
      const { stderr, exitCode } = await run([...words, dir.file("d")]);
      expect(exitCode).toBe(0);
      return stderr.includes(": another program has it open for writing; copy a snapshot, or stop that first\n");
    };
    expect(await said(from)).toBe(false);
    for (const mode of ["r", "r+"]) {
      const fd = fs.openSync(from, mode);
      expect([mode, await said(from)]).toEqual([mode, mode === "r+"]);
      expect(await said(...farWords(dir), `host:${from}`)).toBe(mode === "r+");
      fs.closeSync(fd);
    }
    using _loop = attachLoop(from);
    expect(await said(from)).toBe(false);
  });

  test("unseenMs() is for how long a write would not show in a file's times", () => {
    const state = (seconds: number, ns = 0n) => {
      const at = BigInt(seconds) * 1_000_000_000n + ns;
      return { sizeBytes: 1, modifiedNs: at, changedNs: at, sequence: undefined };
    };
    expect(unseenMs(state(1001), 1_001_400)).toBe(620);
    expect(unseenMs(state(1000), 1_001_400)).toBe(620);
    expect(unseenMs(state(1001), 1_002_020)).toBe(0);
    expect(unseenMs(state(1000, 1n), 1_000_400)).toBe(0);
    // Another clock's.
    expect(unseenMs(state(1001), 1_000_400)).toBe(0);
    expect(unseenMs({ ...state(1001), modifiedNs: undefined, changedNs: undefined }, 1_001_400)).toBe(0);
    // Set back, but its time of change was not.
    expect(unseenMs({ ...state(1001), modifiedNs: 0n }, 1_001_400)).toBe(620);
  });

  testWith("strace")("is said of both sides of compare, with exit 7", async () => {
    using dir = tempDir();
    const [one, other] = [file(dir, "one", bytes(8, SIZE)), file(dir, "other", bytes(8, SIZE))];
    for (const path of [one, other]) {
      const slow = ["strace", "-f", "-o", "/dev/null", "-P", one, "-e", "inject=pread64:delay_exit=200000"];
      const words = ["compare", "-t", "0.05", one, other];
      const result = await watch(words, "remaining)", () => fs.utimesSync(path, 1000, 1000), slow);
      expect(result.stderr).toContain(`"${path}" changed during the run: something wrote to it\n`);
      expect(result.exitCode).toBe(7);
    }
  });

  testWith("strace")("is asked for where it is: NFS and FUSE would answer from memory for a minute", async () => {
    using dir = tempDir();
    const [from, trace] = [file(dir, "s", bytes(9, SIZE)), dir.file("trace")];
    const argv0 = ["strace", "-f", "-o", trace, "-P", from, "-e", "trace=statx,pread64"];
    expect((await run([from, dir.file("d")], { argv0 })).exitCode).toBe(0);
    const calls = fs.readFileSync(trace, "utf8").split("\n");
    const asked = calls.findLastIndex((call) =>
      /statx\(\d+, "", AT_STATX_FORCE_SYNC\|AT_EMPTY_PATH,.* = 0$/.test(call),
    );
    const read = calls.findLastIndex((call) => call.includes("pread64("));
    expect(read).toBeGreaterThan(-1);
    expect(asked).toBeGreaterThan(read);
    expect(calls.findLastIndex((call) => call.includes("statx("))).toBeGreaterThan(asked);
  });

  test("is not said because it was read, or read by others, or its folder changed", async () => {
    using dir = tempDir();
    const from = file(dir, "s", bytes(9, SIZE));
    const result = await meddle([from, dir.file("d")], () => {
      fs.readFileSync(from);
      file(dir, "beside", Buffer.alloc(1));
    });
    expect(result.stderr).not.toContain("changed");
    expect(result.exitCode).toBe(0);
  });
});

/** Makes an ext4 on the device or image, without a journal, whose writes would fail beside those of the data. */
function makeExt4(path: string): void {
  command("mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", path);
}

/** Places for a destination of SIZE bytes above a disk; what is returned is undone in reverse. */
const PLACES = {
  "a device that others have open": (disk: string, _dir: TempDir, keep: <T extends Disposable>(thing: T) => T) => {
    const fd = fs.openSync(disk, "r");
    keep({ [Symbol.dispose]: () => fs.closeSync(fd) });
    return disk;
  },
  "a file on a disk": (disk: string, dir: TempDir, keep: <T extends Disposable>(thing: T) => T) => {
    makeExt4(disk);
    keep(mounted(disk, dir.file("m")));
    return file(dir, "m/d", Buffer.alloc(SIZE, "a"));
  },
  "a loop device over a file on a disk": (disk: string, dir: TempDir, keep: <T extends Disposable>(thing: T) => T) => {
    makeExt4(disk);
    keep(mounted(disk, dir.file("m")));
    const { path } = keep(attachLoop(file(dir, "m/image", Buffer.alloc(SIZE, "a"))));
    const fd = fs.openSync(path, "r");
    keep({ [Symbol.dispose]: () => fs.closeSync(fd) });
    return path;
  },
  "a file in an image on a disk": (disk: string, dir: TempDir, keep: <T extends Disposable>(thing: T) => T) => {
    makeExt4(disk);
    keep(mounted(disk, dir.file("m")));
    const image = file(dir, "m/image", Buffer.alloc(2 * SIZE, "a"));
    makeExt4(image);
    keep(mounted(keep(attachLoop(image)).path, dir.file("m2")));
    return file(dir, "m2/d", Buffer.alloc(SIZE, "a"));
  },
} as const;

describe("what a failed write-back lost", () => {
  const onFailing = testWith("nbd", "mkfs");
  for (const [place, set] of Object.entries(PLACES)) {
    const ways = ["is seen by the next run", "and was killed is seen by the next run"];
    if (place === "a file on a disk") ways.push("is seen by the next run over a connection");
    for (const how of ways) {
      onFailing(`on ${place} ${how}`, async () => {
        using dir = tempDir();
        const image = file(dir, "disk", Buffer.alloc(0));
        fs.truncateSync(image, 5 * SIZE);
        await using disk = await failingDisk(image, "write", "EIO");
        using stack = new DisposableStack();
        const to = set(disk.path, dir, (thing) => stack.use(thing));
        command("sync");
        const data = bytes(10, SIZE);
        const from = file(dir, "s", data);
        const far = how.endsWith("connection");
        const words = ["-f", "--json", ...(far ? farWords(dir) : []), from, `${far ? "host:" : ""}${to}`];
        disk.fail(true);
        if (how.startsWith("and was killed")) {
          const child = Bun.spawn([BINARY, "-f", "-p", "150", "-t", "0.05", from, to], {
            stdio: ["ignore", "ignore", "pipe"],
          });
          const decoder = new TextDecoder();
          let said = "";
          for await (const piece of child.stderr) {
            said += decoder.decode(piece, { stream: true });
            if (/diff: ([3-9]|\d\d),/.test(said)) child.kill(9);
          }
          expect(await child.exited).toBe(137);
          // Neither of them is told of an error in a file, so nobody has been when the next run comes.
          for (let i = 0; i < 2; i++) command("sync");
        } else {
          const first = await run(words);
          expect(first.stderr).toContain("input/output error; some of what was written is lost\n");
          expect(first.stderr).toContain(
            "the lost data was dropped from the page cache too, so the next run rewrites it\n",
          );
          expect(first.exitCode).toBe(4);
        }
        disk.fail(false);
        const second = summaryOf(await run(words));
        if (second["exitCode"] !== 0) {
          expect([how, second["exitCode"]]).toEqual(["and was killed is seen by the next run", 4]);
          expect(summaryOf(await run(words))["exitCode"]).toBe(0);
        } else expect(second["blocksDiffering"]).toBe(8);
        fs.writeFileSync("/proc/sys/vm/drop_caches", "3");
        const held = Buffer.alloc(SIZE);
        const fd = fs.openSync(to, "r");
        fs.readSync(fd, held, 0, SIZE, 0);
        fs.closeSync(fd);
        expect(held.equals(data)).toBe(true);
      });
    }
  }

  onFailing("below a loop device whose file has no name any more is said to be seen for longer", async () => {
    using dir = tempDir();
    const image = file(dir, "disk", Buffer.alloc(0));
    fs.truncateSync(image, 5 * SIZE);
    await using disk = await failingDisk(image, "write", "EIO");
    makeExt4(disk.path);
    using _mount = mounted(disk.path, dir.file("m"));
    using loop = attachLoop(file(dir, "m/image", Buffer.alloc(SIZE, "a")));
    command("sync");
    fs.rmSync(dir.file("m/image"));
    disk.fail(true);
    const result = await run(["-f", file(dir, "s", bytes(13, SIZE)), loop.path]);
    expect(result.stderr).toContain("drop the page cache, which may still show the lost data (echo 3 >");
    expect(result.exitCode).toBe(4);
    disk.fail(false);
  });

  testWith("strace")("during the run is seen too, and what was still on its way when the run ends", async () => {
    using dir = tempDir();
    const [from, to] = [file(dir, "s", bytes(11, 80 * MIB)), file(dir, "d", Buffer.alloc(80 * MIB))];
    const trace = dir.file("trace");
    const calls = "trace=fdatasync,fadvise64";
    const argv0 = ["strace", "-f", "-o", trace, "-P", to, "-e", calls, "-e", "inject=fdatasync:error=EIO:when=1"];
    const result = await run(["--fadvise", "0", from, to], { argv0 });
    expect(result.exitCode).toBe(4);
    const lines = fs.readFileSync(trace, "utf8").split("\n");
    const after = lines.slice(lines.findIndex((line) => line.includes("INJECTED")) + 1);
    const said = after.flatMap((line) => /(fdatasync|fadvise64)\(/.exec(line)?.[1] ?? []);
    // Dropped at once, and once more at the end; what is left to be written is tried before, or it would fail and stay later.
    expect(said.slice(0, 2)).toEqual(["fdatasync", "fadvise64"]);
    expect(said.slice(-2)).toEqual(["fdatasync", "fadvise64"]);
    expect(said.length).toBeGreaterThan(2);
  });

  onLoop("of a full disk below a file system is seen by the second run", async () => {
    using dir = tempDir();
    using _space = mounted("none", dir.file("t"), "-t", "tmpfs", "-o", "size=24M");
    const image = file(dir, "t/image", Buffer.alloc(0));
    fs.truncateSync(image, 5 * SIZE);
    makeExt4(image);
    using loop = attachLoop(image);
    using _mount = mounted(loop.path, dir.file("m"));
    const to = file(dir, "m/d", Buffer.alloc(SIZE, "a"));
    command("sync");
    // What is below the file is given back, and taken by another.
    const piece = Buffer.alloc(65_536, "a");
    const held = fs.readFileSync(image);
    for (let at = 0; at < held.length; at += piece.length) {
      if (!held.subarray(at, at + piece.length).equals(piece)) continue;
      command("fallocate", "--punch-hole", "-o", String(at), "-l", String(piece.length), image);
    }
    const filler = fs.openSync(dir.file("t/filler"), "w");
    try {
      for (;;) fs.writeSync(filler, Buffer.alloc(4096));
    } catch {
      fs.closeSync(filler);
    }
    const from = file(dir, "s", bytes(12, SIZE));
    for (let i = 0; i < 2; i++) {
      const result = await run(["--json", "--fadvise", "0", from, to]);
      expect(result.stderr).toContain("no space left on device; some of what was written is lost\n");
      expect(summaryOf(result)).toMatchObject({ exitCode: 4, blocksDiffering: 8 });
    }
    fs.rmSync(dir.file("t/filler"));
    expect((await run([from, to])).exitCode).toBe(0);
    fs.writeFileSync("/proc/sys/vm/drop_caches", "3");
    expect(fs.readFileSync(to).equals(fs.readFileSync(from))).toBe(true);
  });
});

describe("closing", () => {
  for (const far of [false, true]) {
    const where = far ? "over a connection" : "here";
    testWith("nbd", "strace")(`that fails is exit 4 ${where}, on a file system that tells so only then`, async () => {
      using dir = tempDir();
      const image = file(dir, "image", Buffer.alloc(SIZE));
      await using disk = await failingDisk(image, "write", "EIO");
      const from = file(dir, "s", bytes(13, SIZE));
      // The file that the disk lies over is one of FUSE.
      const to = disk.file;
      const argv0 = [
        "strace",
        "-f",
        "-o",
        "/dev/null",
        "-P",
        to,
        "-e",
        "trace=close",
        "-e",
        "inject=close:error=EDQUOT",
      ];
      const words = ["--allow", "held", ...(far ? farWords(dir) : []), from, `${far ? "host:" : ""}${to}`];
      const result = await run(words, { argv0 });
      expect(result.stderr).toContain("Cannot flush ");
      expect(result.stderr).toContain(": disk quota exceeded; some of what was written is lost\n");
      expect(result.exitCode).toBe(4);
      expect((await run(words)).exitCode).toBe(0);
      expect(fs.readFileSync(image).equals(bytes(13, SIZE))).toBe(true);
    });
  }
});

describe("--verify reads", () => {
  /** Makes the file system call all of `path` a hole. */
  const lying = (path: string) => [
    "strace",
    "-f",
    "-o",
    "/dev/null",
    "-P",
    path,
    "-e",
    "trace=lseek",
    "-e",
    "inject=lseek:error=ENXIO",
  ];

  for (const far of [false, true]) {
    const where = far ? "over a connection" : "here";
    testWith("strace")(`what the file system of the source calls a hole and is none ${where}`, async () => {
      using dir = tempDir();
      const from = file(dir, "s", bytes(14, SIZE));
      const ends = far ? [...farWords(dir), `host:${from}`, dir.file("d")] : [from, dir.file("d")];
      // What is believed without --verify.
      expect((await run(ends, { argv0: lying(from) })).exitCode).toBe(0);
      expect(fs.readFileSync(dir.file("d")).equals(Buffer.alloc(SIZE))).toBe(true);
      const result = await run(["--verify", ...ends], { argv0: lying(from) });
      expect(result.stderr).toContain(
        `Verification failed: the source "${far ? "host:" : ""}${from}" changed during the run`,
      );
      expect(result.stderr).toContain("if nothing wrote to it, its file system reports holes where there is data\n");
      expect(result.exitCode).toBe(7);
      expect((await run(["--verify", ...ends])).exitCode).toBe(0);
      expect(fs.readFileSync(dir.file("d")).equals(bytes(14, SIZE))).toBe(true);
    });

    testWith("strace")(`what the file system of the destination calls a hole and is none ${where}`, async () => {
      using dir = tempDir();
      const from = file(dir, "s", Buffer.alloc(SIZE));
      const to = file(dir, "d", bytes(15, SIZE));
      const words = ["--verify", ...(far ? farWords(dir) : []), from, `${far ? "host:" : ""}${to}`];
      const result = await run(words, { argv0: lying(to) });
      expect(result.stderr).toContain(`does not hold what was written: ${SIZE} bytes (${SIZE} at offset 0)\n`);
      expect(result.exitCode).toBe(7);
    });
  }

  test("nothing of what is believed from a far side that was to read holes", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("d"), bytes(16, 4 << 16));
    const lie = [
      process.execPath,
      join(import.meta.dir, "../helpers/false-serve.ts"),
      "a hole where holes are to be read",
    ];
    const rsh = lie.map((word) => JSON.stringify(word)).join(" ");
    const words = ["-q", "-b", "64K", "-1", "md5", "--reconnect", "0", "-e", rsh, "-S", BINARY];
    expect((await run([...words, "h:/s", dir.file("d")])).exitCode).toBe(0);
    const result = await run([...words, "--verify", "h:/s", dir.file("d")]);
    expect(result.stderr).toContain("Received a run that is hole, not hashed\n");
    expect(result.exitCode).toBe(6);
  });

  testWith("nbd")("the disk, not the page cache that --fadvise 0 leaves full", async () => {
    using dir = tempDir();
    const data = bytes(17, SIZE);
    const image = file(dir, "image", Buffer.alloc(SIZE));
    await using disk = await flippingDisk(image, 3 * MIB + 5, { once: false });
    const others = fs.openSync(disk.path, "r");
    disk.fail(true);
    try {
      const words = ["-f", "--fadvise", "0", file(dir, "s", data), disk.path];
      expect((await run(words)).exitCode).toBe(0);
      const result = await run(["--verify", ...words]);
      expect(result.stderr).toContain(`does not hold what was written: ${MIB} bytes (${MIB} at offset ${3 * MIB})\n`);
      expect(result.exitCode).toBe(7);
    } finally {
      fs.closeSync(others);
    }
  });

  onLoop("past the cache of a file below too, and says where it cannot", async () => {
    using dir = tempDir();
    const image = file(dir, "image", Buffer.alloc(5 * SIZE));
    makeExt4(image);
    using loop = attachLoop(image);
    using _mount = mounted(loop.path, dir.file("m"));
    const words = ["--verify", file(dir, "s", bytes(18, MIB)), dir.file("m/d")];
    const whole = await run(words);
    expect(whole.stderr).toContain("both sides read again, the destination past its page cache\n");
    expect(whole.exitCode).toBe(0);
    fs.rmSync(image);
    const partly = await run(words);
    expect(partly.stderr).toContain("both sides read again, but a page cache below the destination may have answered");
    expect(partly.exitCode).toBe(0);
  });
});
