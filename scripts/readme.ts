/**
 * Writes what the pages show of real runs: `bun scripts/readme.ts` puts transcripts into README.md, as root;
 * `bun scripts/readme.ts --bench FILE` puts the benchmark's tables into scripts/bench/README.md.
 */
import fs from "node:fs";
import { join } from "node:path";
import { startFreshMachine } from "../test/helpers/fresh-machine.ts";
import { Typist } from "../test/helpers/typist.ts";
import { commandsOf, questionTranscript, syncTranscript, typeAll } from "./transcripts.ts";

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

/** Lines as a block of code. */
function indented(lines: readonly string[]): string {
  return lines.map((line) => (line === "" ? "" : `    ${line}`)).join("\n");
}

/** The tables without the remarks about the project's own goals. */
function benchTables(markdown: string): string {
  return markdown.replace(/^## Goals[\s\S]*/m, "").replaceAll(/^- goal: .*\n/gm, "");
}

/** Runs what the README tells a new user to run, and a sync, on a machine of their own. */
async function fillTranscripts(): Promise<void> {
  await using machine = await startFreshMachine(100, 40);
  const typist = new Typist(machine.terminal);
  await typist.run(`PATH="${join(root, "dist")}:$PATH"; sudo() { "$@"; }`);
  const readme = fs.readFileSync(join(root, "README.md"), "utf8");
  const results = await typeAll(typist, commandsOf(readme, "The first five minutes"));
  const asked = results.find((result) => result.asked.length > 0);
  if (asked === undefined) throw new Error("Nothing was asked");
  fill("README.md", "question", indented(questionTranscript(asked)));
  fill("README.md", "run", indented(await syncTranscript(machine, typist, 1024)));
}

const [option, table = ""] = process.argv.slice(2);
if (option === "--bench") fill("scripts/bench/README.md", "bench", benchTables(fs.readFileSync(table, "utf8")));
else await fillTranscripts();
