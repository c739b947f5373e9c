/**
 * `make test-bootstrap`: tries every way in which a far side can be strange, and prints one table. As root, with sshd,
 * dropbear and the shells; ONLY=TEXT runs the cells whose row and name contain it.
 */
import { CELLS, type Cell } from "../test/helpers/cells.ts";
import { Bench } from "../test/helpers/matrix.ts";

const only = process.env["ONLY"] ?? "";
const cells = CELLS.filter(({ row, name }) => `${row} ${name}`.includes(only));
const width = Math.max(...cells.map(({ name }) => name.length));
let failures = 0;

async function outcomeOf(cell: Cell, bench: Bench): Promise<string> {
  try {
    bench.reset();
    const sentence = await cell.run(bench);
    return sentence === "" ? "passed" : `refused: ${sentence}`;
  } catch (error) {
    failures++;
    return `FAILED: ${error instanceof Error ? error.message : String(error)}`;
  }
}

{
  await using bench = await Bench.start(["MaxSessions 1"]);
  process.stdout.write(`| row   | ${"far side".padEnd(width)} |    s | outcome\n`);
  for (const cell of cells) {
    const begun = performance.now();
    const outcome = await outcomeOf(cell, bench);
    const seconds = ((performance.now() - begun) / 1000).toFixed(1).padStart(4);
    process.stdout.write(`| ${cell.row} | ${cell.name.padEnd(width)} | ${seconds} | ${outcome}\n`);
  }
}
process.stdout.write(`\n${cells.length - failures} of ${cells.length} as they have to be\n`);
process.exit(failures === 0 ? 0 : 1);
