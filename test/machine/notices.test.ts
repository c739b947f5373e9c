/** What is said about a pair before the first byte is written, and, as important, of which pairs nothing is said. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import type { Description } from "../../src/sync/endpoint.ts";
import type { Facts, Signature } from "../../src/sync/facts.ts";
import { NO_FACTS } from "../../src/sync/facts.ts";
import { noticesOf } from "../../src/sync/notices.ts";
import { isAnother } from "../../src/sync/pair.ts";
import { BINARY, fakeSsh, run } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { addPartitions, command, mounted, writeTable } from "../helpers/disk.ts";
import { attachLoop } from "../helpers/loop.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";
import { answering } from "../helpers/terminal.ts";

const MIB = 1 << 20;

interface Made extends Partial<Omit<Facts, "contents">> {
  readonly kind?: Description["kind"];
  readonly label?: string;
  readonly sizeBytes?: number;
  readonly blank?: boolean;
  /** "gpt", or "gpt 4096" with the size of its sectors, "ext4 #1" with an identity, "ext4 to 9" with its end. */
  readonly carries?: readonly string[];
}

function signature(text: string): Signature {
  const words = /^(\S+?)(?: (\d+))?(?: #(\d+))?(?: to (\d+))?$/.exec(text) ?? [];
  const [, type = "", sectorBytes = "0", uuid = "", endBytes = "0"] = words;
  return { type, label: "", uuid, note: "", sectorBytes: Number(sectorBytes), endBytes: Number(endBytes) };
}

function end(made: Made): Description {
  const { kind = "file", label = "x", blank = false, carries, sizeBytes: _, ...facts } = made;
  const { sizeBytes = kind === "missing" ? 0 : MIB } = made;
  const contents = carries === undefined ? [] : [{ name: "", sizeBytes, signatures: carries.map(signature) }];
  return {
    label,
    kind,
    sizeBytes,
    identity: label,
    within: [],
    blank,
    zeroHash: new Uint8Array(16),
    facts: kind === "missing" ? undefined : { ...NO_FACTS, ...facts, contents },
  };
}

function said(source: Made, destination: Made, exact = false): string[] {
  return noticesOf(end({ label: "s", ...source }), end({ label: "d", ...destination }), { exact });
}

const DISK = { kind: "device", sectorBytes: 512 } as const;
const PARTITION = { ...DISK, isPartition: true } as const;

describe("nothing is said of a pair as it should be", () => {
  const PAIRS: readonly (readonly [name: string, source: Made, destination: Made])[] = [
    ["nobody looked", {}, {}],
    ["a file to a new file", { carries: ["gpt 512"] }, { kind: "missing" }],
    ["a compressed backup to a new file", { carries: ["gzip"] }, { kind: "missing", label: "b.gz" }],
    ["a compressed backup to an older one", { carries: ["gzip"] }, { carries: ["gzip"], label: "b.gz" }],
    ["a compressed backup to a file that holds nothing known", { carries: ["gzip"] }, { carries: [] }],
    ["a virtual machine's file to another place", { carries: ["qcow2"] }, { kind: "missing", label: "vm.qcow2" }],
    ["a qcow2 in one volume to another volume", { ...DISK, carries: ["qcow2"] }, { ...DISK, carries: [] }],
    ["a tar that is on the device already", { carries: ["tar"] }, { ...DISK, carries: ["tar"] }],
    ["a plain disk that begins like a format", { carries: ["gpt 512", "lz4"] }, { ...DISK, carries: [] }],
    ["a disk's image to a disk", { carries: ["gpt 512"] }, { ...DISK, carries: ["dos", "iso9660"] }],
    ["a disk to a disk", { ...DISK, carries: ["dos"] }, { ...DISK, carries: ["gpt 512"] }],
    ["an installer to a stick with a table", { carries: ["iso9660"] }, { ...DISK, carries: ["dos"] }],
    ["a disc with a table to a stick", { carries: ["gpt 512", "iso9660"] }, { ...DISK, carries: ["dos"] }],
    ["a file system to a partition", { carries: ["ext4 4096"] }, { ...PARTITION, carries: ["xfs 512"] }],
    ["a file system to an empty disk", { carries: ["ext4 4096"] }, { ...DISK, carries: [] }],
    ["a file system to a disk without a table", { carries: ["ext4 4096"] }, { ...DISK, carries: ["xfs 512"] }],
    ["a machine's disk in a partition, again", { carries: ["dos"] }, { ...PARTITION, carries: ["dos"] }],
    ["a partition with a table in it to another", { ...PARTITION, carries: ["dos"] }, { ...PARTITION, carries: [] }],
    ["a table for either size", { carries: ["gpt 512", "gpt 4096"] }, { ...DISK, sectorBytes: 4096, carries: [] }],
    ["4096 to 4096", { carries: ["gpt 4096"] }, { ...DISK, sectorBytes: 4096, carries: [] }],
    ["sectors that nobody knows", { carries: ["gpt 512"] }, { ...DISK, sectorBytes: 0, carries: [] }],
    ["a file system of long pieces", { carries: ["ext4 4096"] }, { ...PARTITION, sectorBytes: 4096, carries: [] }],
    ["an old table's image, whose sectors nobody knows", { carries: ["dos"] }, { ...DISK, sectorBytes: 4096 }],
    ["an old GPT that is overwritten to its end", { carries: ["dos"] }, { ...DISK, atEnd: ["gpt"], carries: [] }],
    [
      "an old table on a disk of unknown sectors",
      { ...DISK, sectorBytes: 0, carries: ["dos"] },
      { ...DISK, carries: [] },
    ],
    ["a file of an unknown kind to one of its name", { carries: [] }, { kind: "missing", label: "b.zip" }],
    ["an image that goes on to its end", { carries: [`dos to ${MIB}`, `xfs to ${MIB}`] }, {}],
    ["a disc whose table ends elsewhere", { carries: [`dos to ${2 * MIB}`, `iso9660 to ${MIB}`] }, {}],
    ["a btrfs to another machine", { ...DISK, label: "A 1", carries: ["btrfs"] }, { ...DISK, label: "B 1" }],
    ["a btrfs to a machine that nobody knows", { ...DISK, label: " 1", carries: ["btrfs"] }, { ...DISK, label: " 2" }],
    ["a btrfs to a file", { ...DISK, label: "A 1", carries: ["btrfs"] }, { kind: "missing", label: "A 2" }],
    ["an empty file to a new one", { sizeBytes: 0 }, { kind: "missing" }],
    ["a file with one name", { links: 3 }, { links: 1 }],
  ];
  test.each(PAIRS)("%s", (_, source, destination) => {
    expect(said(source, destination)).toEqual([]);
  });
});

describe("a sentence is said about", () => {
  const gzip = "is compressed (gzip) and is written as it is, so";
  const PAIRS: readonly (readonly [name: string, source: Made, destination: Made, sentence: string])[] = [
    [
      "a compressed source for a device",
      { carries: ["gzip"] },
      { ...DISK, carries: ["ext4"] },
      `"s" ${gzip} "d" will hold neither a disk nor a file system: unpack it first (gunzip)`,
    ],
    [
      "a compressed source for a file that holds a disk",
      { carries: ["gzip"] },
      { carries: ["dos"] },
      `"s" ${gzip} "d" will hold neither a disk nor a file system: unpack it first (gunzip)`,
    ],
    [
      "a virtual machine's file for a partition",
      { carries: ["qcow2"] },
      { ...PARTITION, carries: [] },
      '"s" is a virtual machine image (qcow2) and is written as it is, so "d" will hold neither a disk nor a file system: convert it first (qemu-img convert -O raw)',
    ],
    [
      "a plain source for a virtual machine's file",
      { ...DISK, carries: ["dos"] },
      { carries: ["qcow2"] },
      '"d" will be a plain image, not a virtual machine image (qcow2) as it is now',
    ],
    [
      "a plain device for a new file whose name says that it is compressed",
      { ...DISK, carries: ["dos"] },
      { kind: "missing", label: "h:b.img.GZ" },
      '"h:b.img.GZ" will be a plain image, not compressed (gzip) as its name says',
    ],
    [
      "a whole disk for a partition",
      { carries: ["gpt 512"] },
      { ...PARTITION, carries: ["ext4"] },
      '"s" is a whole disk with a partition table and "d" is a partition, where no system looks for a partition table: did you mean its disk?',
    ],
    [
      "a file system for a whole disk",
      { carries: ["ext4 4096"] },
      { ...DISK, carries: ["gpt 512"] },
      '"s" has no partition table (ext4), and "d" is a whole disk, which would lose its own: did you mean one of its partitions?',
    ],
    [
      "a partition for a whole disk",
      { ...PARTITION, carries: ["crypto_LUKS"] },
      { ...DISK, carries: ["dos"] },
      '"s" has no partition table (crypto_LUKS), and "d" is a whole disk, which would lose its own: did you mean one of its partitions?',
    ],
    [
      "a GPT for other sectors",
      { carries: ["gpt 512"] },
      { ...DISK, sectorBytes: 4096, carries: [] },
      '"s" is laid out for 512-byte sectors (gpt), and "d" has 4096-byte sectors: its partitions will not be found there',
    ],
    [
      "a GPT for longer sectors",
      { carries: ["gpt 4096", "iso9660"] },
      { ...DISK, carries: [] },
      '"s" is laid out for 4096-byte sectors (gpt), and "d" has 512-byte sectors: its partitions will not be found there',
    ],
    [
      "disks with an old table and other sectors",
      { ...DISK, sectorBytes: 4096, carries: ["dos"] },
      { ...DISK, carries: [] },
      '"s" is laid out for 4096-byte sectors (dos), and "d" has 512-byte sectors: its partitions will not be found there',
    ],
    [
      "a file system of shorter pieces",
      { carries: ["vfat 512"] },
      { ...PARTITION, sectorBytes: 4096, carries: [] },
      '"s" is laid out for 512-byte sectors (vfat), and "d" has 4096-byte sectors: it cannot be mounted there',
    ],
    [
      "a source that somebody writes to",
      { ...DISK, writer: 'sda1 is mounted on "/srv"' },
      { kind: "missing" },
      '"s" may change while it is read, which makes the copy inconsistent: sda1 is mounted on "/srv"; copy a snapshot, or stop that first',
    ],
    [
      "an image that was cut short",
      { carries: [`gpt 512 to ${MIB + 1}`] },
      { kind: "missing" },
      '"s" has 1048576 bytes, but what it carries (gpt) extends to 1048577 bytes: was it truncated?',
    ],
    [
      "a disc that was cut short",
      { carries: [`dos to ${9 * MIB}`, `iso9660 to ${MIB + 2048}`] },
      { kind: "missing" },
      '"s" has 1048576 bytes, but what it carries (iso9660) extends to 1050624 bytes: was it truncated?',
    ],
    ["a file with more names", {}, { links: 2 }, '"d" has 2 hard links, and all of them will show what is written'],
  ];
  test.each(PAIRS)("%s", (_, source, destination, sentence) => {
    expect(said(source, destination)).toEqual([sentence]);
  });

  test("a btrfs that is there twice", () => {
    expect(said({ ...DISK, label: "A 1", carries: ["btrfs"] }, { ...DISK, label: "A 2" })).toEqual([
      '"A 1" and "A 2" will have the same btrfs UUID, and mounting either may write to the other: detach one of them first',
    ]);
  });

  test("an empty source that cuts a file to nothing", () => {
    expect(said({ sizeBytes: 0 }, {}, true)).toEqual(['"s" is empty, so "d" (1.0 MiB) will be empty too']);
    expect(said({ sizeBytes: 0 }, { sizeBytes: 0 }, true)).toEqual([]);
  });

  test("what a larger device keeps", () => {
    const large = { ...DISK, sizeBytes: 2 * MIB, carries: [], atEnd: ["gpt", "linux_raid_member"] };
    const rest = '"d" is 1.0 MiB larger than the source; what lies beyond is left alone';
    expect(said({ carries: ["dos"] }, large)).toEqual([
      'The end of "d" keeps the backup of an old GPT and an old RAID superblock, which may be taken for the disk\'s own: wipefs removes it',
      rest,
    ]);
    // What is copied is itself one whose backup belongs there.
    expect(said({ carries: ["gpt 512"] }, { ...large, atEnd: ["gpt"] })).toEqual([
      `${rest}, so the copied GPT's backup is not at its end: sgdisk --move-second-header puts it there`,
    ]);
    expect(said({ carries: ["gpt 512", "iso9660"] }, { ...large, atEnd: [] })).toEqual([rest]);
    expect(said({ carries: [] }, { kind: "file", sizeBytes: 2 * MIB, atEnd: ["gpt"] }, true)).toEqual([]);
  });
});

test("isAnother() asks about a file that looks like something else than an earlier copy", () => {
  const asks = (source: Made, destination: Made) => isAnother(end(source), end(destination));
  const large = { sizeBytes: 2 * MIB };
  // As it should be: equal, of a grown file system, new, empty, preallocated, or a device, which is asked about anyway.
  expect(asks({ carries: [] }, { carries: [] })).toBe(false);
  expect(asks({ ...large, carries: ["ext4 #1"] }, { carries: ["ext4 #1"] })).toBe(false);
  expect(asks({ carries: ["ext4 #1"] }, { ...large, carries: ["ext4 4096 #1"] })).toBe(false);
  expect(asks({ carries: ["gzip"] }, { carries: ["gzip"] })).toBe(false);
  expect(asks({ carries: [] }, { kind: "missing" })).toBe(false);
  expect(asks({ carries: [] }, { sizeBytes: 0, carries: [] })).toBe(false);
  expect(asks({ carries: [] }, { ...large, carries: [], blank: true })).toBe(false);
  expect(asks({ carries: ["ext4 #1"] }, { ...large, carries: [], isZero: true })).toBe(false);
  expect(asks({ carries: ["ext4 #1"] }, { ...DISK, carries: ["ext4 #2"] })).toBe(false);
  expect(asks({}, { ...large, carries: ["ext4 #2"] })).toBe(false);
  expect(asks({ carries: ["ext4 #1"] }, large)).toBe(false);
  // Nothing in common and another size, other contents, or none where the source has some.
  expect(asks({ carries: [] }, { ...large, carries: [] })).toBe(true);
  expect(asks({ ...large, carries: [] }, { carries: [] })).toBe(true);
  expect(asks({ carries: ["ext4 #1"] }, { carries: ["ext4 #2"] })).toBe(true);
  expect(asks({ carries: ["ext4 #1"] }, { carries: ["xfs #1"] })).toBe(true);
  expect(asks({ carries: ["ext4 #2"] }, { carries: ["ext4"] })).toBe(true);
  expect(asks({ carries: ["ext4"] }, { carries: ["ext4 #2"] })).toBe(true);
  expect(asks({ carries: ["ext4 #1"] }, { carries: [] })).toBe(true);
  expect(asks({ carries: [] }, { carries: ["ext4 #1"] })).toBe(true);
  expect(asks({ carries: ["dos #1"] }, { carries: ["dos #1", "ext4 #1"] })).toBe(true);
});

/** The notices of a run's JSON events, in order. */
function noticesIn(stdout: string): string[] {
  const events = stdout
    .trimEnd()
    .split("\n")
    .map((line): { event: string; message: string } => JSON.parse(line));
  return events.filter(({ event }) => event === "notice").map(({ message }) => message);
}

/** Syncs, or with -n only looks, from here to here and over a connection; what was told as events must be the same. */
async function eachWay(dir: TempDir, source: string, destination: string, ...words: string[]): Promise<string[]> {
  const far = [...fakeSsh(dir.file("fake-ssh")), "-S", BINARY];
  const ways = [
    [...words, source, destination],
    [...words, ...far, source, `host:${destination}`],
    [...words, ...far, `host:${source}`, destination],
  ];
  const told: string[][] = [];
  for (const way of ways) {
    const { stdout, stderr, exitCode } = await run(["--json", "-q", ...way]);
    expect({ stderr, failed: exitCode > 1 }).toEqual({ stderr: "", failed: false });
    told.push(noticesIn(stdout).map((notice) => notice.replaceAll('"host:', '"')));
  }
  expect(told[1]).toEqual(told[0] ?? []);
  expect(told[2]).toEqual(told[0] ?? []);
  return told[0] ?? [];
}

describe("the program tells, here and over a connection,", () => {
  testWith("loop")("of a compressed source for a device, not for a file", async () => {
    using dir = tempDir();
    const [source, disk] = [dir.file("s.img.gz"), dir.file("disk")];
    fs.writeFileSync(source, Bun.gzipSync(new Uint8Array(bytes(1, MIB))));
    fs.writeFileSync(disk, Buffer.alloc(fs.statSync(source).size - (fs.statSync(source).size % 512) + 512));
    using loop = attachLoop(disk);
    const [notice, ...others] = await eachWay(dir, source, loop.path, "-n", "--decompress", "never");
    expect(notice).toBe(
      `"${source}" is compressed (gzip) and is written as it is, so "${loop.path}" will hold neither a disk nor a file system: unpack it first (gunzip)`,
    );
    expect(others.filter((other) => !other.includes("larger than the source"))).toEqual([]);
    expect(await eachWay(dir, source, dir.file("copy.gz"))).toEqual([]);
    expect(await eachWay(dir, source, dir.file("copy.gz"))).toEqual([]);
  });

  testWith("loop")("of sectors of another size", async () => {
    using dir = tempDir();
    const image = Buffer.alloc(4 * MIB);
    image.write("EFI PART", 512);
    fs.writeFileSync(dir.file("s"), image);
    fs.writeFileSync(dir.file("disk"), Buffer.alloc(4 * MIB));
    using loop = attachLoop(dir.file("disk"), "--sector-size", "4096");
    expect(await eachWay(dir, dir.file("s"), loop.path, "-n")).toEqual([
      `"${dir.file("s")}" is laid out for 512-byte sectors (gpt), and "${loop.path}" has 4096-byte sectors: its partitions will not be found there`,
    ]);
    image.write("EFI PART", 4096);
    fs.writeFileSync(dir.file("s"), image);
    expect(await eachWay(dir, dir.file("s"), loop.path, "-n")).toEqual([]);
  });

  testWith("loop", "mkfs")("of a disk's image for a partition, and of a file system for a disk", async () => {
    using dir = tempDir();
    const disk = Buffer.alloc(4 * MIB);
    writeTable(disk, [2048, 4096]);
    fs.writeFileSync(dir.file("disk"), disk);
    const image = Buffer.alloc(2 * MIB);
    writeTable(image, [2048, 2048]);
    fs.writeFileSync(dir.file("s"), image);
    fs.writeFileSync(dir.file("fs"), Buffer.alloc(4 * MIB));
    command("mkfs.ext4", "-q", "-F", "-b", "4096", dir.file("fs"));
    using loop = attachLoop(dir.file("disk"), "--partscan");
    using _partitions = addPartitions(loop.path);
    expect(await eachWay(dir, dir.file("s"), `${loop.path}p1`, "-n")).toEqual([
      `"${dir.file("s")}" is a whole disk with a partition table and "${loop.path}p1" is a partition, where no system looks for a partition table: did you mean its disk?`,
    ]);
    expect(await eachWay(dir, dir.file("fs"), loop.path, "-n")).toEqual([
      `"${dir.file("fs")}" has no partition table (ext4), and "${loop.path}" is a whole disk, which would lose its own: did you mean one of its partitions?`,
    ]);
  });

  testWith("loop")(
    "of a GPT that does not reach a larger device's end, and of an old one that stays there",
    async () => {
      using dir = tempDir();
      const image = Buffer.alloc(MIB);
      fs.writeFileSync(dir.file("s"), image);
      const disk = Buffer.alloc(2 * MIB);
      disk.write("EFI PART", disk.length - 512);
      fs.writeFileSync(dir.file("disk"), disk);
      using loop = attachLoop(dir.file("disk"));
      const rest = `"${loop.path}" is 1.0 MiB larger than the source; what lies beyond is left alone`;
      expect(await eachWay(dir, dir.file("s"), loop.path, "-n")).toEqual([
        `The end of "${loop.path}" keeps the backup of an old GPT, which may be taken for the disk's own: wipefs removes it`,
        rest,
      ]);
      image.write("EFI PART", 512);
      fs.writeFileSync(dir.file("s"), image);
      expect(await eachWay(dir, dir.file("s"), loop.path, "-n")).toEqual([
        `${rest}, so the copied GPT's backup is not at its end: sgdisk --move-second-header puts it there`,
      ]);
    },
  );

  testWith("loop", "mkfs")("of a source that is mounted for writing, itself, on a partition or as a file", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("disk"), Buffer.alloc(16 * MIB));
    command("mkfs.ext4", "-q", "-F", dir.file("disk"));
    using loop = attachLoop(dir.file("disk"));
    using other = attachLoop(dir.file("disk"));
    const told = async (source: string) => {
      const notices = await eachWay(dir, source, dir.file("copy"), "-n");
      return notices.map((notice) => notice.replaceAll(dir.path, "D").replaceAll(loop.path.slice(5), "L"));
    };
    const mixture = "may change while it is read, which makes the copy inconsistent";
    const end = 'mounted on "D/m"; copy a snapshot, or stop that first';
    for (const source of [loop.path, other.path, dir.file("disk")]) expect(await told(source)).toEqual([]);
    {
      using _mount = mounted(loop.path, dir.file("m"), "-o", "ro");
      for (const source of [loop.path, dir.file("disk")]) expect(await told(source)).toEqual([]);
    }
    using _mount = mounted(loop.path, dir.file("m"));
    expect(await told(loop.path)).toEqual([`"/dev/L" ${mixture}: it is ${end}`]);
    expect(await told(other.path)).toEqual([`"${other.path}" ${mixture}: L, which holds the same bytes, is ${end}`]);
    expect(await told(dir.file("disk"))).toEqual([`"D/disk" ${mixture}: L on top of it is ${end}`]);
    // A file in it is another thing than the disk below it.
    fs.writeFileSync(dir.file("m/file"), bytes(8, MIB));
    expect(await told(dir.file("m/file"))).toEqual([]);
  });

  testWith("mkfs")("of an image that was cut short", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), Buffer.alloc(4 * MIB));
    command("mkfs.ext4", "-q", "-F", dir.file("s"));
    expect(await eachWay(dir, dir.file("s"), dir.file("d"), "-n")).toEqual([]);
    fs.truncateSync(dir.file("s"), 3 * MIB);
    expect(await eachWay(dir, dir.file("s"), dir.file("d"), "-n")).toEqual([
      `"${dir.file("s")}" has 3.0 MiB, but what it carries (ext4) extends to 4.0 MiB: was it truncated?`,
    ]);
  });

  test("of further names of the file that is written", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(2, MIB));
    fs.writeFileSync(dir.file("d"), bytes(3, MIB));
    expect(await eachWay(dir, dir.file("s"), dir.file("d"), "-n")).toEqual([]);
    fs.linkSync(dir.file("d"), dir.file("yesterday"));
    expect(await eachWay(dir, dir.file("s"), dir.file("d"), "-n")).toEqual([
      `"${dir.file("d")}" has 2 hard links, and all of them will show what is written`,
    ]);
  });
});

