/**
 * The golden frames of testdata/frames-v1.json were made from the comment in protocol.ts by other code, with the xxHash
 * of @node-rs/xxhash. From the first release on they never change while PROTOCOL_VERSION is 1.
 */
import { expect, spyOn, test } from "bun:test";
import { ProtocolError, UnreachableError } from "../../src/errors.ts";
import { Channel, type Received } from "../../src/remote/wire/channel.ts";
import {
  aesOf,
  checkContent,
  checkPreamble,
  decodeHeader,
  encodeFrame,
  encodePreamble,
  FieldReader,
  FieldWriter,
  type Frame,
  HEADER_SIZE,
  MAX_BODY_LENGTH,
  MAX_HEAD_LENGTH,
  MessageType,
  NO_BYTES,
  PREAMBLE_LIMIT,
  PROTOCOL_VERSION,
} from "../../src/remote/wire/protocol.ts";
import { ByteReader, type ByteSink } from "../../src/remote/wire/streams.ts";
import { refusal } from "../helpers/refusal.ts";
import golden from "../testdata/frames-v1.json" with { type: "json" };

const TYPES = Object.values(MessageType);

function messageType(value: number): MessageType {
  const found = TYPES.find((type) => type === value);
  if (found === undefined) throw new Error(`${value} is no message type`);
  return found;
}

const FRAMES = golden.map((entry) => ({
  name: entry.name,
  wire: Buffer.from(entry.frame, "hex"),
  frame: {
    type: messageType(entry.type),
    id: entry.id,
    head: Buffer.from(entry.head, "hex"),
    body: Buffer.from(entry.body, "hex"),
  },
}));

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** A frame without release(), in a form that compares and prints well. */
function plain(frame: Frame): Record<string, unknown> {
  return { type: frame.type, id: frame.id, head: hex(frame.head), body: hex(frame.body) };
}

const NOWHERE: ByteSink = { write: () => Promise.resolve(), end: () => Promise.resolve() };

interface Delivery {
  readonly frames: Received[];
  /** Timeouts of the signs of life, which are the channel's own business. */
  readonly alive: number[];
  /** What the channel failed with; the end of the stream is an UnreachableError. */
  readonly failure: unknown;
  /** Chunks that were asked for. */
  readonly reads: number;
}

/** Lets a real channel receive these chunks, then the end of the stream. */
async function receive(...chunks: readonly Uint8Array[]): Promise<Delivery> {
  const queue = [...chunks];
  let reads = 0;
  const source = {
    read: () => {
      reads++;
      return Promise.resolve(queue.shift());
    },
  };
  const alive: number[] = [];
  const channel = new Channel(new ByteReader(source), NOWHERE, (seconds) => alive.push(seconds));
  const frames: Received[] = [];
  await channel.run(
    (frame) => {
      frames.push(frame);
      return undefined;
    },
    () => Promise.resolve(new UnreachableError("the stream ended")),
  );
  let failure: unknown;
  await channel.send(1, { type: MessageType.done, head: NO_BYTES, body: NO_BYTES }).catch((cause: unknown) => {
    failure = cause;
  });
  return { frames, alive, failure, reads };
}

/** The kind and message of what the channel failed with. */
function described({ failure }: Delivery): string {
  return failure instanceof Error ? `${failure.constructor.name}: ${failure.message}` : String(failure);
}

/** A header with a right checksum, whatever its fields say. */
function header(fields: { head?: number; body?: number; type?: number; reserved?: [number, number, number] }): Buffer {
  const bytes = Buffer.alloc(HEADER_SIZE);
  bytes.writeUInt32LE(fields.head ?? 0, 4);
  bytes.writeUInt32LE(fields.body ?? 0, 8);
  bytes.writeUInt32LE(9, 12);
  bytes.writeUInt8(fields.type ?? MessageType.done, 16);
  bytes.set(fields.reserved ?? [0, 0, 0], 17);
  bytes.writeUInt32LE(Number((Bun.hash.xxHash64("") ^ Bun.hash.xxHash3("")) & 0xffff_ffffn), 20);
  bytes.writeUInt32LE(Number(Bun.hash.xxHash64(bytes.subarray(4)) & 0xffff_ffffn), 0);
  return bytes;
}

test("the golden frames cover every message type", () => {
  expect(new Set(FRAMES.map(({ frame }) => frame.type))).toEqual(new Set(TYPES));
  expect(new Set(golden.map(({ name }) => name)).size).toBe(golden.length);
  expect(PROTOCOL_VERSION).toBe(1);
});

