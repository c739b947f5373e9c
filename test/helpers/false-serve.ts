/**
 * A far side that breaks one rule, run by Bun as a stand-in for ssh: `bun false-serve.ts LIE HOST COMMAND`. It serves a
 * source of four blocks of 64 KiB, all of them ones, under --hash md5, honestly but for the lie; "none" is none.
 */
import fs from "node:fs";
import { xxh3 } from "@node-rs/xxhash";
import { bool, dataFields, field, frame, type Parsed, parse, Type, text, u8, u32, u64 } from "./peer.ts";

const [lie = "", , command = ""] = process.argv.slice(2);
const BLOCK = 65_536;
/** What a bomb expands to: more than a run may take of memory. */
const BOMB_LENGTH = 1 << 28;
const ones = Buffer.alloc(BLOCK, 1);
/** A block's digest under --hash md5: its print, then the MD5. */
const digest = (bytes: Uint8Array) =>
  Buffer.concat([u64(xxh3.xxh64(bytes)), new Bun.CryptoHasher("md5").update(bytes).digest()]);
const hashes = { zero: digest(Buffer.alloc(BLOCK)), ones: digest(ones) };
const HASH_SIZE = hashes.ones.length;

function send(bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += fs.writeSync(1, bytes, done);
}

function repeated(hash: Buffer, count: number): Buffer {
  return Buffer.concat(Array<Buffer>(count).fill(hash));
}

/** A set of leaves with the first one only. */
function firstOf(none: Buffer): Buffer {
  const set = Buffer.from(none);
  set[0] = 1;
  return set;
}

/** The second one of a run is that of --verify. */
let scans = 0;

function scanReplies(id: number): Buffer[] {
  const run = (first: number | bigint, count: number | bigint, hash = hashes.ones, kind = 0) =>
    frame(
      Type.run,
      id,
      [u8(kind), u64(first), u64(count)],
      kind === 0
        ? Buffer.concat(Array(4).fill(hash)).subarray(0, Number(BigInt.asUintN(20, BigInt(count))) * HASH_SIZE)
        : Buffer.alloc(0),
    );
  const done = frame(Type.done, id, []);
  const odd: Record<string, () => Buffer[]> = {
    "2^31 blocks that cannot be read": () => [run(0, 2 ** 31, hashes.ones, 3), done],
    "a run beyond the end": () => [run(0, 5)],
    "a run of nothing": () => [run(0, 0)],
    "a run of 2^53 + 1 blocks": () => [run(0, 2n ** 53n + 1n)],
    "runs out of order": () => [run(2, 2), run(0, 2), done],
    "a run twice": () => [run(0, 2), run(0, 2), done],
    "a scan that ends early": () => [run(0, 2), done],
    "a run after the end": () => [run(0, 4), done, run(0, 4)],
    "a hash too many": () => [frame(Type.run, id, [u8(0), u64(0), u64(4)], Buffer.alloc(5 * HASH_SIZE)), done],
    "a kind of run that is none": () => [run(0, 4, hashes.ones, 3)],
    "a run not asked for": () => [run(0, 4, hashes.ones, 2), done],
    "a hole where holes are to be read": () => [scans++ === 0 ? run(0, 4) : run(0, 4, hashes.ones, 1), done],
    "runs without end": () => Array(300_000).fill(frame(Type.run, id, [u8(1), u64(0), u64(1)])),
  };
  return odd[lie]?.() ?? [run(0, 4), done];
}

