/**
 * `make fuzz`: feeds the wire's two ends, in this process, with sessions that were changed at random, and holds them
 * against what must hold whatever comes:
 *
 * - what is thrown is a Failure that a user can meet, no bug;
 * - both ends are through soon after their input has ended;
 * - memory stays bounded;
 * - the destination changes only where a whole write came with right checksums.
 *
 * SEED repeats a run, SECONDS limits it (600).
 */

import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BugError, Failure, UnreachableError } from "../src/errors.ts";
import { RemoteEndpoint } from "../src/remote/endpoint.ts";
import { Server } from "../src/remote/serve.ts";
import { Channel } from "../src/remote/wire/channel.ts";
import { decode } from "../src/remote/wire/messages.ts";
import { decodeHeader, type Frame, MessageType } from "../src/remote/wire/protocol.ts";
import { ByteReader } from "../src/remote/wire/streams.ts";
import { BlockLayout } from "../src/sync/blocks.ts";
import { bytes, random } from "../test/helpers/bytes.ts";
import { one as single } from "../test/helpers/one.ts";
import { ask, dataFields, field, frame, type Parsed, parse, Type, text, u8, u32, u64 } from "../test/helpers/peer.ts";
import { pipe } from "../test/helpers/pipe.ts";

const BLOCK = 65_536;
const SIZE = 3 * BLOCK + 5000;
const MEMORY_CAP = 1 << 30;
/** How long both ends may take once their input has ended. */
const PATIENCE_MS = 20_000;
const MAX_U64 = 2n ** 53n + 1n;
/** Values that have broken programs. */
const ODD = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 65_536, 4096];

// make hands over what was not given as an empty word.
const seed = Number(process.env["SEED"] || crypto.getRandomValues(new Uint32Array(1))[0]);
const seconds = Number(process.env["SECONDS"] || 600);
const next = random(seed);
const below = (limit: number) => next() % Math.max(1, limit);
const one = <Value>(values: readonly Value[], otherwise: Value): Value => values[below(values.length)] ?? otherwise;

const content = bytes(1, SIZE);
const packed = Bun.zstdCompressSync(Buffer.alloc(4096, 1));

/** The path is one character, so that no change of it leads out of the folder. */
function requests(): Buffer[] {
  return [
    ask.alive(60),
    ask.open(2, { access: one(["read", "rehearse", "write", "join"] as const, "read"), path: "d" }),
    ask.prepare(3, SIZE),
    ask.scan(4, 0, 4, 1 + below(4)),
    ask.advance(2),
    ask.leafHashes(5, below(4), one([4, 8], 4)),
    ask.read(6, below(4), below(2)),
    ask.read(7, 0, 2, Buffer.alloc(64)),
    ask.write(8, below(3), { body: packed, length: 4096 }),
    ask.write(9, 0),
    ask.advance(4),
    ask.salvage(12, below(4), Buffer.alloc(16, below(3)), below(2)),
    ask.patch(13, below(3), Buffer.concat([Buffer.of(1), Buffer.alloc(15)]), Buffer.alloc(512, 9)),
    ask.bypass(14),
    ask.counters(10),
    ask.flush(11),
  ];
}

function replies(): Buffer[] {
  const hash = Buffer.alloc(16, 3);
  const data = dataFields({ hash, body: packed, length: 4096 });
  return [
    frame(Type.alive, 0, [u32(60)]),
    frame(Type.opened, 2, [u8(0), u64(SIZE), text("i"), text("w\n"), u8(0), field(hash), u8(0)]),
    frame(Type.prepared, 3, [text("i")]),
    frame(Type.run, 4, [u8(0), u64(0), u64(3)], Buffer.alloc(48)),
    frame(Type.run, 4, [u8(0), u64(3), u64(1)], Buffer.alloc(16)),
    frame(Type.done, 4, []),
    frame(Type.leaves, 5, [], Buffer.alloc(64)),
    frame(Type.block, 6, data, packed),
    frame(Type.written, 7, [u8(1), u64(4096)]),
    frame(Type.salvaged, 8, [field(Buffer.concat([Buffer.of(1), Buffer.alloc(15)]))], Buffer.alloc(512, 9)),
    frame(Type.patched, 9, [u64(512)]),
    frame(Type.bypassed, 10, [u8(1)]),
    frame(Type.counted, 11, [u64(1), u64(2)]),
    frame(Type.failed, 12, [text("io"), text("Cannot read\u001b[2J"), text("")]),
  ];
}

