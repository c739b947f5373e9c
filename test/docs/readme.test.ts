/** What the README alone says: the rest of what it names is looked at with the other pages. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { join } from "node:path";
import { ExitCode } from "../../src/errors.ts";

const root = join(import.meta.dir, "../..");
const readme = fs.readFileSync(join(root, "README.md"), "utf8");

test("README's ratios are those of the page of measurements", () => {
  const measured = fs.readFileSync(join(root, "scripts/bench/README.md"), "utf8");
  const rows = [...readme.matchAll(/^\| `([\w-]+)`: .*? \| (.+?) \| +([\d.]+) \|$/gm)];
  expect(rows.length).toBe(4);
  for (const [, name = "", against, ratio] of rows) {
    const table = measured.split(`\n## ${name}: `)[1]?.split("\n## ")[0] ?? "";
    const row = table.split("\n").find((line) => line.startsWith(`| ${against} `));
    expect({ name, ratio: row?.split("|").at(-2)?.trim() }).toEqual({ name, ratio });
  }
});

test("README lists every exit code", () => {
  const table = readme.split("| code | meaning |")[1]?.split("\n\n")[0] ?? "";
  const codes = table.split("|").flatMap((cell) => (/^ \d+(, \d+)* $/.test(cell) ? cell.split(",").map(Number) : []));
  expect(codes.toSorted((a, b) => a - b)).toEqual(Object.values(ExitCode));
});

test("README's lines of jq are among those of the examples, which are run", () => {
  const lines = (text: string) => [...text.matchAll(/^ {4}blocksync .* \| jq .*$/gm)].map(([line]) => line);
  const examples = lines(fs.readFileSync(join(root, "scripts/examples/README.md"), "utf8"));
  expect(lines(readme).length).toBeGreaterThan(0);
  expect(lines(readme).filter((line) => !examples.includes(line))).toEqual([]);
});

test("README stays a page", () => {
  expect(readme.split("\n").length).toBeLessThan(165);
});
