/**
 * The destination guard: what may not be written to, on this machine and on the far side of a connection. The compiled
 * program on real devices; after every refusal not a byte has changed.
 */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { formatBytes } from "../../src/format.ts";
import { BINARY, fakeSsh, run, start, until } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { addPartitions, command, mounted, swappedTo, writeTable } from "../helpers/disk.ts";
import { attachLoop } from "../helpers/loop.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";
import { answering } from "../helpers/terminal.ts";

const MIB = 1 << 20;
const SIZE = 8 * MIB;
const onLoop = testWith("loop");
const onFileSystem = testWith("loop", "mkfs");
const onMounts = testWith("mounts");

/** A disk's file with this content. */
function diskFile(dir: TempDir, data: Buffer, name = "disk"): string {
  fs.writeFileSync(dir.file(name), data);
  return dir.file(name);
}

/** A disk with two partitions of 2 MiB. */
function partitioned(dir: TempDir): string {
  const disk = bytes(201, SIZE);
  writeTable(disk, [2048, 4096], [8192, 4096]);
  return diskFile(dir, disk);
}

/** A disk with a file system on all of it. */
function formatted(dir: TempDir, ...words: string[]): string {
  const file = diskFile(dir, Buffer.alloc(SIZE));
  command("mkfs.ext4", "-q", "-F", ...words, file);
  return file;
}

interface Attempt {
  readonly words?: readonly string[];
  readonly source?: string;
  readonly to: string;
}

/** The same sync with the destination here and on the far side, with its standard error and exit code. */
async function bothWays(dir: TempDir, { words = [], source, to }: Attempt) {
  const from = source ?? dir.file("s");
  if (source === undefined) fs.writeFileSync(from, bytes(202, MIB));
  const ssh = fakeSsh(dir.file("fake-ssh"));
  const results = [];
  for (const [place, name] of [
    ["here", to],
    ["far", `host:${to}`],
  ] as const) {
    results.push({ place, name, ...(await run(["-f", ...words, ...ssh, from, name])) });
  }
  return results;
}

/** Both are refused as a device that is not there, and stay so. */
async function expectNotCreated(dir: TempDir, to: string) {
  for (const { stderr, exitCode, name } of await bothWays(dir, { to })) {
    expect(stderr).toContain(`Refused to create ${JSON.stringify(name)}: there is no such device (missing-device)`);
    expect(exitCode).toBe(3);
  }
  expect(fs.existsSync(to)).toBe(false);
}

/**
 * Where the kernel keeps what it swaps out to the first partition of partitioned(), behind the header (swapon(2)): that happens
 * whenever memory is short, whoever uses it.
 */
const SWAPPED_OUT = { start: MIB + 4096, end: 3 * MIB };

/** Both are refused under this name with this sentence, and `disk` is not changed. */
async function expectRefused(dir: TempDir, disk: string, attempt: Attempt, name: string, sentence: string) {
  const { start, end } = name === "swap" ? SWAPPED_OUT : { start: 0, end: 0 };
  const contents = () => fs.readFileSync(disk).fill(0, start, end);
  const before = contents();
  for (const { place, name: shown, exitCode, stderr } of await bothWays(dir, attempt)) {
    const first = stderr.split("\n").find((line) => line.includes("Refused"));
    expect({ place, first, exitCode }).toEqual({
      place,
      first: `blocksync: Refused to write to ${JSON.stringify(shown)}: ${sentence} (${name})`,
      exitCode: 3,
    });
    const overridable = ["mounted", "held", "in-use", "locked"].includes(name);
    expect(stderr.includes(`--allow ${name} writes to it anyway`)).toBe(overridable);
  }
  expect(contents().equals(before)).toBe(true);
}

/** Both succeed. */
async function expectWritten(dir: TempDir, disk: string, offset: number, attempt: Attempt) {
  for (const { place, exitCode, stderr } of await bothWays(dir, attempt)) {
    expect({ place, exitCode, stderr: exitCode === 0 ? "" : stderr }).toEqual({ place, exitCode: 0, stderr: "" });
  }
  expect(
    fs
      .readFileSync(disk)
      .subarray(offset, offset + MIB)
      .equals(bytes(202, MIB)),
  ).toBe(true);
}

