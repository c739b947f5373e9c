import { expect, test } from "bun:test";
import {
  asFailure,
  BugError,
  type Failure,
  InterruptedError,
  IoError,
  ProtocolError,
  RefusedError,
  stackOf,
  UnreachableError,
  UsageError,
  VerificationError,
} from "../../src/errors.ts";
import { nameOf } from "../../src/name.ts";
import { decode, encode, type Outgoing } from "../../src/remote/wire/messages.ts";
import { FieldWriter, type Frame, MAX_HEAD_LENGTH, MessageType, NO_BYTES } from "../../src/remote/wire/protocol.ts";
import { BlockLayout, type BlockRange, MAX_BLOCK_SIZE } from "../../src/sync/blocks.ts";
import type { BlockData } from "../../src/sync/endpoint.ts";
import { type Facts, MAX_CONTENTS, MAX_FACT_LENGTH, MAX_SIGNATURES, MAX_WRITER_LENGTH } from "../../src/sync/facts.ts";
import type { EndpointSpec } from "../../src/sync/spec.ts";
import { one } from "../helpers/one.ts";
import { refusal } from "../helpers/refusal.ts";
import golden from "../testdata/frames-v1.json" with { type: "json" };

const MAX = Number.MAX_SAFE_INTEGER;
/** 947 full blocks and a short one. */
const LAYOUT = new BlockLayout(947 * (1 << 20) + 5, 1 << 20);

function sequence(first: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => first + i);
}

function frameOf(message: Outgoing): Frame {
  return { ...message, id: 1 };
}

function frame(type: MessageType, writer: FieldWriter, body: Uint8Array = NO_BYTES): Frame {
  return { type, id: 1, head: writer.finish(), body };
}

/** Byte arrays as hexadecimal, so that views of buffers compare by what is in them. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (value instanceof Error) return value;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

const OPEN: EndpointSpec = {
  path: "/dev/sdß",
  label: "root@host:/dev/sdß",
  access: "write",
  blockSize: 1 << 20,
  hash: { name: "xxh3-xxh64", additional: "sha256", seed: sequence(0, 28) },
  dropCache: true,
  discard: false,
  compress: true,
  allowed: ["mounted", "in-use"],
  examine: "partitions",
  undo: { path: "/srv/ü.qcow2", label: "root@host:/srv/ü.qcow2", run: sequence(40, 16), chain: true },
};

const FACTS: Facts = {
  name: "sdb",
  model: "Ultra Fit",
  serial: "4C53ß",
  transport: "usb",
  sectorBytes: 4096,
  isPartition: true,
  links: 2,
  writer: "sdb1 is mounted on /srv",
  isZero: false,
  atEnd: ["gpt"],
  contents: [
    {
      name: "sdb",
      sizeBytes: 0x12_3456_789a,
      signatures: [{ type: "gpt", label: "", uuid: "a-b", note: "", sectorBytes: 512, endBytes: 2 ** 40 }],
    },
    { name: "sdb1", sizeBytes: 512, signatures: [] },
    { name: "sdb2", sizeBytes: 0, signatures: undefined },
  ],
};

function blockData(hashFrom: number, leaves: number, zeros: number, text: string): BlockData {
  return {
    hashes: sequence(hashFrom, 16),
    leaves: Uint8Array.of(leaves),
    zeros: Uint8Array.of(zeros),
    bytes: Buffer.from(text),
    release: () => undefined,
  };
}

function packed({ hashes, leaves, zeros, bytes }: BlockData) {
  return { hashes, leaves, zeros, expandedLength: bytes.length, body: bytes };
}

const WRITTEN = blockData(0x10, 2, 1, "leaf!");
const ZEROS = blockData(0x20, 0, 1, "");
const BLOCK = blockData(0x50, 1, 2, "source");
/** The short last sector of two. */
const SALVAGE = { sectors: Uint8Array.of(2), bytes: Buffer.from("rest!") };
const TWO_LEAVES = () => 5000;

interface Case {
  /** As in frames-v1.json. */
  readonly name: string;
  readonly message: Outgoing;
  readonly decode: (frame: Frame) => unknown;
  readonly value: unknown;
}

