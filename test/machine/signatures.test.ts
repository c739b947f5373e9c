/** Signatures by the formats' own descriptions, and beside blkid where a tool that makes the format is at hand. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { cleanText, Ends, HEAD_LENGTH, TAIL_LENGTH } from "../../src/local/guard/ends.ts";
import { signaturesOf, typesAtEnd } from "../../src/local/guard/signatures.ts";
import type { Facts, Signature } from "../../src/sync/facts.ts";
import { NO_FACTS } from "../../src/sync/facts.ts";
import { FORMATS as KNOWN_FORMATS } from "../../src/sync/formats.ts";
import { foreignContents } from "../../src/sync/pair.ts";
import { bytes } from "../helpers/bytes.ts";
import { command, writeTable } from "../helpers/disk.ts";
import { testWith } from "../helpers/requirements.ts";
import { tempDir } from "../helpers/temp.ts";

const SIZE = 1 << 20;
const UUID = Buffer.from("00112233445566778899aabbccddeeff", "hex");
const UUID_TEXT = "00112233-4455-6677-8899-aabbccddeeff";

function endsOf(image: Buffer): Ends {
  const tail = image.subarray(Math.max(0, image.length - TAIL_LENGTH));
  return new Ends(image.length, image.subarray(0, HEAD_LENGTH), tail);
}

function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
}

type Piece = readonly [offset: number, content: string | Buffer];

function imageOf(pieces: readonly Piece[]): Buffer {
  const image = Buffer.alloc(SIZE);
  for (const [offset, content] of pieces) Buffer.from(content as string, "latin1").copy(image, offset);
  return image;
}

const BOOT: Piece = [510, Buffer.of(0x55, 0xaa)];

const FORMATS: readonly (readonly [pieces: readonly Piece[], found: Partial<Signature>])[] = [
  [
    [
      [1080, Buffer.of(0x53, 0xef)],
      [1128, UUID],
      [1144, "lbl"],
    ],
    { type: "ext2", uuid: UUID_TEXT, label: "lbl" },
  ],
  [
    [
      [1080, Buffer.of(0x53, 0xef)],
      [1116, u32(4)],
    ],
    { type: "ext3", uuid: "" },
  ],
  [
    [
      [1080, Buffer.of(0x53, 0xef)],
      [1116, u32(4)],
      [1120, u32(0x40)],
      [1160, "/home\0"],
    ],
    { type: "ext4", note: "last mounted on /home" },
  ],
  [
    [
      [0, "XFSB"],
      [32, UUID],
      [108, "twelve chars"],
    ],
    { type: "xfs", uuid: UUID_TEXT, label: "twelve chars" },
  ],
  [
    [
      [65600, "_BHRfS_M"],
      [65568, UUID],
      [65835, "pool"],
    ],
    { type: "btrfs", uuid: UUID_TEXT, label: "pool" },
  ],
  [
    [BOOT, [82, "FAT32   "], [67, u32(0x1234abcd)], [71, "BOOT       "]],
    { type: "vfat", uuid: "1234abcd", label: "BOOT" },
  ],
  [[BOOT, [54, "FAT16   "], [39, u32(5)], [43, "NO NAME    "]], { type: "vfat", uuid: "00000005", label: "" }],
  [[BOOT, [3, "EXFAT   "], [100, u32(0xcafe)]], { type: "exfat", uuid: "0000cafe" }],
  [[BOOT, [3, "NTFS    "], [72, UUID.subarray(0, 8)]], { type: "ntfs", uuid: "7766554433221100" }],
  [
    [
      [4086, "SWAPSPACE2"],
      [1036, UUID],
      [1052, "sw"],
    ],
    { type: "swap", uuid: UUID_TEXT, label: "sw" },
  ],
  [[[65526, "SWAPSPACE2"]], { type: "swap", uuid: "" }],
  [
    [
      [0, "LUKS\xba\xbe\0\x01"],
      [24, "no label"],
      [168, UUID_TEXT],
    ],
    { type: "crypto_LUKS", uuid: UUID_TEXT, label: "" },
  ],
  [
    [
      [0, "LUKS\xba\xbe\0\x02"],
      [24, "secret"],
      [168, UUID_TEXT],
    ],
    { type: "crypto_LUKS", label: "secret" },
  ],
  [
    [
      [512, "LABELONE"],
      [532, u32(32)],
      [536, "LVM2 001"],
      [544, "abcdefabcdefabcdefabcdefabcdef12"],
    ],
    { type: "LVM2_member", uuid: "abcdefabcdefabcdefabcdefabcdef12" },
  ],
  [
    [
      [4096, u32(0xa92b4efc)],
      [4100, u32(1)],
      [4112, UUID],
      [4128, "host:0"],
    ],
    { type: "linux_raid_member", uuid: UUID_TEXT, label: "host:0" },
  ],
  [
    [
      [SIZE - 8192, u32(0xa92b4efc)],
      [SIZE - 8188, u32(1)],
    ],
    { type: "linux_raid_member" },
  ],
  [
    [
      [SIZE - 65536, u32(0xa92b4efc)],
      [SIZE - 65516, UUID.subarray(0, 4)],
      [SIZE - 65484, UUID.subarray(4)],
    ],
    { type: "linux_raid_member", uuid: UUID_TEXT },
  ],
  [
    [
      [32769, "CD001"],
      [32808, "DEBIAN 12   "],
      [33581, "2026112314482700"],
    ],
    { type: "iso9660", label: "DEBIAN 12", uuid: "2026112314482700" },
  ],
  [
    [
      [0, "hsqs"],
      [8, u32(0x6b04523b)],
    ],
    { type: "squashfs", uuid: "6b04523b" },
  ],
  [
    [
      [132096, Buffer.from("0cb1ba0000000000", "hex")],
      [20000, "\0\0\0\x04name\0\0\0\x09\0\0\0\x01\0\0\0\x04tank\0\0\0\x30"],
      [21000, "\0\0\0\x09pool_guid\0\0\0\0\0\0\x08\0\0\0\x01\0\0\0\0\0\0\0\x2a"],
    ],
    { type: "zfs_member", label: "tank", uuid: "42" },
  ],
  [
    [
      [512, "EFI PART"],
      [568, UUID],
    ],
    { type: "gpt", uuid: "33221100-5544-7766-8899-aabbccddeeff" },
  ],
  [[[4096, "EFI PART"]], { type: "gpt", uuid: "" }],
];

for (const [pieces, found] of FORMATS) {
  test(`signaturesOf() recognizes ${found.type} ${found.uuid ?? ""}`, () => {
    expect(signaturesOf(endsOf(imageOf(pieces)))).toMatchObject([found]);
  });
}

test("signaturesOf() recognizes a master boot record, not the one that protects a GPT nor a boot sector", () => {
  const disk = bytes(301, SIZE);
  writeTable(disk, [2048, 100]);
  expect(signaturesOf(endsOf(disk))).toMatchObject([{ type: "dos", uuid: "1234abcd" }]);
  disk.write("EFI PART", 512);
  expect(signaturesOf(endsOf(disk)).map(({ type }) => type)).toEqual(["gpt"]);
  const empty = Buffer.alloc(SIZE);
  writeTable(empty);
  expect(signaturesOf(endsOf(empty))).toEqual([]);
});

test("signaturesOf() tells all that it finds", () => {
  const disk = imageOf([[32769, "CD001"]]);
  writeTable(disk, [2048, 100]);
  expect(signaturesOf(endsOf(disk)).map(({ type }) => type)).toEqual(["dos", "iso9660"]);
});

test("signaturesOf() finds nothing in zeros and random data, and takes every length", () => {
  expect(signaturesOf(endsOf(Buffer.alloc(SIZE)))).toEqual([]);
  expect(signaturesOf(endsOf(bytes(302, SIZE)))).toEqual([]);
  for (const [pieces] of FORMATS) {
    const image = imageOf(pieces);
    for (const length of [0, 1, 511, 512, 513, 1023, 1100, 2047, 4096, 33_000, 65_700, 131_072, 133_000, 262_144]) {
      expect(signaturesOf(endsOf(image.subarray(0, length))).length).toBeLessThan(2);
    }
  }
});

test("signaturesOf() takes any numbers in the fields it follows", () => {
  const far = imageOf([
    [0, "LABELONE"],
    [20, u32(0xffff_ffff)],
    [24, "LVM2 001"],
  ]);
  expect(signaturesOf(endsOf(far))).toMatchObject([{ type: "LVM2_member", uuid: "" }]);
});

test("cleanText() leaves nothing that a terminal would act on, and bounds the length", () => {
  expect(cleanText(Buffer.from("a\u001b[2Jb\u202ec\u2028 \0rest"))).toBe("a?[2Jb?c?");
  expect(cleanText(Buffer.from("  x  "))).toBe("x");
  expect(cleanText(Buffer.alloc(1000, "y")).length).toBe(64);
});

testWith("mkfs")("signaturesOf() says of ext2, ext3, ext4 and swap what blkid says", async () => {
  using dir = tempDir();
  const make: readonly (readonly string[])[] = [
    ["mkfs.ext2", "-q", "-F", "-L", "two"],
    ["mkfs.ext3", "-q", "-F"],
    ["mkfs.ext4", "-q", "-F", "-L", "root", "-M", "/last"],
    ["mkswap", "-L", "sw"],
  ];
  for (const argv of make) {
    fs.writeFileSync(dir.file("image"), Buffer.alloc(8 * SIZE));
    command(...argv, dir.file("image"));
    const said = command("blkid", "-p", "-o", "export", dir.file("image"));
    const value = (key: string) => new RegExp(`^${key}=(.*)$`, "m").exec(said)?.[1] ?? "";
    const found = signaturesOf(endsOf(fs.readFileSync(dir.file("image"))));
    expect(found).toMatchObject([{ type: value("TYPE"), label: value("LABEL"), uuid: value("UUID") }]);
    expect(value("TYPE")).not.toBe("");
  }
});

const NONE: Facts = { ...NO_FACTS, name: "sdb" };

function carrying(...signatures: (Signature | undefined)[]): Facts {
  const known = signatures.filter((one) => one !== undefined);
  const content = { name: "sdb", sizeBytes: 1, signatures: signatures.includes(undefined) ? undefined : known };
  return { ...NONE, contents: [content] };
}

/** What each format begins with, and a neighbour that is none of it. */
const PACKED: readonly (readonly [type: string, pieces: readonly Piece[], not: readonly Piece[]])[] = [
  ["gzip", [[0, Buffer.of(0x1f, 0x8b, 8, 8)]], [[0, Buffer.of(0x1f, 0x8b, 8, 0xe0)]]],
  ["xz", [[0, Buffer.from("fd377a585a00", "hex")]], [[0, Buffer.from("fd377a585a01", "hex")]]],
  ["zstd", [[0, Buffer.from("28b52ffd", "hex")]], [[0, Buffer.from("28b52ffc", "hex")]]],
  [
    "zstd",
    [
      [0, Buffer.from("502a4d1804000000", "hex")],
      [12, Buffer.from("28b52ffd", "hex")],
    ],
    [[0, Buffer.from("502a4d1804000000", "hex")]],
  ],
  ["bzip2", [[0, "BZh9\x31\x41\x59\x26\x53\x59"]], [[0, "BZh0\x31\x41\x59\x26\x53\x59"]]],
  ["lz4", [[0, Buffer.from("04224d18", "hex")]], [[0, Buffer.from("04224d19", "hex")]]],
  ["lzip", [[0, "LZIP\x01"]], [[0, "LZIP\x02"]]],
  ["lzop", [[0, "\x89LZO\0\x0d\x0a\x1a\x0a"]], [[0, "\x89LZO"]]],
  ["zip", [[0, "PK\x03\x04"]], [[0, "PK"]]],
  ["7z", [[0, "7z\xbc\xaf\x27\x1c"]], [[0, "7z"]]],
  ["rar", [[0, "Rar!\x1a\x07"]], [[0, "Rar!"]]],
  ["qcow2", [[0, "QFI\xfb\0\0\0\x03"]], [[0, "QFI\xfb\x01"]]],
  [
    "qed",
    [[0, "QED\0"]],
    [
      [0, "QED"],
      [3, "x"],
    ],
  ],
  ["parallels", [[0, "WithoutFreeSpace"]], [[0, "Without"]]],
  ["vmdk", [[0, "KDMV"]], [[0, "KDM"]]],
  ["vmdk", [[0, "# Disk DescriptorFile"]], [[0, "# Disk"]]],
  ["vhdx", [[0, "vhdxfile"]], [[0, "vhdx"]]],
  ["vhd", [[0, "conectix"]], [[SIZE - 512, "conectix"]]],
  ["vdi", [[64, "\x7f\x10\xda\xbe"]], [[0, "\x7f\x10\xda\xbe"]]],
  ["dmg", [[SIZE - 512, "koly\0\0\0\x04"]], [[0, "koly\0\0\0\x04"]]],
  ["android-sparse", [[0, Buffer.from("3aff26ed", "hex")]], [[0, Buffer.from("3aff26ee", "hex")]]],
  ["partclone", [[0, "partclone-image"]], [[0, "partclone"]]],
  ["ntfsclone", [[0, "\0ntfsclone-image"]], [[0, "ntfsclone-image"]]],
  ["ewf", [[0, "EVF\x09\x0d\x0a\xff\0"]], [[0, "EVF"]]],
];

