/**
 * The cells of the bootstrap matrix: with CI set all of them, else those that are quick, and the others are named.
 * `make test-bootstrap` runs them all and prints the table.
 */
import { afterAll, beforeAll, beforeEach, describe, test } from "bun:test";
import { CELLS } from "../helpers/cells.ts";
import { Bench } from "../helpers/matrix.ts";
import { NEEDS, testWith } from "../helpers/requirements.ts";

const inMatrix = testWith("sshd", "users", "shells");

describe("bootstrap", () => {
  let bench: Bench | undefined;
  beforeAll(async () => {
    if (NEEDS.sshd === undefined && NEEDS.users === undefined) bench = await Bench.start(["MaxSessions 1"]);
  });
  beforeEach(() => bench?.reset());
  afterAll(async () => {
    await bench?.[Symbol.asyncDispose]();
  });

  for (const { row, name, slow, run } of CELLS) {
    if (slow === true && process.env["CI"] === undefined) {
      process.stderr.write(`skipped: ${row} ${name}: slow, make test-bootstrap runs it\n`);
      test.skip(`${row} ${name}`, () => undefined);
      continue;
    }
    inMatrix(`${row} ${name}`, async () => {
      if (bench === undefined) throw new Error("There is no bench");
      // Throws for anything but success and the refusal that belongs here.
      await run(bench);
    });
  }
});
