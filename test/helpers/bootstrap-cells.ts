/**
 * The cells of the bootstrap matrix as tests: with CI set all of them, else those that are quick, and the others are named.
 * `make test-bootstrap` runs them all and prints the table.
 */
import { afterAll, beforeAll, beforeEach, test } from "bun:test";
import { CELLS } from "./cells.ts";
import { Bench } from "./matrix.ts";
import { NEEDS, testWith } from "./requirements.ts";

export interface CellTest {
  readonly row: string;
  readonly name: string;
  readonly test: (title: string, body: () => Promise<void>) => void;
  /** Throws for anything but success and the refusal that belongs here. */
  readonly body: () => Promise<void>;
}

function skip(title: string): void {
  process.stderr.write(`skipped: ${title}: slow, make test-bootstrap runs it\n`);
  test.skip(title, () => undefined);
}

/** Those of these rows, on a bench of their own; called within describe(). */
export function cellsOf(...rows: readonly string[]): CellTest[] {
  let bench: Bench | undefined;
  beforeAll(async () => {
    if (NEEDS.sshd === undefined && NEEDS.users === undefined) bench = await Bench.start(["MaxSessions 1"]);
  });
  beforeEach(() => bench?.reset());
  afterAll(async () => {
    await bench?.[Symbol.asyncDispose]();
  });
  const inMatrix = testWith("sshd", "users", "shells");
  return CELLS.filter(({ row }) => rows.includes(row)).map(({ row, name, slow, run }) => ({
    row,
    name,
    test: slow === true && process.env["CI"] === undefined ? skip : inMatrix,
    async body() {
      if (bench === undefined) throw new Error("There is no bench");
      await run(bench);
    },
  }));
}
