/** The compiled program on real block devices. */
import { describe, expect } from "bun:test";
import fs from "node:fs";
import { BINARY, run, summaryOf } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { attachLoop } from "../helpers/loop.ts";
import { testWith } from "../helpers/requirements.ts";
import { startSshd } from "../helpers/sshd.ts";
import { allocated } from "../helpers/sync.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const onLoop = testWith("loop");

function backing(dir: TempDir, name: string, data: Buffer): string {
  fs.writeFileSync(dir.file(name), data);
  return dir.file(name);
}

/** What the device holds, past the page cache of its backing file. */
function contents(path: string): Buffer {
  return fs.readFileSync(path);
}

describe("block devices", () => {
  onLoop(
    "blocksync image.img localhost /dev/loopN writes the image, then only what differs, then nothing",
    async () => {
      using dir = tempDir();
      const image = bytes(71, 6 * MIB);
      fs.writeFileSync(dir.file("image.img"), image);
      using loop = attachLoop(backing(dir, "disk", bytes(72, 8 * MIB)));
      const words = ["--json", "-f", dir.file("image.img"), "localhost", loop.path];
      expect(summaryOf(await run(words))).toMatchObject({ exitCode: 0, blocksDiffering: 6, bytesWritten: 6 * MIB });
      const expected = Buffer.concat([image, bytes(72, 8 * MIB).subarray(6 * MIB)]);
      expect(contents(dir.file("disk")).equals(expected)).toBe(true);
      fs.writeFileSync(dir.file("image.img"), changeLeaves(image, [3, 1000]));
      expect(summaryOf(await run(words))).toMatchObject({ exitCode: 0, blocksDiffering: 2, bytesWritten: 8192 });
      expect(summaryOf(await run(words))).toMatchObject({ exitCode: 0, blocksDiffering: 0, bytesWritten: 0 });
    },
  );

  testWith("loop", "sshd")("blocksync /dev/loopN user@host /path/to/file makes the file", async () => {
    using dir = tempDir();
    using loop = attachLoop(backing(dir, "disk", bytes(73, 5 * MIB)));
    await using sshd = await startSshd();
    const result = await run([...sshd.words, "--json", loop.path, `${sshd.user}@127.0.0.1`, dir.file("copy")]);
    expect(summaryOf(result)).toMatchObject({ exitCode: 0, sizeBytes: 5 * MIB });
    expect(fs.readFileSync(dir.file("copy")).equals(bytes(73, 5 * MIB))).toBe(true);
    // And back: the device is the destination on the far side.
    fs.writeFileSync(dir.file("copy"), bytes(74, 5 * MIB));
    const back = await run([...sshd.words, "-f", dir.file("copy"), `ssh://${sshd.user}@127.0.0.1${loop.path}`]);
    expect(back.exitCode).toBe(0);
    expect(contents(dir.file("disk")).equals(bytes(74, 5 * MIB))).toBe(true);
  });

  onLoop("zeros are made on a device without writing data, and only where something else was", async () => {
    using dir = tempDir();
    const image = bytes(92, 4 * MIB);
    image.fill(0, MIB, 3 * MIB);
    image.fill(0, 3 * MIB + 8192, 3 * MIB + 12_288);
    fs.writeFileSync(dir.file("s"), image);
    using loop = attachLoop(backing(dir, "disk", bytes(93, 4 * MIB)));
    const words = ["--json", "-f", dir.file("s"), loop.path];
    expect(summaryOf(await run(words))).toMatchObject({
      exitCode: 0,
      blocksDiffering: 4,
      blocksZero: 2,
      bytesWritten: 2 * MIB,
      leavesWritten: 1024,
    });
    expect(contents(dir.file("disk")).equals(image)).toBe(true);
    expect(summaryOf(await run(words))).toMatchObject({ exitCode: 0, blocksDiffering: 0, bytesWritten: 0 });
  });

  onLoop("--discard lets the device give back what becomes zero; without it the space stays taken", async () => {
    using dir = tempDir();
    const image = bytes(92, 4 * MIB);
    image.fill(0, MIB, 3 * MIB);
    fs.writeFileSync(dir.file("s"), image);
    for (const [words, most, least] of [
      [[], 4.1 * MIB, 4 * MIB],
      [["--discard"], 2.1 * MIB, 2 * MIB],
    ] as const) {
      using loop = attachLoop(backing(dir, "disk", bytes(93, 4 * MIB)));
      const result = await run(["--json", "-f", ...words, dir.file("s"), loop.path]);
      expect(summaryOf(result)).toMatchObject({ exitCode: 0, blocksZero: 2, bytesWritten: 2 * MIB });
      expect(contents(dir.file("disk")).equals(image)).toBe(true);
      expect(allocated(dir.file("disk"))).toBeGreaterThanOrEqual(least);
      expect(allocated(dir.file("disk"))).toBeLessThanOrEqual(most);
    }
  });

  onLoop("a device whose sectors are 4096 bytes is read and written", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(75, 3 * MIB));
    using loop = attachLoop(backing(dir, "disk", bytes(76, 3 * MIB)), "--sector-size", "4096");
    expect((await run(["-f", dir.file("s"), loop.path])).exitCode).toBe(0);
    expect(contents(dir.file("disk")).equals(bytes(75, 3 * MIB))).toBe(true);
  });

  onLoop("D7.37 a device smaller than the source is refused before the first byte", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(77, 3 * MIB));
    using loop = attachLoop(backing(dir, "disk", bytes(78, 2 * MIB)));
    const result = await run(["-f", dir.file("s"), loop.path]);
    expect(result.exitCode).toBe(3);
    expect(result.stderr).toContain("the source has 3.0 MiB, the device only 2.0 MiB (too-small)");
    expect(contents(dir.file("disk")).equals(bytes(78, 2 * MIB))).toBe(true);
  });

  onLoop("D7.38 without a terminal a device needs --force; a dry run does not", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(79, MIB));
    using loop = attachLoop(backing(dir, "disk", bytes(80, MIB)));
    const refused = await run([dir.file("s"), loop.path]);
    expect(refused.exitCode).toBe(3);
    expect(refused.stderr).toContain("(unconfirmed)");
    expect(refused.stderr).toContain("hint: --force");
    expect((await run(["-n", dir.file("s"), loop.path])).exitCode).toBe(1);
    expect(contents(dir.file("disk")).equals(bytes(80, MIB))).toBe(true);
  });

  testWith("loop", "mkfs")(
    "D7.35 a mounted device is refused, its parent and its source too, even with --force",
    async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("s"), bytes(81, 16 * MIB));
      using loop = attachLoop(backing(dir, "disk", Buffer.alloc(16 * MIB)));
      // What a file system writes by itself within seconds after it was made and mounted is written before the look at it.
      const early = "lazy_itable_init=0,lazy_journal_init=0";
      expect(Bun.spawnSync(["mkfs.ext4", "-q", "-E", early, loop.path]).exitCode).toBe(0);
      fs.mkdirSync(dir.file("mnt"));
      expect(Bun.spawnSync(["mount", loop.path, dir.file("mnt")]).exitCode).toBe(0);
      try {
        expect(Bun.spawnSync(["sync", "-f", dir.file("mnt")]).exitCode).toBe(0);
        const before = contents(dir.file("disk"));
        const result = await run(["-f", dir.file("s"), loop.path]);
        expect(result.exitCode).toBe(3);
        expect(result.stderr).toContain(`it is mounted on ${JSON.stringify(dir.file("mnt"))} (mounted)`);
        expect((await run(["-n", dir.file("s"), loop.path])).exitCode).toBe(1);
        expect(contents(dir.file("disk")).equals(before)).toBe(true);
      } finally {
        Bun.spawnSync(["umount", dir.file("mnt")]);
      }
    },
  );

  onLoop("D7.35 the source device by another name is refused", async () => {
    using dir = tempDir();
    using loop = attachLoop(backing(dir, "disk", bytes(82, MIB)));
    fs.symlinkSync(loop.path, dir.file("by-id"));
    const { rdev } = fs.statSync(loop.path);
    expect(
      Bun.spawnSync(["mknod", dir.file("node"), "b", String((rdev >> 8) & 0xfff), String(rdev & 0xff)]).exitCode,
    ).toBe(0);
    for (const name of [loop.path, dir.file("by-id"), dir.file("node")]) {
      const result = await run(["-f", loop.path, name]);
      expect(result.exitCode).toBe(3);
      expect(result.stderr).toContain("it is the same device as the source");
    }
    expect(contents(dir.file("disk")).equals(bytes(82, MIB))).toBe(true);
  });

  onLoop(
    "D7.35 a loop device and its file, a partition and its disk are one thing and refused either way round",
    async () => {
      using dir = tempDir();
      const disk = bytes(94, 4 * MIB);
      // One partition of type Linux from sector 2048, 2 MiB long, in a master boot record.
      disk.fill(0, 446, 510);
      disk.set([0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0], 446);
      disk.set([0x55, 0xaa], 510);
      using loop = attachLoop(backing(dir, "disk", disk), "--partscan");
      Bun.spawnSync(["partx", "-a", loop.path]);
      const partition = `${loop.path}p1`;
      expect(fs.existsSync(partition)).toBe(true);
      try {
        for (const [from, to, relation] of [
          [partition, loop.path, "contains"],
          [loop.path, partition, "lies within"],
          [loop.path, dir.file("disk"), "contains"],
          [partition, dir.file("disk"), "contains"],
          [dir.file("disk"), loop.path, "lies within"],
        ] as const) {
          const result = await run(["-f", "--allow", "held", from, to]);
          expect(result.stderr).toContain(`it ${relation} the source ${JSON.stringify(from)} (overlap)`);
          expect(result.exitCode).toBe(3);
        }
        expect(contents(dir.file("disk")).equals(disk)).toBe(true);
      } finally {
        Bun.spawnSync(["partx", "-d", loop.path]);
      }
    },
  );

  onLoop("D7.36 a read-only device is refused", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(83, MIB));
    using loop = attachLoop(backing(dir, "disk", bytes(84, MIB)), "--read-only");
    const result = await run(["-f", dir.file("s"), loop.path]);
    expect(result.exitCode).toBe(3);
    expect(result.stderr).toContain("(read-only)");
  });

  onLoop("the confirmation on a terminal names the device; only yes goes on", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(85, MIB));
    using loop = attachLoop(backing(dir, "disk", bytes(86, MIB)));
    for (const [answer, exitCode] of [
      ["no\n", 3],
      ["\n", 3],
      ["\u0004", 3],
      ["\u0003", 130],
      ["yes\n", 0],
    ] as const) {
      let seen = "";
      let answered = false;
      const child = Bun.spawn([BINARY, dir.file("s"), loop.path], {
        terminal: {
          cols: 100,
          rows: 30,
          data: (terminal, data) => {
            seen += new TextDecoder().decode(data);
            if (answered || !seen.includes('Type "yes" to go on: ')) return;
            answered = true;
            terminal.write(answer);
          },
        },
      });
      expect(await child.exited).toBe(exitCode);
      child.terminal?.close();
      expect(seen).toContain(`The block device "${loop.path}" (1.0 MiB) WILL BE PERMANENTLY CHANGED`);
      expect(contents(dir.file("disk")).equals(exitCode === 0 ? bytes(85, MIB) : bytes(86, MIB))).toBe(true);
    }
  });

  for (const [name, inject, message] of [
    [
      "D1.1 a failed write",
      "pwrite64:error=EIO:when=1",
      /Cannot write \d+ bytes at offset \d+ of ".*": input\/output error/,
    ],
    ["D1.1 a write that finds no space", "pwrite64:error=ENOSPC", /no space left on device/],
    [
      "D1.2 a failed fsync",
      "fsync:error=EIO",
      /Cannot flush ".*": input\/output error; some of what was written is lost/,
    ],
  ] as const) {
    testWith("loop", "strace")(`${name} is exit 4, never success`, async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("s"), bytes(87, 4 * MIB));
      using loop = attachLoop(backing(dir, "disk", bytes(88, 4 * MIB)));
      const argv0 = ["strace", "-f", "-o", "/dev/null", "-P", loop.path, "-e", `inject=${inject}`];
      const result = await run(["-f", "--json", dir.file("s"), loop.path], { argv0 });
      expect(result.stderr).toMatch(message);
      expect(result.exitCode).toBe(4);
      expect(summaryOf(result)).toMatchObject({ event: "summary", exitCode: 4 });
      expect((await run(["-f", dir.file("s"), loop.path])).exitCode).toBe(0);
      expect(contents(dir.file("disk")).equals(bytes(87, 4 * MIB))).toBe(true);
    });
  }

  testWith("strace")("D1.4 a write that a signal interrupted is done again", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(89, 3 * MIB));
    const argv0 = [
      "strace",
      "-f",
      "-o",
      dir.file("trace"),
      "-P",
      dir.file("d"),
      "-e",
      "trace=pwrite64",
      "-e",
      "inject=pwrite64:error=EINTR:when=2+7",
    ];
    const result = await run(["-b", "64K", dir.file("s"), dir.file("d")], { argv0 });
    expect(result.exitCode).toBe(0);
    expect(fs.readFileSync(dir.file("trace"), "utf8")).toContain("EINTR");
    expect(fs.readFileSync(dir.file("d")).equals(bytes(89, 3 * MIB))).toBe(true);
  });

  testWith("strace")("D1.4 a flush that a signal interrupted is done again", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(89, 65 * MIB));
    const trace = dir.file("trace");
    const argv0 = ["strace", "-f", "-o", trace, "-P", dir.file("d"), "-e", "trace=fsync,fdatasync"];
    const injected = ["-e", "inject=fsync,fdatasync:error=EINTR:when=1"];
    const result = await run([dir.file("s"), dir.file("d")], { argv0: [...argv0, ...injected] });
    expect({ exitCode: result.exitCode, stderr: result.stderr.split("\n")[0] }).toMatchObject({ exitCode: 0 });
    const interrupted = new Set(
      [...fs.readFileSync(trace, "utf8").matchAll(/(fsync|fdatasync)\(.* EINTR /g)].map(([, call]) => call),
    );
    expect([...interrupted].toSorted()).toEqual(["fdatasync", "fsync"]);
  });

  testWith("strace")("a write that the kernel claims but does not do is noticed without --verify", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(90, 2 * MIB));
    fs.writeFileSync(dir.file("d"), bytes(91, 2 * MIB));
    const argv0 = ["strace", "-f", "-o", "/dev/null", "-P", dir.file("d"), "-e", `inject=pwrite64:retval=${MIB}`];
    const result = await run(["-b", "1M", dir.file("s"), dir.file("d")], { argv0 });
    expect(result.stderr).toContain("it does not hold what was written");
    expect(result.exitCode).toBe(7);
  });
});