const nothing = (name: "counters" | "confirm" | "checkpoint" | "flush" | "bypass" | "done"): Case => ({
  name,
  message: encode.empty(name),
  decode: decode.empty,
  value: undefined,
});

const run = (name: string, message: Outgoing, position: number, value: unknown): Case => ({
  name,
  message,
  decode: (received) => decode.run(received, position, LAYOUT.blockCount, 16, LAYOUT),
  value,
});

const HASHED = { kind: "hashed", first: 2, count: 2, hashes: sequence(0x40, 32) } as const;
const HOLE = { kind: "hole", first: 4, count: 900 } as const;
const DATA = { kind: "data", first: 904, count: 43 } as const;
const DIFFERING = { kind: "differing", hashes: sequence(0xa0, 8) } as const;

const CASES: readonly Case[] = [
  { name: "open", message: encode.open(OPEN), decode: decode.open, value: OPEN },
  {
    name: "prepare",
    message: encode.prepare(0x12_3456_789a, true),
    decode: decode.prepare,
    value: { sizeBytes: 0x12_3456_789a, exact: true },
  },
  {
    name: "scan",
    message: encode.scan({
      ranges: [{ first: 0, count: 947 }],
      window: 4096,
      hashed: true,
      tolerant: false,
      readHoles: true,
    }),
    decode: decode.scan,
    value: { ranges: [{ first: 0, count: 947 }], window: 4096, hashed: true, tolerant: false, readHoles: true },
  },
  { name: "advance", message: encode.advance(174), decode: decode.advance, value: 174 },
  {
    name: "leafHashes",
    message: encode.leafHashes(one(173), 4),
    decode: decode.leafHashes,
    value: { blocks: one(173), size: 4 },
  },
  {
    name: "read all",
    message: encode.read(one(5), { kind: "all" }),
    decode: (received) => decode.read(received, TWO_LEAVES),
    value: { blocks: one(5), filter: { kind: "all" } },
  },
  {
    name: "read nonzero",
    message: encode.read(one(MAX), { kind: "nonzero" }),
    decode: (received) => decode.read(received, TWO_LEAVES),
    value: { blocks: one(MAX), filter: { kind: "nonzero" } },
  },
  {
    name: "read differing",
    message: encode.read(one(5), DIFFERING),
    decode: (received) => decode.read(received, TWO_LEAVES),
    value: { blocks: one(5), filter: DIFFERING },
  },
  {
    name: "write data",
    message: encode.write(one(946), WRITTEN, WRITTEN.bytes),
    decode: decode.write,
    value: { blocks: one(946), data: packed(WRITTEN) },
  },
  {
    name: "write zeros",
    message: encode.write(one(0), ZEROS, ZEROS.bytes),
    decode: decode.write,
    value: { blocks: one(0), data: packed(ZEROS) },
  },
  nothing("counters"),
  nothing("confirm"),
  nothing("flush"),
  {
    name: "opened",
    message: encode.opened({
      label: "not sent",
      kind: "device",
      sizeBytes: 0x12_3456_789a,
      identity: "boot:259:3",
      within: [{ identity: "boot block 8:0", start: 512, end: 1024, exact: true }],
      blank: false,
      zeroHash: sequence(0x30, 16),
      facts: FACTS,
    }),
    decode: (received) => decode.opened(received, "host:/dev/sdb"),
    value: {
      label: "host:/dev/sdb",
      kind: "device",
      sizeBytes: 0x12_3456_789a,
      identity: "boot:259:3",
      within: [{ identity: "boot block 8:0", start: 512, end: 1024, exact: true }],
      blank: false,
      zeroHash: sequence(0x30, 16),
      facts: FACTS,
    },
  },
  run("run hashed", encode.run(HASHED), 2, HASHED),
  run("run hole", encode.run(HOLE), 4, HOLE),
  run("run data", encode.run(DATA), 904, DATA),
  {
    name: "leaves",
    message: encode.leaves(sequence(0xc0, 8)),
    decode: (received) => decode.leaves(received, 8),
    value: sequence(0xc0, 8),
  },
  { name: "block", message: encode.block(BLOCK, BLOCK.bytes), decode: decode.block, value: packed(BLOCK) },
  {
    name: "written",
    message: encode.written({ proved: true, bytesWritten: 4096 }),
    decode: decode.written,
    value: { proved: true, bytesWritten: 4096 },
  },
  {
    name: "counted",
    message: encode.counted({ bytesRead: 2 ** 32, bytesWritten: 2 ** 32 - 1 }),
    decode: decode.counted,
    value: { bytesRead: 2 ** 32, bytesWritten: 2 ** 32 - 1 },
  },
  nothing("done"),
  {
    name: "failed",
    message: encode.failed(new IoError('Cannot open "/dev/sdß": permission denied', { hint: "run it with --sudo" })),
    decode: (received) => {
      const failure = decode.failed(received);
      return { kind: failure.kind, message: failure.message, hint: failure.hint };
    },
    value: { kind: "io", message: 'Cannot open "/dev/sdß": permission denied', hint: "run it with --sudo" },
  },
  {
    name: "prepared",
    message: encode.prepared("identé 1"),
    decode: decode.prepared,
    value: "identé 1",
  },
  {
    name: "salvage",
    message: encode.salvage(7, Uint8Array.of(1, 0x80), 3),
    decode: (received) => decode.salvage(received, () => 16 * 512),
    value: { index: 7, retries: 3, known: Uint8Array.of(1, 0x80) },
  },
  {
    name: "salvaged",
    message: encode.salvaged(SALVAGE),
    decode: (received) => decode.salvaged(received, 512 + 5),
    value: SALVAGE,
  },
  {
    name: "patch",
    message: encode.patch(7, SALVAGE),
    decode: (received) => decode.patch(received, () => 512 + 5),
    value: { index: 7, salvage: SALVAGE },
  },
  { name: "patched", message: encode.patched(4608), decode: decode.patched, value: 4608 },
  nothing("bypass"),
  { name: "bypassed", message: encode.bypassed("dropped"), decode: decode.bypassed, value: "dropped" },
  nothing("checkpoint"),
  {
    name: "alive",
    message: encode.alive(60),
    decode: (received) => decode.alive({ ...received, id: 0 }),
    value: 60,
  },
];

