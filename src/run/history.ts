/** A look at what --undo DIR/ has kept. */
import { ExitCode } from "../errors.ts";
import { formatBytes } from "../format.ts";
import { type Day, historyOf } from "../local/undo/history.ts";
import { quote, shownName } from "../name.ts";
import { createOutput } from "../report/output.ts";

/** Prints a line a day, the oldest first. Returns the exit code: 7 where a file does not show its day any more. @throws {IoError} */
export async function runHistory(folder: string): Promise<number> {
  using output = createOutput({ file: undefined, quiet: false, verbose: false, draws: false });
  const days = await historyOf(folder);
  if (days.length === 0) output.log.info(`${quote(folder)} holds no undo files`);
  const rows = days.map(columnsOf);
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  for (const row of rows) output.data(row.map((text, column) => text.padEnd(widths[column] ?? 0)).join("  "));
  return days.some(({ problem }) => problem !== undefined) ? ExitCode.verification : ExitCode.ok;
}

function columnsOf({ name, timeMs, sizeBytes, changedBytes, problem }: Day): string[] {
  return [
    new Date(timeMs).toISOString().replace(/\.\d+Z$/, "Z"),
    formatBytes(sizeBytes),
    `${formatBytes(changedBytes)} changed`,
    shownName(name),
    problem === undefined ? "whole" : `not whole: ${problem}`,
  ];
}
