/** The table of public situations names tests that exist, or says why there is none. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { join } from "node:path";

interface Situation {
  readonly text: string;
  readonly outcome: string;
  readonly shown: string;
}

/** The rows of the table; a bar within a cell is written \|. */
function situations(): Situation[] {
  const lines = fs.readFileSync(join(import.meta.dir, "../situations.md"), "utf8").split("\n");
  const rows = lines.filter((line) => line.startsWith("| ")).slice(2);
  return rows.map((row) => {
    const cells = row.slice(1, -1).split(/(?<!\\)\|/);
    const [text = "", outcome = "", shown = ""] = cells.map((cell) => cell.trim().replaceAll("\\|", "|"));
    expect({ row, cells: cells.length }).toEqual({ row, cells: 3 });
    return { text, outcome, shown };
  });
}

/** Whether a test's file has such a title, as it is or put together from a table (`${name}` for anything). */
function hasTitle(file: string, title: string): boolean {
  const path = join(import.meta.dir, "..", file);
  if (!fs.existsSync(path)) return false;
  const text = fs.readFileSync(path, "utf8");
  return [title, title.replaceAll('"', '\\"')].some((one) => text.includes(one));
}

test("every situation has a test that stands where the table says, or a reason", () => {
  const rows = situations();
  expect(rows.length).toBeGreaterThan(0);
  const wrong = rows.filter(({ text, outcome, shown }) => {
    if (text === "" || outcome === "") return true;
    if (/^not shown: ./.test(shown)) return false;
    const tests = [...shown.matchAll(/`([^`:]+\.test\.ts): ([^`]+)`/g)];
    return tests.length === 0 || tests.some(([, file = "", title = ""]) => !hasTitle(file, title));
  });
  expect(wrong).toEqual([]);
});

test("no situation stands twice", () => {
  const texts = situations().map(({ text }) => text);
  expect(texts.filter((text, i) => texts.indexOf(text) !== i)).toEqual([]);
});