test("MessageType has the numbers of the specification", () => {
  expect(MessageType).toEqual({
    open: 1,
    prepare: 2,
    scan: 3,
    advance: 4,
    leafHashes: 5,
    read: 6,
    write: 7,
    counters: 8,
    confirm: 9,
    flush: 10,
    alive: 11,
    salvage: 12,
    patch: 13,
    bypass: 14,
    checkpoint: 15,
    opened: 32,
    run: 33,
    leaves: 34,
    block: 35,
    written: 36,
    counted: 37,
    done: 38,
    failed: 39,
    prepared: 40,
    salvaged: 42,
    patched: 43,
    bypassed: 44,
  });
});

for (const { name, frame, wire } of FRAMES) {
  test(`encodeFrame() gives exactly the golden bytes of "${name}"`, () => {
    expect(hex(encodeFrame(frame)) + hex(frame.body)).toBe(hex(wire));
  });

  test(`decodeHeader() and checkContent() accept the golden frame "${name}"`, () => {
    const decoded = decodeHeader(wire);
    expect(decoded).toEqual({
      type: frame.type,
      id: frame.id,
      headLength: frame.head.length,
      bodyLength: frame.body.length,
      contentChecksum: wire.readUInt32LE(20),
    });
    const head = wire.subarray(HEADER_SIZE, HEADER_SIZE + decoded.headLength);
    const body = wire.subarray(HEADER_SIZE + decoded.headLength);
    expect(refusal(() => checkContent(decoded, head, body))).toBe("nothing thrown");
    expect([hex(head), hex(body)]).toEqual([hex(frame.head), hex(frame.body)]);
  });

  test(`Channel delivers the golden frame "${name}" however the stream is cut into chunks`, async () => {
    const delivered = ({ frames, alive }: Delivery) => [...frames.map(plain), ...alive];
    const due = frame.type === MessageType.alive ? 60 : plain(frame);
    expect(delivered(await receive(wire))).toEqual([due]);
    expect(delivered(await receive(...Array.from(wire, (_, i) => wire.subarray(i, i + 1))))).toEqual([due]);
    expect(delivered(await receive(Buffer.concat([wire, wire])))).toEqual([due, due]);
  });

  test(`Channel delivers nothing of any truncation of the golden frame "${name}"`, async () => {
    for (let length = 0; length < wire.length; length++) {
      const delivery = await receive(wire.subarray(0, length));
      expect({ length, frames: delivery.frames.length, failure: described(delivery) }).toEqual({
        length,
        frames: 0,
        failure: "UnreachableError: the stream ended",
      });
    }
  });

  test(`Channel refuses every changed byte of the golden frame "${name}"`, async () => {
    for (let offset = 0; offset < wire.length; offset++) {
      for (const change of [0x01, 0x80, 0xff]) {
        const damaged = Buffer.from(wire);
        damaged[offset] = (damaged[offset] ?? 0) ^ change;
        const delivery = await receive(damaged);
        const what = offset < HEADER_SIZE ? "its header" : "its content";
        expect({ offset, change, frames: delivery.frames.length, failure: described(delivery) }).toEqual({
          offset,
          change,
          frames: 0,
          failure: `ProtocolError: Cannot read a frame: ${what} is damaged`,
        });
      }
    }
  });
}

test("Channel delivers the frames before a damaged one and none after it", async () => {
  const [first, second] = [FRAMES[0], FRAMES[1]];
  if (first === undefined || second === undefined) throw new Error("two golden frames are needed");
  const damaged = Buffer.from(second.wire);
  damaged[HEADER_SIZE] = (damaged[HEADER_SIZE] ?? 0) ^ 1;
  const delivery = await receive(Buffer.concat([first.wire, damaged, second.wire]));
  expect(delivery.frames.map(plain)).toEqual([plain(first.frame)]);
  expect(described(delivery)).toBe("ProtocolError: Cannot read a frame: its content is damaged");
});

test("checkContent() refuses head and body with the border between them moved", () => {
  const frame: Frame = { type: MessageType.block, id: 1, head: Uint8Array.of(1, 2), body: Uint8Array.of(3, 4) };
  const decoded = decodeHeader(encodeFrame(frame));
  expect(refusal(() => checkContent(decoded, frame.head, frame.body))).toBe("nothing thrown");
  const damaged = "Cannot read a frame: its content is damaged";
  expect(refusal(() => checkContent(decoded, Uint8Array.of(1), Uint8Array.of(2, 3, 4)))).toBe(damaged);
  expect(refusal(() => checkContent(decoded, frame.body, frame.head))).toBe(damaged);
  expect(refusal(() => checkContent(decoded, frame.head, frame.head))).toBe(damaged);
});

