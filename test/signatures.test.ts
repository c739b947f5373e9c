/** Signatures by the formats' own descriptions, and beside blkid where a tool that makes the format is at hand. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { cleanText, Ends, HEAD_LENGTH, signaturesOf, TAIL_LENGTH } from "../src/local/signatures.ts";
import { type Facts, foreignContents, type Signature } from "../src/sync/facts.ts";
import { bytes } from "./helpers/bytes.ts";
import { command, writeTable } from "./helpers/disk.ts";
import { testWith } from "./helpers/requirements.ts";
import { tempDir } from "./helpers/temp.ts";

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

const NONE: Facts = { name: "sdb", model: "", serial: "", transport: "", contents: [] };

function carrying(...signatures: (Signature | undefined)[]): Facts {
  const known = signatures.filter((one) => one !== undefined);
  const content = { name: "sdb", sizeBytes: 1, signatures: signatures.includes(undefined) ? undefined : known };
  return { ...NONE, contents: [content] };
}

test("foreignContents() is what the destination carries and the source does not", () => {
  const ext4 = { type: "ext4", label: "root", uuid: "1", note: "last mounted on /" };
  const table = { type: "dos", label: "", uuid: "", note: "" };
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
