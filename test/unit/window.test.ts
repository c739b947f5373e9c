import { expect, test } from "bun:test";
import { Window } from "../../src/sync/window.ts";

/** Starts a take and notes its end in `log`. */
function taking(window: Window, amount: number, log: string[], name: string): Promise<number | undefined> {
  return window.take(amount).then(
    (taken) => {
      log.push(`${name} ${taken}`);
      return taken;
    },
    (cause: unknown) => {
      log.push(`${name} ${cause instanceof Error ? cause.message : String(cause)}`);
      return undefined;
    },
  );
}

/** Lets everything that is ready to go on do so. */
async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

test("new Window() refuses limits that would let nothing through", () => {
  for (const limit of [0, -1, Number.NaN]) {
    expect(() => new Window(limit)).toThrow(new RangeError(`Invalid window limit ${limit}`));
  }
  expect(new Window(1).taken).toBe(0);
});

test("Window.take() hands out up to the limit at once and counts it", async () => {
  const window = new Window(10);
  expect(await window.take(4)).toBe(4);
  expect(await window.take()).toBe(1);
  expect(await window.take(5)).toBe(5);
  expect(window.taken).toBe(10);
});

test("Window.take() waits until enough was given back", async () => {
  const window = new Window(10);
  const log: string[] = [];
  await window.take(8);
  const waiting = taking(window, 5, log, "a");
  await settle();
  expect(log).toEqual([]);
  window.give(2);
  await settle();
  expect(log).toEqual([]);
  expect(window.taken).toBe(6);
  window.give(1);
  expect(await waiting).toBe(5);
  expect(window.taken).toBe(10);
});

test("Window.take() serves in the order of asking, so that a small one does not overtake a large one", async () => {
  const window = new Window(10);
  const log: string[] = [];
  await window.take(10);
  const all = [taking(window, 9, log, "large"), taking(window, 1, log, "small"), taking(window, 1, log, "last")];
  window.give(5);
  await settle();
  expect(log).toEqual([]);
  window.give(5);
  await settle();
  expect(log).toEqual(["large 9", "small 1"]);
  expect(window.taken).toBe(10);
  window.give(9);
  await Promise.all(all);
  expect(log).toEqual(["large 9", "small 1", "last 1"]);
});

test("Window.take() does not overtake those who wait even where there is room", async () => {
  const window = new Window(10);
  const log: string[] = [];
  await window.take(6);
  const first = taking(window, 5, log, "first");
  const second = taking(window, 1, log, "second");
  await settle();
  expect(log).toEqual([]);
  window.give(6);
  await Promise.all([first, second]);
  expect(log).toEqual(["first 5", "second 1"]);
  expect(window.taken).toBe(6);
});

test("Window.take() counts more than the limit as the limit and returns that", async () => {
  const window = new Window(10);
  expect(await window.take(1000)).toBe(10);
  const log: string[] = [];
  const next = taking(window, 11, log, "next");
  await settle();
  expect(log).toEqual([]);
  window.give(10);
  expect(await next).toBe(10);
  expect(window.taken).toBe(10);
});

test("Window.give() lets several in at once when there is room for them", async () => {
  const window = new Window(4);
  const log: string[] = [];
  await window.take(4);
  const all = [1, 1, 2].map((amount, i) => taking(window, amount, log, String(i)));
  window.give(4);
  await Promise.all(all);
  expect(log).toEqual(["0 1", "1 1", "2 2"]);
  expect(window.taken).toBe(4);
});

test("Window.fail() refuses those who wait and those who come, with the first cause", async () => {
  const window = new Window(1);
  const log: string[] = [];
  await window.take();
  const waiting = [taking(window, 1, log, "a"), taking(window, 1, log, "b")];
  window.fail(new Error("broken"));
  window.fail(new Error("later"));
  await Promise.all(waiting);
  await taking(window, 1, log, "c");
  expect(log).toEqual(["a broken", "b broken", "c broken"]);
});

test("Window.give() after fail() still takes back and lets nobody in", async () => {
  const window = new Window(2);
  const log: string[] = [];
  await window.take(2);
  const waiting = taking(window, 1, log, "a");
  window.fail(new Error("broken"));
  window.give(2);
  await waiting;
  expect(window.taken).toBe(0);
  expect(log).toEqual(["a broken"]);
});