test("encodeFrame() and decodeHeader() take lengths up to the limits", () => {
  const frame: Frame = {
    type: MessageType.write,
    id: 0xffff_ffff,
    head: new Uint8Array(MAX_HEAD_LENGTH).fill(1),
    body: new Uint8Array(MAX_BODY_LENGTH).fill(2),
  };
  const wire = encodeFrame(frame);
  expect(wire.length).toBe(HEADER_SIZE + MAX_HEAD_LENGTH);
  const decoded = decodeHeader(wire);
  expect({ ...decoded, contentChecksum: 0 }).toEqual({
    type: MessageType.write,
    id: 0xffff_ffff,
    headLength: 65536,
    bodyLength: 16777216,
    contentChecksum: 0,
  });
});

test("encodeFrame() refuses what the other side would refuse", () => {
  const frame = (head: number, body: number): Frame => ({
    type: MessageType.write,
    id: 1,
    head: new Uint8Array(head),
    body: new Uint8Array(body),
  });
  expect(() => encodeFrame(frame(MAX_HEAD_LENGTH + 1, 0))).toThrow(new RangeError("Invalid head of 65537 bytes"));
  expect(() => encodeFrame(frame(0, MAX_BODY_LENGTH + 1))).toThrow(new RangeError("Invalid body of 16777217 bytes"));
});

test("decodeHeader() refuses lengths over the limits, whatever the checksum says", () => {
  const head = (length: number) => refusal(() => decodeHeader(header({ head: length })));
  const body = (length: number, type: MessageType) => refusal(() => decodeHeader(header({ body: length, type })));
  expect(head(65536)).toBe("nothing thrown");
  expect(head(65537)).toBe("Cannot read a frame: a head of 65537 bytes exceeds 65536");
  expect(head(0xffff_ffff)).toBe("Cannot read a frame: a head of 4294967295 bytes exceeds 65536");
  for (const [type, most] of [
    [MessageType.write, 16777216],
    [MessageType.block, 16777216],
    [MessageType.run, 65536],
    [MessageType.flush, 65536],
  ] as const) {
    expect(body(most, type)).toBe("nothing thrown");
    for (const length of [most + 1, 2 ** 31, 0xffff_ffff])
      expect(body(length, type)).toBe(`Cannot read a frame: a body of ${length} bytes exceeds ${most}`);
  }
});

test("Channel refuses lengths over the limits before it allocates or reads on", async () => {
  const allocate = spyOn(Buffer, "allocUnsafeSlow");
  try {
    for (const fields of [{ head: MAX_HEAD_LENGTH + 1 }, { body: MAX_BODY_LENGTH + 1 }, { body: 0xffff_ffff }]) {
      for (const type of [MessageType.done, MessageType.write]) {
        const delivery = await receive(header({ ...fields, type }), Buffer.alloc(1000));
        expect(delivery.frames).toEqual([]);
        expect(delivery.failure).toBeInstanceOf(ProtocolError);
        expect(delivery.reads).toBe(1);
      }
    }
    expect(allocate).not.toHaveBeenCalled();
    await receive(header({ body: 5 }));
    expect(allocate).toHaveBeenCalledWith(5);
  } finally {
    allocate.mockRestore();
  }
});

test("decodeHeader() refuses every type that is none", () => {
  const known = new Set<number>(TYPES);
  for (let type = 0; type < 256; type++) {
    const expected = known.has(type) ? "nothing thrown" : `Cannot read a frame: ${type} is not a message type`;
    expect(refusal(() => decodeHeader(header({ type })))).toBe(expected);
  }
});

test("decodeHeader() refuses each reserved byte that is not zero", () => {
  for (const reserved of [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
    [0, 0, 0x80],
  ] as [number, number, number][]) {
    expect(refusal(() => decodeHeader(header({ reserved })))).toBe(
      "Cannot read a frame: its reserved bytes are not zero",
    );
  }
  expect(refusal(() => decodeHeader(header({})))).toBe("nothing thrown");
});

test("decodeHeader() verifies the checksum before it believes anything else", () => {
  const bytes = header({ head: 0xffff_ffff, type: 200 });
  bytes[0] = (bytes[0] ?? 0) ^ 1;
  expect(refusal(() => decodeHeader(bytes))).toBe("Cannot read a frame: its header is damaged");
});

