/** Compressed bytes of every kind: several streams behind each other, and everything that is wrong with one. */
import { describe, expect, test } from "bun:test";
import { IoError } from "../../src/errors.ts";
import type { ZIP_OF_ONE } from "../../src/local/guard/formats.ts";
import type { Medium } from "../../src/stream/medium.ts";
import { type Unpackable, unpacked } from "../../src/stream/unpack.ts";
import { bytes } from "../helpers/bytes.ts";
import { testWith } from "../helpers/requirements.ts";

const DATA = Buffer.concat([bytes(1, 100_000), Buffer.alloc(700_000), bytes(2, 3333)]);

/** Bytes in pieces of `length`. */
function medium(data: Uint8Array, length: number): Medium {
  let at = 0;
  return {
    bytes: {
      read() {
        // Memory that is used again, as that of files is.
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

/** What it unpacks to. @throws {IoError} */
async function unpack(type: Unpackable, data: Uint8Array, length = 10_007): Promise<Buffer> {
  const input = unpacked(medium(data, length), type, "image", new AbortController().signal);
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

function filter(command: readonly string[], data: Uint8Array): Uint8Array {
  const { stdout, exitCode } = Bun.spawnSync([...command], { stdin: data });
  if (exitCode !== 0) throw new Error(command.join(" "));
  return stdout;
}

const PACK: Readonly<Record<Exclude<Unpackable, typeof ZIP_OF_ONE>, (data: Uint8Array) => Uint8Array>> = {
  gzip: (data) => Bun.gzipSync(Uint8Array.from(data)),
  zstd: (data) => Bun.zstdCompressSync(data),
  xz: (data) => filter(["xz", "-c", "-0"], data),
  bzip2: (data) => filter(["bzip2", "-c", "-1"], data),
};

const withXz = testWith("xz");
const TESTS = { gzip: test, zstd: test, xz: withXz, bzip2: withXz };

for (const type of ["gzip", "zstd", "xz", "bzip2"] as const) {
  const it = TESTS[type];
  const packed = () => PACK[type](DATA);

  describe(type, () => {
    it(`${type} unpacks, in one stream and in several, as parallel compressors write them`, async () => {
      const one = packed();
      expect((await unpack(type, one)).equals(DATA)).toBe(true);
      const several = Buffer.concat([one, PACK[type](new Uint8Array()), PACK[type](bytes(3, 10))]);
      expect((await unpack(type, several, 999)).equals(Buffer.concat([DATA, bytes(3, 10)]))).toBe(true);
    });

    it(`${type} that is cut anywhere, or followed by something else, is an error`, async () => {
      const one = Buffer.from(packed());
      const two = Buffer.concat([one, one]);
      for (const [what, wrong] of [
        ["cut in its first bytes", one.subarray(0, 7)],
        ["cut in the middle", one.subarray(0, one.length >> 1)],
        ["cut by its last byte", one.subarray(0, -1)],
        ["cut in a second stream", two.subarray(0, one.length + 20)],
        ["followed by text", Buffer.concat([one, Buffer.from("something else")])],
      ] as const) {
        const failure = await unpack(type, wrong).then(
          () => what,
          (error: unknown) => error,
        );
        expect({ what, isError: failure instanceof IoError }).toEqual({ what, isError: true });
        expect(String(failure)).toContain(`Cannot unpack "image" (${type}): `);
      }
    });

    it(`${type} with a byte changed is never taken for good`, async () => {
      const one = packed();
      for (let at = 20; at < one.length; at += Math.ceil(one.length / 7)) {
        const damaged = Uint8Array.from(one);
        damaged[at] = (damaged[at] ?? 0) ^ 0x10;
        const result = await unpack(type, damaged).catch((error: unknown) => error);
        const isKnown = result instanceof IoError || (Buffer.isBuffer(result) && result.equals(DATA));
        // Of zstd only its frames with a checksum are proved.
        expect({ at, isKnown: isKnown || type === "zstd" }).toEqual({ at, isKnown: true });
      }
    });
  });
}

test("zstd's checksum is checked, frames to be skipped are, and a dictionary's flags do not mislead", async () => {
  const checked = Bun.spawnSync(["zstd", "-c", "--check"], { stdin: DATA }).stdout;
  const damaged = Uint8Array.from(checked);
  damaged[checked.length - 1] = (damaged.at(-1) ?? 0) ^ 1;
  await expect(unpack("zstd", damaged)).rejects.toBeInstanceOf(IoError);
  const skipped = Buffer.concat([Buffer.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]), checked]);
  expect((await unpack("zstd", skipped, 3)).equals(DATA)).toBe(true);
  await expect(unpack("zstd", skipped.subarray(0, 11))).rejects.toThrow("it ends too early");
});

test("zstd with a window that needs more memory says how to unpack it, and not that it is damaged", async () => {
  // A frame of a window of 256 MiB, with one empty block: magic, descriptor, window (RFC 8878, 3.1.1.1.2), last block.
  const long = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, (28 - 10) << 3, 1, 0, 0);
  await expect(unpack("zstd", long)).rejects.toMatchObject({
    message: 'Cannot unpack "image" (zstd): Frame requires too much memory for decoding',
    hint: "it was compressed with a long window: zstd -dc --long=31 FILE | blocksync - DESTINATION",
  });
});

test("how much there will be is told by how much was read", async () => {
  const packed = PACK.zstd(DATA);
  const input = unpacked(medium(packed, packed.length >> 1), "zstd", "image", new AbortController().signal);
  expect(input.expectedBytes(0)).toBeUndefined();
  let done = 0;
  for (let part = await input.bytes.read(); part !== undefined; part = await input.bytes.read()) done += part.length;
  expect(input.expectedBytes(done)).toBe(DATA.length);
  await input.close();
});
