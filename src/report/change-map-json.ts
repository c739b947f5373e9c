/** The change map for programs: every range that differed; scripts/map.schema.json says what it looks like. */
import { LEAF_SIZE } from "../sync/blocks.ts";
import type { Changes } from "../sync/changes.ts";
import { jsonLine, nameFields } from "./json.ts";

/** The two sides, as the user named them. */
export interface ChangeMapNames {
  readonly source: string;
  readonly destination: string;
}

/** Yields the file in pieces, a range on each line. For exact changes. */
export function* mapJson(changes: Changes, { source, destination }: ChangeMapNames): Generator<string> {
  const { unit, ranges } = changes.ranges();
  const { length: size, differ, zero, unreadable } = changes.total;
  const merged = unit > LEAF_SIZE;
  const names = { ...nameFields("source", source), ...nameFields("destination", destination) };
  const head = { ...names, size, differ, zero, unreadable, unit, merged };
  yield `${jsonLine(head).slice(0, -1)},"ranges":[`;
  let separator = "\n";
  for (const { offset, length, kind } of ranges) {
    yield `${separator}${JSON.stringify({ offset, length, kind })}`;
    separator = ",\n";
  }
  yield "\n]}\n";
}
