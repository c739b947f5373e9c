import { expect, test } from "bun:test";
import { ahead, scanAhead } from "../../src/sync/ahead.ts";
import type { Run } from "../../src/sync/endpoint.ts";

/** A scan of runs of these lengths, that notes how many were asked for and whether it was ended; then fails with `cause`. */
function scanOf(counts: readonly number[], cause?: Error) {
  const state = { pulled: 0, ended: false };
  async function* runs(): AsyncGenerator<Run> {
    try {
      let first = 0;
      for (const count of counts) {
        state.pulled++;
        yield await Promise.resolve({ kind: "data" as const, first, count });
        first += count;
      }
      if (cause !== undefined) throw cause;
    } finally {
      state.ended = true;
    }
  }
  return { runs: runs(), state };
}

/** Lets everything run that waits for nothing from outside. */
async function settled(): Promise<void> {
  for (let i = 0; i < 100; i++) await Promise.resolve();
}

test("ahead() yields every run in order, whatever its length", async () => {
  const counts = [1, 5, 1, 1 << 22, 2, 2, 2];
  const found = await Array.fromAsync(ahead(scanOf(counts).runs, 3));
  expect(found.map(({ count }) => count)).toEqual(counts);
});

test("ahead() pulls as many blocks as it may before anybody asks for them, and no more", async () => {
  const { runs, state } = scanOf(Array<number>(50).fill(2));
  const scan = ahead(runs, 10);
  expect((await scan.next()).value).toMatchObject({ first: 0 });
  await settled();
  // Five wait, the one that was yielded makes room for no more than itself, and one more is at the door.
  expect(state.pulled).toBe(7);
  await scan.return(undefined);
  expect(state.ended).toBe(true);
});

test("ahead() yields what came before a failure, then fails with it", async () => {
  const scan = ahead(scanOf([1, 1], new Error("bad sector")).runs, 100);
  await scan.next();
  await settled();
  expect((await scan.next()).value).toMatchObject({ first: 1 });
  expect(scan.next()).rejects.toThrow("bad sector");
});

test("ahead() that nobody asks any more leaves the scan ended and no failure behind", async () => {
  const { runs, state } = scanOf([1, 1], new Error("bad sector"));
  for await (const run of ahead(runs, 100)) {
    await settled();
    if (run.first === 0) break;
  }
  expect(state.ended).toBe(true);
});

test("scanAhead() is bounded in bytes and in blocks, and a second for a disk that is to rest", () => {
  expect(scanAhead(1 << 20, 0)).toBe(4096);
  expect(scanAhead(4096, 0)).toBe(65_536);
  expect(scanAhead(16 << 20, 0)).toBe(256);
  expect(scanAhead(1 << 20, 5)).toBe(200);
  expect(scanAhead(1 << 20, 5000)).toBe(1);
  expect(scanAhead(4096, 5000)).toBe(256);
  expect(scanAhead(16 << 20, 1)).toBe(256);
});
