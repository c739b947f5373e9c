import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { type Failure, IoError, ProtocolError, UnreachableError } from "../../src/errors.ts";
import { Channel, type Received } from "../../src/remote/wire/channel.ts";
import { encode } from "../../src/remote/wire/messages.ts";
import { encodeFrame, MessageType, NO_BYTES } from "../../src/remote/wire/protocol.ts";
import { ByteReader } from "../../src/remote/wire/streams.ts";
import { bytes } from "../helpers/bytes.ts";
import { openServed, specOf } from "../helpers/endpoints.ts";
import { one } from "../helpers/one.ts";
import { type Pipe, pipe } from "../helpers/pipe.ts";
import { tempDir } from "../helpers/temp.ts";

interface Ends {
  readonly channel: Channel;
  readonly running: Promise<void>;
  readonly toPeer: Pipe;
  readonly fromPeer: Pipe;
}

function connected(
  explainEnd: () => Promise<Failure> = () => Promise.resolve(new UnreachableError("ssh ended with exit status 255")),
): Ends {
  const toPeer = pipe();
  const fromPeer = pipe();
  const channel = new Channel(new ByteReader(fromPeer.source), toPeer.sink);
  return { channel, running: channel.run(undefined, explainEnd), toPeer, fromPeer };
}

describe("Channel", () => {
  test("everything pending fails with the first cause when the stream ends, and so does what comes later", async () => {
    const { channel, running, fromPeer } = connected();
    const requests = [
      channel.request(encode.empty("flush"), MessageType.done),
      channel.request(encode.empty("counters"), MessageType.counted),
    ];
    const stream = channel
      .stream(
        encode.scan({ ranges: [{ first: 0, count: 1 }], window: 1, hashed: true, tolerant: false, readHoles: false }),
        MessageType.run,
      )
      .next();
    fromPeer.cut();
    for (const outcome of await Promise.allSettled([...requests, stream])) {
      expect(outcome).toMatchObject({
        status: "rejected",
        reason: { kind: "unreachable", message: "ssh ended with exit status 255" },
      });
    }
    await running;
    channel.fail(new IoError("something later"));
    await expect(channel.request(encode.empty("flush"), MessageType.done)).rejects.toThrow(
      "ssh ended with exit status 255",
    );
  });

  test("a broken rule is the cause, not the end that follows it", async () => {
    const { channel, running, fromPeer } = connected();
    const pending = channel.request(encode.empty("flush"), MessageType.done);
    await fromPeer.sink.write(new Uint8Array(24));
    fromPeer.cut();
    await expect(pending).rejects.toBeInstanceOf(ProtocolError);
    await running;
  });

  test("a reply nobody asked for ends the channel", async () => {
    const { channel, running, fromPeer } = connected();
    const pending = channel.request(encode.empty("flush"), MessageType.done);
    await fromPeer.sink.write(encodeFrame({ ...encode.empty("done"), id: 999 }));
    await running;
    await expect(pending).rejects.toThrow("answers nothing");
  });

  test("replies find their requests in any order", async () => {
    const { channel, toPeer, fromPeer } = connected();
    const first = channel.request(encode.leafHashes(one(1), 4), MessageType.leaves);
    const second = channel.request(encode.leafHashes(one(2), 4), MessageType.leaves);
    const peer = new Channel(new ByteReader(toPeer.source), fromPeer.sink);
    const waiting: Received[] = [];
    void peer.run((frame) => {
      waiting.push(frame);
      if (waiting.length < 2) return;
      for (const { id, head } of waiting.reverse()) void peer.send(id, encode.leaves(head.slice(0, 8)));
    });
    expect((await first).body[0]).toBe(1);
    expect((await second).body[0]).toBe(2);
  });

  test("a failure of the far side arrives with its class, sentence and hint", async () => {
    const { channel, toPeer, fromPeer } = connected();
    const peer = new Channel(new ByteReader(toPeer.source), fromPeer.sink);
    void peer.run((frame) => void peer.send(frame.id, encode.failed(new IoError("Cannot read x", { hint: "look" }))));
    const request = channel.request(encode.empty("flush"), MessageType.done);
    await expect(request).rejects.toMatchObject({ kind: "io", exitCode: 4, message: "Cannot read x", hint: "look" });
  });

  test("bulk data that is not released holds further data back", async () => {
    const { channel, toPeer, fromPeer } = connected();
    const block = bytes(1, 16 << 20);
    const data = {
      hashes: new Uint8Array(16),
      leaves: new Uint8Array(512),
      zeros: new Uint8Array(512),
      bytes: block,
      release: () => undefined,
    };
    const requests = [0, 1].map((index) =>
      channel.request(encode.read(one(index), { kind: "all" }), MessageType.block),
    );
    const peer = new Channel(new ByteReader(toPeer.source), fromPeer.sink);
    void peer.run((frame) => void peer.send(frame.id, encode.block(data, block)));
    const first = await requests[0];
    let came = 0;
    const flushed = channel.request(encode.empty("flush"), MessageType.block);
    for (const reply of [requests[1], flushed]) void reply?.then(() => came++);
    // What lies in memory needs a few turns to be taken in.
    for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(came).toBe(0);
    expect(channel.bytesReceived).toBeLessThan(17 << 20);
    first?.release();
    first?.release();
    expect((await requests[1])?.body.length).toBe(16 << 20);
    // Its second release gave nothing back, so what is left waits again.
    for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(came).toBe(1);
    expect(channel.bytesReceived).toBeLessThan(33 << 20);
  });

  test("a frame that is cut anywhere delivers nothing and fails what is pending", async () => {
    const frame = Buffer.concat([encodeFrame({ ...encode.leaves(bytes(2, 8)), id: 2 }), bytes(2, 8)]);
    for (let length = 0; length < frame.length; length++) {
      const { channel, running, fromPeer } = connected();
      const pending = channel.request(encode.leafHashes(one(0), 4), MessageType.leaves);
      await fromPeer.sink.write(frame.subarray(0, length));
      await fromPeer.sink.end();
      await running;
      await expect(pending).rejects.toBeInstanceOf(UnreachableError);
    }
  });
});

