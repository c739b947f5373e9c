/** All bugs that `make mutants` tries. */
import { EDGES } from "./edges.ts";
import { LOCAL, SALVAGE } from "./local.ts";
import type { Mutant } from "./mutant.ts";
import { REMOTE } from "./remote.ts";
import { STREAM } from "./stream.ts";
import { MAPS, SYNC } from "./sync.ts";
import { TREE } from "./tree.ts";
import { UNDO } from "./undo.ts";

export const ALL: readonly Mutant[] = [
  ...LOCAL,
  ...SALVAGE,
  ...STREAM,
  ...SYNC,
  ...MAPS,
  ...REMOTE,
  ...EDGES,
  ...UNDO,
  ...TREE,
];