/** Messages whose body is data of a length that the head or the request determines. */
const WITH_BODY = new Set([
  "scan",
  "read differing",
  "write data",
  "write zeros",
  "run hashed",
  "leaves",
  "block",
  "salvaged",
  "patch",
]);

test("the messages tested here are those of the golden frames", () => {
  expect(CASES.map(({ name }) => name)).toEqual(golden.map(({ name }) => name));
});

for (const { name, message, decode: read, value } of CASES) {
  test(`encode gives type, head and body of the golden frame "${name}"`, () => {
    const expected = golden.find((entry) => entry.name === name);
    expect({ type: message.type, head: plain(message.head), body: plain(message.body) }).toEqual({
      type: messageType(expected?.type),
      head: expected?.head,
      body: expected?.body,
    });
  });

  test(`decode gives back what encode was given: "${name}"`, () => {
    expect(plain(read(frameOf(message)))).toEqual(plain(value));
  });

  test(`decode refuses left-over bytes in the head: "${name}"`, () => {
    const head = Buffer.concat([message.head, Buffer.alloc(1)]);
    expect(refusal(() => read({ ...frameOf(message), head }))).toBe("Cannot read a message: 1 bytes are left over");
  });

  test(`decode refuses every shorter head: "${name}"`, () => {
    for (let length = 0; length < message.head.length; length++) {
      const head = message.head.subarray(0, length);
      expect({ length, refusal: refusal(() => read({ ...frameOf(message), head })) }).toEqual({
        length,
        refusal: "Cannot read a message: a field runs past its end",
      });
    }
    expect(refusal(() => read(frameOf(message)))).toBe("nothing thrown");
  });

  test(`decode refuses a body that is longer than it should be: "${name}"`, () => {
    const body = Buffer.concat([message.body, Buffer.alloc(1)]);
    const said = refusal(() => read({ ...frameOf(message), body }));
    if (WITH_BODY.has(name)) expect(said).toStartWith("Cannot read ");
    else expect(said).toBe("Cannot read a message: 1 bytes of body, expected none");
  });
}

