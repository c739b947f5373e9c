/** Locks: of whom blocksync leaves a destination alone, and who leaves it alone while blocksync writes. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { takeBoth } from "../../src/local/guard/lock.ts";
import type { LockOutcome } from "../../src/local/kernel/libc.ts";
import { fakeSsh, run, start, until } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { addPartitions, writeTable } from "../helpers/disk.ts";
import { attachLoop } from "../helpers/loop.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const SIZE = 4 * MIB;
const onQemu = testWith("virtual", "loop");
const onPerl = testWith("perl");
const HINT =
  "blocksync: hint: a virtual machine, another blocksync or a partitioning tool may be using it: stop that or wait for it, then run again; --allow locked writes to it anyway";

/** What the kernel says of the locks on the file or node at `path` (proc(5), /proc/locks). */
function locksOn(path: string): string[] {
  const inode = `:${fs.statSync(path).ino} `;
  return fs
    .readFileSync("/proc/locks", "utf8")
    .split("\n")
    .filter((line) => line.includes(inode));
}

interface Locker extends AsyncDisposable {
  readonly end: () => Promise<void>;
}

/** Another program that locks `path`; resolves when it has. */
async function locker(path: string, ...argv: string[]): Promise<Locker> {
  const child = Bun.spawn(argv, { stdin: "pipe", stdout: "ignore", stderr: "ignore" });
  await until("it is locked", () => locksOn(path).length > 0);
  const end = async () => {
    child.kill();
    await child.exited;
  };
  return { end, [Symbol.asyncDispose]: end };
}

const OPEN = ["qemu-system-x86_64", "-S", "-display", "none", "-nodefaults", "-drive"];

/** A virtual machine whose disk this is, halted before its first instruction. */
async function machine(path: string): Promise<Locker> {
  return await locker(path, ...OPEN, `file=${path},format=raw,if=virtio`);
}

/** A program that locks 5 bytes from the 10th on with a command of fcntl(2), and keeps that. */
async function byteLocker(path: string, setLock: number, type = 1, flags = "+<"): Promise<Locker> {
  const script =
    'open(F, $ARGV[1], $ARGV[0]) or die; fcntl(F, $ARGV[2], pack("ssx4qqix4", $ARGV[3], 0, 10, 5, 0)) or die; <STDIN>';
  return await locker(path, "perl", "-e", script, path, flags, String(setLock), String(type));
}

/** Of fcntl.h. */
const F_SETLK = 6;
const F_OFD_SETLK = 37;

function files(dir: TempDir): { source: string; image: string } {
  fs.writeFileSync(dir.file("s"), bytes(1, MIB));
  fs.writeFileSync(dir.file("image.raw"), bytes(2, SIZE));
  return { source: dir.file("s"), image: dir.file("image.raw") };
}

/** Refused because of this lock, and nothing is written. */
async function expectLocked(dir: TempDir, words: readonly string[], name: string, what: string): Promise<void> {
  const path = name.replace("host:", "");
  const before = fs.readFileSync(path);
  const { exitCode, stderr } = await run(["-f", ...fakeSsh(dir.file("fake")), ...words, name]);
  // A far side may first be given the program.
  expect({ exitCode, stderr: stderr.replace(/^Copying .*\n/, "") }).toEqual({
    exitCode: 3,
    stderr: `blocksync: Refused to write to ${JSON.stringify(name)}: another program has locked ${what} (locked)\n${HINT}\n`,
  });
  expect(fs.readFileSync(path).equals(before)).toBe(true);
}

describe("a virtual machine's disk", () => {
  onQemu("that QEMU has open is refused, file or device; --allow locked writes to it", async () => {
    using dir = tempDir();
    const { source, image } = files(dir);
    await using open = await machine(image);
    await expectLocked(dir, [source], image, "it");
    expect((await run(["-n", source, image])).exitCode).toBe(1);
    expect((await run(["-q", "--allow", "locked", source, image])).exitCode).toBe(0);
    await open.end();
    expect((await run(["-q", source, image])).exitCode).toBe(0);
    using loop = attachLoop(image);
    await using device = await machine(loop.path);
    await expectLocked(dir, [source], `host:${loop.path}`, "it");
    const beside = `${JSON.stringify(loop.path)}, which shares bytes with it`;
    await expectLocked(dir, ["--allow", "held", source], image, beside);
    await device.end();
    expect((await run(["-q", "-f", source, loop.path])).exitCode).toBe(0);
  });

  onQemu("as a source is worth a notice", async () => {
    using dir = tempDir();
    const { image } = files(dir);
    await using open = await machine(image);
    const copied = await run([image, dir.file("copy")]);
    expect(copied.stderr).toContain(
      `${JSON.stringify(image)} may change while it is read, which makes the copy inconsistent: another program, such as a virtual machine, has it open for writing; copy a snapshot, or stop that first`,
    );
    expect(copied.exitCode).toBe(0);
    await open.end();
    expect((await run([image, dir.file("copy")])).stderr).not.toContain("may change");
  });

  onQemu("is not opened by QEMU while blocksync writes to it, in several lanes too", async () => {
    using dir = tempDir();
    const { image } = files(dir);
    fs.writeFileSync(dir.file("s"), bytes(3, SIZE));
    for (const lanes of ["1", "2"]) {
      fs.writeFileSync(image, bytes(2, SIZE));
      const child = start(["-q", "--pause", "200", "-b", "64K", "-l", "0", "-w", lanes, dir.file("s"), image]);
      await until("blocksync has locked it", () => locksOn(image).some((line) => line.includes("OFDLCK")));
      const tried = Bun.spawnSync([...OPEN, `file=${image},format=raw,if=virtio`], { timeout: 20_000 });
      expect(tried.stderr.toString()).toMatch(/Failed to (lock byte|get .* lock)/);
      expect(tried.exitCode).toBe(1);
      const copied = Bun.spawnSync(["qemu-img", "convert", "-O", "raw", image, dir.file("copied")]);
      expect({ stderr: copied.stderr.toString().includes("Failed to"), exitCode: copied.exitCode }).toEqual({
        stderr: true,
        exitCode: 1,
      });
      child.kill("SIGTERM");
      expect(await child.exited).toBe(143);
      expect(locksOn(image)).toEqual([]);
    }
  });
});

