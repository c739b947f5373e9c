/** The faulty disks that other tests stand on do what they say: nothing before they are told to, then just that. */
import { expect } from "bun:test";
import fs from "node:fs";
import { bytes } from "../helpers/bytes.ts";
import { badDisk, failingDisk, flippingDisk, lyingDisk, mapOf, weakDisk } from "../helpers/nbd.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const onNbd = testWith("nbd", "loop");

function image(dir: TempDir, seed: number): { file: string; data: Buffer } {
  const data = bytes(seed, 4 * MIB);
  fs.writeFileSync(dir.file("image"), data);
  return { file: dir.file("image"), data };
}

/** dd past the page cache; what it read, and whether it succeeded. */
function read(path: string, offset: number, length: number): { ok: boolean; data: Buffer } {
  const words = [`if=${path}`, "bs=64K", `skip=${offset}`, `count=${length}`, "iflag=direct,skip_bytes,count_bytes"];
  const result = Bun.spawnSync(["dd", "status=none", ...words]);
  return { ok: result.exitCode === 0, data: result.stdout };
}

function write(path: string, offset: number, data: Buffer): { ok: boolean; stderr: string } {
  const words = [`of=${path}`, "bs=4096", `seek=${offset / 4096}`, "oflag=direct", "conv=fsync,notrunc"];
  const result = Bun.spawnSync(["dd", "status=none", ...words], { stdin: data });
  return { ok: result.exitCode === 0, stderr: result.stderr.toString() };
}

onNbd("badDisk() fails to read its bad sectors and no other", async () => {
  using dir = tempDir();
  const { file, data } = image(dir, 1);
  expect(mapOf([{ offset: MIB, length: 512 }], 4 * MIB)).toEndWith(
    "\n0x0 0x100000 +\n0x100000 0x200 -\n0x100200 0x2ffe00 +\n",
  );
  await using disk = await badDisk(file, [{ offset: MIB, length: 512 }]);
  expect(read(disk.path, MIB, 512).ok).toBe(false);
  expect(read(disk.path, MIB - 512, 512).data.equals(data.subarray(MIB - 512, MIB))).toBe(true);
  expect(read(disk.path, MIB + 512, MIB).data.equals(data.subarray(MIB + 512, 2 * MIB + 512))).toBe(true);
});

onNbd("failingDisk() fails writes or reads, with the error it was made with, only while it is told to", async () => {
  using dir = tempDir();
  const { file, data } = image(dir, 2);
  for (const [error, text] of [
    ["EIO", "Input/output error"],
    ["ENOSPC", "No space left on device"],
  ] as const) {
    await using disk = await failingDisk(file, "write", error);
    disk.fail(true);
    const failed = write(disk.path, MIB, bytes(3, 8192));
    expect(failed).toMatchObject({ ok: false });
    expect(failed.stderr).toContain(text);
    expect(read(disk.path, MIB, 8192).data.equals(data.subarray(MIB, MIB + 8192))).toBe(true);
    disk.fail(false);
    expect(write(disk.path, MIB, bytes(3, 8192)).ok).toBe(true);
    expect(read(disk.path, MIB, 8192).data.equals(bytes(3, 8192))).toBe(true);
    fs.writeFileSync(file, data);
  }
  await using disk = await failingDisk(file, "read", "EIO");
  disk.fail(true);
  expect(read(disk.path, 2 * MIB, 512).ok).toBe(false);
  disk.fail(false);
  expect(read(disk.path, 2 * MIB, 512).ok).toBe(true);
});

onNbd("lyingDisk() acknowledges a write and its flush and stores nothing", async () => {
  using dir = tempDir();
  const { file, data } = image(dir, 4);
  await using disk = await lyingDisk(file);
  expect(write(disk.path, MIB, bytes(5, 8192)).ok).toBe(true);
  expect(read(disk.path, MIB, 8192).data.equals(data.subarray(MIB, MIB + 8192))).toBe(true);
  expect(fs.readFileSync(file).equals(data)).toBe(true);
});

onNbd("flippingDisk() flips one bit of what is read, always or once, and stores what is written", async () => {
  using dir = tempDir();
  const { file, data } = image(dir, 6);
  const at = MIB + 777;
  const flipped = Buffer.from(data);
  flipped[at] = (flipped[at] ?? 0) ^ 1;
  for (const once of [false, true]) {
    await using disk = await flippingDisk(file, at, { once });
    expect(read(disk.path, 0, 4 * MIB).data.equals(data)).toBe(true);
    disk.fail(true);
    expect(read(disk.path, 0, 4 * MIB).data.equals(flipped)).toBe(true);
    expect(read(disk.path, 0, 4 * MIB).data.equals(once ? data : flipped)).toBe(true);
    disk.fail(false);
    expect(write(disk.path, 2 * MIB, data.subarray(0, 8192)).ok).toBe(true);
    expect(read(disk.path, 2 * MIB, 8192).data.equals(data.subarray(0, 8192))).toBe(true);
    fs.writeFileSync(file, data);
  }
});

onNbd("weakDisk() cannot read its bad sectors until they are written", async () => {
  using dir = tempDir();
  const { file, data } = image(dir, 7);
  await using disk = await weakDisk(file, [{ offset: MIB + 1024, length: 1024 }]);
  expect(read(disk.path, MIB + 1024, 512).ok).toBe(false);
  expect(read(disk.path, MIB + 1536, 512).ok).toBe(false);
  expect(read(disk.path, MIB, 1024).data.equals(data.subarray(MIB, MIB + 1024))).toBe(true);
  expect(read(disk.path, MIB + 2048, 2048).data.equals(data.subarray(MIB + 2048, MIB + 4096))).toBe(true);
  expect(write(disk.path, MIB, bytes(8, 4096)).ok).toBe(true);
  expect(read(disk.path, MIB, 4096).data.equals(bytes(8, 4096))).toBe(true);
});
