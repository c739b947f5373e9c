/** What the system says about its devices, and what a person is shown of it before a device is overwritten. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { factsOf, udevProperties } from "../../src/local/guard/facts.ts";
import { Device } from "../../src/local/medium/device.ts";
import { parseMounts, parseSwaps } from "../../src/local/system/mounts.ts";
import { Picture } from "../../src/local/system/picture.ts";
import { deviceNumber } from "../../src/local/system/sysfs.ts";
import { factLines } from "../../src/run/confirm.ts";
import type { Examination } from "../../src/sync/facts.ts";
import { NO_FACTS } from "../../src/sync/facts.ts";
import { fakeSsh, run } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { addPartitions, command, writeTable } from "../helpers/disk.ts";
import { attachLoop } from "../helpers/loop.ts";
import { testWith } from "../helpers/requirements.ts";
import { tempDir } from "../helpers/temp.ts";
import { answering } from "../helpers/terminal.ts";

const MIB = 1 << 20;

test("parseMounts() reads places and sources with blanks, optional fields, and options", () => {
  const text = [
    "27 1 254:0 / / rw,relatime - ext4 /dev/root rw",
    "30 27 8:17 / /mnt/a\\040b\\134 rw shared:1 master:2 - ext4 /dev/sdb1 rw",
    "32 27 0:41 /sub\\040dir /o rw - overlay overlay rw,lowerdir=/a:/b,upperdir=/c\\040d",
    "33 27 0:42 / /f rw - fuse.ext4 an\\040image rw",
    "nonsense",
    "",
  ].join("\n");
  expect(parseMounts(text)).toEqual([
    { id: "27", number: "254:0", root: "/", point: "/", type: "ext4", source: "/dev/root", options: "rw" },
    { id: "30", number: "8:17", root: "/", point: "/mnt/a b\\", type: "ext4", source: "/dev/sdb1", options: "rw" },
    {
      id: "32",
      number: "0:41",
      root: "/sub dir",
      point: "/o",
      type: "overlay",
      source: "overlay",
      options: "rw,lowerdir=/a:/b,upperdir=/c\\040d",
    },
    { id: "33", number: "0:42", root: "/", point: "/f", type: "fuse.ext4", source: "an image", options: "rw" },
  ]);
});

test("parseSwaps() reads paths", () => {
  const head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
  expect(parseSwaps(`${head}/dev/sda2  partition\t1\t0\t-2\n/swap\\040file  file\t1\t0\t-3\n`)).toEqual([
    "/dev/sda2",
    "/swap file",
  ]);
  expect(parseSwaps(head)).toEqual([]);
});

test("deviceNumber() takes major and minor numbers beyond 8 bits", () => {
  expect(deviceNumber(0x801n)).toBe("8:1");
  expect(deviceNumber(0x0010_0301n)).toBe("3:257");
  expect(deviceNumber(0xfff_00n)).toBe("4095:0");
});

test("udevProperties() reads the database's lines", () => {
  const read = udevProperties("S:disk/by-id/x\nE:ID_MODEL=Ultra Fit\nE:ID_SERIAL_SHORT=4C=5\nG:systemd\n");
  expect([...read]).toEqual([
    ["ID_MODEL", "Ultra Fit"],
    ["ID_SERIAL_SHORT", "4C=5"],
  ]);
});

test("factsOf() takes what cannot be read for unknown, not for a failure", async () => {
  using dir = tempDir();
  fs.writeFileSync(dir.file("d"), bytes(404, MIB));
  const device = await Device.open(dir.file("d"), "d", "read");
  const contents = async (examine: Examination) =>
    (await factsOf(device, new Picture(), { access: "write", examine }))?.contents;
  expect(await contents("itself")).toEqual([{ name: "", sizeBytes: MIB, signatures: [] }]);
  expect(await contents("nothing")).toBeUndefined();
  await device.close();
  expect(await contents("itself")).toEqual([{ name: "", sizeBytes: MIB, signatures: undefined }]);
});

test("factLines() shows model, serial number, transport, and all that is carried", () => {
  const gpt = { type: "gpt", label: "", uuid: "a-b", note: "", sectorBytes: 512, endBytes: 0 };
  const ext4 = { type: "ext4", label: "root", uuid: "c-d", note: "last mounted on /", sectorBytes: 4096, endBytes: 0 };
  const contents = [
    { name: "sdb", sizeBytes: 2 ** 32, signatures: [gpt] },
    { name: "sdb1", sizeBytes: 1 << 30, signatures: [ext4] },
    { name: "sdb2", sizeBytes: 512, signatures: undefined },
    { name: "sdb3", sizeBytes: 512, signatures: [] },
  ];
  expect(
    factLines({ ...NO_FACTS, name: "sdb", model: "Ultra Fit", serial: "4C5", transport: "usb", contents }),
  ).toEqual([
    "    sdb: Ultra Fit, serial 4C5, usb",
    "    sdb (4.0 GiB): gpt a-b",
    '    sdb1 (1.0 GiB): ext4 "root", last mounted on /',
    "    sdb2 (512 bytes): unknown, since it cannot be read",
    "    sdb3 (512 bytes): no known file system, partition table or format",
  ]);
});

describe("the confirmation", () => {
  testWith("loop", "mkfs")(
    "asks for the device's name when it carries what is not the source's, near and far",
    async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("s"), bytes(401, 8 * MIB));
      fs.writeFileSync(dir.file("disk"), Buffer.alloc(8 * MIB));
      using loop = attachLoop(dir.file("disk"));
      const name = loop.path.slice("/dev/".length);
      for (const to of [loop.path, `host:${loop.path}`]) {
        command("mkfs.ext4", "-q", "-F", "-L", "photos", "-M", "/home", loop.path);
        const before = fs.readFileSync(dir.file("disk"));
        const words = [...fakeSsh(dir.file("fake-ssh")), dir.file("s"), to];
        const refused = await answering(words, `Type "${name}" to go on: `, "yes\n");
        expect(refused.seen).toContain(`The block device ${JSON.stringify(to)} (8.0 MiB) WILL BE PERMANENTLY CHANGED`);
        expect(refused.seen).toContain(`    ${name}: loop\r\n`);
        expect(refused.seen).toContain(`    ${name} (8.0 MiB): ext4 "photos", last mounted on /home\r\n`);
        expect(refused.seen).toContain("Its present contents are not the source's and will be lost.");
        expect(refused.seen).toContain("not confirmed (unconfirmed)");
        expect(refused.exitCode).toBe(3);
        expect(fs.readFileSync(dir.file("disk")).equals(before)).toBe(true);
        expect((await answering(words, `Type "${name}" to go on: `, `${name}\n`)).exitCode).toBe(0);
        expect(fs.readFileSync(dir.file("disk")).equals(bytes(401, 8 * MIB))).toBe(true);
      }
    },
  );

  testWith("loop", "mkfs")("asks for a yes when the file system is the source's, or nothing is there", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), Buffer.alloc(8 * MIB));
    command("mkfs.ext4", "-q", "-F", "-L", "photos", dir.file("s"));
    for (const before of [Buffer.alloc(8 * MIB), fs.readFileSync(dir.file("s"))]) {
      fs.writeFileSync(dir.file("disk"), before);
      using loop = attachLoop(dir.file("disk"));
      for (const to of [loop.path, `host:${loop.path}`]) {
        const words = [...fakeSsh(dir.file("fake-ssh")), dir.file("s"), to];
        const { seen, exitCode } = await answering(words, /Type "[^"]*" to go on: /, "yes\n");
        expect(seen).not.toContain("will be lost");
        expect(exitCode).toBe(0);
      }
    }
  });

  testWith("loop", "mkfs")("shows the partitions with what they carry", async () => {
    using dir = tempDir();
    const disk = Buffer.alloc(8 * MIB);
    writeTable(disk, [2048, 4096], [8192, 4096]);
    fs.writeFileSync(dir.file("disk"), disk);
    fs.writeFileSync(dir.file("s"), bytes(402, MIB));
    using loop = attachLoop(dir.file("disk"), "--partscan");
    using _partitions = addPartitions(loop.path);
    command("mkfs.ext4", "-q", "-L", "root", `${loop.path}p1`);
    const name = loop.path.slice("/dev/".length);
    const { seen } = await answering([dir.file("s"), loop.path], "to go on: ", "no\n");
    expect(seen).toContain(`    ${name} (8.0 MiB): dos 1234abcd\r\n`);
    expect(seen).toContain(`    ${name}p1 (2.0 MiB): ext4 "root"\r\n`);
    expect(seen).toContain(`    ${name}p2 (2.0 MiB): no known file system, partition table or format\r\n`);
  });
});

describe("udev's database", () => {
  testWith("loop")("D7.37 gives model and serial number, which --expect-serial checks, near and far", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(403, MIB));
    fs.writeFileSync(dir.file("disk"), Buffer.alloc(MIB));
    using loop = attachLoop(dir.file("disk"));
    const entry = `/run/udev/data/b${deviceNumber(fs.statSync(loop.path, { bigint: true }).rdev)}`;
    const previous = fs.existsSync(entry) ? fs.readFileSync(entry) : undefined;
    const made = fs.mkdirSync("/run/udev/data", { recursive: true });
    try {
      fs.writeFileSync(entry, "E:ID_MODEL=Ultra_Fit\nE:ID_MODEL_ENC=Ultra\\x20Fit\\x20\nE:ID_SERIAL_SHORT=4C53\n");
      const words = [...fakeSsh(dir.file("fake-ssh")), dir.file("s")];
      const shown = await answering([...words, loop.path], "to go on: ", "no\n");
      expect(shown.seen).toContain(": Ultra Fit, serial 4C53, loop\r\n");
      for (const to of [loop.path, `host:${loop.path}`]) {
        const other = await run(["-f", "--expect-serial", "4C54", ...words, to]);
        expect(other.stderr).toContain('its serial number is "4C53", but --expect-serial says "4C54" (unexpected)');
        expect(other.exitCode).toBe(3);
      }
      expect(fs.readFileSync(dir.file("disk")).equals(Buffer.alloc(MIB))).toBe(true);
      for (const to of [loop.path, `host:${loop.path}`]) {
        expect((await run(["-f", "--expect-serial", "4C53", "--expect-size", "1M", ...words, to])).exitCode).toBe(0);
      }
      expect(fs.readFileSync(dir.file("disk")).equals(bytes(403, MIB))).toBe(true);
    } finally {
      if (previous === undefined) fs.rmSync(entry, { force: true });
      else fs.writeFileSync(entry, previous);
      if (made !== undefined) fs.rmSync(made, { recursive: true });
    }
  });
});