test.each(PACKED)("signaturesOf() tells %s from its neighbours", (type, pieces, not) => {
  expect(signaturesOf(endsOf(imageOf(pieces)))).toEqual([
    { type, label: "", uuid: "", note: "", sectorBytes: 0, endBytes: 0 },
  ]);
  expect(signaturesOf(endsOf(imageOf(not)))).toEqual([]);
  // Less of it than the mark is no reason to fail.
  expect(signaturesOf(endsOf(imageOf(pieces).subarray(0, 1)))).toEqual([]);
  expect(KNOWN_FORMATS.has(type)).toBe(true);
});

test("signaturesOf() takes no bytes at random for a format, and an Apple image with a disk in it for that disk", () => {
  for (let seed = 0; seed < 64; seed++) expect(signaturesOf(endsOf(bytes(9000 + seed, 64 << 10)))).toEqual([]);
  const plain = imageOf([
    [0, "XFSB"],
    [SIZE - 512, "koly\0\0\0\x04"],
  ]);
  expect(signaturesOf(endsOf(plain)).map(({ type }) => type)).toEqual(["xfs"]);
});

test("signaturesOf() knows what the tools make", () => {
  using dir = tempDir();
  fs.writeFileSync(dir.file("disk"), bytes(9100, 64 << 10));
  const typeOf = (file: string) => signaturesOf(endsOf(fs.readFileSync(dir.file(file)))).map(({ type }) => type);
  for (const [program, type, ending] of [
    ["gzip", "gzip", "gz"],
    ["xz", "xz", "xz"],
    ["bzip2", "bzip2", "bz2"],
    ["zstd", "zstd", "zst"],
  ] as const) {
    if (Bun.which(program) === null) continue;
    command(program, "-k", dir.file("disk"));
    expect(typeOf(`disk.${ending}`)).toEqual([type]);
  }
  command("tar", "-C", dir.file("."), "-cf", dir.file("disk.tar"), "disk");
  expect(typeOf("disk.tar")).toEqual(["tar"]);
});

