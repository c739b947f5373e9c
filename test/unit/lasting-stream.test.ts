/** A stream over connections that break: nothing is lost, nothing comes twice, and whoever lies is found out. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { ProtocolError } from "../../src/errors.ts";
import { LASTING_BYTES, LastingStream } from "../../src/remote/wire/lasting-stream.ts";
import type { ByteSource } from "../../src/remote/wire/streams.ts";
import { bytes } from "../helpers/bytes.ts";
import { type Pipe, pipe } from "../helpers/pipe.ts";
import { settled } from "../helpers/settled.ts";

const END = new Error("over");

/** A connection that ends once so many bytes went one way, whatever is on its way the other. */
function breaking(cut: { readonly way: "up" | "down"; readonly position: number } | undefined, piece?: number) {
  const wires = { up: pipe(piece), down: pipe(piece) };
  const cutAll = () => {
    for (const wire of Object.values(wires)) wire.cut();
  };
  const limited = (way: "up" | "down", { source }: Pipe): ByteSource => {
    let room = cut?.way === way ? cut.position : Number.POSITIVE_INFINITY;
    return {
      async read() {
        const chunk = await source.read();
        const part = chunk?.subarray(0, room);
        room -= part?.length ?? 0;
        if (room === 0) cutAll();
        return part === undefined || part.length === 0 ? undefined : part;
      },
    };
  };
  return { up: limited("up", wires.up), down: limited("down", wires.down), sinks: wires, cutAll };
}

/** Both ends of a stream; a connection that breaks is followed by the next one of `cuts`, in the end by one that holds. */
function ends(cuts: ({ readonly way: "up" | "down"; readonly position: number } | undefined)[], piece?: number) {
  let losses = 0;
  let pending = false;
  let now: ReturnType<typeof breaking> | undefined;
  const next = () => {
    pending = false;
    now?.cutAll();
    const [theirs, ours] = [far.leaveOff(), near.leaveOff()];
    const wires = breaking(cuts.shift(), piece);
    now = wires;
    near.attach(wires.down, wires.sinks.up.sink, theirs);
    far.attach(wires.up, wires.sinks.down.sink, ours);
  };
  const lost = () => {
    losses++;
    if (!pending) queueMicrotask(next);
    pending = true;
  };
  const near = new LastingStream(lost);
  const far = new LastingStream(lost);
  next();
  return { near, far, losses: () => losses, cut: () => now?.cutAll() };
}

async function readAll(stream: LastingStream, length: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let got = 0; got < length; ) {
    const part = await stream.read();
    if (part === undefined) break;
    parts.push(Buffer.from(part));
    got += part.length;
  }
  return Buffer.concat(parts);
}

async function writeAll(stream: LastingStream, data: Uint8Array, pieces: readonly number[]): Promise<void> {
  let start = 0;
  for (let i = 0; start < data.length; i++) {
    const end = start + (pieces[i % pieces.length] ?? 1);
    await stream.write(data.subarray(start, end));
    start = end;
  }
}

test("a stream that is cut at every byte, in either direction, brings all of it once", async () => {
  const [up, down] = [bytes(1, 180), bytes(2, 150)];
  let losses = 0;
  for (const way of ["up", "down"] as const) {
    for (let position = 0; position < 260; position++) {
      const { near, far, ...rest } = ends([{ way, position: position || 1 }]);
      const got = Promise.all([readAll(far, up.length), readAll(near, down.length)]);
      await Promise.all([writeAll(near, up, [3, 20, 50]), writeAll(far, down, [40, 1])]);
      expect((await got).map((part, i) => part.equals(i === 0 ? up : down))).toEqual([true, true]);
      losses += rest.losses();
      // The goodbye too may be cut off; whoever waits for the other learns of its end otherwise then.
      near.fail(END);
      far.fail(END);
    }
  }
  expect(losses).toBeGreaterThan(300);
});