describe("D7.35 a device in use", () => {
  onFileSystem("D7.35 a mounted device is refused with the place; --allow mounted writes to it", async () => {
    using dir = tempDir();
    const file = formatted(dir);
    using loop = attachLoop(file);
    using _mount = mounted(loop.path, dir.file("m n"), "-o", "ro");
    const sentence = `it is mounted on ${JSON.stringify(dir.file("m n"))}`;
    await expectRefused(dir, file, { to: loop.path }, "mounted", sentence);
    const words = ["--allow", "held,in-use,locked"];
    await expectRefused(dir, file, { to: loop.path, words }, "mounted", sentence);
    expect((await run(["-n", dir.file("s"), loop.path])).exitCode).toBe(1);
    await expectWritten(dir, file, 0, { to: loop.path, words: ["--allow", "mounted"] });
  });

  onFileSystem("D7.35 a disk with a mounted partition is refused, another partition of it is not", async () => {
    using dir = tempDir();
    const file = partitioned(dir);
    using loop = attachLoop(file, "--partscan");
    using _partitions = addPartitions(loop.path);
    command("mkfs.ext4", "-q", `${loop.path}p1`);
    using _mount = mounted(`${loop.path}p1`, dir.file("mnt"), "-o", "ro");
    const name = `${loop.path.slice("/dev/".length)}p1`;
    const place = JSON.stringify(dir.file("mnt"));
    await expectRefused(dir, file, { to: loop.path }, "mounted", `its partition ${name} is mounted on ${place}`);
    await expectRefused(dir, file, { to: `${loop.path}p1` }, "mounted", `it is mounted on ${place}`);
    await expectWritten(dir, file, 8192 * 512, { to: `${loop.path}p2` });
  });

  onFileSystem("D7.35 a partition of a disk that is mounted as a whole is refused", async () => {
    using dir = tempDir();
    const file = formatted(dir);
    const disk = fs.readFileSync(file);
    writeTable(disk, [2048, 4096]);
    fs.writeFileSync(file, disk);
    using loop = attachLoop(file, "--partscan");
    using _partitions = addPartitions(loop.path);
    using _mount = mounted(loop.path, dir.file("mnt"), "-o", "ro");
    const name = loop.path.slice("/dev/".length);
    const sentence = `${name}, the disk it is part of, is mounted on ${JSON.stringify(dir.file("mnt"))}`;
    await expectRefused(dir, file, { to: `${loop.path}p1` }, "mounted", sentence);
  });

  onFileSystem("D7.35 a device under a mounted one is refused", async () => {
    using dir = tempDir();
    const file = formatted(dir);
    using loop = attachLoop(file);
    using above = attachLoop(loop.path);
    using _mount = mounted(above.path, dir.file("mnt"), "-o", "ro");
    const name = above.path.slice("/dev/".length);
    const sentence = `${name} on top of it is mounted on ${JSON.stringify(dir.file("mnt"))}`;
    await expectRefused(dir, file, { to: loop.path }, "mounted", sentence);
  });

  onLoop("D7.35 swap space is refused: a device, the disk of a partition, a file; nothing overrides it", async () => {
    using dir = tempDir();
    const words = ["--allow", "mounted,held,in-use,locked"];
    const file = partitioned(dir);
    using loop = attachLoop(file, "--partscan");
    using _partitions = addPartitions(loop.path);
    command("mkswap", `${loop.path}p1`);
    fs.writeFileSync(dir.file("swap"), Buffer.alloc(SIZE), { mode: 0o600 });
    command("mkswap", dir.file("swap"));
    command("sync");
    using _partition = swappedTo(`${loop.path}p1`);
    using _file = swappedTo(dir.file("swap"));
    const sentence = "it is used as swap space";
    await expectRefused(dir, file, { to: `${loop.path}p1`, words }, "swap", sentence);
    const name = `${loop.path.slice("/dev/".length)}p1`;
    await expectRefused(dir, file, { to: loop.path, words }, "swap", `its partition ${name} is used as swap space`);
    await expectRefused(dir, file, { to: dir.file("swap"), words }, "swap", sentence);
  });

  onLoop("D7.35 what another device is made of is refused, device or file; --allow held writes to it", async () => {
    using dir = tempDir();
    const file = diskFile(dir, bytes(203, SIZE));
    using loop = attachLoop(file);
    using above = attachLoop(loop.path);
    const [name, upper] = [loop, above].map(({ path }) => path.slice("/dev/".length));
    await expectRefused(dir, file, { to: loop.path }, "held", `${upper} holds it`);
    await expectRefused(dir, file, { to: file }, "held", `the loop device ${name} is attached to it`);
    await expectWritten(dir, file, 0, { to: loop.path, words: ["--allow", "held"] });
    fs.writeFileSync(file, bytes(204, SIZE));
    await expectWritten(dir, file, 0, { to: file, words: ["--allow", "held"] });
  });

  onLoop(
    "D7.35 a device is refused where /sys does not tell about it; --allow unseen writes to it, if free",
    async () => {
      using dir = tempDir();
      const file = diskFile(dir, bytes(207, SIZE));
      using loop = attachLoop(file);
      fs.writeFileSync(dir.file("s"), bytes(208, MIB));
      const ssh = fakeSsh(dir.file("fake-ssh"));
      // A mount namespace of its own, so that nothing of it has to be undone.
      const argv0 = [
        "unshare",
        "-m",
        "--propagation",
        "private",
        "sh",
        "-c",
        'mount -t tmpfs none /sys; exec "$@"',
        "sh",
      ];
      const before = fs.readFileSync(file);
      const claimed = fs.openSync(loop.path, fs.constants.O_RDWR | fs.constants.O_EXCL);
      try {
        for (const name of [loop.path, `host:${loop.path}`]) {
          const refused = await run(["-f", ...ssh, dir.file("s"), name], { argv0 });
          expect(refused.stderr).toContain(
            `blocksync: Refused to write to ${JSON.stringify(name)}: /sys does not list it, so blocksync cannot tell what else uses its bytes (unseen)\n`,
          );
          expect(refused.stderr).toContain("mount -t sysfs sysfs /sys; --allow unseen writes to it anyway");
          expect(refused.exitCode).toBe(3);
          const taken = await run(["-f", "--allow", "unseen", ...ssh, dir.file("s"), name], { argv0 });
          expect(taken.stderr).toContain("the device is mounted or in use (in-use)");
          expect(taken.exitCode).toBe(3);
        }
      } finally {
        fs.closeSync(claimed);
      }
      expect(fs.readFileSync(file).equals(before)).toBe(true);
      for (const name of [loop.path, `host:${loop.path}`]) {
        const written = await run(["-f", "--allow", "unseen", ...ssh, dir.file("s"), name], { argv0 });
        expect({ exitCode: written.exitCode, stderr: written.exitCode === 0 ? "" : written.stderr }).toEqual({
          exitCode: 0,
          stderr: "",
        });
        expect(
          fs
            .readFileSync(file)
            .subarray(0, MIB)
            .equals(fs.readFileSync(dir.file("s"))),
        ).toBe(true);
        expect(fs.readFileSync(file).subarray(MIB).equals(before.subarray(MIB))).toBe(true);
        fs.writeFileSync(file, before);
      }
    },
  );

  onLoop("D7.35 a device that someone has claimed is refused; --allow in-use writes to it", async () => {
    using dir = tempDir();
    const file = diskFile(dir, bytes(205, SIZE));
    using loop = attachLoop(file);
    const fd = fs.openSync(loop.path, fs.constants.O_RDWR | fs.constants.O_EXCL);
    try {
      await expectRefused(dir, file, { to: loop.path }, "in-use", "the device is mounted or in use");
      await expectWritten(dir, file, 0, { to: loop.path, words: ["--allow", "in-use"] });
    } finally {
      fs.closeSync(fd);
    }
  });

  onFileSystem("D7.35 the disk of the running system is refused, whatever is allowed", async () => {
    using dir = tempDir();
    const file = formatted(dir);
    using loop = attachLoop(file);
    const root = dir.file("root");
    using _mount = mounted(loop.path, root);
    for (const name of ["usr", "lib", "lib64", "proc", "sys", "dev", "tmp", "bin"]) fs.mkdirSync(`${root}/${name}`);
    fs.writeFileSync(`${root}/bin/blocksync`, "");
    fs.writeFileSync(`${root}/s`, bytes(206, MIB));
    // A mount namespace of its own, so that nothing of it has to be undone.
    const script = [
      'cd "$1"',
      "for name in usr lib lib64 proc sys dev tmp; do mount --rbind /$name $name; done",
      'mount --bind "$2" bin/blocksync',
      'exec chroot . /bin/blocksync --allow mounted,held,in-use,locked -f /s "$3"',
    ].join("\n");
    const argv = ["unshare", "--mount", "sh", "-ec", script, "sh", root, BINARY, loop.path];
    command("sync");
    const before = fs.readFileSync(file);
    const result = Bun.spawnSync(argv);
    expect(result.stderr.toString()).toStartWith(
      `blocksync: Refused to write to "${loop.path}": the running system is on it (root-disk)\n`,
    );
    expect(result.exitCode).toBe(3);
    expect(fs.readFileSync(file).equals(before)).toBe(true);
  });
});

