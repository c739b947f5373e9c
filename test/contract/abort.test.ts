/** A run that is given up: whatever it waits for, it ends at once, and asks its endpoints for nothing more. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { InterruptedError, IoError } from "../../src/errors.ts";
import { differingRanges } from "../../src/sync/differences.ts";
import type { Endpoint } from "../../src/sync/endpoint.ts";
import { Fingerprint } from "../../src/sync/fingerprint.ts";
import { Statistics } from "../../src/sync/statistics.ts";
import { layoutOf, synchronize } from "../../src/sync/sync.ts";
import { until } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { openLocal, openRemote } from "../helpers/endpoints.ts";
import { noLane, OPTIONS } from "../helpers/sync.ts";
import { tempDir } from "../helpers/temp.ts";

const BLOCK = 65_536;
const BLOCKS = 64;

/** An endpoint whose calls are counted; those of `hanging` are never answered. */
function watched(endpoint: Endpoint, calls: string[], hanging: string | undefined): Endpoint {
  return new Proxy(endpoint, {
    get(target, name) {
      // Read with the target as itself: it has private fields.
      const member: unknown = Reflect.get(target, name, target);
      // So that a comparison goes through the calls that are counted.
      if (name === "compareWith") return undefined;
      if (typeof member !== "function") return member;
      return (...words: unknown[]) => {
        if (name !== "advance") calls.push(String(name));
        return name === hanging ? new Promise(() => undefined) : member.apply(target, words);
      };
    },
  });
}

const WAITS = [
  ["a block's data", "source", "read", {}],
  ["a write", "destination", "write", {}],
  ["the leaf hashes of a block", "destination", "leafHashes", {}],
  ["a pause", undefined, undefined, { pauseMs: 3_600_000 }],
] as const;

for (const where of ["here", "elsewhere"]) {
  const open = where === "here" ? openLocal : openRemote;
  for (const [what, side, call, options] of WAITS) {
    test(`a sync with a destination ${where} that waits for ${what} ends with the signal`, async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("s"), bytes(31, BLOCKS * BLOCK));
      fs.writeFileSync(dir.file("d"), bytes(32, BLOCKS * BLOCK));
      const calls: string[] = [];
      const source = await openLocal(dir.file("s"), { access: "read", blockSize: BLOCK });
      const destination = await open(dir.file("d"), { access: "write", blockSize: BLOCK });
      const lane = {
        source: watched(source, calls, side === "source" ? call : undefined),
        destination: watched(destination, calls, side === "destination" ? call : undefined),
      };
      const interrupt = new AbortController();
      const statistics = new Statistics(layoutOf(source.description, BLOCK), 1);
      const words = { ...OPTIONS, blockSize: BLOCK, signal: interrupt.signal, ...options };
      const running = synchronize(lane, words, statistics, noLane);
      const outcome = running.catch((error: unknown) => error);
      await until("it waits", () => calls.includes(call ?? "write"));
      const reason = new InterruptedError();
      interrupt.abort(reason);
      expect(await outcome).toBe(reason);
      // What was under way has ended with this, whatever it still asks for is more.
      await source.close();
      await destination.close();
      const asked = calls.length;
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
      expect(calls.slice(asked)).toEqual([]);
      expect(calls).not.toContain("flush");
    });
  }
}

test("compare ends with the signal while it waits for leaf hashes", async () => {
  using dir = tempDir();
  fs.writeFileSync(dir.file("s"), bytes(33, BLOCKS * BLOCK));
  fs.writeFileSync(dir.file("d"), bytes(34, BLOCKS * BLOCK));
  const calls: string[] = [];
  const [a, b] = [
    await openLocal(dir.file("s"), { access: "read", blockSize: BLOCK }),
    await openLocal(dir.file("d"), { access: "read", blockSize: BLOCK }),
  ];
  const layout = layoutOf(a.description, BLOCK);
  for (const end of [a, b]) await end.prepare(BLOCKS * BLOCK, { exact: false });
  const interrupt = new AbortController();
  const { zeroHash } = a.description;
  const fingerprints = {
    a: new Fingerprint(layout, zeroHash, OPTIONS.sha256),
    b: new Fingerprint(layout, zeroHash, OPTIONS.sha256),
  };
  const [statistics] = new Statistics(layout, 1).lanes;
  const work = { statistics, fingerprints, changes: undefined, signal: interrupt.signal };
  const compare = async () => {
    for await (const _ of differingRanges(a, watched(b, calls, "leafHashes"), layout, work)) break;
  };
  const outcome = compare().catch((error: unknown) => error);
  await until("it waits", () => calls.includes("leafHashes"));
  const reason = new InterruptedError();
  interrupt.abort(reason);
  expect(await outcome).toBe(reason);
  await Promise.all([a.close(), b.close()]);
});

test("a write that fails while the run rests after its last block is what the run fails with", async () => {
  using dir = tempDir();
  fs.writeFileSync(dir.file("s"), bytes(33, BLOCK));
  fs.writeFileSync(dir.file("d"), bytes(34, BLOCK));
  const source = await openLocal(dir.file("s"), { access: "read", blockSize: BLOCK });
  const destination = await openLocal(dir.file("d"), { access: "write", blockSize: BLOCK });
  const failure = new IoError("Cannot write");
  const failing = new Proxy(destination, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (name === "write") return () => Promise.reject(failure);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
  const statistics = new Statistics(layoutOf(source.description, BLOCK), 1);
  const words = { ...OPTIONS, blockSize: BLOCK, signal: new AbortController().signal, pauseMs: 50 };
  const ended = await synchronize({ source, destination: failing }, words, statistics, noLane).then(
    () => undefined,
    (error: unknown) => error,
  );
  await Promise.all([source.close(), destination.close()]);
  expect(ended).toBe(failure);
});