test("signaturesOf() tells the sectors that a table or a file system was made for", () => {
  const cases: readonly (readonly [pieces: readonly Piece[], type: string, sectorBytes: number])[] = [
    [[[512, "EFI PART"]], "gpt", 512],
    [[[4096, "EFI PART"]], "gpt", 4096],
    [[BOOT, [82, "FAT32   "], [11, Buffer.of(0, 2)]], "vfat", 512],
    [[BOOT, [3, "NTFS    "], [11, Buffer.of(0, 16)]], "ntfs", 4096],
    [[BOOT, [3, "EXFAT   "], [108, Buffer.of(12)]], "exfat", 4096],
    [[BOOT, [3, "EXFAT   "], [108, Buffer.of(200)]], "exfat", 0],
    [
      [
        [0, "XFSB"],
        [102, Buffer.of(2, 0)],
      ],
      "xfs",
      512,
    ],
    [
      [
        [1080, Buffer.of(0x53, 0xef)],
        [1048, u32(2)],
      ],
      "ext2",
      4096,
    ],
    [
      [
        [1080, Buffer.of(0x53, 0xef)],
        [1048, u32(2 ** 32 - 1)],
      ],
      "ext2",
      0,
    ],
  ];
  for (const [pieces, type, sectorBytes] of cases) {
    expect(signaturesOf(endsOf(imageOf(pieces)))).toMatchObject([{ type, sectorBytes }]);
  }
  // A disk with a table for either.
  const both = signaturesOf(
    endsOf(
      imageOf([
        [512, "EFI PART"],
        [4096, "EFI PART"],
      ]),
    ),
  );
  expect(both.map(({ sectorBytes }) => sectorBytes)).toEqual([512, 4096]);
});