function messageType(value: number | undefined): MessageType {
  const found = Object.values(MessageType).find((type) => type === value);
  if (found === undefined) throw new Error(`${value} is no message type`);
  return found;
}

test("decode.open() gives back every field, the other way round too", () => {
  const other: EndpointSpec = {
    path: "a\n \u{1f980}",
    label: "",
    access: "join",
    blockSize: 4096,
    hash: { name: "sha1", additional: undefined, seed: sequence(9, 28) },
    dropCache: false,
    discard: true,
    compress: false,
    allowed: [],
    examine: "nothing",
    undo: undefined,
  };
  expect(plain(decode.open(frameOf(encode.open(other))))).toEqual(plain(other));
});

test("decode.open() keeps a seed of its own, not the frame's memory", () => {
  const message = encode.open(OPEN);
  const { hash } = decode.open(frameOf(message));
  message.head.fill(0);
  expect(hash.seed).toEqual(sequence(0, 28));
});

test("decode.open() refuses what nothing can be opened with", () => {
  const wrong: [Partial<EndpointSpec>, string][] = [
    [{ path: "" }, "the path is empty or has a NUL byte"],
    [{ path: "/dev/sdb\0" }, "the path is empty or has a NUL byte"],
    ...[0, 1, 4095, 4097, MAX_BLOCK_SIZE + 4096, 0xffff_ffff].map((blockSize): [Partial<EndpointSpec>, string] => [
      { blockSize },
      `${blockSize} is not a block size`,
    ]),
    ...[0, 11, 13].map((length): [Partial<EndpointSpec>, string] => [
      { hash: { ...OPEN.hash, seed: new Uint8Array(length) } },
      `a seed of ${length} bytes`,
    ]),
    ...["", "/srv/u\0"].map((path): [Partial<EndpointSpec>, string] => [
      { undo: { path, label: "l", run: sequence(0, 16), chain: false } },
      "the path is empty or has a NUL byte",
    ]),
    ...[0, 15, 17].map((length): [Partial<EndpointSpec>, string] => [
      { undo: { path: "u", label: "l", run: new Uint8Array(length), chain: false } },
      `a run's id of ${length} bytes`,
    ]),
    ...(["read", "join"] as const).map((access): [Partial<EndpointSpec>, string] => [
      { access },
      "an undo file for what is not written",
    ]),
  ];
  for (const [fields, why] of wrong)
    expect(refusal(() => decode.open(frameOf(encode.open({ ...OPEN, ...fields }))))).toBe(`Cannot open: ${why}`);
});

test("decode.open() refuses an access, a hash, a refusal and an examination that are none, and more refusals than there are", () => {
  const { head } = encode.open({ ...OPEN, path: "p", label: "l", allowed: ["mounted"] });
  // Two names of one byte before it, as protocol.ts has the fields.
  for (const [offset, most] of [
    [10, 3],
    [15, 7],
    [16, 1],
    [17, 7],
    [50, 1],
    [57, 5],
    [58, 2],
  ] as const) {
    const changed = Buffer.from(head);
    changed[offset] = most + 1;
    const said = refusal(() => decode.open({ type: MessageType.open, id: 1, head: changed, body: NO_BYTES }));
    expect({ offset, said }).toEqual({
      offset,
      said: `Cannot read a message: ${most + 1} where at most ${most} is allowed`,
    });
  }
  const many = encode.open({ ...OPEN, allowed: Array.from({ length: 7 }, () => "mounted" as const) });
  expect(refusal(() => decode.open(frameOf(many)))).toBe("Cannot read a message: 7 items where at most 6 are allowed");
});

