/**
 * `make mutants`: puts the bugs of scripts/mutants/ into a copy of the sources, one at a time, and tells which test notices
 * each, in a line on standard output: first the tests that its entry names, and only if they stay green all others.
 * ONLY=TEXT|TEXT picks entries by what they say or change; WIDE=0 leaves the others out.
 */
import fs from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ALL } from "./mutants/all.ts";
import { mutated, testOf } from "./mutants/mutant.ts";

const root = join(import.meta.dir, "..");
/** A test may take so long before it counts as hanging, which notices a bug too; all of them together much longer. */
const TEST_MS = 30_000;
const NAMED_MS = 180_000;
const ALL_MS = 1_800_000;

const only = (process.env["ONLY"] ?? "").split("|");
const wide = process.env["WIDE"] !== "0";
const copy = fs.mkdtempSync(join(tmpdir(), "blocksync-mutants-"));

/** Ends the command under way and all that it started. */
let stop: () => void = () => undefined;
function leave(): void {
  stop();
  fs.rmSync(copy, { recursive: true, force: true });
}
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    leave();
    process.exit(130);
  });

/** Runs a command in the copy, for so long and no longer; a hanging bug leaves nothing behind. */
async function run(words: readonly string[], limitMs: number): Promise<{ exitCode: number; output: string }> {
  const child = Bun.spawn([...words], {
    cwd: copy,
    env: { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  stop = () => {
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // Nothing of it is left.
    }
  };
  const timer = setTimeout(stop, limitMs);
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  clearTimeout(timer);
  stop();
  return { exitCode, output: stdout + stderr };
}

/** What of the tests is red: titles, or that they did not end; undefined when all are green. */
async function redOf(words: readonly string[], limitMs: number): Promise<string | undefined> {
  const { exitCode, output } = await run(
    [process.execPath, "test", "--bail", "--timeout", String(TEST_MS), ...words],
    limitMs,
  );
  if (exitCode === 0) return undefined;
  const titles = [...output.matchAll(/^\(fail\) (.*?)(?: \[[\d.]+ms\])?$/gm)].map(([, title = ""]) => title);
  return titles[0] === undefined ? "it did not end, or did not load" : titles[0];
}

function wordsFor(test: string): string[] {
  const { file, title } = testOf(test);
  const pattern = title.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return [`test/${file}`, ...(title === "" ? [] : ["-t", pattern])];
}

/** Whether a test runs the compiled program, by all it imports of test/. */
function usesBinary(file: string, seen = new Set<string>()): boolean {
  if (seen.has(file)) return false;
  seen.add(file);
  const text = fs.readFileSync(file, "utf8");
  if (text.includes("dist/blocksync")) return true;
  const imports = [...text.matchAll(/from "(\.\.?\/[^"]+\.ts)"/g)].map(([, path = ""]) => join(dirname(file), path));
  return imports.some((path) => !path.startsWith(join(copy, "src")) && usesBinary(path, seen));
}

/** The first test that is red, its file before it; undefined when all are green. Builds the program if any of them runs it. */
async function redAmong(tests: Iterable<string>): Promise<string | undefined> {
  let built = false;
  for (const test of tests) {
    const { file } = testOf(test);
    if (!built && usesBinary(join(copy, "test", file))) {
      await build();
      built = true;
    }
    const red = await redOf(wordsFor(test), NAMED_MS);
    if (red !== undefined) return `${file}: ${red}`;
  }
  return undefined;
}

async function build(): Promise<void> {
  const { exitCode, output } = await run([process.execPath, "scripts/build.ts"], NAMED_MS);
  if (exitCode !== 0) throw new Error(`The sources do not compile: ${output}`);
}

function copySources(): void {
  const list = Bun.spawnSync(["git", "ls-files", "-co", "--exclude-standard"], { cwd: root }).stdout.toString();
  for (const name of list.trimEnd().split("\n")) {
    if (fs.existsSync(join(root, name))) fs.cpSync(join(root, name), join(copy, name));
  }
  fs.symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
}

/** What caught it, in words; undefined when nothing did. */
async function caughtBy(tests: readonly string[]): Promise<string | undefined> {
  const named = await redAmong(tests);
  if (named !== undefined || !wide) return named;
  await build();
  const red = await redOf([], ALL_MS);
  return red === undefined ? undefined : `none that is named, but ${red}`;
}

async function main(): Promise<number> {
  copySources();
  const chosen = ALL.filter(({ bug, file, from }) =>
    [bug, file, from].some((text) => only.some((one) => text.includes(one))),
  );
  const redAnyway = new Set<string>();
  for (const test of new Set(chosen.flatMap(({ tests }) => tests))) {
    const red = await redAmong([test]);
    if (red === undefined) continue;
    redAnyway.add(test);
    process.stdout.write(`Red without any bug, so it says nothing: ${red}\n`);
  }
  let caught = 0;
  for (const mutant of chosen) {
    const path = join(copy, "src", mutant.file);
    const text = fs.readFileSync(path, "utf8");
    fs.writeFileSync(path, mutated(text, mutant));
    const by = await caughtBy(mutant.tests.filter((test) => !redAnyway.has(test)));
    fs.writeFileSync(path, text);
    if (by !== undefined) caught++;
    const outcome = by === undefined ? "SURVIVED" : `caught by ${by}`;
    process.stdout.write(`src/${mutant.file}: ${mutant.bug}: ${outcome}\n`);
  }
  process.stdout.write(`${caught} of ${chosen.length} caught\n`);
  return caught === chosen.length && redAnyway.size === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} finally {
  leave();
}
