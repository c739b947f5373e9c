/** Facts of which nothing is known, for tests to say something of. */
import type { Facts } from "../../src/sync/facts.ts";

export const NO_FACTS: Facts = {
  name: "",
  model: "",
  serial: "",
  transport: "",
  sectorBytes: 0,
  isPartition: false,
  links: 0,
  writer: "",
  isZero: false,
  atEnd: [],
  contents: [],
};