describe("D7.35 the source itself", () => {
  onLoop("D7.35 by a symbolic link, another node, a hard link, here and on the far side", async () => {
    using dir = tempDir();
    const file = diskFile(dir, bytes(207, SIZE));
    using loop = attachLoop(file);
    fs.symlinkSync(loop.path, dir.file("by-id"));
    const { rdev } = fs.statSync(loop.path);
    command("mknod", dir.file("node"), "b", String((rdev >> 8) & 0xfff), String(rdev & 0xff));
    const sentence = (kind: string, source: string) => `it is the same ${kind} as the source ${JSON.stringify(source)}`;
    for (const to of [loop.path, dir.file("by-id"), dir.file("node")]) {
      const attempt = { source: loop.path, to };
      await expectRefused(dir, file, attempt, "same-file", sentence("device", loop.path));
    }
    fs.writeFileSync(dir.file("a"), bytes(208, MIB));
    fs.linkSync(dir.file("a"), dir.file("hard"));
    fs.symlinkSync("a", dir.file("soft"));
    for (const to of ["a", "hard", "soft"]) {
      const attempt = { source: dir.file("a"), to: dir.file(to) };
      await expectRefused(dir, dir.file("a"), attempt, "same-file", sentence("file", dir.file("a")));
    }
  });

  onFileSystem("D7.35 the disk that holds the source file is refused, whatever is allowed", async () => {
    using dir = tempDir();
    const file = formatted(dir);
    using loop = attachLoop(file);
    // The source is looked at before the pair is refused, and the time of that would be written to the disk.
    using _mount = mounted(loop.path, dir.file("mnt"), "-o", "noatime");
    const source = dir.file("mnt/image");
    fs.writeFileSync(source, bytes(209, MIB));
    command("sync");
    const words = ["--allow", "mounted"];
    const sentence = `it contains the source ${JSON.stringify(source)}`;
    await expectRefused(dir, file, { source, to: loop.path, words }, "overlap", sentence);
    for (const to of [source, dir.file("mnt/new")]) {
      const into = { source: loop.path, to, words };
      await expectRefused(dir, file, into, "overlap", `it lies within the source ${JSON.stringify(loop.path)}`);
    }
    expect(fs.existsSync(dir.file("mnt/new"))).toBe(false);
  });

  onLoop("D7.35 the file of the source's loop device is refused, whatever is allowed", async () => {
    using dir = tempDir();
    const file = diskFile(dir, bytes(210, SIZE));
    using loop = attachLoop(file);
    const attempt = { source: loop.path, to: file, words: ["--allow", "held"] };
    await expectRefused(dir, file, attempt, "overlap", `it contains the source ${JSON.stringify(loop.path)}`);
  });
});

