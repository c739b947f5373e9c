/** A peer that breaks the rules, made by the second implementation of the wire in helpers/peer.ts. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { join } from "node:path";
import { Failure } from "../../src/errors.ts";
import { encodeFrame } from "../../src/remote/wire/protocol.ts";
import { BINARY, fakeSsh, peakMemory, processesWith, run, until } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { openServed, serveStreams } from "../helpers/endpoints.ts";
import { ask, frame, parse, Type, text, u8, u32, u64 } from "../helpers/peer.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";
import golden from "../testdata/frames-v1.json" with { type: "json" };

const BLOCK = 65_536;
const SIZE = 3 * BLOCK + 5000;
/** What one that only says the wrong thing takes, in bytes: 60 MB were measured, of which nearly all is the program. */
const MEMORY_CAP = 120e6;
/** The most there may be, and as much as a flood takes. */
const FLOOD_CAP = 200e6;
const FLOODS = ["runs without end"];
const capOf = (name: string) => (FLOODS.includes(name) ? FLOOD_CAP : MEMORY_CAP);
const FALSE_SERVE = join(import.meta.dir, "../helpers/false-serve.ts");

describe("the second implementation of the wire", () => {
  test("makes and takes apart the golden frames", () => {
    for (const one of golden) {
      const [head, body] = [Buffer.from(one.head, "hex"), Buffer.from(one.body, "hex")];
      const made = frame(one.type, one.id, [head], body);
      expect(made.toString("hex")).toBe(one.frame);
      const { frames, rest } = parse(Buffer.concat([made, made.subarray(0, 23)]));
      expect(frames).toEqual([{ type: one.type, id: one.id, head, body }]);
      expect(rest.length).toBe(23);
    }
  });

  test("makes the frames that the first one makes, of any length", () => {
    for (let length = 0; length < 3000; length += 7) {
      const [head, body] = [bytes(length, length % 300), bytes(length + 1, length)];
      const first = encodeFrame({ type: Type.write, id: length, head, body });
      expect(frame(Type.write, length, [head], body).equals(Buffer.concat([first, body]))).toBe(true);
    }
  });
});

interface Served {
  readonly exitCode: number;
  readonly stderr: string;
  readonly replies: ReturnType<typeof parse>["frames"];
  readonly peak: number;
  readonly unchanged: boolean;
}

const content = bytes(71, SIZE);