test("signaturesOf() tells where a table or a file system ends by its own account", () => {
  const entry = (kind: number, first: number, sectors: number) =>
    Buffer.concat([Buffer.of(0, 0, 0, 0, kind, 0, 0, 0), u32(first), u32(sectors)]);
  const gpt = (at: number) => Buffer.concat([u32(at), u32(0), u32(4), u32(128)]);
  const partition = (last: number) => Buffer.concat([UUID, UUID, u32(64), u32(0), u32(last), u32(0)]);
  const unused = Buffer.concat([Buffer.alloc(40), u32(9999)]);
  const cases: readonly (readonly [pieces: readonly Piece[], endBytes: number])[] = [
    [
      [
        [512, "EFI PART"],
        [512 + 72, gpt(2)],
        [1024, partition(99)],
        [1152, partition(79)],
        [1280, unused],
      ],
      100 * 512,
    ],
    [
      [
        [4096, "EFI PART"],
        [4096 + 72, gpt(2)],
        [8192, partition(99)],
      ],
      100 * 4096,
    ],
    // Entries elsewhere, none, and more than there may be.
    [
      [
        [512, "EFI PART"],
        [512 + 72, gpt(2 ** 32 - 1)],
      ],
      0,
    ],
    [
      [
        [512, "EFI PART"],
        [512 + 72, gpt(2)],
      ],
      0,
    ],
    [
      [
        [512, "EFI PART"],
        [512 + 72, u32(2)],
        [512 + 80, Buffer.alloc(8, 0xff)],
      ],
      0,
    ],
    [[BOOT, [446, entry(0x83, 2048, 4096)], [462, entry(0, 9999, 9999)]], 6144 * 512],
    [[BOOT, [446, entry(0xee, 1, 2 ** 32 - 1)]], 0],
    [
      [
        [1080, Buffer.of(0x53, 0xef)],
        [1048, u32(2)],
        [1028, u32(100)],
        [1024 + 0x150, u32(7)],
      ],
      100 * 4096,
    ],
    [
      [
        [1080, Buffer.of(0x53, 0xef)],
        [1048, u32(2)],
        [1028, u32(100)],
        [1120, u32(0x80)],
        [1360, u32(1)],
      ],
      (2 ** 32 + 100) * 4096,
    ],
    [
      [
        [0, "XFSB"],
        [4, Buffer.of(0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 9)],
      ],
      9 * 4096,
    ],
    [
      [
        [0, "XFSB"],
        [4, Buffer.alloc(12, 0xff)],
      ],
      0,
    ],
    [[BOOT, [82, "FAT32   "], [11, Buffer.of(0, 2)], [32, u32(777)]], 777 * 512],
    [[BOOT, [54, "FAT16   "], [11, Buffer.of(0, 2)], [19, Buffer.of(9, 1)], [32, u32(777)]], 265 * 512],
    [[BOOT, [3, "NTFS    "], [11, Buffer.of(0, 2)], [40, u32(88)]], 88 * 512],
    [[BOOT, [3, "EXFAT   "], [108, Buffer.of(9)], [72, u32(66)]], 66 * 512],
    [
      [
        [32769, "CD001"],
        [32768 + 80, u32(55)],
        [32768 + 128, Buffer.of(0, 8)],
      ],
      55 * 2048,
    ],
    [
      [
        [0, "hsqs"],
        [40, u32(12345)],
      ],
      12345,
    ],
  ];
  for (const [pieces, endBytes] of cases) {
    expect(signaturesOf(endsOf(imageOf(pieces)))).toMatchObject([{ endBytes }]);
  }
});

