/** What the README alone says: the rest of what it names is looked at with the other pages. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { join } from "node:path";
import { ExitCode } from "../../src/errors.ts";

const root = join(import.meta.dir, "../..");
const readme = fs.readFileSync(join(root, "README.md"), "utf8");

test("README's ratios are those of the page of measurements", () => {
  const measured = fs.readFileSync(join(root, "scripts/bench/README.md"), "utf8");
  const rows = [...readme.matchAll(/^\| `([\w-]+)` \| (.+?) \| +([\d.]+) \|$/gm)];
  expect(rows.length).toBe(4);
  for (const [, name = "", against, ratio] of rows) {
    const table = measured.split(`\n## ${name}: `)[1]?.split("\n## ")[0] ?? "";
    const row = table.split("\n").find((line) => line.startsWith(`| ${against} `));
    expect({ name, ratio: row?.split("|").at(-2)?.trim() }).toEqual({ name, ratio });
  }
});

test("README's walk-through on a rescue system goes from lsblk to the new machine, with one source and one destination", () => {
  const section = readme.split("## On a rescue system\n")[1]?.split("\n## ")[0] ?? "";
  const steps = [...section.matchAll(/^ {4}(.+?) {3,}(\d)\. /gm)].map(([, command = "", number]) => ({
    command,
    number,
  }));
  expect(steps.map(({ number }) => number)).toEqual(["1", "2", "3", "4", "5", "6"]);
  const syncs = steps.filter(({ command }) => command.startsWith("/root/blocksync "));
  expect(new Set(syncs.map(({ command }) => command.split(" ").slice(-2).join(" "))).size).toBe(1);
  expect(syncs.length).toBe(2);
});

test("README lists every exit code", () => {
  for (const code of Object.values(ExitCode))
    expect(readme).toMatch(new RegExp(`^\\| (130, )?${code}(, 143)? \\|`, "m"));
});
