/** How blocksync gets to the far side: places for the copy, full ones, and connections that are cut. */
import { describe } from "bun:test";
import { cellsOf } from "../helpers/bootstrap-cells.ts";

describe("bootstrap", () => {
  for (const { row, name, test, body } of cellsOf("D6.28")) test(`${row} ${name}`, body);
});