describe("Server", () => {
  const BLOCK = 64 << 10;
  const MAX = Number.MAX_SAFE_INTEGER;
  const NO_LEAVES = new Uint8Array(2);

  const write = (index: number, data: object, body: Uint8Array) => {
    const leaves = Uint8Array.of(1, 0);
    const zeros = new Uint8Array(2);
    const whole = { hashes: new Uint8Array(16), leaves, zeros, bytes: body, release: () => undefined, ...data };
    return encode.write(one(index), whole, body);
  };

  test.each([
    ["leaf hashes of a block beyond the end", encode.leafHashes(one(3), 4)],
    ["a read far beyond the end", encode.read(one(2 ** 40), { kind: "all" })],
    ["leaf hashes of another length", encode.read(one(0), { kind: "differing", hashes: bytes(1, 63) })],
    [
      "a scan beyond the end",
      encode.scan({ ranges: [{ first: 2, count: 2 }], window: 1, hashed: true, tolerant: false, readHoles: false }),
    ],
    [
      "a scan of nothing beyond the end",
      encode.scan({ ranges: [{ first: 4, count: 0 }], window: 1, hashed: true, tolerant: false, readHoles: false }),
    ],
    [
      "a scan with numbers that overflow",
      encode.scan({ ranges: [{ first: MAX, count: MAX }], window: 1, hashed: true, tolerant: false, readHoles: false }),
    ],
    [
      "a scan without a window",
      encode.scan({ ranges: [{ first: 0, count: 1 }], window: 0, hashed: true, tolerant: false, readHoles: false }),
    ],
    ["an advance beyond the end", encode.advance(4)],
    ["a reply", { type: MessageType.done, head: NO_BYTES, body: NO_BYTES }],
    ["a second prepare for less", encode.prepare(2 * BLOCK, false)],
    ["a write beyond the end", write(3, {}, bytes(4, 4096))],
    ["a write of a part of a leaf", write(0, {}, bytes(4, 4095))],
    ["a leaf set that is too long", write(0, { leaves: Uint8Array.of(1, 0, 0) }, bytes(4, 4096))],
    ["a leaf beyond the end of a short block", write(2, { leaves: Uint8Array.of(0, 128) }, bytes(4, 4096))],
    ["a leaf that is both data and zero", write(0, { zeros: Uint8Array.of(1, 0) }, bytes(4, 4096))],
    ["data without a leaf", write(0, { leaves: NO_LEAVES }, bytes(4, 4096))],
    ["data that does not expand", write(0, { bytes: bytes(4, 8192) }, bytes(4, 4096))],
    ["a hash of another length", write(0, { hashes: new Uint8Array(17) }, bytes(4, 4096))],
  ])("D4.19 answers %s with a protocol error, ends, and writes nothing", async (_name, message) => {
    using dir = tempDir();
    const size = 3 * BLOCK - 4097;
    fs.writeFileSync(dir.file("d"), bytes(3, size));
    const { endpoint, channel, served } = await openServed(dir.file("d"), { access: "write", blockSize: BLOCK });
    await endpoint.prepare(size, { exact: false });
    const refused = channel.request(message, MessageType.done);
    await expect(refused).rejects.toMatchObject({ kind: "protocol", exitCode: 6 });
    expect(await served).toBeInstanceOf(ProtocolError);
    await expect(endpoint.flush()).rejects.toBeInstanceOf(UnreachableError);
    await endpoint.close();
    expect(fs.readFileSync(dir.file("d")).equals(bytes(3, size))).toBe(true);
  });

  test("D4.19 refuses what comes before its time, and a second open", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("d"), bytes(3, BLOCK));
    const open = encode.open(specOf("/etc/passwd", { access: "read", blockSize: BLOCK }));
    for (const [message, reason] of [
      [encode.leafHashes(one(0), 4), "before the size was fixed"],
      [
        encode.scan({ ranges: [{ first: 0, count: 1 }], window: 1, hashed: true, tolerant: false, readHoles: false }),
        "before the size was fixed",
      ],
      [write(0, {}, bytes(4, 4096)), "before the size was fixed"],
      [open, "Received a second open"],
    ] as const) {
      const { endpoint, channel, served } = await openServed(dir.file("d"), { access: "write", blockSize: BLOCK });
      await expect(channel.request(message, MessageType.done)).rejects.toThrow(reason);
      expect(await served).toBeInstanceOf(ProtocolError);
      await endpoint.close();
    }
    expect(fs.readFileSync(dir.file("d")).equals(bytes(3, BLOCK))).toBe(true);
  });

  test("writes nothing to what was opened as a source or for a dry run", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("d"), bytes(5, BLOCK));
    for (const access of ["read", "rehearse"] as const) {
      const { endpoint } = await openServed(dir.file("d"), { access, blockSize: BLOCK });
      await endpoint.prepare(BLOCK, { exact: false });
      const data = {
        hashes: new Uint8Array(16),
        leaves: Uint8Array.of(1, 0),
        zeros: new Uint8Array(2),
        bytes: bytes(6, 4096),
        release: () => undefined,
      };
      await expect(endpoint.write(one(0), data)).rejects.toBeInstanceOf(ProtocolError);
      await endpoint.close();
    }
    expect(fs.readFileSync(dir.file("d")).equals(bytes(5, BLOCK))).toBe(true);
  });

  test("lets go of the device when its input ends", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("d"), bytes(7, BLOCK));
    const { endpoint, wire } = await openServed(dir.file("d"), { access: "write", blockSize: BLOCK });
    await endpoint.prepare(BLOCK, { exact: false });
    // The folder lists the descriptor that lists it, which is gone by the time it is looked at.
    const target = (fd: string) => {
      try {
        return fs.readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return "";
      }
    };
    const isOpen = () => fs.readdirSync("/proc/self/fd").some((fd) => target(fd) === dir.file("d"));
    expect(isOpen()).toBe(true);
    wire.toServer.cut();
    await endpoint.close();
    expect(isOpen()).toBe(false);
  });
});

test("a scan of thousands of ranges, far apart, asks a few times and not for each, and tells of all of them", async () => {
  using dir = tempDir();
  const [count, step, size] = [10_000, 8, 4096];
  fs.writeFileSync(dir.file("s"), "");
  fs.truncateSync(dir.file("s"), count * step * size);
  const { endpoint, channel, served } = await openServed(dir.file("s"), { access: "read", blockSize: size });
  await endpoint.prepare(count * step * size, { exact: false });
  let scans = 0;
  const stream = channel.stream.bind(channel);
  channel.stream = (...args) => {
    scans++;
    return stream(...args);
  };
  const ranges = Array.from({ length: count }, (_, i) => ({ first: i * step, count: 2 }));
  const told: number[] = [];
  const options = { hashed: true, tolerant: false, readHoles: true, ahead: 64 };
  for await (const run of endpoint.scan([{ first: 0, count: 0 }, ...ranges], options)) {
    for (let i = 0; i < run.count; i++) told.push(run.first + i);
    endpoint.advance(run.first + run.count);
  }
  expect(told).toEqual(ranges.flatMap(({ first }) => [first, first + 1]));
  expect(scans).toBe(3);
  await endpoint.close();
  expect(await served).toBeUndefined();
});