test("decode.open() gives back a path of any bytes, and a label with them", () => {
  const name = nameOf(Buffer.from("d\xe4/k\xf6\n\x1b.img", "latin1"));
  const open = { ...OPEN, path: name, label: `host:${name}` };
  const message = encode.open(open);
  expect(Buffer.from(message.head).includes(Buffer.from("d\xe4/k\xf6\n\x1b.img", "latin1"))).toBe(true);
  expect(plain(decode.open(frameOf(message)))).toEqual(plain(open));
});

test("decode refuses texts that are not UTF-8", () => {
  const notUtf8 = "Cannot read a message: a text is not UTF-8";
  const bad = Uint8Array.of(0x41, 0xff);
  const opened = new FieldWriter().u8(0).u64(1).bytes(bad).bool(false).bytes(NO_BYTES);
  expect(refusal(() => decode.opened(frame(MessageType.opened, opened), "x"))).toBe(notUtf8);
  const failed = new FieldWriter().text("io").bytes(bad).text("");
  expect(refusal(() => decode.failed(frame(MessageType.failed, failed)))).toBe(notUtf8);
});

test("decode refuses numbers beyond 2^53 - 1 wherever there is one", () => {
  const huge = Buffer.from("0000000000002000", "hex");
  const readers: [name: string, read: (frame: Frame) => unknown, offsets: number[]][] = [
    ["prepare", decode.prepare, [0]],
    ["scan", decode.scan, [0]],
    ["advance", decode.advance, [0]],
    ["leafHashes", decode.leafHashes, [0]],
    ["read all", (received) => decode.read(received, TWO_LEAVES), [0]],
    ["write data", decode.write, [0]],
    ["opened", (received) => decode.opened(received, "x"), [1]],
    ["run data", (received) => decode.run(received, 904, 948, 16, LAYOUT), [1, 9]],
    ["written", decode.written, [1]],
    ["counted", decode.counted, [0, 8]],
  ];
  for (const [name, read, offsets] of readers) {
    const message = CASES.find((one) => one.name === name)?.message;
    if (message === undefined) throw new Error(`no case ${name}`);
    for (const offset of offsets) {
      const head = Buffer.from(message.head);
      huge.copy(head, offset);
      expect({ name, offset, refusal: refusal(() => read({ ...frameOf(message), head })) }).toEqual({
        name,
        offset,
        refusal: "Cannot read a message: 9007199254740992 exceeds 2^53 - 1",
      });
    }
  }
});

test("decode refuses ranges of a scan that are empty, out of order, overlap, end beyond 2^53 - 1 or in their middle", () => {
  const options = { window: 1, hashed: true, tolerant: false, readHoles: false };
  const request = (...pairs: [number, number][]) =>
    encode.scan({ ...options, ranges: pairs.map(([first, count]) => ({ first, count })) });
  const said = (message: Outgoing) => refusal(() => decode.scan(frameOf(message)));
  expect(said(request([0, 2], [2, 1], [5, 1]))).toBe("nothing thrown");
  for (const wrong of [request([3, 0]), request([4, 1], [0, 1]), request([0, 2], [1, 2]), request([1, MAX])])
    expect(said(wrong)).toStartWith("Cannot read a message: ");
  const whole = request([0, 1], [2, 1]);
  expect(said({ ...whole, body: whole.body.subarray(0, 25) })).toStartWith("Cannot read ");
});

test("decode accepts 2^53 - 1 itself", () => {
  expect(decode.prepare(frameOf(encode.prepare(MAX, false)))).toEqual({ sizeBytes: MAX, exact: false });
  expect(decode.counted(frameOf(encode.counted({ bytesRead: MAX, bytesWritten: 0 })))).toEqual({
    bytesRead: MAX,
    bytesWritten: 0,
  });
});

test("decode refuses choices that are none", () => {
  const choice = (most: number) => `Cannot read a message: ${most + 1} where at most ${most} is allowed`;
  const filter = new FieldWriter().u64(5).u32(1).u8(3);
  expect(refusal(() => decode.read(frame(MessageType.read, filter), TWO_LEAVES))).toBe(choice(2));
  const kind = new FieldWriter().u8(3).u64(1).text("").bool(false).bytes(NO_BYTES);
  expect(refusal(() => decode.opened(frame(MessageType.opened, kind), "x"))).toBe(choice(2));
  const runKind = new FieldWriter().u8(4).u64(0).u64(1);
  expect(refusal(() => decode.run(frame(MessageType.run, runKind), 0, 1, 16, LAYOUT))).toBe(
    "Cannot read a message: 4 where at most 3 is allowed",
  );
  const proved = new FieldWriter().u8(2).u64(1);
  expect(refusal(() => decode.written(frame(MessageType.written, proved)))).toBe(choice(1));
});

