/**
 * Writes what README.md shows of real runs: `bun scripts/readme.ts` runs the demo and puts what it printed between the
 * transcript marks; with `--bench FILE` it puts the benchmark's Markdown table between those of the benchmark.
 */
import fs from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const path = join(root, "README.md");

function between(text: string, mark: string, content: string): string {
  const pattern = new RegExp(`(<!-- ${mark} -->\\n)[\\s\\S]*?(<!-- /${mark} -->)`);
  if (!pattern.test(text)) throw new Error(`README.md has no marks for ${mark}`);
  return text.replace(
    pattern,
    (_all, start: string, end: string) => `${start}\n${content.replaceAll(/^\n+|\n+$/g, "")}\n\n${end}`,
  );
}

/** Both streams in the order they were written, with the temporary folder's name taken out. */
function demoTranscript(): string {
  const demo = Bun.spawnSync(["sh", "-c", `exec "${process.execPath}" scripts/demo.ts 2>&1`], { cwd: root });
  if (demo.exitCode !== 0) throw new Error(`The demo failed:\n${demo.stdout.toString()}`);
  const text = demo.stdout.toString().replaceAll(/\/\S* test \w+\//g, "/tmp/demo/");
  return text
    .trimEnd()
    .split("\n")
    .map((line) => (line === "" ? "" : `    ${line}`))
    .join("\n");
}

/** The tables as a part of the README: one heading level down, without the remarks about the project's own goals. */
function benchTables(markdown: string): string {
  return markdown
    .replace(/^## Goals[\s\S]*/m, "")
    .replaceAll(/^## /gm, "### ")
    .replaceAll(/^- goal: .*\n/gm, "");
}

const bench = process.argv.indexOf("--bench");
let text = fs.readFileSync(path, "utf8");
if (bench === -1) text = between(text, "transcript", demoTranscript());
else text = between(text, "bench", benchTables(fs.readFileSync(process.argv[bench + 1] ?? "", "utf8")));
fs.writeFileSync(path, text);