/** Lets the compiled serve have `input` after an honest first line, then the end; `pieceLength` cuts it into writes. */
async function serve(dir: TempDir, input: (path: string) => readonly Buffer[], pieceLength = 1 << 20): Promise<Served> {
  const path = dir.file("d");
  fs.writeFileSync(path, content);
  const child = Bun.spawn([BINARY, "serve"], { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  const watching = peakMemory(child);
  const chunks: Buffer[] = [];
  const collect = async () => {
    for await (const chunk of child.stdout) {
      if (chunks.length === 0) {
        // Its own first line is what it wants to hear.
        const line = Buffer.from(chunk).subarray(0, chunk.indexOf(10) + 1);
        void send(Buffer.concat([line, ...input(path)]));
      }
      chunks.push(Buffer.from(chunk));
    }
  };
  const send = async (all: Buffer) => {
    try {
      for (let start = 0; start < all.length; start += pieceLength) {
        child.stdin.write(all.subarray(start, start + pieceLength));
        await child.stdin.flush();
      }
      await child.stdin.end();
    } catch {
      // It has ended already, which is what is to be seen.
    }
  };
  const [exitCode, stderr] = await Promise.all([child.exited, child.stderr.text(), collect()]);
  const output = Buffer.concat(chunks);
  const { frames } = parse(output.subarray(output.indexOf(10) + 1));
  const unchanged = fs.readFileSync(path).equals(content);
  return { exitCode, stderr, replies: frames, peak: await watching, unchanged };
}

/** What an honest controller has said before it asks for blocks. */
const opened = (path: string) => [ask.open(2, { access: "write", path })];
const prepared = (path: string) => [...opened(path), ask.prepare(3, SIZE)];
const HUGE = 2n ** 53n + 1n;
const leafOf = (body: Buffer, length = 4096) => ({ body, length });
const packed = Bun.zstdCompressSync(Buffer.alloc(4096, 1));
const bomb = Bun.zstdCompressSync(Buffer.alloc(1 << 28));

const LIES: Record<string, (path: string) => readonly Buffer[]> = {
  "a request before open": () => [ask.prepare(2, SIZE)],
  "a write before open": () => [ask.write(2, 0)],
  "a second open": (path) => [...opened(path), ask.open(3, { access: "read", path: "/etc/passwd" })],
  "an open with a block size of 0": (path) => [ask.open(2, { access: "write", path, blockSize: 0 })],
  "an open with a block size of -1": (path) => [ask.open(2, { access: "write", path, blockSize: 0xffff_ffff })],
  "a path with a NUL": (path) => [ask.open(2, { access: "write", path: `${path}\0x` })],
  "a prepare of 2^53 + 1 bytes": (path) => [...opened(path), ask.prepare(3, HUGE)],
  "a second prepare with another size": (path) => [...prepared(path), ask.prepare(4, 10)],
  "a write for a source": (path) => [ask.open(2, { access: "read", path }), ask.prepare(3, SIZE), ask.write(4, 0)],
  "a write for a dry run": (path) => [ask.open(2, { access: "rehearse", path }), ask.prepare(3, SIZE), ask.write(4, 0)],
  "an open with an access that is none": (path) => [frame(Type.open, 2, [text(path), text("label"), u8(4)])],
  "a seed of 11 bytes": (path) => [ask.open(2, { access: "write", path, seed: Buffer.alloc(11) })],
  "a write to the index at the count": (path) => [...prepared(path), ask.write(4, 4)],
  "a write to the index 2^53 + 1": (path) => [...prepared(path), ask.write(4, HUGE)],
  "leaf hashes of the index 2^31": (path) => [...prepared(path), ask.leafHashes(4, 2 ** 31)],
  "leaf hashes of 5 bytes": (path) => [...prepared(path), ask.leafHashes(4, 0, 5)],
  "a read with a filter that is none": (path) => [...prepared(path), ask.read(4, 0, 3)],
  "a read with too few hashes": (path) => [...prepared(path), ask.read(4, 0, 2, Buffer.alloc(60))],
  "a scan beyond the end": (path) => [...prepared(path), ask.scan(4, 3, 2)],
  "a scan of 2^53 + 1 blocks": (path) => [...prepared(path), ask.scan(4, 0, HUGE)],
  "a scan with a window of 0": (path) => [...prepared(path), ask.scan(4, 0, 4, 0)],
  "two scans at once": (path) => [...prepared(path), ask.scan(4, 0, 4, 1), ask.scan(5, 0, 4, 1)],
  "an advance beyond the end": (path) => [...prepared(path), ask.advance(5)],
  "a longer hash": (path) => [...prepared(path), ask.write(4, 0, { hash: Buffer.alloc(17) })],
  "leaves beyond the end": (path) => [...prepared(path), ask.write(4, 3, { leaves: Buffer.from([4]), zeros: u8(0) })],
  "leaves and zeros at once": (path) => [...prepared(path), ask.write(4, 0, { zeros: Buffer.from([1, 0]) })],
  "data shorter than its leaves": (path) => [...prepared(path), ask.write(4, 0, { leaves: Buffer.from([3, 0]) })],
  "data longer than its leaves": (path) => [...prepared(path), ask.write(4, 0, { leaves: Buffer.alloc(2) })],
  "data that expands beyond the block": (path) => [...prepared(path), ask.write(4, 0, leafOf(bomb, 16 << 20))],
  "a bomb that says its size": (path) => [...prepared(path), ask.write(4, 0, leafOf(bomb, 2 ** 31))],
  "a bomb that hides its size": (path) => [...prepared(path), ask.write(4, 0, leafOf(bomb))],
  "a damaged zstd frame": (path) => [
    ...prepared(path),
    ask.write(4, 0, leafOf(Buffer.concat([packed.subarray(0, -1), u8(1)]))),
  ],
  "two zstd frames": (path) => [...prepared(path), ask.write(4, 0, leafOf(Buffer.concat([packed, packed])))],
  "garbage after a zstd frame": (path) => [...prepared(path), ask.write(4, 0, leafOf(Buffer.concat([packed, u8(0)])))],
  "a reply": (path) => [...prepared(path), frame(Type.done, 4, [])],
  "a sign of life of 0 s": () => [ask.alive(0)],
  "a sign of life of 2^31 s": () => [ask.alive(2 ** 31)],
  "a sign of life with an id": () => [frame(Type.alive, 1, [u32(60)])],
  "an unknown type": () => [frame(12, 1, [])],
  "the type 0": () => [frame(0, 1, [])],
  "a head of -1 bytes": () => [frame(Type.open, 1, [], Buffer.alloc(0), { headLength: 0xffff_ffff })],
  "a body of 2^31 bytes": () => [frame(Type.write, 1, [], Buffer.alloc(0), { bodyLength: 2 ** 31 })],
  "a long body where hashes belong": () => [frame(Type.flush, 1, [], Buffer.alloc(0), { bodyLength: 1 << 20 })],
  "a reserved byte": () => [frame(Type.flush, 1, [], Buffer.alloc(0), { reserved: [0, 1, 0] })],
  "a wrong header checksum": (path) => [...prepared(path), ask.write(4, 0, {}, { headerChecksum: 1 })],
  "a wrong content checksum": (path) => [...prepared(path), ask.write(4, 0, {}, { contentChecksum: 1 })],
  "a field beyond its head": () => [frame(Type.open, 2, [u32(0), u32(0xffff_ffff)])],
  "a head with bytes left over": (path) => [...opened(path), frame(Type.prepare, 3, [u64(SIZE), u8(0), u8(0), u8(0)])],
  "a text that is no UTF-8": () => [frame(Type.open, 2, [Buffer.alloc(6), u32(BLOCK), u32(1), u8(0xff), text("")])],
};

describe("serve", () => {
  for (const [name, input] of Object.entries(LIES)) {
    // A length that lies is one that a process could make room for; the other lies are told in this one.
    const isOfLength = /2\^|-1|beyond|bomb|bytes|length/.test(name);
    test(`D4.19 ${name}: exit 6, ${isOfLength ? "little memory, " : ""}nothing written`, async () => {
      using dir = tempDir();
      const requests = input(dir.file("d"));
      if (!isOfLength) {
        const { exitCode, message, unchanged } = await tellHere(dir, requests);
        expect(message).toMatch(/^(Cannot|Received) /);
        expect([exitCode, unchanged]).toEqual([6, true]);
        return;
      }
      // A controller waits for each answer up to the last request, which is the one that matters here.
      const served = await serveInTurn(dir, requests);
      expect(served.stderr).toMatch(/^blocksync: (Cannot|Received) /);
      expect(served.exitCode).toBe(6);
      expect(served.unchanged).toBe(true);
      expect(served.peak).toBeLessThan(capOf(name));
    });
  }

  test("D4.19 1e6 advances and signs of life do no harm, and a request after them is answered", async () => {
    using dir = tempDir();
    const both = Buffer.concat([ask.alive(60), ask.advance(0)]);
    const flood = Buffer.alloc(500_000 * both.length, both);
    const served = await serveInTurn(dir, [...prepared(dir.file("d")), Buffer.concat([flood, ask.counters(9)])]);
    expect([served.exitCode, served.stderr]).toEqual([0, ""]);
    expect(served.replies.some(({ type, id }) => type === Type.counted && id === 9)).toBe(true);
    expect(served.peak).toBeLessThan(MEMORY_CAP);
    expect(served.unchanged).toBe(true);
  });

  test("D4.19 hundreds of writes that expand to a thousand times their length are expanded a few at a time", async () => {
    using dir = tempDir();
    const [block, count] = [1 << 20, 600];
    const body = Bun.zstdCompressSync(Buffer.alloc(block, 1));
    const leaves = Buffer.alloc(block / 4096 / 8, 255);
    const fields = { ...leafOf(Buffer.from(body), block), leaves, zeros: Buffer.alloc(leaves.length) };
    const writes = Array.from({ length: count }, (_, i) => ask.write(i + 4, i % 4, fields));
    const path = dir.file("d");
    const opening = [ask.open(2, { access: "write", path, blockSize: block }), ask.prepare(3, 4 * block)];
    const served = await serveInTurn(dir, [...opening, Buffer.concat(writes)], true, 2 + count);
    expect([served.exitCode, served.stderr]).toEqual([0, ""]);
    expect(new Set(served.replies.slice(2).map(({ type }) => type))).toEqual(new Set([Type.written]));
    // One that ends at once may never have been looked at; this one was.
    expect(served.peak).toBeGreaterThan(20e6);
    expect(served.peak).toBeLessThan(FLOOD_CAP);
  });

  test("D4.19 10,000 requests at once are answered, each", async () => {
    using dir = tempDir();
    const asked = Array.from({ length: 10_000 }, (_, i) => ask.read(i + 4, 3));
    const requests = [...prepared(dir.file("d")), Buffer.concat(asked)];
    const { exitCode, stderr, replies, peak } = await serveInTurn(dir, requests, true, 2 + asked.length);
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(replies.filter(({ type }) => type === Type.block).length).toBe(10_000);
    expect(peak).toBeLessThan(FLOOD_CAP);
  });

  test("D4.19 a trickle of single bytes is understood", async () => {
    using dir = tempDir();
    const served = await serve(dir, (path) => opened(path), 1);
    expect([served.exitCode, served.stderr]).toEqual([0, ""]);
    expect(served.replies.map(({ type }) => type)).toContain(Type.opened);
  });

  const WHOLE = ask.write(1000, 0, leafOf(Buffer.from(packed)));
  /** Places in each part of the frame, for the program itself; all places are tried in this process, which is cheap. */
  const SOME = [0, 1, 16, 23, 24, 40, WHOLE.length - packed.length, WHOLE.length - 1];

  test("D4.18 a write that is cut at any offset writes nothing: exit 5, or 0 where nothing of it came", async () => {
    const lost = "Lost the connection: it ended in the middle of a message";
    for (let offset = 0; offset < WHOLE.length; offset++) {
      const { exitCode, message, unchanged } = await serveHere(WHOLE.subarray(0, offset));
      const expected = offset === 0 ? [0, ""] : [5, expect.stringContaining(lost)];
      expect([offset, exitCode, message, unchanged]).toEqual([offset, ...expected, true]);
    }
    for (const offset of SOME) {
      using dir = tempDir();
      const served = await serveInTurn(dir, [...prepared(dir.file("d")), WHOLE.subarray(0, offset)], false);
      expect([offset, served.exitCode, served.unchanged]).toEqual([offset, offset === 0 ? 0 : 5, true]);
      if (offset > 0) expect(served.stderr).toContain(lost);
    }
  });

  test("D4.18 a write with any one bit flipped writes nothing: exit 6, or 5 where it then waits for more", async () => {
    const flippedAt = (offset: number) => {
      const flipped = Buffer.from(WHOLE);
      flipped[offset] = (flipped[offset] ?? 0) ^ (1 << (offset % 8));
      return flipped;
    };
    for (let offset = 0; offset < WHOLE.length; offset++) {
      const { exitCode, unchanged } = await serveHere(flippedAt(offset));
      expect([offset, exitCode, unchanged]).toEqual([offset, 6, true]);
    }
    for (const offset of SOME) {
      using dir = tempDir();
      const served = await serveInTurn(dir, [...prepared(dir.file("d")), flippedAt(offset)], false);
      expect([offset, served.exitCode, served.unchanged]).toEqual([offset, 6, true]);
    }
  });
});

interface ServedHere {
  readonly exitCode: number;
  readonly message: string;
  readonly unchanged: boolean;
}

/** How a serve in this process ended, and whether it wrote to `path`. */
async function endOf(served: Promise<unknown>, path: string): Promise<ServedHere> {
  const failure = await served;
  const unchanged = fs.readFileSync(path).equals(content);
  if (failure === undefined) return { exitCode: 0, message: "", unchanged };
  if (failure instanceof Failure) return { exitCode: failure.exitCode, message: failure.message, unchanged };
  throw failure;
}

/** What serve makes of the requests in this process, each opening one sent when the one before was answered. */
async function tellHere(dir: TempDir, requests: readonly Buffer[]): Promise<ServedHere> {
  const path = dir.file("d");
  fs.writeFileSync(path, content);
  const { wire, served } = serveStreams();
  let replies = Buffer.alloc(0);
  const answered = async (id: number) => {
    while (!parse(replies).frames.some((one) => one.id === id)) {
      const chunk = await wire.toClient.source.read();
      if (chunk === undefined) return;
      replies = Buffer.concat([replies, chunk]);
    }
  };
  for (const request of requests) {
    await wire.toServer.sink.write(request);
    const isOpening = request[16] === Type.open || request[16] === Type.prepare;
    if (isOpening && request !== requests.at(-1)) await answered(request.readUInt32LE(12));
  }
  await wire.toServer.sink.end();
  return await endOf(served, path);
}

/** What serve makes of `last`, sent after an honest open and prepare and followed by the end, in this process. */
async function serveHere(last: Buffer): Promise<ServedHere> {
  using dir = tempDir();
  const path = dir.file("d");
  fs.writeFileSync(path, content);
  const { endpoint, wire, served } = await openServed(path, { access: "write", blockSize: BLOCK });
  await endpoint.prepare(SIZE, { exact: false });
  await wire.toServer.sink.write(last);
  await wire.toServer.sink.end();
  return await endOf(served, path);
}

/**
 * Sends request by request, each when the one before was answered; the last ones together, and with the end, or with that after
 * `answers` in all.
 */
async function serveInTurn(
  dir: TempDir,
  requests: readonly Buffer[],
  watched = true,
  answers: number | undefined = undefined,
): Promise<Served> {
  const path = dir.file("d");
  fs.writeFileSync(path, content);
  const child = Bun.spawn([BINARY, "serve"], { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  const watching = watched ? peakMemory(child) : Promise.resolve(0);
  const stderr = child.stderr.text();
  let output = Buffer.alloc(0);
  let greeted = false;
  const waiting = [...requests];
  const isOpening = (request: Buffer | undefined) => request?.[16] === Type.open || request?.[16] === Type.prepare;
  const sendNext = async () => {
    const more = isOpening(waiting[0]) ? [waiting.shift() ?? Buffer.alloc(0)] : waiting.splice(0);
    try {
      child.stdin.write(Buffer.concat(more));
      await child.stdin.flush();
      if (waiting.length === 0 && answers === undefined) await child.stdin.end();
    } catch {
      // It has ended already, which is what is to be seen.
    }
  };
  const replies: Served["replies"] = [];
  for await (const chunk of child.stdout) {
    output = Buffer.concat([output, chunk]);
    if (!greeted) {
      const end = output.indexOf(10) + 1;
      child.stdin.write(output.subarray(0, end));
      output = output.subarray(end);
      greeted = true;
      void sendNext();
    }
    const { frames, rest } = parse(output);
    output = Buffer.from(rest);
    for (const one of frames) {
      replies.push(one);
      if (replies.length === answers) await child.stdin.end();
      if ((one.type === Type.opened || one.type === Type.prepared) && waiting.length > 0) void sendNext();
    }
  }
  const exitCode = await child.exited;
  return {
    exitCode,
    stderr: await stderr,
    replies,
    peak: await watching,
    unchanged: fs.readFileSync(path).equals(content),
  };
}

describe("a pull from a far side that lies:", () => {
  async function pull(dir: TempDir, lie: string, seconds = 60) {
    fs.writeFileSync(dir.file("d"), bytes(72, 4 * BLOCK));
    const rsh = [process.execPath, FALSE_SERVE, lie].map((word) => JSON.stringify(word)).join(" ");
    const words = [
      "-q",
      "-b",
      "64K",
      "-1",
      "md5",
      "--timeout",
      `${seconds}`,
      "--reconnect",
      "0",
      "-e",
      rsh,
      "-S",
      BINARY,
    ];
    const child = Bun.spawn([BINARY, ...words, "h:/s", dir.file("d")], { stdout: "pipe", stderr: "pipe" });
    const [exitCode, stderr, peak] = await Promise.all([child.exited, child.stderr.text(), peakMemory(child)]);
    return { exitCode, stderr, peak, data: fs.readFileSync(dir.file("d")) };
  }

  test("none at all makes an equal copy", async () => {
    using dir = tempDir();
    const { exitCode, stderr, data } = await pull(dir, "none");
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(data.equals(Buffer.alloc(4 * BLOCK, 1))).toBe(true);
  });

  test.each([
    "a size of 2^53 + 1",
    "a zero hash of 0 bytes",
    "a sign of life of 0 s",
    "signs of life with an id",
    "a run beyond the end",
    "a run of nothing",
    "a run of 2^53 + 1 blocks",
    "runs out of order",
    "a hash too many",
    "a kind of run that is none",
    "a run not asked for",
    "runs without end",
    "leaves beyond the end",
    "leaves and zeros at once",
    "data shorter than its leaves",
    "data longer than its leaves",
    "a longer hash",
    "no hash",
    "a bomb",
    "a declared bomb",
    "a damaged zstd frame",
    "two zstd frames",
    "garbage after a zstd frame",
    "a reply nobody asked for",
    "another reply",
    "a failure of no kind",
    "a text that is no UTF-8",
    "an unknown type",
    "a damaged header",
    "damaged content",
    "a head of 2^31 bytes",
    "a body of -1 bytes",
    "another build",
  ])("D4.19 D4.20 %s: exit 6, little memory, nothing written", async (lie) => {
    using dir = tempDir();
    const { exitCode, stderr, peak, data } = await pull(dir, lie);
    expect(stderr).toMatch(/^blocksync: (Cannot|Received) /);
    expect(exitCode).toBe(6);
    expect(data.equals(bytes(72, 4 * BLOCK))).toBe(true);
    expect(peak).toBeLessThan(capOf(lie));
    await until("the far side is gone", () => processesWith(dir.path).length === 0);
  });

  test.each(["a run twice", "a scan that ends early"])(
    "D4.19 D4.20 %s: exit 6, nothing written behind what was true",
    async (lie) => {
      using dir = tempDir();
      const { exitCode, stderr, data } = await pull(dir, lie);
      expect(stderr).toMatch(/^blocksync: (Cannot|Received) /);
      expect(exitCode).toBe(6);
      // The first run was a good one, and its two blocks may be copied before the next frame comes.
      const before = bytes(72, 4 * BLOCK);
      expect(data.subarray(2 * BLOCK).equals(before.subarray(2 * BLOCK))).toBe(true);
      for (const block of [0, 1]) {
        const found = data.subarray(block * BLOCK, (block + 1) * BLOCK);
        const isCopied = found.equals(Buffer.alloc(BLOCK, 1));
        expect(isCopied || found.equals(before.subarray(block * BLOCK, (block + 1) * BLOCK))).toBe(true);
      }
      await until("the far side is gone", () => processesWith(dir.path).length === 0);
    },
  );

  test.each(["a second reply", "a run after the end"])("D4.19 %s ends the run with exit 6", async (lie) => {
    using dir = tempDir();
    const { exitCode, stderr } = await pull(dir, lie);
    // The first reply was a good one, and may be written.
    expect(stderr).toContain("that answers nothing");
    expect(exitCode).toBe(6);
  });

  test("D4.19 1e6 signs of life do no harm", async () => {
    using dir = tempDir();
    const { exitCode, stderr, peak } = await pull(dir, "1e6 signs of life");
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(peak).toBeLessThan(MEMORY_CAP);
  });

  test("D4.17 silence once it runs, from one that stays, ends the run after --timeout", async () => {
    using dir = tempDir();
    const { exitCode, stderr } = await pull(dir, "silence", 1);
    expect(stderr).toContain('Lost the connection to "h": the far side was silent for 1 s');
    expect(exitCode).toBe(5);
    await until("the far side is gone", () => processesWith(dir.path).length === 0);
  });

  test("D4.19 2^31 blocks, none of them readable, are skipped in little memory, and a signal is heard", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("d"), bytes(72, 4 * BLOCK));
    const lie = "2^31 blocks that cannot be read";
    const rsh = [process.execPath, FALSE_SERVE, lie].map((word) => JSON.stringify(word)).join(" ");
    const words = [
      "-n",
      "--json",
      "-t",
      "1",
      "-b",
      "64K",
      "-1",
      "md5",
      "--on-read-error",
      "skip",
      "--reconnect",
      "0",
      "-e",
      rsh,
      "-S",
      BINARY,
    ];
    const child = Bun.spawn([BINARY, ...words, "h:/s", dir.file("d")], { stdout: "pipe", stderr: "pipe" });
    const watching = peakMemory(child);
    let said = "";
    for await (const chunk of child.stdout) {
      said += Buffer.from(chunk).toString();
      // By then it goes from block to block, which may take days.
      if (said.includes('"progress"')) child.kill("SIGTERM");
    }
    expect(await child.exited).toBe(143);
    expect(said).toContain('"blocksTotal":2147483648');
    expect(await watching).toBeLessThan(FLOOD_CAP);
  });

  test("D4.23 another build is refused by name", async () => {
    using dir = tempDir();
    expect((await pull(dir, "another build")).stderr).toContain(
      "Cannot talk to the far side: it is blocksync 0.0.9 (build 0123456789ab, protocol 1), this is",
    );
  });
});

/** Of a frame, little endian (RFC 8878, 3.1.1). */
const ZSTD_MAGIC = 0xfd2fb528;

describe("memory that was used before", () => {
  /** Blocks that fill every buffer serve has, several times over. */
  const poison = Array.from({ length: 60 }, (_, i) => ask.read(100 + i, i % 3));

  test("D4.21 a short last block goes out with its own bytes and no more", async () => {
    using dir = tempDir();
    const path = dir.file("d");
    const tail = content.subarray(3 * BLOCK);
    const asked = [ask.open(2, { access: "read", path }), ask.prepare(3, SIZE), ...poison, ask.read(9, 3)];
    const { replies, exitCode } = await serveInTurn(dir, [...asked, ask.leafHashes(10, 3, 8)], false);
    expect(exitCode).toBe(0);
    expect(replies.filter(({ type }) => type === Type.block).length).toBe(61);
    expect(replies.find(({ id }) => id === 9)?.body.equals(tail)).toBe(true);
    // The same bytes, alone in a file and in fresh memory, have the same leaf hashes.
    const alone = [ask.open(2, { access: "read", path: dir.file("tail") }), ask.prepare(3, tail.length)];
    fs.writeFileSync(dir.file("tail"), tail);
    const fresh = await serveInTurn(dir, [...alone, ask.leafHashes(10, 0, 8)], false);
    const hashes = [replies, fresh.replies].map((all) => all.find(({ id }) => id === 10)?.body.toString("hex"));
    expect(hashes[0]?.length).toBe(32);
    expect(hashes[1]).toBe(hashes[0]);
  });

  test("D4.21 what a dry run reads beyond the end of a short destination is zero", async () => {
    using dir = tempDir();
    const opening = ask.open(2, { access: "rehearse", path: dir.file("d") });
    const asked = [opening, ask.prepare(3, 5 * BLOCK), ...poison, ask.read(9, 3), ask.read(10, 4)];
    const { replies } = await serveInTurn(dir, asked, false);
    const short = replies.find(({ id }) => id === 9)?.body;
    // One frame in some is compressed to see whether that pays; which, depends on the order in which threads answer.
    const isPacked = short?.readUInt32LE(0) === ZSTD_MAGIC;
    const shown = isPacked ? Bun.zstdDecompressSync(short) : short;
    expect(shown?.equals(Buffer.concat([content.subarray(3 * BLOCK), Buffer.alloc(8192 - 5000)]))).toBe(true);
    expect(replies.find(({ id }) => id === 10)?.body.length).toBe(0);
  });
});

describe("blocks that collide", () => {
  /**
   * Two leaves with one XXH3-64 under the seed 0: where the low half of 8 bytes is the secret's, their product is 0
   * whatever the high half is, and of the bytes themselves only the sum matters (XXH3_accumulate_512 in xxhash.h).
   */
  function pair(): [Buffer, Buffer] {
    const [one, other] = [bytes(73, 4096), bytes(73, 4096)];
    for (const [leaf, change] of [
      [one, 0],
      [other, 1],
    ] as const) {
      leaf.set(Buffer.from("b8fe6c39", "hex"), 0);
      leaf.writeUInt32LE(1000 + change, 4);
      leaf.set(Buffer.from("7c01812c", "hex"), 64);
      leaf.writeUInt32LE(2000 - change, 68);
    }
    return [one, other];
  }

  test("D4.22 under a fixed seed are told apart under that of the run", async () => {
    const [one, other] = pair();
    expect(one.equals(other)).toBe(false);
    expect(Bun.hash.xxHash3(one, 0n)).toBe(Bun.hash.xxHash3(other, 0n));
    using dir = tempDir();
    const rest = bytes(74, BLOCK);
    fs.writeFileSync(dir.file("s"), Buffer.concat([rest, one, rest]));
    fs.writeFileSync(dir.file("d"), Buffer.concat([rest, other, rest]));
    const words = ["-q", ...fakeSsh(dir.file("rsh")), "-S", BINARY, dir.file("s"), `h:${dir.file("d")}`];
    expect(await run(["compare", ...words])).toEqual({ exitCode: 1, stdout: `${BLOCK} 4096\n`, stderr: "" });
    expect(await run(words)).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    expect(fs.readFileSync(dir.file("d")).equals(fs.readFileSync(dir.file("s")))).toBe(true);
  });
});