test("a bare word that becomes a file is told, once, since it may have been a host", async () => {
  using dir = tempDir();
  fs.writeFileSync(dir.file("small.img"), bytes(4, MIB));
  const told = async (name: string) => {
    const { stdout, exitCode } = await run(["--json", "-q", "small.img", ...name.split("|")], { cwd: dir.path });
    expect(exitCode).toBe(0);
    return noticesIn(stdout);
  };
  expect(await told("vmhost")).toEqual([
    '"vmhost" will be a new file in the current directory; to name a host, write "vmhost:PATH"',
  ]);
  expect(await told("vmhost")).toEqual([]);
  expect(await told("./other")).toEqual([]);
  expect(await told("other.img")).toEqual([]);
  expect(await told("two words")).toEqual([]);
  expect(await told("localhost|third")).toEqual([]);
});

describe("on a terminal", () => {
  test("a larger file that is another's is asked about, and equal in its first bytes only", async () => {
    using dir = tempDir();
    const [small, precious] = [bytes(5, 2 * MIB), bytes(6, 3 * MIB)];
    fs.writeFileSync(dir.file("small.img"), small);
    const far = [...fakeSsh(dir.file("fake-ssh")), "-S", BINARY];
    for (const [where, label] of [
      ["", dir.file("precious.img")],
      ["host:", `host:${dir.file("precious.img")}`],
    ] as const) {
      fs.writeFileSync(dir.file("precious.img"), precious);
      const words = [...far, dir.file("small.img"), `${where}${dir.file("precious.img")}`];
      const refused = await answering(words, 'Type "yes" to go on: ', "no\n");
      expect(refused.seen).toContain(`The file "${label}" (3.0 MiB) WILL BE PERMANENTLY CHANGED`);
      const unknown = "no known file system, partition table or format";
      expect(refused.seen).toContain(`    source: ${unknown}\r\n    destination: ${unknown}\r\n`);
      expect(refused.seen).toContain("It does not look like an earlier copy of the source.");
      const sentence = `"${label}" is 1.0 MiB larger than the source and keeps its tail; --create-dest cuts it`;
      expect(refused.seen.split(sentence).length).toBe(2);
      expect(refused.exitCode).toBe(3);
      expect(fs.readFileSync(dir.file("precious.img")).equals(precious)).toBe(true);
      const agreed = await answering(words, 'Type "yes" to go on: ', "yes\n");
      expect(agreed.exitCode).toBe(0);
      expect(agreed.seen).toContain("the destination is equal in its first 2.0 MiB, ");
      const now = fs.readFileSync(dir.file("precious.img"));
      expect(now.equals(Buffer.concat([small, precious.subarray(2 * MIB)]))).toBe(true);
    }
    // Nobody is asked by force, nor where there is no terminal, nor about what is the source's.
    fs.writeFileSync(dir.file("precious.img"), precious);
    expect((await run([dir.file("small.img"), dir.file("precious.img")])).exitCode).toBe(0);
    fs.writeFileSync(dir.file("precious.img"), precious);
    const forced = await answering(["-f", dir.file("small.img"), dir.file("precious.img")], "to go on: ", "no\n");
    expect({ exitCode: forced.exitCode, asked: forced.seen.includes("to go on") }).toEqual({
      exitCode: 0,
      asked: false,
    });
  });

  test("a bare word that would become a file is asked about, except by force and in a rehearsal", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("small.img"), bytes(5, MIB));
    const told = '"vmhost" will be a new file in the current directory; to name a host, write "vmhost:PATH"';
    const prompt = 'Type "yes" to create it: ';
    const sync = (destination: string, answer: string, ...options: string[]) =>
      answering([...options, "small.img", destination], prompt, answer, undefined, dir.path);
    const refused = await sync("vmhost", "y\n");
    expect(refused.seen).toContain(`${told}.\r\n${prompt}`);
    expect(refused.seen.split(told).length).toBe(2);
    expect(refused.seen).toContain('Refused to create "vmhost": not confirmed (unconfirmed)');
    expect(refused.exitCode).toBe(3);
    expect(fs.readdirSync(dir.path)).toEqual(["small.img"]);
    const rehearsed = await sync("vmhost", "no\n", "-n");
    expect({ exitCode: rehearsed.exitCode, asked: rehearsed.seen.includes(prompt) }).toEqual({
      exitCode: 1,
      asked: false,
    });
    expect(fs.readdirSync(dir.path)).toEqual(["small.img"]);
    expect((await sync("vmhost", "yes\n")).exitCode).toBe(0);
    expect(fs.readFileSync(dir.file("vmhost")).equals(bytes(5, MIB))).toBe(true);
    for (const [destination, ...options] of [["forced", "-f"], ["./path"], ["name.img"], ["vmhost"]] as const) {
      const { exitCode, seen } = await sync(destination, "no\n", ...options);
      expect({ destination, exitCode, asked: seen.includes(prompt) }).toEqual({
        destination,
        exitCode: 0,
        asked: false,
      });
    }
  });

  testWith("loop")("the question has the notices, also when the run is quiet", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s.gz"), Bun.gzipSync(new Uint8Array(bytes(7, MIB))));
    fs.writeFileSync(dir.file("disk"), Buffer.alloc(2 * MIB));
    using loop = attachLoop(dir.file("disk"));
    const end = "--decompress never writes it as it is.\r\n";
    for (const words of [[], ["-q"]]) {
      const asked = await answering([...words, dir.file("s.gz"), loop.path], 'Type "yes" to go on: ', "no\n");
      expect(asked.seen.split("is compressed (gzip) and is unpacked").length).toBe(2);
      expect(asked.seen).toContain(end);
      expect(asked.exitCode).toBe(3);
    }
    // A question is one to its end.
    const image = Buffer.alloc(MIB);
    writeTable(image, [2048, 2048]);
    fs.writeFileSync(dir.file("s.gz"), image);
    const cut = await answering([dir.file("s.gz"), loop.path], 'Type "yes" to go on: ', "no\n");
    expect(cut.seen).toContain("extends to 2.0 MiB: was it truncated?\r\n");
  });
});
