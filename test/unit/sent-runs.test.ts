/** A window counts blocks of a scan, wherever they are. */
import { expect, test } from "bun:test";
import { SentRuns } from "../../src/remote/sent-runs.ts";

test("SentRuns counts the blocks that nobody has advanced beyond, and not what lies between them", () => {
  const sent = new SentRuns();
  sent.add({ first: 5, count: 3 });
  sent.add({ first: 1_000_000, count: 10 });
  expect(sent.blocks).toBe(13);
  sent.advance(5);
  expect(sent.blocks).toBe(13);
  sent.advance(7);
  expect(sent.blocks).toBe(11);
  sent.advance(3);
  expect(sent.blocks).toBe(11);
  sent.advance(999_999);
  expect(sent.blocks).toBe(10);
  sent.advance(1_000_010);
  expect(sent.blocks).toBe(0);
  sent.add({ first: 2_000_000, count: 1 });
  sent.advance(2_000_000);
  expect(sent.blocks).toBe(1);
  sent.advance(3_000_000);
  expect(sent.blocks).toBe(0);
});