describe("D7.36 what is no disk", () => {
  test("D7.36 a mistyped device, a directory, a character device, a pipe, a socket", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("witness"), "");
    command("mkfifo", dir.file("pipe"));
    using server = Bun.listen({ unix: dir.file("socket"), socket: { data: () => undefined } });
    expect(server.unix).toBe(dir.file("socket"));
    fs.mkdirSync(dir.file("folder"));
    for (const [to, what] of [
      [dir.file("folder"), "a directory"],
      ["/dev/null", "a character device"],
      [dir.file("pipe"), "a named pipe"],
      [dir.file("socket"), "a socket"],
    ] as const) {
      await expectRefused(dir, dir.file("witness"), { to }, "not-a-disk", `it is ${what}`);
    }
    for (const typo of ["/dev/blocksync-typo", "/dev/no-such-group/volume"]) await expectNotCreated(dir, typo);
  });

  onMounts("nothing is created where /dev is mounted once more, as for a chroot", async () => {
    using dir = tempDir();
    using _bound = mounted("/dev", dir.file("root/dev"), "--bind");
    await expectNotCreated(dir, dir.file("root/dev/blocksync-typo"));
    await expectNotCreated(dir, dir.file("root/dev/no-such-group/volume"));
    const { exitCode } = await run(["-o", dir.file("root/dev/log"), "-n", dir.file("witness"), dir.file("copy")]);
    expect({ exitCode, log: fs.existsSync(dir.file("root/dev/log")) }).toEqual({ exitCode: 2, log: false });
  });

  onLoop("D7.36 a read-only device, whatever is allowed", async () => {
    using dir = tempDir();
    const file = diskFile(dir, bytes(211, SIZE));
    using loop = attachLoop(file, "--read-only");
    const words = ["--allow", "mounted,held,in-use,locked"];
    await expectRefused(dir, file, { to: loop.path, words }, "read-only", "the device is read-only");
  });
});

