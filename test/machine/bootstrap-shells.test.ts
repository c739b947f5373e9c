/** How blocksync gets to the far side: login shells and what their files print. */
import { describe } from "bun:test";
import { cellsOf } from "../helpers/bootstrap-cells.ts";

describe("bootstrap", () => {
  for (const { row, name, test, body } of cellsOf("D6.26", "D6.27")) test(`${row} ${name}`, body);
});