describe("bytes that another program has locked", () => {
  onPerl("make it refuse: POSIX locks and those of open files, for writing and for reading", async () => {
    using dir = tempDir();
    const { source } = files(dir);
    const tryOne = async (name: string, setLock: number, type: number) => {
      fs.writeFileSync(dir.file(name), bytes(2, SIZE));
      const locked = await byteLocker(dir.file(name), setLock, type);
      await expectLocked(dir, [source], dir.file(name), "it");
      await locked.end();
      expect((await run(["-q", source, dir.file(name)])).exitCode).toBe(0);
    };
    await Promise.all([tryOne("a", F_SETLK, 1), tryOne("b", F_OFD_SETLK, 1), tryOne("c", F_OFD_SETLK, 0)]);
  });

  testWith("perl", "loop")("count for the disk of a partition, and for the image below", async () => {
    using dir = tempDir();
    const { source } = files(dir);
    const disk = bytes(4, SIZE);
    writeTable(disk, [2048, 4096]);
    const tryOne = async (file: string, of: (loop: string) => readonly [locked: string, to: string, what: string]) => {
      fs.writeFileSync(file, disk);
      using loop = attachLoop(file, "--partscan");
      using _partitions = addPartitions(loop.path);
      const [locked, to, what] = of(loop.path);
      await using _locker = await byteLocker(locked, F_OFD_SETLK, 0, "<");
      await expectLocked(dir, [source], to, what);
    };
    const beside = (path: string) => `${JSON.stringify(path)}, which shares bytes with it`;
    await Promise.all([
      tryOne(dir.file("a"), (loop) => [loop, `${loop}p1`, `the disk ${loop}`]),
      tryOne(dir.file("b"), (loop) => [`${loop}p1`, loop, beside(`${loop}p1`)]),
      tryOne(dir.file("c"), (loop) => [dir.file("c"), loop, beside(dir.file("c"))]),
    ]);
  });

  test("a run of several lanes, here and on the far side, does not lock itself out", async () => {
    using dir = tempDir();
    const { image } = files(dir);
    fs.writeFileSync(dir.file("s"), bytes(5, SIZE));
    for (const name of [image, `host:${image}`, dir.file("new"), `host:${dir.file("new2")}`]) {
      const words = ["-q", "-w", "3", "-l", "0", ...fakeSsh(dir.file("fake")), dir.file("s"), name];
      expect({ name, ...(await run(words)) }).toEqual({ name, exitCode: 0, stdout: "", stderr: "" });
    }
    expect(fs.readFileSync(dir.file("new2")).equals(bytes(5, SIZE))).toBe(true);
  });
});

describe("takeBoth()", () => {
  /** A file system on which others hold these, and on which with `one` both kinds of lock are the same. */
  async function locks({ one = false, none = false, others = "" }): Promise<{ outcome: boolean; held: string[] }> {
    const held = new Set<string>();
    const call = (kind: string) => async (take: boolean) => {
      let outcome: LockOutcome = "taken";
      if (none) return "unknown";
      if (!take) held.delete(kind);
      else if (others.includes(kind) || (one && held.size > 0)) outcome = "busy";
      else held.add(kind);
      return outcome;
    };
    const outcome = await takeBoth({ bytes: call("bytes"), file: call("file") });
    return { outcome, held: [...held] };
  }

  test("takes one lock where both are the same, as on NFS, and does without where there is none", async () => {
    expect(await locks({})).toEqual({ outcome: true, held: ["bytes", "file"] });
    expect(await locks({ one: true })).toEqual({ outcome: true, held: ["file"] });
    expect(await locks({ none: true })).toEqual({ outcome: true, held: [] });
  });

  test("holds nothing when another has either", async () => {
    for (const others of ["bytes", "file", "bytes file"]) {
      expect({ others, ...(await locks({ others })) }).toEqual({ others, outcome: false, held: [] });
      expect(await locks({ others: "bytes file", one: true })).toEqual({ outcome: false, held: [] });
    }
  });
});