/** Changes bytes of a head or body as such: one bit, one byte, or a number that is odd. */
function spoil(original: Uint8Array): Buffer {
  const changed = Buffer.from(original);
  if (changed.length === 0) return below(2) === 0 ? changed : bytes(next(), below(40));
  const at = below(changed.length);
  switch (below(5)) {
    case 0:
      changed[at] = (changed[at] ?? 0) ^ (1 << below(8));
      return changed;
    case 1:
      changed[at] = below(256);
      return changed;
    case 2:
      if (at + 4 <= changed.length) changed.writeUInt32LE(one(ODD, 0), at);
      return changed;
    case 3:
      if (at + 8 <= changed.length)
        changed.writeBigUInt64LE(one([MAX_U64, 2n ** 64n - 1n, 2n ** 53n - 1n, 0n], 0n), at);
      return changed;
    default:
      return below(2) === 0 ? changed.subarray(0, at) : Buffer.concat([changed, bytes(next(), below(40))]);
  }
}

/** One change that keeps the checksums right. */
function rebuild({ type, id, head, body }: Parsed): Buffer {
  switch (below(6)) {
    case 0:
      return frame(type, one([0, 1, id, (id + 1) % 2 ** 32, 0xffff_ffff], id), [head], body);
    case 1:
      return frame(one([...Object.values(MessageType), below(256)], type), id, [head], body);
    case 2:
      return frame(type, id, [head], body, { bodyLength: one(ODD, 0) });
    case 3:
      return frame(type, id, [head], spoil(body));
    default:
      return frame(type, id, [spoil(head)], body);
  }
}

function mutate(session: Buffer[]): Buffer {
  const frames = [...session];
  for (let changes = below(4); changes > 0; changes--) {
    const at = below(frames.length);
    const chosen = frames[at];
    if (chosen === undefined) break;
    const [parsed] = parse(chosen).frames;
    switch (below(6)) {
      case 0:
        frames.splice(at, 1);
        break;
      case 1:
        frames.splice(at, 0, ...Array<Buffer>(1 + below(20)).fill(chosen));
        break;
      case 2:
        frames.splice(at, 1);
        frames.splice(below(frames.length + 1), 0, chosen);
        break;
      case 3:
        frames.splice(at, 0, bytes(next(), below(100)));
        break;
      default:
        if (parsed !== undefined) frames[at] = rebuild(parsed);
    }
  }
  const stream = Buffer.concat(frames);
  if (below(4) === 0 && stream.length > 0) {
    const at = below(stream.length);
    stream[at] = (stream[at] ?? 0) ^ (1 << below(8));
  }
  return below(6) === 0 ? stream.subarray(0, below(stream.length)) : stream;
}

function isWrite(type: number): boolean {
  return type === Type.write || type === Type.patch;
}

/** Whether a write with right checksums is among what a receiver may get to: everything up to the first damage. */
function hasWholeWrite(stream: Buffer): boolean {
  return parse(stream).frames.some(({ type }) => isWrite(type)) && firstDamage(stream);
}

