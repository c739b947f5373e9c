import { expect, test } from "bun:test";
import { numberOf, Threads } from "../../src/local/kernel/threads.ts";

/** Threads that double numbers, and how many were started of them. */
function doubling(most: number, slowMs = 0) {
  let started = 0;
  const threads = new Threads<number, number>({
    create: () => {
      started++;
      return new Worker(new URL("../helpers/doubling-thread.ts", import.meta.url).href);
    },
    most,
    slowMs,
  });
  return { threads, started: () => started };
}

test("as many threads as may be share the jobs, and each answer finds its job", async () => {
  const { threads, started } = doubling(2);
  await threads.do(1);
  const jobs = Array.from({ length: 50 }, (_, i) => i + 1);
  expect(await Promise.all(jobs.map((job) => threads.do(job)))).toEqual(jobs.map((job) => 2 * job));
  expect(started()).toBe(2);
});

test("a job waits for a thread that is not slow, instead of starting another", async () => {
  const { threads, started } = doubling(8, 3_600_000);
  threads.begin();
  threads.begin();
  expect(await Promise.all([threads.do(1), threads.do(2), threads.do(3)])).toEqual([2, 4, 6]);
  expect(started()).toBe(1);
});

test("a job that fails says why, and the next is done", async () => {
  const { threads } = doubling(1);
  const failing = threads.do(-1);
  const next = threads.do(3);
  await expect(failing).rejects.toThrow("-1 is negative");
  expect(await next).toBe(6);
});

test("what waits for a thread that ends is told, and another one takes its place", async () => {
  const { threads, started } = doubling(1);
  await expect(threads.do(0)).rejects.toThrow();
  expect(await threads.do(4)).toBe(8);
  expect(started()).toBe(2);
});

test("where the system allows no thread nobody waits for one, and it is not asked again", () => {
  let asked = 0;
  const threads = new Threads<number, number>({
    create: () => {
      asked++;
      throw new Error("no more processes");
    },
    most: 4,
    slowMs: 0,
  });
  threads.begin();
  expect([threads.do(1), threads.do(2)]).toEqual([undefined, undefined]);
  expect(asked).toBe(1);
});

test("as many threads as is usual are started as soon as all have something to do", async () => {
  let started = 0;
  const threads = new Threads<number, number>({
    create: () => {
      started++;
      return new Worker(new URL("../helpers/doubling-thread.ts", import.meta.url).href);
    },
    usual: 2,
    most: 8,
    slowMs: 3_600_000,
  });
  expect(await threads.do(1)).toBe(2);
  expect(started).toBe(1);
  expect(await Promise.all([1, 2, 3, 4].map((job) => threads.do(job)))).toEqual([2, 4, 6, 8]);
  expect(started).toBe(2);
});

test("a thread that is only being started is not slow", async () => {
  const { threads, started } = doubling(8);
  expect(await Promise.all([1, 2, 3].map((job) => threads.do(job)))).toEqual([2, 4, 6]);
  expect(started()).toBe(1);
});

test("a few jobs are not worth a second thread, more are", async () => {
  let started = 0;
  const threads = new Threads<number, number>({
    create: () => {
      started++;
      return new Worker(new URL("../helpers/doubling-thread.ts", import.meta.url).href);
    },
    usual: 2,
    few: 3,
    most: 8,
    slowMs: 3_600_000,
  });
  expect(await Promise.all([1, 2, 3].map((job) => threads.do(job)))).toEqual([2, 4, 6]);
  expect(started).toBe(1);
  expect(await Promise.all([1, 2].map((job) => threads.do(job)))).toEqual([2, 4]);
  expect(started).toBe(2);
});

test("memory is handed over once, and again when so much came in between that it was forgotten", async () => {
  const threads = new Threads<number, number>({
    create: () => new Worker(new URL("../helpers/memory-thread.ts", import.meta.url).href),
    most: 1,
    slowMs: 0,
  });
  const memories = Array.from({ length: 60 }, (_, i) => new SharedArrayBuffer(i + 1));
  for (const place of [0, 1, 0, 1, ...memories.keys(), 0, 59, ...memories.keys()]) {
    const memory = memories[place];
    if (memory !== undefined) expect(await threads.do(numberOf(memory), memory)).toBe(place + 1);
  }
  // It keeps none that was not used for long.
  const forgotten = threads.do(numberOf(memories[0] ?? new SharedArrayBuffer(1)));
  expect(await forgotten?.catch((error: unknown) => String(error))).toMatch(/Memory \d+ was not handed over/);
});