describe("D7.37 another device than meant", () => {
  onLoop("D7.37 a smaller device is refused before the first byte, here and on the far side", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("large"), bytes(212, SIZE + 512));
    const file = diskFile(dir, bytes(213, SIZE));
    using loop = attachLoop(file);
    const sentence = `the source has ${SIZE + 512} bytes, the device only ${SIZE} bytes`;
    await expectRefused(dir, file, { source: dir.file("large"), to: loop.path }, "too-small", sentence);
  });

  onLoop("D7.37 a name that leads elsewhere after the confirmation is refused, here and on the far side", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(214, MIB));
    using meant = attachLoop(diskFile(dir, bytes(215, SIZE), "meant"));
    using other = attachLoop(diskFile(dir, bytes(216, SIZE), "other"));
    const link = dir.file("by-id");
    for (const name of [link, `host:${link}`]) {
      fs.rmSync(link, { force: true });
      fs.symlinkSync(meant.path, link);
      const swap = () => {
        fs.rmSync(link);
        fs.symlinkSync(other.path, link);
      };
      const words = [...fakeSsh(dir.file("fake-ssh")), dir.file("s"), name];
      const { exitCode, seen } = await answering(words, 'Type "yes" to go on: ', "yes\n", swap);
      expect(seen).toContain(
        `Refused to write to ${JSON.stringify(name)}: it changed while blocksync prepared the run (changed)`,
      );
      expect(exitCode).toBe(3);
    }
    expect(fs.readFileSync(dir.file("meant")).equals(bytes(215, SIZE))).toBe(true);
    expect(fs.readFileSync(dir.file("other")).equals(bytes(216, SIZE))).toBe(true);
  });

  onLoop("D7.37 a device that was resized after the confirmation is refused", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(231, MIB));
    const file = diskFile(dir, bytes(232, SIZE));
    using loop = attachLoop(file);
    const resize = () => {
      fs.truncateSync(file, SIZE / 2);
      command("losetup", "--set-capacity", loop.path);
    };
    const { exitCode, seen } = await answering([dir.file("s"), loop.path], 'Type "yes" to go on: ', "yes\n", resize);
    expect(seen).toContain("it changed while blocksync prepared the run (changed)");
    expect(exitCode).toBe(3);
    expect(fs.readFileSync(file).equals(bytes(232, SIZE).subarray(0, SIZE / 2))).toBe(true);
  });

  onLoop("D7.37 --expect-size and --expect-serial refuse another device", async () => {
    using dir = tempDir();
    const file = diskFile(dir, bytes(217, SIZE));
    using loop = attachLoop(file);
    const expectUnexpected = async (words: string[], to: string, sentence: string) => {
      await expectRefused(dir, file, { to, words }, "unexpected", sentence);
    };
    const size = `it has ${SIZE} bytes, but --expect-size says ${SIZE + 512}`;
    await expectUnexpected(["--expect-size", String(SIZE + 512)], loop.path, size);
    const serial = 'its serial number is unknown, but --expect-serial says "S1"';
    await expectUnexpected(["--expect-serial", "S1"], loop.path, serial);
    const none = "it is not a device, so it has no serial number";
    await expectUnexpected(["--expect-serial", "S1"], diskFile(dir, bytes(218, SIZE), "other"), none);
    const missing = "it does not exist, but --expect-size says 1048576 bytes";
    await expectUnexpected(["--expect-size", "1M"], dir.file("new"), missing);
    expect(fs.existsSync(dir.file("new"))).toBe(false);
    await expectWritten(dir, file, 0, { to: loop.path, words: ["--expect-size", "8M"] });
  });
});

