import { expect, test } from "bun:test";
import { limitSink, limitSource, RateLimit } from "../../src/remote/wire/rate.ts";
import { bytes } from "../helpers/bytes.ts";
import { pipe } from "../helpers/pipe.ts";

test("RateLimit.pass() lets bytes through no faster than the rate", async () => {
  const limit = new RateLimit(1_000_000);
  const start = performance.now();
  for (let i = 0; i < 10; i++) await limit.pass(20_000);
  // The last of 10 portions may go when the nine before it have: 180 ms. Timers may be late, never early by more than 1 ms.
  expect(performance.now() - start).toBeGreaterThan(178);
});

test("limitSink() and limitSource() change nothing but the pace", async () => {
  const { source, sink, count } = pipe();
  const limited = limitSink(sink, new RateLimit(50_000_000));
  const data = bytes(1, 3_000_001);
  await limited.write(data);
  await limited.end();
  expect(count()).toBe(data.length);
  const received: Uint8Array[] = [];
  const from = limitSource(source, new RateLimit(500_000_000));
  for (let chunk = await from.read(); chunk !== undefined; chunk = await from.read()) received.push(chunk);
  expect(Buffer.concat(received).equals(data)).toBe(true);
  expect(received.length).toBe(3);
});

test("RateLimit() refuses a rate of nothing", () => {
  expect(() => new RateLimit(0)).toThrow(RangeError);
});