test("decode.leafHashes() takes sizes 4 and 8 only", () => {
  for (const size of [4, 8] as const) {
    expect(decode.leafHashes(frameOf(encode.leafHashes(one(1), size)))).toEqual({ blocks: one(1), size });
  }
  for (const size of [0, 1, 5, 16, 255]) {
    const head = new FieldWriter().u64(1).u32(1).u8(size);
    expect(refusal(() => decode.leafHashes(frame(MessageType.leafHashes, head)))).toBe(
      `Cannot read a message: ${size} is not the size of a leaf hash`,
    );
  }
});

test("decode.read() wants 4 bytes for each leaf of that very block", () => {
  const message = (length: number) => encode.read(one(7), { kind: "differing", hashes: new Uint8Array(length) });
  const read = (length: number) =>
    refusal(() => decode.read(frameOf(message(length)), ({ first }) => (first === 7 ? 3 * 4096 : 4096)));
  expect(read(12)).toBe("nothing thrown");
  for (const length of [0, 4, 11, 13, 16]) {
    expect(read(length)).toBe(`Cannot read a message: ${length} bytes of leaf hashes instead of 12`);
  }
});

test("decode.read() passes on what is thrown for an index that is none", () => {
  const message = encode.read(one(99), { kind: "differing", hashes: new Uint8Array(4) });
  const lengthOf = ({ first }: BlockRange): number => {
    throw new ProtocolError(`no block ${first}`);
  };
  expect(refusal(() => decode.read(frameOf(message), lengthOf))).toBe("no block 99");
});

test("decode.write() and block() take a body that is shorter than what it expands to, but no longer", () => {
  const data = { ...BLOCK, bytes: new Uint8Array(100) };
  expect(decode.block(frameOf(encode.block(data, new Uint8Array(40)))).expandedLength).toBe(100);
  expect(decode.write(frameOf(encode.write(one(1), data, new Uint8Array(40)))).data.body.length).toBe(40);
  const longer = "Cannot read a message: 101 bytes that expand to 100";
  expect(refusal(() => decode.block(frameOf(encode.block(data, new Uint8Array(101)))))).toBe(longer);
  expect(refusal(() => decode.write(frameOf(encode.write(one(1), data, new Uint8Array(101)))))).toBe(longer);
});

test("decode.write() and block() refuse to expand to more than the largest block", () => {
  const head = (length: number) =>
    new FieldWriter().bytes(NO_BYTES).bytes(NO_BYTES).bytes(NO_BYTES).u32(length).finish();
  const block = (length: number) =>
    refusal(() => decode.block({ type: MessageType.block, id: 1, head: head(length), body: NO_BYTES }));
  expect(block(MAX_BLOCK_SIZE)).toBe("nothing thrown");
  expect(block(MAX_BLOCK_SIZE + 1)).toBe("Cannot read a message: 0 bytes that expand to 16777217");
  expect(block(0xffff_ffff)).toBe("Cannot read a message: 0 bytes that expand to 4294967295");
});

test("decode.opened() copies the zero hash, which outlives the frame", () => {
  const message = encode.opened({
    label: "",
    kind: "missing",
    sizeBytes: 0,
    identity: "",
    within: [],
    blank: true,
    zeroHash: sequence(1, 16),
  });
  const { head } = message;
  const description = decode.opened(frameOf(message), "x");
  head.fill(0);
  expect(plain(description)).toEqual({
    label: "x",
    kind: "missing",
    sizeBytes: 0,
    identity: "",
    within: [],
    blank: true,
    zeroHash: "0102030405060708090a0b0c0d0e0f10",
    facts: undefined,
  });
});