describe("D7.38 during a run", () => {
  /** Starts a run that takes long, and does `work` once it has claimed the destination. */
  async function during(words: readonly string[], isClaimed: () => boolean, work: () => Promise<void>) {
    const child = start(["-f", "-p", "100000", "-b", "64K", ...words]);
    try {
      await until("the run has claimed its destination", isClaimed);
      await work();
    } finally {
      child.kill("SIGTERM");
      await child.exited;
    }
  }

  const isLocked = (path: string) => Bun.spawnSync(["flock", "--nonblock", path, "true"]).exitCode === 1;

  onFileSystem("D7.38 nobody can mount the device, and its disk's node is locked, until the run ends", async () => {
    using dir = tempDir();
    using loop = attachLoop(formatted(dir));
    fs.writeFileSync(dir.file("s"), bytes(218, SIZE));
    fs.mkdirSync(dir.file("mnt"));
    for (const to of [loop.path, `host:${loop.path}`]) {
      expect(isLocked(loop.path)).toBe(false);
      const words = [...fakeSsh(dir.file("fake-ssh")), dir.file("s"), to];
      await during(
        words,
        () => isLocked(loop.path),
        async () => {
          const result = Bun.spawnSync(["mount", loop.path, dir.file("mnt")]);
          expect(result.exitCode).toBe(32);
          expect(result.stderr.toString()).toContain("busy");
        },
      );
      await until("the lock is gone", () => !isLocked(loop.path));
    }
  });

  onLoop("D7.38 a partition's run locks the disk's node", async () => {
    using dir = tempDir();
    using loop = attachLoop(partitioned(dir), "--partscan");
    using _partitions = addPartitions(loop.path);
    fs.writeFileSync(dir.file("s"), bytes(219, MIB));
    await during(
      [dir.file("s"), `${loop.path}p1`],
      () => isLocked(loop.path),
      () => Promise.resolve(),
    );
    await until("the lock is gone", () => !isLocked(loop.path));
  });

  onLoop("D7.38 a disk that another program has locked is refused; --allow locked writes to it", async () => {
    using dir = tempDir();
    const file = diskFile(dir, bytes(220, SIZE));
    using loop = attachLoop(file);
    const other = Bun.spawn(["flock", "--no-fork", loop.path, "sleep", "600"]);
    try {
      await until("it is locked", () => isLocked(loop.path));
      await expectRefused(dir, file, { to: loop.path }, "locked", `another program has locked the disk ${loop.path}`);
      await expectWritten(dir, file, 0, { to: loop.path, words: ["--allow", "locked"] });
    } finally {
      process.kill(other.pid);
      await other.exited;
    }
  });

  test("D7.38 two runs to one file: the second is refused, the lanes of the first are not", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(221, SIZE));
    fs.writeFileSync(dir.file("d"), bytes(222, SIZE));
    await during(
      [dir.file("s"), dir.file("d")],
      () => isLocked(dir.file("d")),
      async () => {
        for (const { stderr, exitCode } of await bothWays(dir, { source: dir.file("s"), to: dir.file("d") })) {
          expect(stderr).toContain("another program has locked it (locked)");
          expect(exitCode).toBe(3);
        }
      },
    );
    const result = await run(["-w", "3", "-l", "0", ...fakeSsh(dir.file("f")), dir.file("s"), `host:${dir.file("d")}`]);
    expect(result.exitCode).toBe(0);
    expect(fs.readFileSync(dir.file("d")).equals(bytes(221, SIZE))).toBe(true);
  });
});

