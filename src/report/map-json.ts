/** The change map for programs: every range that differed; scripts/map.schema.json says what it looks like. */
import { LEAF_SIZE } from "../sync/blocks.ts";
import type { Changes } from "../sync/changes.ts";

/** The two sides, as the user named them. */
export interface MapNames {
  readonly source: string;
  readonly destination: string;
}

/** Yields the file in pieces, a range on each line. For exact changes. */
export function* mapJson(changes: Changes, { source, destination }: MapNames): Generator<string> {
  const { unit, ranges } = changes.ranges();
  const { length: size, differ, zero, unreadable } = changes.total;
  const merged = unit > LEAF_SIZE;
  const head = { source, destination, size, differ, zero, unreadable, unit, merged };
  yield `${JSON.stringify(head).slice(0, -1)},"ranges":[`;
  let separator = "\n";
  for (const { offset, length, kind } of ranges) {
    yield `${separator}${JSON.stringify({ offset, length, kind })}`;
    separator = ",\n";
  }
  yield "\n]}\n";
}