function firstDamage(stream: Buffer): boolean {
  let start = 0;
  for (const { type, id, head, body } of parse(stream).frames) {
    const made = frame(type, id, [head], body);
    if (!made.equals(stream.subarray(start, start + made.length))) return false;
    if (isWrite(type)) return true;
    start += made.length;
  }
  return false;
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

function checkFailure(thrown: unknown): void {
  check(
    thrown instanceof Failure && !(thrown instanceof BugError),
    `a bug: ${thrown instanceof Error ? thrown.stack : thrown}`,
  );
}

async function inTime<Value>(work: Promise<Value>, what: string): Promise<Value> {
  let timer: Timer | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} hangs`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** At most SIZE bytes: a prepare may have grown it to a hole of petabytes. */
function beginningOf(path: string): Buffer {
  if (!fs.existsSync(path)) return Buffer.alloc(0);
  const fd = fs.openSync(path, "r");
  try {
    const beginning = Buffer.alloc(SIZE);
    return beginning.subarray(0, fs.readSync(fd, beginning, 0, SIZE, 0));
  } finally {
    fs.closeSync(fd);
  }
}

async function feedServer(): Promise<void> {
  for (const name of fs.readdirSync(".")) fs.rmSync(name, { recursive: true });
  fs.writeFileSync("d", content);
  const stream = mutate(requests());
  const [toServer, toClient] = [pipe(1 + below(200_000)), pipe()];
  const server = new Server(new Channel(new ByteReader(toServer.source), toClient.sink), undefined);
  const served = server.run().then(
    () => undefined,
    (failure: unknown) => checkFailure(failure),
  );
  // A controller waits for its answers; sent all at once most would come before their time.
  let start = 0;
  for (const { head, body } of parse(stream).frames) {
    const end = start + 24 + head.length + body.length;
    await toServer.sink.write(stream.subarray(start, end));
    for (let turns = below(20); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
    start = end;
  }
  await toServer.sink.write(stream.subarray(start));
  await toServer.sink.end();
  await inTime(served, "serve");
  await toClient.sink.end();
  const chunks: Uint8Array[] = [];
  for (let chunk = await toClient.source.read(); chunk !== undefined; chunk = await toClient.source.read())
    chunks.push(chunk);
  const { frames, rest } = parse(Buffer.concat(chunks));
  check(rest.length === 0, "serve sent a part of a frame");
  for (const { type, head } of frames)
    check(type !== Type.failed || !head.includes("Internal error"), `serve met a bug: ${head}`);
  const after = beginningOf("d");
  if (!hasWholeWrite(stream))
    check(after.equals(content.subarray(0, after.length)), "serve wrote what nobody sent whole");
}

async function feedController(): Promise<void> {
  const [toServer, toClient] = [pipe(), pipe(1 + below(200_000))];
  const channel = new Channel(new ByteReader(toClient.source), toServer.sink);
  const running = channel.run(undefined, () => Promise.resolve(new UnreachableError("the stream ended")));
  const spec = {
    path: "d",
    label: "d",
    access: "read",
    blockSize: BLOCK,
    hash: { name: "xxh3-xxh64", additional: undefined, seed: new Uint8Array(12) },
    dropCache: false,
    discard: false,
    compress: true,
    allowed: [],
    examine: "nothing",
    undo: undefined,
  } as const;
  const session = async () => {
    const endpoint = await RemoteEndpoint.open(channel, spec, () => Promise.resolve());
    await endpoint.prepare(SIZE, { exact: false });
    for await (const run of endpoint.scan([{ first: 0, count: 4 }], {
      hashed: true,
      tolerant: false,
      readHoles: false,
      ahead: 4,
    }))
      endpoint.advance(run.first + run.count);
    await endpoint.leafHashes(single(0), 4);
    const data = await endpoint.read(single(1), { kind: "all" });
    await endpoint.write(single(1), data);
    await endpoint.patch(1, await endpoint.salvage(1, new Uint8Array(16), 0));
    await endpoint.bypassCache();
    await endpoint.counters();
    await endpoint.flush();
  };
  const outcome = session().catch((failure: unknown) => checkFailure(failure));
  await toClient.sink.write(mutate(replies()));
  await toClient.sink.end();
  await inTime(Promise.all([outcome, running]), "the controller");
}

const LAYOUT = new BlockLayout(SIZE, BLOCK);
const DECODERS: readonly ((frame: Frame) => unknown)[] = [
  decode.open,
  decode.prepare,
  decode.scan,
  decode.advance,
  decode.alive,
  decode.leafHashes,
  (received) => decode.read(received, ({ first }) => (first < 4 ? LAYOUT.lengthOf(first) : BLOCK)),
  decode.write,
  decode.block,
  (received) => decode.opened(received, "x"),
  decode.prepared,
  (received) => decode.run(received, 0, 4, 16, LAYOUT),
  (received) => decode.leaves(received, 64),
  decode.written,
  (received) => decode.salvage(received, () => BLOCK),
  (received) => decode.patch(received, () => BLOCK),
  (received) => decode.salvaged(received, BLOCK),
  decode.patched,
  decode.bypassed,
  decode.counted,
  decode.empty,
  decode.failed,
];

function feedDecoders(): void {
  const chosen = one([...requests(), ...replies()], Buffer.alloc(0));
  const [parsed] = parse(chosen).frames;
  const head = below(3) === 0 ? bytes(next(), below(200)) : spoil(parsed?.head ?? Buffer.alloc(0));
  const received = { type: MessageType.done, id: 0, head, body: parsed?.body ?? Buffer.alloc(0) };
  const attempts = [
    ...DECODERS.map((read) => () => read(received)),
    () => decodeHeader(spoil(chosen.subarray(0, 24)).subarray(0, 24)),
  ];
  for (const attempt of attempts) {
    try {
      attempt();
    } catch (error) {
      // A header is always given whole.
      if (!(error instanceof RangeError && chosen.length < 24)) checkFailure(error);
    }
  }
}

const folder = fs.mkdtempSync(join(tmpdir(), "blocksync-fuzz-"));
process.chdir(folder);
process.stdout.write(`SEED=${seed} SECONDS=${seconds}\n`);
const begun = performance.now();
let cases = 0;
let status = 0;
try {
  while (performance.now() - begun < seconds * 1000) {
    feedDecoders();
    await feedController();
    await feedServer();
    cases++;
    if (cases % 100 === 0)
      check(process.memoryUsage.rss() < MEMORY_CAP, `${process.memoryUsage.rss()} bytes of memory`);
  }
  process.stdout.write(`${cases} cases, nothing found\n`);
} catch (error) {
  status = 1;
  process.stdout.write(
    `Case ${cases}, SEED=${seed}: ${error instanceof Error ? (error.stack ?? error.message) : error}\n`,
  );
} finally {
  process.chdir("/");
  fs.rmSync(folder, { recursive: true });
}
process.exit(status);
