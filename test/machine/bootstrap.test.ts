/** How blocksync gets to the far side: what somebody planted there, its platform, its tools, the way there. */
import { describe } from "bun:test";
import { cellsOf } from "../helpers/bootstrap-cells.ts";

describe("bootstrap", () => {
  for (const { row, name, test, body } of cellsOf("D6.29", "D6.30", "D6.31", "D6.32")) test(`${row} ${name}`, body);
});