test("decode.opened() refuses a zero hash that is too short to tell blocks apart", () => {
  const described = { label: "", kind: "file", sizeBytes: 1, identity: "i", within: [], blank: false } as const;
  for (const length of [0, 1, 8, 15]) {
    const message = encode.opened({ ...described, zeroHash: new Uint8Array(length) });
    expect(refusal(() => decode.opened(frameOf(message), "x"))).toBe(
      `Received a hash of ${length} bytes instead of 16 or more`,
    );
  }
});

/** A message `opened` with these facts. */
function openedWith(facts: Facts) {
  const described = { label: "", kind: "device", sizeBytes: 1, identity: "i", within: [], blank: false } as const;
  return encode.opened({ ...described, zeroHash: new Uint8Array(16), facts });
}

test("decode.opened() refuses more facts than there may be, and takes that many of the longest", () => {
  const long = "\u{ffee}".repeat(MAX_FACT_LENGTH);
  const signature = { type: long, label: long, uuid: long, note: long, sectorBytes: 2 ** 32 - 1, endBytes: MAX };
  const content = { name: long, sizeBytes: MAX, signatures: Array.from({ length: MAX_SIGNATURES }, () => signature) };
  const atEnd = Array.from({ length: MAX_SIGNATURES }, () => long);
  const writer = "\u{ffee}".repeat(MAX_WRITER_LENGTH);
  const facts = { ...FACTS, writer, atEnd, contents: Array.from({ length: MAX_CONTENTS }, () => content) };
  const message = openedWith(facts);
  expect(message.head.length).toBeLessThan(MAX_HEAD_LENGTH);
  expect(decode.opened(frameOf(message), "").facts).toEqual(facts);
  const signatures = [...content.signatures, signature];
  for (const [tooMany, count] of [
    [{ ...facts, contents: [...facts.contents, content] }, MAX_CONTENTS],
    [{ ...facts, contents: [{ ...content, signatures }] }, MAX_SIGNATURES],
    [{ ...facts, atEnd: [...atEnd, long] }, MAX_SIGNATURES],
  ] as const) {
    expect(refusal(() => decode.opened(frameOf(openedWith(tooMany)), ""))).toBe(
      `Cannot read a message: ${count + 1} items where at most ${count} are allowed`,
    );
  }
});

test("decode.opened() refuses control characters in facts, which go to a terminal", () => {
  for (const text of ["\u001b[2J", "a\nb", "\u202e", "\u2028", "\u0000"]) {
    for (const facts of [{ model: text }, { writer: text }, { atEnd: [text] }]) {
      expect(refusal(() => decode.opened(frameOf(openedWith({ ...FACTS, ...facts })), ""))).toBe(
        "Cannot read a message: control characters among the facts",
      );
    }
  }
});

test("decode.run() refuses runs that do not continue where the last one ended", () => {
  const read = (first: number, count: number, position: number, end: number) =>
    refusal(() => decode.run(frameOf(encode.run({ kind: "data", first, count })), position, end, 16, LAYOUT));
  expect(read(10, 5, 10, 20)).toBe("nothing thrown");
  expect(read(10, 10, 10, 20)).toBe("nothing thrown");
  const due = "expected 10 to 19";
  expect(read(9, 5, 10, 20)).toBe(`Cannot read a scan: 5 blocks from 9, ${due}`);
  expect(read(11, 5, 10, 20)).toBe(`Cannot read a scan: 5 blocks from 11, ${due}`);
  expect(read(10, 0, 10, 20)).toBe(`Cannot read a scan: 0 blocks from 10, ${due}`);
  expect(read(10, 11, 10, 20)).toBe(`Cannot read a scan: 11 blocks from 10, ${due}`);
  expect(read(10, MAX, 10, 20)).toBe(`Cannot read a scan: ${MAX} blocks from 10, ${due}`);
  expect(read(20, 1, 20, 20)).toBe("Cannot read a scan: 1 blocks from 20, expected 20 to 19");
});

