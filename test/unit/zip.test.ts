/** Zip files that hold one file, as Python's zipfile and the zip format's own options write them, and what is wrong with one. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { Ends } from "../../src/local/guard/ends.ts";
import { FORMAT_PROBES, ZIP_OF_ONE } from "../../src/local/guard/formats.ts";
import type { Medium } from "../../src/stream/medium.ts";
import { unpacked } from "../../src/stream/unpack.ts";
import { bytes } from "../helpers/bytes.ts";
import { testWith } from "../helpers/requirements.ts";
import { tempDir } from "../helpers/temp.ts";

const it = testWith("python");
const DATA = Buffer.concat([bytes(1, 100_000), Buffer.alloc(700_000), bytes(2, 3333)]);

function medium(data: Uint8Array, length: number): Medium {
  let at = 0;
  return {
    bytes: {
      read() {
        const piece = Uint8Array.from(data.subarray(at, at + length));
        at += piece.length;
        return Promise.resolve(piece.length === 0 ? undefined : piece);
      },
    },
    sizeBytes: data.length,
    bytesRead: () => at,
    confirmUnchanged: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}

async function unzip(data: Uint8Array, length = 10_007): Promise<Buffer> {
  const input = unpacked(medium(data, length), ZIP_OF_ONE, "image.zip", new AbortController().signal);
  try {
    const parts: Uint8Array[] = [];
    for (;;) {
      const part = await input.bytes.read();
      if (part === undefined) return Buffer.concat(parts);
      parts.push(Uint8Array.from(part));
    }
  } finally {
    await input.close();
  }
}

/** What Python makes of DATA, which it has as `data`, in the zip file `z`. */
function zipped(write: string, open = "zipfile.ZipFile(sys.argv[2], 'w')"): Buffer {
  using dir = tempDir();
  fs.writeFileSync(dir.file("data"), DATA);
  const lines = [
    "import sys, zipfile",
    "data = open(sys.argv[1], 'rb').read()",
    "deflated = zipfile.ZIP_DEFLATED",
    `with ${open} as z:`,
    ` ${write}`,
  ];
  const { exitCode, stderr } = Bun.spawnSync(["python3", "-c", lines.join("\n"), dir.file("data"), dir.file("zip")]);
  if (exitCode !== 0) throw new Error(stderr.toString());
  return fs.readFileSync(dir.file("zip"));
}

function typesOf(data: Buffer): string[] {
  const ends = new Ends(data.length, data.subarray(0, 256 << 10), data.subarray(-(128 << 10)));
  return FORMAT_PROBES.map((probe) => probe(ends)?.type).filter((type) => type !== undefined);
}

const WRITES = {
  deflated: "z.writestr('image.img', data, deflated)",
  stored: "z.writestr('image.img', data)",
  // What is longer than 4 GiB has its sizes there.
  zip64: "e = z.open(zipfile.ZipInfo('image.img'), 'w', force_zip64=True); e.write(data); e.close()",
} as const;

for (const [kind, write] of Object.entries(WRITES)) {
  it(`a ${kind} file is unpacked, in whatever pieces it comes`, async () => {
    const zip = zipped(write);
    expect(typesOf(zip)).toEqual([ZIP_OF_ONE]);
    for (const length of [1 << 20, 10_007, 31]) expect((await unzip(zip, length)).equals(DATA)).toBe(true);
  });

  it(`a ${kind} file that is cut is an error, and one with another byte is never taken for good`, async () => {
    const zip = zipped(write);
    const list = zip.lastIndexOf(Buffer.from("PK\x01\x02", "latin1"));
    for (const end of [0, 3, 29, 35, 500, list >> 1, list - 1, list, list + 3])
      await expect(unzip(zip.subarray(0, end))).rejects.toThrow(/^Cannot unpack "image.zip" \(zip of one file\): /);
    for (let at = 100; at < list; at += Math.floor(list / 50)) {
      const other = Buffer.from(zip);
      other[at] = (other[at] ?? 0) ^ 0x10;
      // A block of deflate may end with bits that say nothing.
      const got = await unzip(other).catch((error: unknown) => error);
      if (got instanceof Buffer) expect(got.equals(DATA)).toBe(true);
      else expect(got).toMatchObject({ message: expect.stringMatching(/^Cannot unpack "image.zip"/) });
    }
  });
}

it("what is none, or cannot be read in order, is said", async () => {
  const two = zipped("z.writestr('a', data, deflated); z.writestr('b', b'x')");
  const commented = zipped("z.writestr('a', data); z.comment = b'hello'");
  expect([typesOf(two), typesOf(commented)]).toEqual([["zip"], ["zip"]]);
  const deflated = zipped(WRITES.deflated);
  expect(typesOf(deflated.subarray(0, -1))).toEqual(["zip"]);
  expect(typesOf(Buffer.concat([deflated, Buffer.from("x")]))).toEqual(["zip"]);
  // To what it cannot seek in it writes the sizes behind the bytes.
  const behind = zipped(
    "z.writestr('a', data, deflated)",
    "zipfile.ZipFile(open('/dev/stdout', 'wb') and P(), 'w')".replace(
      "open('/dev/stdout', 'wb') and P()",
      "type('P', (), {'f': open(sys.argv[2], 'wb'), 'write': lambda s, b: s.f.write(b), 'flush': lambda s: s.f.flush()})()",
    ),
  );
  const encrypted = Buffer.from(deflated);
  encrypted[6] = (encrypted[6] ?? 0) | 1;
  const method = Buffer.from(deflated);
  method[8] = 12;
  const garbage = Buffer.from(deflated);
  garbage[0] = 0;
  for (const [zip, why] of [
    [two, "it holds more than one file"],
    [behind, "it was written to a pipe, and says its size too late"],
    [encrypted, "it is encrypted"],
    [method, "it is packed by method 12, not by deflate"],
    [garbage, "it does not begin as a zip file does"],
  ] as const)
    await expect(unzip(zip)).rejects.toThrow(`Cannot unpack "image.zip" (zip of one file): ${why}`);
});

test("a header that claims any length takes no memory for it", async () => {
  const header = Buffer.alloc(30 + 20);
  header.write("PK\x03\x04", "latin1");
  header.writeUInt32LE(0xffff_ffff, 18);
  header.writeUInt32LE(0xffff_ffff, 22);
  header.writeUInt16LE(20, 28);
  header.writeUInt16LE(1, 30);
  header.writeUInt16LE(16, 32);
  header.writeBigUInt64LE(2n ** 60n, 34);
  header.writeBigUInt64LE(2n ** 60n, 42);
  await expect(unzip(header)).rejects.toThrow("it does not say how long it is");
  header.writeBigUInt64LE(2n ** 52n, 34);
  header.writeBigUInt64LE(2n ** 52n, 42);
  await expect(unzip(header)).rejects.toThrow("it ends too early");
});