testWith("mkfs")("signaturesOf() finds that what mkfs made ends where it does", async () => {
  using dir = tempDir();
  for (const argv of [
    ["mkfs.ext2", "-q", "-F", "-b", "1024"],
    ["mkfs.ext4", "-q", "-F", "-b", "4096"],
  ]) {
    fs.writeFileSync(dir.file("image"), Buffer.alloc(8 * SIZE));
    command(...argv, dir.file("image"));
    expect(signaturesOf(endsOf(fs.readFileSync(dir.file("image"))))).toMatchObject([{ endBytes: 8 * SIZE }]);
  }
});

test("typesAtEnd() finds what is left by its mark at the end, and nothing elsewhere", () => {
  const md = (version: number) => Buffer.concat([u32(0xa92b4efc), u32(version)]);
  const cases: readonly (readonly [pieces: readonly Piece[], types: readonly string[]])[] = [
    [[[SIZE - 512, "EFI PART"]], ["gpt"]],
    [[[SIZE - 4096, "EFI PART"]], ["gpt"]],
    [[[SIZE - 1024, "EFI PART"]], []],
    [[[512, "EFI PART"]], []],
    [[[SIZE - 8192, md(1)]], ["linux_raid_member"]],
    [[[SIZE - 65536, md(0)]], ["linux_raid_member"]],
    [[[4096, md(1)]], []],
    [[[SIZE - 65536, Buffer.of(0x0c, 0xb1, 0xba)]], ["zfs_member"]],
    [
      [
        [SIZE - 512, "EFI PART"],
        [SIZE - 8192, md(1)],
      ],
      ["gpt", "linux_raid_member"],
    ],
  ];
  for (const [pieces, types] of cases) expect(typesAtEnd(endsOf(imageOf(pieces)))).toEqual([...types]);
});

