/** From the words of the command line to a command and its exit code. citty runs what arguments.ts has checked. */
import fs from "node:fs";
import { type ArgsDef, defineCommand, runCommand } from "citty";
import { asFailure, ExitCode, systemCode, UsageError } from "../errors.ts";
import { checkFolder, wordsGiven } from "../given.ts";
import { bytesOf } from "../name.ts";
import { createOutput } from "../report/output.ts";
import { Report } from "../report/report.ts";
import { sayFailure } from "../run/run.ts";
import { keepStreamsOff } from "../run/taken.ts";
import { BUILD, VERSION } from "../version.ts";
import { checkArguments } from "./arguments.ts";
import { cleanCommand } from "./clean-command.ts";
import { compareCommand } from "./compare-command.ts";
import { helpText } from "./help.ts";
import type { Values } from "./options.ts";
import { serveCommand } from "./serve-command.ts";
import { syncCommand } from "./sync-command.ts";
import { cleanOptions, compareOptions, serveOptions, syncOptions } from "./table.ts";

interface Command {
  readonly options: ArgsDef;
  /** `rawArgs` are what checkArguments() returned for `options`. */
  run(rawArgs: string[], signal: AbortSignal): Promise<{ result: unknown }>;
}

type Run = (values: Values, words: string[], signal: AbortSignal) => Promise<number>;

function command(options: ArgsDef, run: Run): Command {
  return {
    options,
    run: (rawArgs, signal) =>
      // citty adds spellings of its own (--dryRun) to the table it is given, so it gets a copy.
      runCommand(defineCommand({ args: structuredClone(options), run: ({ args }) => run(args, args._, signal) }), {
        rawArgs,
      }),
  };
}

const COMMANDS = {
  sync: command(syncOptions, syncCommand),
  compare: command(compareOptions, compareCommand),
  clean: command(cleanOptions, cleanCommand),
  serve: command(serveOptions, serveCommand),
} as const;

/**
 * Runs one command line (without the program's name, as Bun decoded it). Returns the exit code; failures are said here, with --json as
 * events too, the summary last.
 */
export async function runCommandLine(words: readonly string[], signal: AbortSignal): Promise<number> {
  try {
    return await runWords(wordsGiven(words), signal);
  } catch (error) {
    const failure = asFailure(error);
    keepStreamsOff(words);
    const report = new Report(createOutput({ file: undefined, quiet: true, verbose: false, draws: false }), {
      json: words.includes("--json"),
      progress: "none",
      intervalMs: 1000,
    });
    sayFailure(report, failure);
    const nothing = { source: "", destination: "", bytesSent: 0, bytesReceived: 0, bytesBootstrapped: 0 };
    report.summary({ exitCode: failure.exitCode, ...nothing });
    return failure.exitCode;
  }
}

function isCommand(word: string | undefined): word is keyof typeof COMMANDS {
  return word !== undefined && Object.hasOwn(COMMANDS, word);
}

/** A command behind options would be a source, and what follows it a host. @throws {UsageError} */
function checkNoCommand(source: string | undefined): void {
  if (!isCommand(source) || fs.existsSync(bytesOf(source))) return;
  throw new UsageError(`The command ${source} stands behind options`, {
    hint: `it comes first: blocksync ${source} [OPTIONS] …; a file of that name is ./${source}`,
  });
}

/** Prints what was asked for; process.stdout would lose it on a full disk and say nothing. @throws {IoError} */
function print(text: string): void {
  try {
    createOutput({ file: undefined, quiet: true, verbose: false, draws: false }).data(text);
  } catch (error) {
    // Whoever reads the first lines only (head) has what it wants.
    if (!(error instanceof Error) || systemCode(error.cause) !== "EPIPE") throw error;
  }
}

/** @throws {Failure} */
async function runWords(words: readonly string[], signal: AbortSignal): Promise<number> {
  if (words.length === 0) {
    process.stderr.write(helpText());
    return ExitCode.usage;
  }
  if (words.length === 1 && (words[0] === "--version" || words[0] === "-V")) {
    print(`blocksync ${VERSION} (build ${BUILD})`);
    return ExitCode.ok;
  }
  const [first] = words;
  const name = isCommand(first) ? first : undefined;
  const command = COMMANDS[name ?? "sync"];
  const checked = checkArguments(name === undefined ? words : words.slice(1), command.options);
  if (name === undefined) checkNoCommand(checked[checked.indexOf("--") + 1]);
  if (checked.slice(0, checked.indexOf("--")).includes("--help")) {
    print(helpText().trimEnd());
    return ExitCode.ok;
  }
  checkFolder();
  const { result } = await command.run(checked, signal);
  return typeof result === "number" ? result : ExitCode.ok;
}
