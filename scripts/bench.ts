/** Measures blocksync against its peers and its goals, as whole processes taking turns: `bun scripts/bench.ts --help`. */
import { existsSync, statSync, writeFileSync } from "node:fs";
import os from "node:os";
import { type Sshd, startSshd } from "../test/helpers/sshd.ts";
import type { Case } from "./bench/case.ts";
import { CASE_NAMES, type CaseName, makeCases, needsSsh } from "./bench/cases.ts";
import { describeMachine, type Machine, machineLine } from "./bench/machine.ts";
import { measure } from "./bench/measure.ts";
import { type Options, parseOptions, USAGE, UsageError } from "./bench/options.ts";
import { Interrupted } from "./bench/process.ts";
import { caseData, caseText, goalsData, goalsText } from "./bench/report.ts";
import type { CaseResult } from "./bench/results.ts";
import { Workspace } from "./bench/workspace.ts";

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** What is only of interest while it runs. */
function printProgress(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** @throws {UsageError} for a name that is none. */
function chosenCases({ only }: Options): CaseName[] {
  if (only === undefined) return [...CASE_NAMES];
  const unknown = only.find((name) => !CASE_NAMES.some((known) => known === name));
  if (unknown !== undefined) throw new UsageError(`${JSON.stringify(unknown)} is none of ${CASE_NAMES.join(", ")}`);
  return CASE_NAMES.filter((name) => only.includes(name));
}

/** The server, or undefined and a line on why the cases over ssh are left out. */
async function serverFor(names: readonly CaseName[], workspace: Workspace): Promise<Sshd | undefined> {
  if (!names.some(needsSsh)) return undefined;
  try {
    return await startSshd({ directory: workspace.subdirectory("ssh") });
  } catch (error) {
    print(`The cases over ssh are left out: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

/** Differs once the program has been built anew; figures of two programs must not be mixed. */
function programStamp(program: string): string {
  const { ino, size, mtimeMs } = statSync(program);
  return `${ino} ${size} ${mtimeMs}`;
}

/** What the caller should know before trusting the figures. */
function printNotices({ sizeMib }: Options): void {
  const held = 2 * sizeMib * 2 ** 20;
  if (held > os.totalmem() / 2) print("Two images are more than half of the memory: the page cache may not stay warm");
}

/** After every case, so that a run that is interrupted has what it got that far. */
function writeResults(options: Options, machine: Machine, results: readonly CaseResult[], workspace: Workspace): void {
  const { sizeMib, runs, program, markdownFile, jsonFile } = options;
  // Where the images were and where the sources are is no part of the result.
  const write = (path: string, text: string) =>
    writeFileSync(path, text.replaceAll(workspace.path, "DIR").replaceAll(program, "blocksync"));
  if (markdownFile !== undefined) {
    const intro = `${machineLine(machine)}\n\n${sizeMib} MiB, ${runs} runs, page cache warm\n`;
    const cases = results.map((result) => caseText(result, workspace.sizeBytes));
    write(markdownFile, [intro, ...cases, goalsText(results)].join("\n"));
  }
  if (jsonFile !== undefined) {
    const [cases, goals] = [results.map(caseData), goalsData(results)];
    const data = { time: new Date().toISOString(), machine, sizeMib, runs, cases, goals };
    write(jsonFile, `${JSON.stringify(data, undefined, 2)}\n`);
  }
}

/** Returns the exit code: 0 unless a contender failed, whichever it was. A goal that is not met is a result as any. */
async function bench(options: Options, names: readonly CaseName[], signal: AbortSignal): Promise<number> {
  const { program } = options;
  const stamp = programStamp(program);
  const machine = await describeMachine(program, signal);
  print(machineLine(machine));
  print(`${options.sizeMib} MiB, ${options.runs} runs, page cache warm\n`);
  printNotices(options);
  using workspace = new Workspace(options.directory, options.sizeMib, signal);
  await using server = await serverFor(names, workspace);
  const cases: Case[] = makeCases(program, workspace, server).filter(({ name }) => names.some((one) => one === name));
  const results: CaseResult[] = [];
  for (const one of cases) {
    const result = await measure(one, options.runs, workspace, signal, printProgress);
    if (programStamp(program) !== stamp) throw new Error(`${program} was replaced during ${one.name}: measure again`);
    results.push(result);
    print(caseText(result, workspace.sizeBytes));
    writeResults(options, machine, results, workspace);
  }
  print(goalsText(results));
  return results.some((result) => result.results.some(({ failure }) => failure !== undefined)) ? 1 : 0;
}

/** Aborts at the first signal; by then everything has a `using` that removes it. */
function stopOnSignals(): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(name, () => controller.abort(new Interrupted(name, os.constants.signals[name])));
  }
  return controller.signal;
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (options.help || options.list) {
    process.stdout.write(options.help ? USAGE : `${CASE_NAMES.join("\n")}\n`);
    return 0;
  }
  const names = chosenCases(options);
  if (!existsSync(options.program)) throw new Error(`${options.program} is missing: make builds dist/blocksync`);
  if (Bun.which("cmp") === null) throw new Error("cmp is missing, and results cannot be checked without it");
  return await bench(options, names, stopOnSignals());
}

/** Usage and environment errors in one line; the exit code of whatever ended the run. */
function failed(error: unknown): number {
  process.stderr.write(`${error instanceof Error ? error.message : "failed"}\n`);
  if (error instanceof Interrupted) return error.exitCode;
  return error instanceof UsageError ? 2 : 1;
}

process.exit(await main().catch(failed));
