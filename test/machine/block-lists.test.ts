/** Lists of blocks by the programs that make them, on files: what is left out is what may be left out. */
import { expect } from "bun:test";
import fs from "node:fs";
import { run } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;

/** Runs a line of the shell in the directory. */
function shell(dir: TempDir, line: string): string {
  const env = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin`, MKE2FS_DETERMINISTIC: "1" };
  const { exitCode, stdout, stderr } = Bun.spawnSync(["bash", "-ec", line], { cwd: dir.path, env });
  expect({ line, exitCode, stderr: exitCode === 0 ? "" : stderr.toString() }).toEqual({
    line,
    exitCode: 0,
    stderr: "",
  });
  return stdout.toString();
}

/** A file system of 16 MiB with a file of random bytes in blocks of 1 KiB, `name`. */
function fileSystem(dir: TempDir, name: string, seed: number): void {
  fs.mkdirSync(dir.file(`${name}.d`));
  fs.writeFileSync(dir.file(`${name}.d/file`), bytes(seed, 300_000));
  shell(dir, `truncate -s 16M ${name}; mkfs.ext4 -q -b 1024 -d ${name}.d ${name}; rm -r ${name}.d`);
}

async function sync(dir: TempDir, option: string, from: string, to: string, ...words: string[]): Promise<void> {
  const result = await run(["-q", "-b", "4K", ...words, option, dir.file("list"), dir.file(from), dir.file(to)]);
  expect(result).toEqual({ exitCode: 0, stdout: "", stderr: "" });
}

testWith("partclone", "mkfs")(
  "partclone's maps of a disk's partitions leave out what is free in them, and nothing else",
  async () => {
    using dir = tempDir();
    for (const name of ["one", "two"]) fileSystem(dir, name, name.length);
    // A table before the first, a gap that belongs to none, the second shorter than its partition, and a table at the end.
    const parts = [
      bytes(3, MIB),
      fs.readFileSync(dir.file("one")),
      bytes(4, MIB),
      fs.readFileSync(dir.file("two")),
      bytes(5, MIB),
    ];
    const disk = Buffer.concat(parts);
    fs.writeFileSync(dir.file("disk"), disk);
    const old = bytes(6, disk.length);
    fs.writeFileSync(dir.file("copy"), old);
    const map = (name: string, offset: number) =>
      `partclone.ext4 -q -D --offset_domain=${offset} -L /dev/null -s ${name} -o ${name}.map; cat ${name}.map >> list`;
    shell(dir, `${map("one", MIB)}; ${map("two", 18 * MIB)}`);
    await sync(dir, "--used-blocks", "disk", "copy", "--verify");
    const copy = fs.readFileSync(dir.file("copy"));
    for (const [offset, length] of [
      [0, MIB],
      [17 * MIB, MIB],
      [34 * MIB, MIB],
    ] as const)
      expect(copy.subarray(offset, offset + length).equals(disk.subarray(offset, offset + length))).toBe(true);
    for (const offset of [MIB, 18 * MIB]) {
      fs.writeFileSync(dir.file("part"), copy.subarray(offset, offset + 16 * MIB));
      shell(dir, "e2fsck -fn part; debugfs -R 'dump file out' part");
      expect(fs.statSync(dir.file("out")).size).toBe(300_000);
    }
    // Something was free, and was left alone.
    expect(copy.subarray(12 * MIB, 13 * MIB).equals(old.subarray(12 * MIB, 13 * MIB))).toBe(true);
  },
);

testWith(
  "qemuImg",
  "nbdinfo",
  "bmap",
)("qemu-img map, nbdinfo --map and bmaptool tell of a file with holes, of an odd size too", async () => {
  using dir = tempDir();
  const data = Buffer.alloc(MIB + 1000);
  bytes(1, 100_000).copy(data, 300_000);
  bytes(2, 1000).copy(data, MIB);
  fs.writeFileSync(dir.file("plain"), data);
  shell(dir, "cp --sparse=always plain from");
  const old = bytes(3, data.length);
  const lists = {
    "qemu-img map -f raw --output=json from": true,
    "nbdinfo --map --json -- [ qemu-nbd -r -f raw from ]": true,
    // What was a hole is none of its blocks.
    "bmaptool -q create from": false,
  };
  for (const [line, isWhole] of Object.entries(lists)) {
    fs.writeFileSync(dir.file("to"), old);
    shell(dir, `${line} > list`);
    await sync(dir, "--used-blocks", "from", "to");
    const to = fs.readFileSync(dir.file("to"));
    expect({ line, isWhole: to.equals(data) }).toEqual({ line, isWhole });
    expect(to.subarray(300_000, 400_000).equals(data.subarray(300_000, 400_000))).toBe(true);
    const wrong = await run(["-q", "--changed-blocks", dir.file("list"), dir.file("from"), dir.file("to")]);
    expect(wrong).toMatchObject({ exitCode: 2, stdout: "" });
    expect(wrong.stderr).toContain("says what is used, not what has changed");
  }
});

testWith("qemuImg", "nbdinfo")(
  "a dirty bitmap by nbdinfo makes a copy of last time equal; one that is gone makes no list",
  async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("raw"), bytes(1, 2 * MIB));
    shell(dir, "qemu-img convert -O qcow2 raw disk; qemu-img bitmap --add disk night; cp raw to");
    shell(dir, "qemu-io -f qcow2 -c 'write -P 7 512k 4k' -c 'write -z 1m 64k' disk; qemu-img convert -O raw disk from");
    const map = (name: string) =>
      `nbdinfo --map=qemu:dirty-bitmap:${name} --json -- [ qemu-nbd -r -f qcow2 -B night disk ] > list`;
    shell(dir, map("night"));
    await sync(dir, "--changed-blocks", "from", "to", "--verify");
    expect(fs.readFileSync(dir.file("to")).equals(fs.readFileSync(dir.file("from")))).toBe(true);
    shell(dir, `! ${map("other")} 2>&1`);
    const none = await run(["-q", "--changed-blocks", dir.file("list"), dir.file("from"), dir.file("to")]);
    expect(none).toMatchObject({ exitCode: 2, stdout: "" });
  },
);

testWith("thin")(
  "thin_delta tells in blocks of the pool what a volume has changed, --verbose too; thin_dump tells nothing",
  async () => {
    using dir = tempDir();
    const UNIT = 65_536;
    const mapping = (block: number, data: number) =>
      `<single_mapping origin_block="${block}" data_block="${data}" time="0"/>`;
    const device = (id: number, mappings: string[]) =>
      `<device dev_id="${id}" mapped_blocks="${mappings.length}" transaction="0" creation_time="0" snap_time="1">${mappings.join("")}</device>`;
    const volumes = [
      device(
        1,
        [0, 1, 2, 3].map((i) => mapping(i, i)),
      ),
      device(2, [mapping(0, 0), mapping(1, 10), mapping(2, 2), mapping(9, 11)]),
    ];
    const pool = `<superblock uuid="" time="1" transaction="2" version="2" data_block_size="128" nr_data_blocks="100">${volumes.join("")}</superblock>`;
    fs.writeFileSync(dir.file("pool"), pool);
    shell(dir, "truncate -s 1M meta; thin_restore -i pool -o meta");
    const block = (i: number) => bytes(i + 1, UNIT);
    const volume = (blocks: Record<number, number>) =>
      Buffer.concat(
        Array.from({ length: 10 }, (_, i) => (blocks[i] === undefined ? Buffer.alloc(UNIT) : block(blocks[i]))),
      );
    const [before, after] = [volume({ 0: 0, 1: 1, 2: 2, 3: 3 }), volume({ 0: 0, 1: 10, 2: 2, 9: 11 })];
    fs.writeFileSync(dir.file("from"), after);
    for (const option of ["", "--verbose"]) {
      fs.writeFileSync(dir.file("to"), before);
      shell(dir, `thin_delta ${option} --snap1 1 --snap2 2 meta > list`);
      await sync(dir, "--changed-blocks", "from", "to", "--verify");
      expect(fs.readFileSync(dir.file("to")).equals(after)).toBe(true);
    }
    shell(dir, "thin_dump meta > list");
    const dump = await run(["-q", "--changed-blocks", dir.file("list"), dir.file("from"), dir.file("to")]);
    expect(dump).toMatchObject({ exitCode: 2, stdout: "" });
  },
);