/** Of the `count` blocks that were asked for together. */
function blockReplies(id: number, count: number): Buffer[] {
  const length = count * BLOCK;
  const [whole, hash, leaves] = [Buffer.alloc(length, 1), repeated(hashes.ones, count), Buffer.alloc(2 * count, 255)];
  const zeros = Buffer.alloc(leaves.length);
  const block = (data: Parameters<typeof dataFields>[0] = {}, body: Uint8Array = whole) =>
    frame(Type.block, id, dataFields({ hash, leaves, zeros, body, ...data }), body);
  const packed = Bun.zstdCompressSync(whole);
  const damaged = Buffer.from(packed);
  damaged[damaged.length - 3] = (damaged[damaged.length - 3] ?? 0) ^ 0xff;
  const bomb = () => Bun.zstdCompressSync(Buffer.alloc(BOMB_LENGTH));
  const odd: Record<string, () => Buffer[]> = {
    "leaves beyond the end": () => [block({ leaves: Buffer.alloc(leaves.length + 1, 255) })],
    "leaves and zeros at once": () => [block({ zeros: firstOf(zeros) })],
    "data shorter than its leaves": () => [block({}, whole.subarray(0, 4096))],
    "data longer than its leaves": () => [block({ leaves: firstOf(zeros) })],
    "a longer hash": () => [block({ hash: Buffer.alloc(hash.length + 1) })],
    "no hash": () => [block({ hash: Buffer.alloc(0) })],
    "a bomb": () => [block({ length }, bomb())],
    "a declared bomb": () => [block({ length: BOMB_LENGTH }, bomb())],
    "a damaged zstd frame": () => [block({ length }, damaged)],
    "two zstd frames": () => [block({ length }, Buffer.concat([packed, packed]))],
    "garbage after a zstd frame": () => [block({ length }, Buffer.concat([packed, Buffer.from("x")]))],
    "a second reply": () => [block(), block()],
    "a reply nobody asked for": () => [frame(Type.block, id + 999, dataFields({ body: whole }), whole)],
    "another reply": () => [frame(Type.flush, id, [])],
    "a failure of no kind": () => [frame(Type.failed, id, [text("evil"), text("x"), text("")])],
    "a text that is no UTF-8": () => [frame(Type.failed, id, [text("io"), field(Buffer.from([0xff])), text("")])],
    "an unknown type": () => [frame(99, id, [])],
    "a damaged header": () => [frame(Type.done, id, [], Buffer.alloc(0), { headerChecksum: 1 })],
    "damaged content": () => [block().fill(2, 24 + 60, 24 + 70)],
    "a head of 2^31 bytes": () => [frame(Type.block, id, [], Buffer.alloc(0), { headLength: 2 ** 31 })],
    "a body of -1 bytes": () => [frame(Type.block, id, [], Buffer.alloc(0), { bodyLength: 0xffff_ffff })],
  };
  return odd[lie]?.() ?? [block()];
}

function answer({ type, id, head }: Parsed): Buffer[] {
  switch (type) {
    case Type.open: {
      const blocks = lie.startsWith("2^31 blocks") ? 2 ** 31 : 4;
      const size = lie === "a size of 2^53 + 1" ? 2n ** 53n + 1n : BigInt(blocks * BLOCK);
      const opened = frame(Type.opened, id, [
        u8(0),
        u64(size),
        text("else"),
        text(""),
        bool(false),
        field(lie === "a zero hash of 0 bytes" ? Buffer.alloc(0) : hashes.zero),
        bool(false),
      ]);
      if (lie === "a sign of life of 0 s") return [frame(Type.alive, 0, [u32(0)]), opened];
      if (lie === "signs of life with an id") return [frame(Type.alive, id, [u32(60)]), opened];
      if (lie === "1e6 signs of life") {
        const sign = frame(Type.alive, 0, [u32(60)]);
        return [Buffer.alloc(1e6 * sign.length, sign), opened];
      }
      return [opened];
    }
    case Type.prepare:
      if (lie === "silence") return [];
      return [frame(Type.prepared, id, [text("else")])];
    case Type.scan:
      return scanReplies(id);
    case Type.read:
      return blockReplies(id, head.readUInt32LE(8));
    case Type.salvage:
      return [frame(Type.salvaged, id, [field(Buffer.alloc(BLOCK / 512 / 8))])];
    case Type.counters:
      return [frame(Type.counted, id, [u64(0), u64(0)])];
    case Type.confirm:
      return [frame(Type.done, id, [])];
    default:
      return [];
  }
}

const marker = /blocksync-[0-9a-f]{32}/.exec(command)?.[0] ?? "";
send(Buffer.from(`\n${marker} ready\n`));
let received = Buffer.alloc(0);
let greeted = false;
for await (const chunk of Bun.stdin.stream()) {
  received = Buffer.concat([received, chunk]);
  if (!greeted) {
    const end = received.indexOf(10);
    if (end === -1) continue;
    const line = received.subarray(0, end + 1);
    send(lie === "another build" ? Buffer.from("blocksync 1 0.0.9 0123456789ab\n") : line);
    received = received.subarray(end + 1);
    greeted = true;
  }
  const { frames, rest } = parse(received);
  received = Buffer.from(rest);
  for (const one of frames) for (const reply of answer(one)) send(reply);
}