test("however a stream is written, read and cut, it brings all of it once", async () => {
  const cut = fc.record({
    way: fc.constantFrom("up" as const, "down" as const),
    position: fc.integer({ min: 1, max: 2e6 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(cut, { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 300_000 }), { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 1_000_000 }),
      fc.constantFrom(undefined, 1000, 70_000),
      async (cuts, pieces, length, piece) => {
        const [up, down] = [bytes(3, length), bytes(4, Math.ceil(length / 3))];
        const { near, far } = ends(cuts, piece);
        const got = Promise.all([readAll(far, up.length), readAll(near, down.length)]);
        await Promise.all([writeAll(near, up, pieces), writeAll(far, down, pieces)]);
        expect((await got).map((part, i) => part.equals(i === 0 ? up : down))).toEqual([true, true]);
        near.fail(END);
        far.fail(END);
      },
    ),
    { numRuns: 12 },
  );
});

test("what a connection was given when it broke off counts as sent, and what is sent again counts again", async () => {
  const lost = Promise.withResolvers<unknown>();
  const stream = new LastingStream(lost.resolve);
  const silent: ByteSource = { read: () => new Promise(() => undefined) };
  const broken = {
    write: () => Promise.reject(new Error("broken pipe")),
    end: () => Promise.resolve(),
  };
  stream.attach(silent, broken, 0);
  await stream.write(bytes(3, 1000));
  await lost.promise;
  const once = stream.bytesSent;
  expect(once).toBeGreaterThan(1000);
  const again = pipe();
  stream.leaveOff();
  stream.attach(silent, again.sink, 0);
  expect((await again.source.read())?.length).toBe(once);
  expect(stream.bytesSent).toBe(2 * once);
});

test("a write waits once so much is not acknowledged, with a connection or without", async () => {
  const { near, far } = ends([]);
  const data = bytes(5, LASTING_BYTES + 100_000);
  let written = false;
  const writing = near.write(data).then(() => {
    written = true;
  });
  await Bun.sleep(0);
  expect(written).toBe(false);
  expect((await readAll(far, data.length)).equals(data)).toBe(true);
  await writing;
  const alone = new LastingStream(() => undefined);
  const waiting = alone.write(data);
  alone.fail(END);
  (await settled(waiting)).rejects.toBe(END);
});

test("two sides that are both full, and write on before they read, do not wait for each other", async () => {
  const { near, far, cut } = ends([]);
  const [up, down] = [bytes(6, 2 * LASTING_BYTES), bytes(7, 2 * LASTING_BYTES)];
  // A side reads only what is left once it has written.
  const half = LASTING_BYTES - 1_000_000;
  await Promise.all([near.write(up.subarray(0, half)), far.write(down.subarray(0, half))]);
  const writing = [near.write(up.subarray(half)), far.write(down.subarray(half))];
  const got = [readAll(far, up.length), readAll(near, down.length)];
  cut();
  await Promise.all(writing);
  const [gotUp, gotDown] = await Promise.all(got);
  expect([gotUp?.equals(up), gotDown?.equals(down)]).toEqual([true, true]);
});

test("goodbye ends both sides in order, and is no loss", async () => {
  const { near, far, losses, cut } = ends([]);
  await near.write(Buffer.from("last words"));
  await near.end();
  expect((await readAll(far, 100)).toString()).toBe("last words");
  expect(await far.read()).toBeUndefined();
  cut();
  expect(losses()).toBe(0);
  (await settled(far.write(Buffer.from("x")))).rejects.toThrow("has ended");
});

test("leave() does not wait for what is still to be sent", async () => {
  const wires = { up: pipe(), down: pipe() };
  const turn = Promise.withResolvers<void>();
  const near = new LastingStream(() => undefined);
  const slow = {
    async write(part: Uint8Array) {
      await turn.promise;
      await wires.up.sink.write(part);
    },
    end: () => Promise.resolve(),
  };
  near.attach(wires.down.source, slow, 0);
  await near.write(bytes(8, 4_000_000));
  const left = near.leave();
  turn.resolve();
  await left;
  expect(wires.up.count()).toBeLessThan(700_000);
});

const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer);
const u64 = (value: number) => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
const data = (length: number, claimed = length) => Buffer.concat([u32(claimed), Buffer.alloc(length)]);
const taken = (position: number, length = 8) => Buffer.concat([u32(0x100_0000 + length), u64(position)]);

for (const [lie, sent] of [
  ["an unknown kind", u32(0x300_0001)],
  ["an empty segment", u32(0)],
  ["a segment that is too long", u32(65_537)],
  ["an acknowledgement of another length", taken(14, 9)],
  ["an acknowledgement of more than was sent", taken(15)],
  ["an acknowledgement within a segment", taken(8)],
  ["an acknowledgement that goes backwards", Buffer.concat([taken(14), taken(0)])],
  ["an acknowledgement of 2^63", taken(2 ** 63)],
  ["a goodbye with bytes", u32(0x200_0001)],
  ["data after a goodbye", Buffer.concat([u32(0x200_0000), data(1)])],
] as const) {
  test(`${lie} breaks the rules`, async () => {
    const near = new LastingStream(() => undefined);
    const wires = { up: pipe(), down: pipe() };
    near.attach(wires.down.source, wires.up.sink, 0);
    await near.write(Buffer.alloc(10));
    await wires.down.sink.write(sent);
    const reading = near.read().then(() => near.read());
    (await settled(reading)).rejects.toBeInstanceOf(ProtocolError);
  });
}

test("whoever sends more than may be on the way breaks the rules, before it costs memory", async () => {
  const near = new LastingStream(() => undefined);
  const wires = { up: pipe(), down: pipe() };
  near.attach(wires.down.source, wires.up.sink, 0);
  // Nobody reads, but the writer looks for acknowledgements.
  const writing = near.write(Buffer.alloc(2 * LASTING_BYTES)).catch((cause: unknown) => cause);
  for (let i = 0; i < 130; i++) await wires.down.sink.write(data(65_536));
  expect(await writing).toBeInstanceOf(ProtocolError);
});

for (const [where, theirs] of [
  ["beyond what was sent", 15],
  ["within a segment", 3],
  ["before what was acknowledged", 0],
  ["that is no number", Number.NaN],
] as const) {
  test(`nobody can ask to go on at a position ${where}`, async () => {
    const near = new LastingStream(() => undefined);
    const wires = { up: pipe(), down: pipe() };
    near.attach(wires.down.source, wires.up.sink, 0);
    for (const length of [5, 1]) await near.write(Buffer.alloc(length));
    await wires.down.sink.write(Buffer.concat([taken(9), data(1)]));
    await near.read();
    expect(() => near.attach(wires.down.source, wires.up.sink, theirs)).toThrow(ProtocolError);
    near.attach(wires.down.source, wires.up.sink, 9);
  });
}

test("a segment that comes again shorter than what had come of it breaks the rules", async () => {
  const near = new LastingStream(() => undefined);
  const first = { up: pipe(), down: pipe() };
  near.attach(first.down.source, first.up.sink, 0);
  await first.down.sink.write(data(5, 10));
  await near.read();
  expect(near.leaveOff()).toBe(0);
  const second = { up: pipe(), down: pipe() };
  near.attach(second.down.source, second.up.sink, 0);
  await second.down.sink.write(data(5));
  (await settled(near.read())).rejects.toBeInstanceOf(ProtocolError);
});