test("decodeHeader() reads a header that lies within a larger buffer", () => {
  const larger = Buffer.concat([Buffer.alloc(5, 0xee), header({ head: 7 }), Buffer.alloc(5, 0xee)]);
  expect(decodeHeader(larger.subarray(5)).headLength).toBe(7);
});

test("FieldWriter puts fields one after the other in little-endian order", () => {
  const head = new FieldWriter()
    .u8(0xab)
    .bool(true)
    .bool(false)
    .u32(0x01020304)
    .u64(0x10_0000_0001)
    .bytes(Uint8Array.of(7, 8))
    .text("ß")
    .finish();
  expect(hex(head)).toBe(`ab 01 00 04030201 0100000010000000 02000000 0708 02000000 c39f`.replaceAll(" ", ""));
});

test("FieldWriter grows with what is written", () => {
  const long = new Uint8Array(1000).fill(3);
  const writer = new FieldWriter().u8(1).bytes(long);
  for (let i = 0; i < 100; i++) writer.u64(i);
  const reader = new FieldReader(writer.finish());
  expect(reader.u8()).toBe(1);
  expect(hex(reader.bytes())).toBe(hex(long));
  for (let i = 0; i < 100; i++) expect(reader.u64()).toBe(i);
  expect(refusal(() => reader.end())).toBe("nothing thrown");
});

test("FieldReader gives back the extremes that FieldWriter wrote", () => {
  const head = new FieldWriter()
    .u8(0)
    .u8(255)
    .u32(0)
    .u32(0xffff_ffff)
    .u64(0)
    .u64(Number.MAX_SAFE_INTEGER)
    .bytes(NO_BYTES)
    .text("")
    .text("\ufeffa\0🦀")
    .finish();
  const reader = new FieldReader(head);
  expect([reader.u8(), reader.u8()]).toEqual([0, 255]);
  expect([reader.u32(), reader.u32()]).toEqual([0, 0xffff_ffff]);
  expect([reader.u64(), reader.u64()]).toEqual([0, Number.MAX_SAFE_INTEGER]);
  expect(reader.bytes().length).toBe(0);
  expect([reader.text(), reader.text()]).toEqual(["", "\ufeffa\0🦀"]);
  expect(refusal(() => reader.end())).toBe("nothing thrown");
});

test("FieldReader refuses every field that goes beyond the end", () => {
  const beyond = "Cannot read a message: a field runs past its end";
  expect(refusal(() => new FieldReader(new Uint8Array(0)).u8())).toBe(beyond);
  expect(refusal(() => new FieldReader(new Uint8Array(0)).bool())).toBe(beyond);
  expect(refusal(() => new FieldReader(new Uint8Array(3)).u32())).toBe(beyond);
  expect(refusal(() => new FieldReader(new Uint8Array(7)).u64())).toBe(beyond);
  expect(refusal(() => new FieldReader(new Uint8Array(3)).bytes())).toBe(beyond);
  expect(refusal(() => new FieldReader(Uint8Array.of(2, 0, 0, 0, 65)).bytes())).toBe(beyond);
  expect(refusal(() => new FieldReader(Uint8Array.of(2, 0, 0, 0, 65)).text())).toBe(beyond);
  expect(refusal(() => new FieldReader(new Uint8Array(8).fill(0xff)).bytes())).toBe(beyond);
});

test("FieldReader.u64() refuses numbers beyond 2^53 - 1", () => {
  const read = (value: bigint) => {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    return refusal(() => new FieldReader(bytes).u64());
  };
  expect(read(2n ** 53n - 1n)).toBe("nothing thrown");
  expect(read(2n ** 53n)).toBe("Cannot read a message: 9007199254740992 exceeds 2^53 - 1");
  expect(read(2n ** 64n - 1n)).toBe("Cannot read a message: 18446744073709551615 exceeds 2^53 - 1");
});

test("FieldReader.list() reads as many as it may hold, and refuses one more before it reads any", () => {
  const listOf = (count: number) => {
    const reader = new FieldReader(new FieldWriter().u32(count).u8(7).u8(8).finish());
    return reader.list(2, () => reader.u8());
  };
  expect([0, 1, 2].map(listOf)).toEqual([[], [7], [7, 8]]);
  for (const count of [3, 0xffff_ffff])
    expect(refusal(() => listOf(count))).toBe(`Cannot read a message: ${count} items where at most 2 are allowed`);
});

