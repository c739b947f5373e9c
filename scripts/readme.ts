/**
 * Writes what the pages show of real runs: `bun scripts/readme.ts` puts what the demo prints into README.md;
 * `bun scripts/readme.ts --bench FILE` puts the benchmark's tables into scripts/bench/README.md.
 */
import fs from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");

/** Replaces what stands between the marks of that name. @throws {Error} when the page has none. */
function fill(page: string, mark: string, content: string): void {
  const path = join(root, page);
  const text = fs.readFileSync(path, "utf8");
  const pattern = new RegExp(`(<!-- ${mark} -->\\n)[\\s\\S]*?(<!-- /${mark} -->)`);
  if (!pattern.test(text)) throw new Error(`${page} has no marks for ${mark}`);
  const trimmed = content.replaceAll(/^\n+|\n+$/g, "");
  fs.writeFileSync(
    path,
    text.replace(pattern, (_all, start: string, end: string) => `${start}\n${trimmed}\n\n${end}`),
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

/** The tables without the remarks about the project's own goals. */
function benchTables(markdown: string): string {
  return markdown.replace(/^## Goals[\s\S]*/m, "").replaceAll(/^- goal: .*\n/gm, "");
}

const [option, table = ""] = process.argv.slice(2);
if (option === "--bench") fill("scripts/bench/README.md", "bench", benchTables(fs.readFileSync(table, "utf8")));
else fill("README.md", "transcript", demoTranscript());
