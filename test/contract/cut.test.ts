/** A small session, in this process, that is cut or stalls after every single byte of either direction. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { UnreachableError } from "../../src/errors.ts";
import { LocalEndpoint } from "../../src/local/endpoint.ts";
import { RemoteEndpoint } from "../../src/remote/endpoint.ts";
import { Server } from "../../src/remote/serve.ts";
import { Channel } from "../../src/remote/wire/channel.ts";
import { ByteReader, type ByteSource } from "../../src/remote/wire/streams.ts";
import { Watch } from "../../src/remote/wire/watch.ts";
import { Statistics } from "../../src/sync/statistics.ts";
import { layoutOf, synchronize } from "../../src/sync/sync.ts";
import { specOf } from "../helpers/endpoints.ts";
import { pipe } from "../helpers/pipe.ts";
import { noLane, OPTIONS } from "../helpers/sync.ts";
import { tempDir } from "../helpers/temp.ts";

const BLOCK = 4096;
const TIMEOUT_MS = 150;
const FROM = Buffer.concat(["new first", "same", "new third"].map((word) => Buffer.alloc(BLOCK, word)));
const TO = Buffer.concat(["old first", "same", "old third"].map((word) => Buffer.alloc(BLOCK, word)));

type Role = "source" | "destination";

interface Break {
  readonly direction: "up" | "down";
  readonly action: "cut" | "stall";
  readonly position: number;
}

/** Syncs with serve on one side; returns what either end came to, and the bytes each way. */
async function session(served: Role, at: Break | undefined) {
  using dir = tempDir();
  fs.writeFileSync(dir.file("s"), FROM);
  fs.writeFileSync(dir.file("d"), TO);
  const wires = { up: pipe(), down: pipe() };
  let broken = false;
  const breakAll = () => {
    broken = true;
    if (at?.action === "cut") for (const wire of Object.values(wires)) wire.cut();
  };
  const breaking = (direction: "up" | "down", source: ByteSource): ByteSource => {
    let passed = 0;
    return {
      async read() {
        const chunk = await source.read();
        // Not even the end passes a connection that stalls.
        if (broken && at?.action === "stall") return await new Promise<never>(() => undefined);
        const room = at?.direction === direction ? at.position - passed : Number.POSITIVE_INFINITY;
        if (chunk === undefined || (!broken && chunk.length < room)) {
          passed += chunk?.length ?? 0;
          return chunk;
        }
        const part = broken ? chunk.subarray(0, 0) : chunk.subarray(0, Math.max(0, room));
        breakAll();
        passed += part.length;
        if (part.length > 0) return part;
        return at?.action === "cut" ? undefined : await new Promise<never>(() => undefined);
      },
    };
  };
  const watches = [new Watch(), new Watch()] as const;
  // A whole session is not to be silence where it waits for a core.
  const timeoutMs = at === undefined ? 300_000 : TIMEOUT_MS;
  for (const watch of watches) watch.expect(timeoutMs, () => new UnreachableError("silent"));
  const farReader = new ByteReader(watches[1].source(breaking("up", wires.up.source)));
  const server = new Server(new Channel(farReader, wires.down.sink), undefined);
  const farEnd = server.run().then(
    () => "orderly",
    (failure: unknown) => failure,
  );
  const channel = new Channel(new ByteReader(watches[0].source(breaking("down", wires.down.source))), wires.up.sink);
  const running = channel.run(undefined, () => Promise.resolve(new UnreachableError("the stream ended")));
  const spec = (role: Role) =>
    specOf(dir.file(role === "source" ? "s" : "d"), { access: role === "source" ? "read" : "write", blockSize: BLOCK });
  const openFar = (role: Role) => RemoteEndpoint.open(channel, spec(role), () => wires.up.sink.end());
  const openNear = (role: Role) =>
    LocalEndpoint.open(spec(role), { sharers: 1, onNote: () => undefined, signal: new AbortController().signal });
  const near = await openNear(served === "source" ? "destination" : "source");
  const work = async () => {
    const far = await openFar(served);
    const [source, destination] = served === "source" ? [far, near] : [near, far];
    const statistics = new Statistics(layoutOf(source.description, BLOCK), 1);
    const copying = { ...OPTIONS, blockSize: BLOCK };
    await synchronize({ source, destination }, copying, statistics, noLane);
    return "done";
  };
  const nearEnd = await work().catch((failure: unknown) => failure);
  // What a controller does in the end, whatever came before.
  if (at?.action !== "stall") await wires.up.sink.end();
  await near.close();
  const ends = { near: nearEnd, far: await farEnd };
  channel.fail(new UnreachableError("closed"));
  await running;
  for (const watch of watches) watch.stop();
  return { ...ends, broken, up: wires.up.count(), down: wires.down.count(), data: fs.readFileSync(dir.file("d")) };
}

function expectOldOrNew(data: Buffer): void {
  for (const block of [0, 1, 2]) {
    const [start, end] = [block * BLOCK, (block + 1) * BLOCK];
    const now = data.subarray(start, end);
    expect(now.equals(FROM.subarray(start, end)) || now.equals(TO.subarray(start, end))).toBe(true);
  }
}

for (const role of ["source", "destination"] as const) {
  for (const action of ["cut", "stall"] as const) {
    test(`D4.17 every byte: ${action} while serve has the ${role}: both ends are through, with exit code 5`, async () => {
      const whole = await session(role, undefined);
      expect(whole.near).toBe("done");
      expect(whole.data.equals(FROM)).toBe(true);
      const breaks: Break[] = [];
      for (const direction of ["up", "down"] as const) {
        for (let position = 0; position < whole[direction]; position++) breaks.push({ direction, action, position });
      }
      expect(breaks.length).toBeGreaterThan(600);
      let breaksDone = 0;
      const one = async () => {
        for (let at = breaks.pop(); at !== undefined; at = breaks.pop()) {
          const { near, far, broken, data } = await session(role, at);
          expect([at, near instanceof UnreachableError]).toEqual([at, true]);
          expect([at, far === "orderly" || far instanceof UnreachableError]).toEqual([at, true]);
          // On a busy machine an end may give up for silence before the break, and the other then ends in order.
          if (action === "stall" && broken) expect([at, far instanceof UnreachableError]).toEqual([at, true]);
          breaksDone += Number(broken);
          expectOldOrNew(data);
        }
      };
      await Promise.all(Array.from({ length: action === "stall" ? 100 : 4 }, one));
      expect(breaksDone).toBeGreaterThan(0);
    });
  }
}