test("foreignContents() is what the destination carries and the source does not", () => {
  const ext4 = { type: "ext4", label: "root", uuid: "1", note: "last mounted on /", sectorBytes: 4096, endBytes: 0 };
  const table = { type: "dos", label: "", uuid: "", note: "", sectorBytes: 0, endBytes: 0 };
  const count = (source: Facts | undefined, destination: Facts | undefined) =>
    foreignContents(source, destination).length;
  expect(count(carrying(ext4), carrying({ ...ext4, note: "" }))).toBe(0);
  expect(count(undefined, carrying())).toBe(0);
  expect(count(carrying(ext4), undefined)).toBe(0);
  expect(count(carrying(ext4), NONE)).toBe(0);
  // Another identity, label or type, no identity at all, one thing more, and what could not be read.
  expect(count(carrying(ext4), carrying({ ...ext4, uuid: "2" }))).toBe(1);
  expect(count(carrying(ext4), carrying({ ...ext4, label: "home" }))).toBe(1);
  expect(count(carrying(ext4), carrying({ ...ext4, type: "xfs" }))).toBe(1);
  expect(count(carrying(table), carrying(table))).toBe(1);
  expect(count(carrying(ext4), carrying(ext4, table))).toBe(1);
  expect(count(carrying(undefined), carrying(undefined))).toBe(1);
  expect(count(undefined, carrying(ext4))).toBe(1);
});