test("FieldReader.oneOf() and bool() refuse numbers outside", () => {
  const three = ["a", "b", "c"];
  expect(new FieldReader(Uint8Array.of(2)).oneOf(three)).toBe("c");
  expect(refusal(() => new FieldReader(Uint8Array.of(3)).oneOf(three))).toBe(
    "Cannot read a message: 3 where at most 2 is allowed",
  );
  expect([0, 1].map((value) => new FieldReader(Uint8Array.of(value)).bool())).toEqual([false, true]);
  for (const value of [2, 255]) {
    expect(refusal(() => new FieldReader(Uint8Array.of(value)).bool())).toBe(
      `Cannot read a message: ${value} where at most 1 is allowed`,
    );
  }
});

test("FieldReader.text() refuses what is not UTF-8", () => {
  for (const bytes of [[0xff], [0xc3], [0x41, 0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80]]) {
    const head = new FieldWriter().bytes(Uint8Array.from(bytes)).finish();
    expect(refusal(() => new FieldReader(head).text())).toBe("Cannot read a message: a text is not UTF-8");
  }
});

test("FieldReader.end() counts what is left over", () => {
  const reader = new FieldReader(new Uint8Array(6));
  reader.u32();
  expect(refusal(() => reader.end())).toBe("Cannot read a message: 2 bytes are left over");
});

test("encodePreamble() is the line of the specification", () => {
  const line = (hasAes: boolean) => new TextDecoder().decode(encodePreamble("0.1.0", "4f1d0c9a2b7e", hasAes));
  expect(line(false)).toBe("blocksync 1 0.1.0 4f1d0c9a2b7e\n");
  expect(line(true)).toBe("blocksync 1 0.1.0 4f1d0c9a2b7e aes\n");
  expect(line(true).length).toBeLessThan(PREAMBLE_LIMIT);
});

test("checkPreamble() accepts the line of the same build", () => {
  for (const hasAes of [false, true]) {
    const line = new TextDecoder().decode(encodePreamble("0.1.0", "4f1d0c9a2b7e", hasAes)).slice(0, -1);
    expect(refusal(() => checkPreamble(line, "0.1.0", "4f1d0c9a2b7e"))).toBe("nothing thrown");
  }
});

test("checkPreamble() quotes both versions, builds and protocols when any differs", () => {
  const check = (line: string) => refusal(() => checkPreamble(line, "0.2.0", "aaaa"));
  const own = "this is 0.2.0 (build aaaa, protocol 1)";
  const start = "Cannot talk to the far side: it is blocksync";
  expect(check("blocksync 1 0.1.0 aaaa")).toBe(`${start} 0.1.0 (build aaaa, protocol 1), ${own}`);
  expect(check("blocksync 1 0.2.0 bbbb")).toBe(`${start} 0.2.0 (build bbbb, protocol 1), ${own}`);
  expect(check("blocksync 2 0.2.0 aaaa")).toBe(`${start} 0.2.0 (build aaaa, protocol 2), ${own}`);
  expect(check("blocksync 17 9.9.9-rc.1 cccc")).toBe(`${start} 9.9.9-rc.1 (build cccc, protocol 17), ${own}`);
  expect(check("blocksync 01 0.2.0 aaaa")).toBe(`${start} 0.2.0 (build aaaa, protocol 01), ${own}`);
});

test("checkPreamble() says how to get the same build there", () => {
  let hint: string | undefined;
  try {
    checkPreamble("blocksync 1 0.1.0 bbbb", "0.2.0", "aaaa");
  } catch (error) {
    if (error instanceof ProtocolError) hint = error.hint;
  }
  expect(hint).toBe(
    "install the same build there, or leave out --script and any forced command: blocksync then copies itself there",
  );
});

test("aesOf() knows the line of any build, and no other line", () => {
  expect(aesOf("blocksync 1 0.1.0 bbbb")).toBe(false);
  expect(aesOf("blocksync 17 9.9.9-rc.1 cccc aes")).toBe(true);
  for (const line of ["", "blocksync", "blocksync-1 ready", "blocksync is installed here", "x blocksync 1 0.1.0 b"]) {
    expect(aesOf(line)).toBeUndefined();
  }
});

test("checkPreamble() refuses a line that is none", () => {
  const lines = ["", "hello", "blocksync", "blocksync 1 0.1.0", "blocksync x 0.1.0 b", " blocksync 1 0.1.0 b"];
  lines.push("blocksync 1 0.1.0 b ", "blocksync 1 0.1.0 b c", "blocksync 1 0.1.0 b\n", "Blocksync 1 0.1.0 b");
  for (const line of lines) {
    expect(refusal(() => checkPreamble(line, "0.1.0", "b"))).toBe(
      "Cannot talk to the far side: it does not answer like blocksync",
    );
  }
});
