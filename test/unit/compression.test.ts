import { describe, expect, spyOn, test } from "bun:test";
import { ProtocolError } from "../../src/errors.ts";
import { noCompression, zstdCompression } from "../../src/remote/wire/compression.ts";
import { zstdContentSize } from "../../src/remote/wire/zstd-frame.ts";
import { bytes } from "../helpers/bytes.ts";

const text = (length: number) => Buffer.alloc(length, "A line of text, as logs have them. ");

describe("zstdCompression()", () => {
  test.each([1, 127, 128, 4096, 32 << 10, (32 << 10) + 1, 1 << 20, 16 << 20])(
    "packs and expands %p bytes",
    async (length) => {
      const compression = zstdCompression();
      for (const data of [text(length), bytes(1, length)]) {
        const packed = await compression.pack(data);
        expect(packed.length).toBeLessThanOrEqual(length);
        expect(Buffer.from((await compression.expand(packed, length)).bytes).equals(data)).toBe(true);
      }
      if (length >= 4096) expect((await zstdCompression().pack(text(length))).length).toBeLessThan(length / 10);
    },
  );

  test("stops trying on incompressible data, and starts again when data becomes compressible", async () => {
    const compression = zstdCompression();
    const random = bytes(2, 65536);
    for (let i = 0; i < 40; i++) expect(await compression.pack(random)).toBe(random);
    const tried = [];
    for (let i = 0; i < 64; i++) tried.push((await compression.pack(text(65536))).length < 65536);
    expect(tried[0]).toBe(false);
    expect(tried.slice(16).every(Boolean)).toBe(true);
  });

  test("noCompression sends as it is and expands what it gets", async () => {
    const data = text(9000);
    expect(await noCompression().pack(data)).toBe(data);
    expect(
      Buffer.from((await noCompression().expand(await zstdCompression().pack(data), 9000)).bytes).equals(data),
    ).toBe(true);
  });
});

test("expand() waits while too much is expanded and not released", async () => {
  const compression = zstdCompression();
  const packed = Bun.zstdCompressSync(text(8 << 20), { level: 1 });
  const expanding = spyOn(Bun, "zstdDecompress");
  try {
    const [first, second] = [await compression.expand(packed, 8 << 20), await compression.expand(packed, 8 << 20)];
    const third = compression.expand(packed, 8 << 20);
    // Whatever it does at once, it has done when this, asked for later, is done.
    await Bun.zstdCompress(text(8 << 20));
    expect(expanding).toHaveBeenCalledTimes(2);
    first.release();
    expect((await third).bytes.length).toBe(8 << 20);
    expect(expanding).toHaveBeenCalledTimes(3);
    second.release();
  } finally {
    expanding.mockRestore();
  }
});

test("expand() gives back the room of what turned out to be damaged", async () => {
  const compression = zstdCompression();
  const whole = Bun.zstdCompressSync(text(8 << 20), { level: 1 });
  const broken = Buffer.from(whole);
  broken[broken.length >> 1] = (broken[broken.length >> 1] ?? 0) ^ 0xff;
  for (let i = 0; i < 4; i++) await expect(compression.expand(broken, 8 << 20)).rejects.toBeInstanceOf(ProtocolError);
  expect((await compression.expand(whole, 8 << 20)).bytes.length).toBe(8 << 20);
});

describe("expand() of hostile data", () => {
  const packed = Bun.zstdCompressSync(text(9000), { level: 1 });
  const bomb = Bun.zstdCompressSync(Buffer.alloc(64 << 20), { level: 19 });

  test.each([
    ["another length announced", packed, 9001],
    ["a length shorter than the data", packed, 4096],
    ["no zstd at all", bytes(3, 100), 4096],
    ["an empty body", Buffer.alloc(0), 4096],
    ["a bomb behind a good frame", Buffer.concat([packed, bomb]), 9000],
    ["a bomb that says another size", lying(bomb, 9000), 9000],
    ["trailing garbage", Buffer.concat([packed, Buffer.from("x")]), 9000],
    ["a frame that does not say its size", withoutSize(), 9000],
  ])("%s is a protocol error", async (_name, body, length) => {
    await expect(zstdCompression().expand(body, length)).rejects.toBeInstanceOf(ProtocolError);
  });

  test("every truncation is refused, every flipped byte is refused or gives the announced length", async () => {
    for (let length = 0; length < packed.length; length++) {
      await expect(noCompression().expand(packed.subarray(0, length), 9000)).rejects.toBeInstanceOf(ProtocolError);
    }
    for (let at = 0; at < packed.length; at++) {
      const flipped = Buffer.from(packed);
      flipped[at] = (flipped[at] ?? 0) ^ 0x41;
      const outcome = await noCompression()
        .expand(flipped, 9000)
        .then(
          ({ bytes: { length } }) => length,
          (error: unknown) => error,
        );
      expect(outcome instanceof ProtocolError || outcome === 9000).toBe(true);
    }
  });

  function lying(frame: Buffer, size: number): Buffer {
    const changed = Buffer.from(frame);
    changed.writeUInt32LE(size, ((changed[4] ?? 0) & 0x20) === 0 ? 6 : 5);
    return changed;
  }

  /** A frame as a streaming compressor writes it: magic, no size, a window, one raw block of nothing. */
  function withoutSize(): Buffer {
    return Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x01, 0x00, 0x00]);
  }
});

describe("zstdContentSize()", () => {
  test.each([0, 1, 255, 256, 65791, 65792, 200_000, 5 << 20])("reads the size of a frame of %p bytes", (length) => {
    expect(zstdContentSize(Bun.zstdCompressSync(bytes(4, length), { level: 1 }))).toBe(length);
    expect(zstdContentSize(Bun.zstdCompressSync(Buffer.alloc(length), { level: 19 }))).toBe(length);
  });
});