describe("D7.39 after success", () => {
  onLoop("D7.39 the kernel reads the partition table anew, or -v says why not; either is success", async () => {
    using dir = tempDir();
    const image = bytes(223, 2 * MIB);
    image.fill(0, 446, 512);
    fs.writeFileSync(dir.file("s"), image);
    for (const to of ["", "host:"]) {
      using loop = attachLoop(partitioned(dir), "--partscan");
      using _partitions = addPartitions(loop.path);
      const words = ["-f", "-v", ...fakeSsh(dir.file("fake-ssh")), dir.file("s"), to + loop.path];
      const fd = fs.openSync(`${loop.path}p1`, "r");
      const busy = await run(words);
      fs.closeSync(fd);
      expect(busy.stderr).toContain(
        `The kernel cannot reread the partition table of ${JSON.stringify(to + loop.path)} while one of its partitions is in use`,
      );
      expect(busy.exitCode).toBe(0);
      expect(fs.existsSync(`${loop.path}p1`)).toBe(true);

      fs.writeFileSync(dir.file("disk"), bytes(224, SIZE));
      const done = await run(words);
      expect(done.stderr).toContain(`The kernel reread the partition table of ${JSON.stringify(to + loop.path)}\n`);
      expect(done.exitCode).toBe(0);
      await until("the partitions are gone", () => !fs.existsSync(`${loop.path}p1`));
      // Nothing written, nothing to read.
      expect((await run(words)).stderr).not.toContain("partition table");
    }
  });
});

describe("D7.39 after success, of a record anywhere", () => {
  for (const [what, offset] of [
    ["an extended boot record", MIB + (MIB >> 1)],
    ["a GPT's copy at the end", SIZE - 512],
  ] as const) {
    onLoop(`D7.39 the kernel reads the partition table anew when only ${what} was written`, async () => {
      using dir = tempDir();
      const disk = diskFile(dir, bytes(227, SIZE));
      const image = bytes(227, SIZE);
      image.fill(0x5a, offset, offset + 512);
      fs.writeFileSync(dir.file("s"), image);
      using loop = attachLoop(disk, "--partscan");
      const result = await run(["-f", "-v", dir.file("s"), loop.path]);
      expect(result.stderr).toContain(`The kernel reread the partition table of ${JSON.stringify(loop.path)}\n`);
      expect(result.exitCode).toBe(0);
      expect((await run(["-f", "-v", dir.file("s"), loop.path])).stderr).not.toContain("partition table");
    });
  }
});

describe("D5.25 sizes", () => {
  onLoop("D5.25 a device of an odd number of sectors takes a source of its size, and keeps its rest", async () => {
    using dir = tempDir();
    const size = 3 * MIB + 512;
    for (const sourceSize of [size, size - 512, MIB + 1, 511, 0]) {
      fs.writeFileSync(dir.file("s"), bytes(225, sourceSize));
      using loop = attachLoop(diskFile(dir, bytes(226, size)));
      const result = await run(["-f", dir.file("s"), loop.path]);
      expect({ sourceSize, exitCode: result.exitCode }).toEqual({ sourceSize, exitCode: 0 });
      const rest = bytes(226, size).subarray(sourceSize);
      expect(fs.readFileSync(dir.file("disk")).equals(Buffer.concat([bytes(225, sourceSize), rest]))).toBe(true);
      if (sourceSize < size)
        expect(result.stderr).toContain(`is ${formatBytes(size - sourceSize)} larger than the source`);
    }
  });

  onLoop("D5.25 a device smaller than one block, and one of 4096-byte sectors, too small by one", async () => {
    using dir = tempDir();
    using small = attachLoop(diskFile(dir, bytes(227, 64 << 10)));
    fs.writeFileSync(dir.file("s"), bytes(228, 64 << 10));
    expect((await run(["-f", "-b", "16M", dir.file("s"), small.path])).exitCode).toBe(0);
    expect(fs.readFileSync(dir.file("disk")).equals(bytes(228, 64 << 10))).toBe(true);
    using large = attachLoop(diskFile(dir, bytes(229, MIB), "4k"), "--sector-size", "4096");
    fs.writeFileSync(dir.file("s"), bytes(230, MIB + 1));
    const attempt = { source: dir.file("s"), to: large.path };
    const sentence = `the source has ${MIB + 1} bytes, the device only ${MIB} bytes`;
    await expectRefused(dir, dir.file("4k"), attempt, "too-small", sentence);
  });
});