test("decode.run() wants exactly one hash for each hashed block, and none for others", () => {
  const hashed = (length: number) =>
    refusal(() =>
      decode.run(
        frameOf(encode.run({ kind: "hashed", first: 0, count: 3, hashes: new Uint8Array(length) })),
        0,
        9,
        16,
        LAYOUT,
      ),
    );
  expect(hashed(48)).toBe("nothing thrown");
  for (const length of [0, 16, 47, 49, 64])
    expect(hashed(length)).toBe(`Cannot read a scan: ${length} bytes of hashes`);
  for (const kind of ["hole", "data"] as const) {
    const received = { ...frameOf(encode.run({ kind, first: 0, count: 3 })), body: new Uint8Array(48) };
    expect(refusal(() => decode.run(received, 0, 9, 16, LAYOUT))).toBe(
      "Cannot read a message: 48 bytes of body, expected none",
    );
  }
});

test("decode.run() refuses a short last block as a hole", () => {
  const read = (kind: "hole" | "data", first: number, count: number) =>
    refusal(() => decode.run(frameOf(encode.run({ kind, first, count })), first, LAYOUT.blockCount, 16, LAYOUT));
  expect(read("hole", 940, 7)).toBe("nothing thrown");
  expect(read("data", 940, 8)).toBe("nothing thrown");
  expect(read("hole", 940, 8)).toBe("Cannot read a scan: a short last block is reported as a hole");
  expect(read("hole", 947, 1)).toBe("Cannot read a scan: a short last block is reported as a hole");
});

test("decode.leaves() wants exactly the length that was asked for", () => {
  for (const length of [0, 7, 9, 16]) {
    expect(refusal(() => decode.leaves(frameOf(encode.leaves(new Uint8Array(length))), 8))).toBe(
      `Cannot read leaf hashes: ${length} bytes instead of 8`,
    );
  }
});

test("decode.failed() gives back a failure of the same class, with message, hint and exit code", () => {
  const failures: Failure[] = [
    new UsageError("a"),
    new RefusedError("b", { hint: "h" }),
    new IoError("c"),
    new UnreachableError("d", { hint: "größe" }),
    new ProtocolError("e"),
    new VerificationError("f"),
    new InterruptedError(),
  ];
  for (const failure of failures) {
    const received = decode.failed(frameOf(encode.failed(failure)));
    expect(received.constructor).toBe(failure.constructor);
    const { kind, message, hint, exitCode } = received;
    expect({ kind, message, hint, exitCode }).toEqual({
      kind: failure.kind,
      message: failure.message,
      hint: failure.hint,
      exitCode: failure.exitCode,
    });
  }
});

test("decode.failed() shows a bug of the far side as one that is there, with its stack", () => {
  const bug = asFailure(new TypeError("x is not a function"));
  expect(bug).toBeInstanceOf(BugError);
  const received = decode.failed(frameOf(encode.failed(bug)));
  expect(received).toBeInstanceOf(BugError);
  const { message, hint, exitCode } = received;
  expect({ message, hint, exitCode }).toEqual({
    message: "Internal error on the far side: x is not a function",
    hint: bug.hint,
    exitCode: 70,
  });
  expect(stackOf(received.cause)).toBe(stackOf(bug.cause));
  expect(stackOf(bug.cause)).toMatch(/^TypeError: x is not a function\n +at /);
});

test("decode.failed() refuses a kind that is none", () => {
  for (const kind of ["", "IO", "bugs", "io "]) {
    const head = new FieldWriter().text(kind).text("message").text("");
    expect(refusal(() => decode.failed(frame(MessageType.failed, head)))).toBe(
      "Cannot read a failure: its kind is unknown",
    );
  }
});

test("encode.failed() cuts endless words so that the head stays within its limit", () => {
  const failure = new IoError("€".repeat(100_000), { hint: "🦀".repeat(100_000) });
  const message = encode.failed(failure);
  expect(message.head.length).toBeLessThanOrEqual(MAX_HEAD_LENGTH);
  const received = decode.failed(frameOf(message));
  expect(received.message).toBe("€".repeat(8192));
  expect(received.hint).toBe("🦀".repeat(4096));
});
