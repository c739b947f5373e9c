/** A single block, for what asks for neighbouring ones. */
import type { BlockRange } from "../../src/sync/blocks.ts";

export function one(index: number): BlockRange {
  return { first: index, count: 1 };
}
