/** What is read once, and written to real block devices. */
import { describe, expect } from "bun:test";
import fs from "node:fs";
import { type Result, run } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { attachLoop } from "../helpers/loop.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";
import { serveWeb } from "../helpers/web.ts";

const onLoop = testWith("loop");
const MIB = 1 << 20;
/** It is half as long when it is packed. */
const DATA = Buffer.concat([bytes(1, 10 * MIB), Buffer.alloc(8 * MIB), bytes(2, 2 * MIB + 4096)]);

function file(dir: TempDir, name: string, data: Uint8Array): string {
  fs.writeFileSync(dir.file(name), data);
  return dir.file(name);
}

function piped(file: string, words: readonly string[]): Promise<Result> {
  return run(words, { argv0: ["sh", "-c", 'file=$1; shift; cat "$file" | "$@"', "sh", file] });
}

describe("onto a block device", () => {
  onLoop("a compressed file or pipe is unpacked with a notice, and only what differs is written", async () => {
    using dir = tempDir();
    const disk = file(dir, "disk", changeLeaves(DATA, [1, 5000]));
    using loop = attachLoop(disk);
    const image = file(dir, "image", Bun.zstdCompressSync(DATA));
    const notice = (label: string) =>
      `"${label}" is compressed (zstd) and is unpacked, since "${loop.path}" is a block device; --decompress never writes it as it is\n`;
    const refused = await run([image, loop.path]);
    expect(refused.stderr).toContain("it is a block device and there is no terminal to ask on (unconfirmed)");
    expect(refused.exitCode).toBe(3);
    const first = await run(["-f", "--progress", "none", image, loop.path]);
    expect(first.stderr).toStartWith(`${notice(image)}Completed in `);
    expect(first.stderr).toContain("20.0 MiB equal, 8.0 KiB written");
    expect(fs.readFileSync(loop.path).equals(DATA)).toBe(true);
    const again = await piped(image, ["-f", "--progress", "none", "--verify", "-", loop.path]);
    expect(again.stderr).toStartWith(notice("standard input"));
    expect(again.stderr).toContain("20.0 MiB equal, nothing written");
    expect(again.stderr).toContain("the destination read again, past its page cache");
    expect([first.exitCode, again.exitCode]).toEqual([0, 0]);
    // As it is, which is what the device holds from then on.
    expect((await run(["-q", "-f", "--decompress", "never", image, loop.path])).exitCode).toBe(0);
    const kept = await run(["-n", "--progress", "none", image, loop.path]);
    expect(kept.stderr).not.toContain("unpacked");
    expect(kept.exitCode).toBe(0);
  });

  testWith("loop", "python")(
    "a zip file of one file is unpacked, of several is refused, and from a pipe too",
    async () => {
      using dir = tempDir();
      using loop = attachLoop(file(dir, "disk", changeLeaves(DATA, [1, 5000])));
      file(dir, "image.img", DATA);
      const zip = (name: string, ...files: string[]) => {
        const made = Bun.spawnSync(["python3", "-m", "zipfile", "-c", name, ...files], { cwd: dir.path });
        if (made.exitCode !== 0) throw new Error(made.stderr.toString());
        return dir.file(name);
      };
      const one = zip("one.zip", "image.img");
      fs.writeFileSync(dir.file("notes"), "of the image");
      const several = zip("several.zip", "notes", "notes");
      for (const source of [several, "-"]) {
        const refused =
          source === "-" ? await piped(one, ["-f", "-", loop.path]) : await run(["-f", source, loop.path]);
        expect(refused.stderr).toContain(
          "is an archive (zip), and a block device would hold neither a disk nor a file system",
        );
        expect(refused.exitCode).toBe(3);
      }
      const done = await run(["-f", "--progress", "none", one, loop.path]);
      expect(done.stderr).toContain(`"${one}" is compressed (zip of one file) and is unpacked`);
      expect(done.stderr).toContain("20.0 MiB equal, 8.0 KiB written");
      expect(done.exitCode).toBe(0);
      expect(fs.readFileSync(loop.path).equals(DATA)).toBe(true);
    },
  );

  onLoop("that is too small is filled, which is said with exit 4, or refused where the size is told", async () => {
    using dir = tempDir();
    using loop = attachLoop(file(dir, "disk", Buffer.alloc(18 * MIB)));
    const from = file(dir, "from", DATA);
    const told = await piped(from, ["-f", "--source-size", String(DATA.length), "-", loop.path]);
    expect(told.stderr).toContain("(too-small)");
    expect({ exitCode: told.exitCode, isBlank: !fs.readFileSync(loop.path).some((byte) => byte !== 0) }).toEqual({
      exitCode: 3,
      isBlank: true,
    });
    const untold = await piped(from, ["-f", "-q", "-", loop.path]);
    expect(untold.stderr).toContain(
      `Cannot write all of "standard input" to "${loop.path}": the source has ${"20.0 MiB"} at least, the device only 18.0 MiB; the first ${16 * MIB} bytes of the destination were made equal`,
    );
    expect(untold.exitCode).toBe(4);
  });

  onLoop("an archive or a virtual machine's file is refused, compressed or not, unless that is allowed", async () => {
    using dir = tempDir();
    using loop = attachLoop(file(dir, "disk", Buffer.alloc(4 * MIB)));
    const qcow2 = Buffer.concat([Buffer.from("QFI\xfb\0\0\0\x03", "latin1"), bytes(2, 100_000)]);
    const [plain, packed] = [file(dir, "a.qcow2", qcow2), file(dir, "b.qcow2.zst", Bun.zstdCompressSync(qcow2))];
    for (const from of [plain, packed]) {
      const result = await run(["-f", "-q", from, loop.path]);
      expect(result).toMatchObject({
        exitCode: 3,
        stderr: `blocksync: Refused to write to "${loop.path}": the source "${from}" is a virtual machine image (qcow2), and a block device would hold neither a disk nor a file system (packed)\nblocksync: hint: convert it first (qemu-img convert -O raw); --allow packed writes to it anyway\n`,
      });
    }
    expect(fs.readFileSync(loop.path).some((byte) => byte !== 0)).toBe(false);
    expect((await run(["-f", "-q", "--allow", "packed", packed, loop.path])).exitCode).toBe(0);
    expect(fs.readFileSync(loop.path).subarray(0, qcow2.length).equals(qcow2)).toBe(true);
  });

  onLoop(
    "an image at a URL with its hash tree is looked at as a file is: refused, or unpacked, each leaf proved",
    async () => {
      using dir = tempDir();
      using loop = attachLoop(file(dir, "disk", Buffer.alloc(24 * MIB)));
      await using web = serveWeb();
      // Images of whole leaves, which a tree can be over: qcow2 has them always, a zstd stream with what may be skipped behind it.
      const qcow2 = Buffer.concat([Buffer.from("QFI\xfb\0\0\0\x03", "latin1"), bytes(2, 3 * 4096 - 8)]);
      const zstd = Bun.zstdCompressSync(DATA);
      const skipped = 4096 - ((zstd.length + 8) % 4096);
      const frame = Buffer.alloc(8 + skipped);
      frame.writeUInt32LE(0x184d2a50, 0);
      frame.writeUInt32LE(skipped, 4);
      for (const [name, image] of [
        ["a.qcow2", qcow2],
        ["b.zst", Buffer.concat([zstd, frame])],
      ] as const) {
        expect((await run(["index", "-q", file(dir, name, image)])).exitCode).toBe(0);
        web.files.set(`/${name}`, image);
        web.files.set(`/${name}.verity`, fs.readFileSync(dir.file(`${name}.verity`)));
      }
      const refused = await run(["-f", "-q", `${web.origin}/a.qcow2`, loop.path]);
      expect(refused.stderr).toContain(`the source "${web.origin}/a.qcow2" is a virtual machine image (qcow2)`);
      expect(refused.exitCode).toBe(3);
      expect(fs.readFileSync(loop.path).some((byte) => byte !== 0)).toBe(false);
      expect((await run(["-f", "-q", "--allow", "packed", `${web.origin}/a.qcow2`, loop.path])).exitCode).toBe(0);
      expect(fs.readFileSync(loop.path).subarray(0, qcow2.length).equals(qcow2)).toBe(true);
      const unpacked = await run(["-f", "--progress", "none", `${web.origin}/b.zst`, loop.path]);
      expect(unpacked.stderr).toContain(`"${web.origin}/b.zst" is compressed (zstd) and is unpacked`);
      expect(unpacked.exitCode).toBe(0);
      expect(fs.readFileSync(loop.path).subarray(0, DATA.length).equals(DATA)).toBe(true);
    },
  );
});
