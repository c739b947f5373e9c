/** From the words of the command line to a command and its exit code. citty runs what arguments.ts has checked. */
import { type ArgsDef, defineCommand, runCommand } from "citty";
import { asFailure, ExitCode, systemCode, UsageError } from "../errors.ts";
import { checkFolder, wordsGiven } from "../given.ts";
import { startIoThreads } from "../local/kernel/libc.ts";
import { quote } from "../name.ts";
import { createOutput } from "../report/output.ts";
import { Report } from "../report/report.ts";
import { sayFailure } from "../run/run.ts";
import { keepStreamsOff } from "../run/taken.ts";
import { BUILD, VERSION } from "../version.ts";
import { checkArguments } from "./arguments.ts";
import { cleanCommand } from "./clean-command.ts";
import { compareCommand } from "./compare-command.ts";
import { exists } from "./exists.ts";
import { answerTo } from "./foreign.ts";
import { commandHelp, helpText, isCommandName } from "./help.ts";
import { historyCommand } from "./history-command.ts";
import { indexCommand } from "./index-command.ts";
import type { Values } from "./options.ts";
import { serveCommand } from "./serve-command.ts";
import { nearest } from "./suggest.ts";
import { syncCommand } from "./sync-command.ts";
import { cleanOptions, compareOptions, historyOptions, indexOptions, serveOptions, syncOptions } from "./table.ts";

interface Command {
  readonly options: ArgsDef;
  /** How many words besides options it needs. */
  readonly least: number;
  /** `rawArgs` are what checkArguments() returned for `options`. */
  run(rawArgs: string[], signal: AbortSignal): Promise<{ result: unknown }>;
}

type Run = (values: Values, words: string[], signal: AbortSignal) => Promise<number>;

function command(options: ArgsDef, least: number, run: Run): Command {
  return {
    options,
    least,
    run: (rawArgs, signal) =>
      // citty adds spellings of its own (--dryRun) to the table it is given, so it gets a copy.
      runCommand(defineCommand({ args: structuredClone(options), run: ({ args }) => run(args, args._, signal) }), {
        rawArgs,
      }),
  };
}

const COMMANDS = {
  sync: command(syncOptions, 2, syncCommand),
  // With --tree one is enough.
  compare: command(compareOptions, 1, compareCommand),
  index: command(indexOptions, 1, indexCommand),
  history: command(historyOptions, 1, historyCommand),
  clean: command(cleanOptions, 1, cleanCommand),
  serve: command(serveOptions, 0, serveCommand),
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
    });
    sayFailure(report, failure);
    const nothing = {
      source: "",
      destination: "",
      bytesSent: 0,
      bytesReceived: 0,
      bytesBootstrapped: 0,
      bytesFetched: 0,
    };
    report.summary({ exitCode: failure.exitCode, ...nothing, sourceAuthenticated: false });
    return failure.exitCode;
  }
}

/**
 * A word in a command's place is a source unless it is a command, and what follows it then a host.
 * @throws {UsageError} for a command behind options, another tool's command, and a mistyped one, unless a file has that name
 */
function checkNoCommand(source: string | undefined, isFollowed: boolean): void {
  if (source === undefined || exists(source)) return;
  if (isCommandName(source))
    throw new UsageError(`The command ${source} comes first, before any option`, {
      hint: `blocksync ${source} [OPTIONS] …; for a file of that name write ./${source}`,
    });
  const known = answerTo("command", source);
  const meant = isFollowed ? nearest(source, Object.keys(COMMANDS)) : undefined;
  if (known === undefined && meant === undefined) return;
  throw new UsageError(`${quote(source)} is neither a command nor a file`, {
    hint: known ?? `did you mean blocksync ${meant}?`,
  });
}

/** Writes what was asked for; process.stdout would lose it on a full disk and say nothing. @throws {IoError} */
function writeOut(text: string): void {
  try {
    createOutput({ file: undefined, quiet: true, verbose: false, draws: false }).data(text);
  } catch (error) {
    // Whoever reads the first lines only (head) has what it wants.
    if (!(error instanceof Error) || systemCode(error.cause) !== "EPIPE") throw error;
  }
}

/** What a terminal is taken for that does not say how wide it is, and what is no terminal. */
const USUAL_COLUMNS = 80;

/** The columns there are for a text on `stream`. */
function columnsOf(stream: NodeJS.WriteStream): number {
  const given = Number(process.env["COLUMNS"]);
  return Number.isInteger(given) && given > 0 ? given : stream.columns || USUAL_COLUMNS;
}

/** The text of --help for a command, undefined for all. */
function writeHelp(command: string | undefined): number {
  const columns = columnsOf(process.stdout);
  writeOut((isCommandName(command) ? commandHelp(command, columns) : helpText(columns)).trimEnd());
  return ExitCode.ok;
}

/** `help`, `help COMMAND`, `version` and --version, which are no commands for a file of that name; undefined for other words. */
function answered(words: readonly string[]): number | undefined {
  const [first, second] = words;
  const options = words.filter((word) => word.startsWith("-"));
  const others = words.filter((word) => !word.startsWith("-"));
  const asksVersion = options.includes("--version") || options.includes("-V");
  if ((asksVersion && others.every(isCommandName)) || (first === "version" && others.length === 1)) {
    writeOut(`blocksync ${VERSION} (build ${BUILD})`);
    return ExitCode.ok;
  }
  const asksHelp = first === "help" && others.length <= 2 && (isCommandName(second) || !exists(first));
  return asksHelp ? writeHelp(second) : undefined;
}

/** @throws {Failure} */
async function runWords(words: readonly string[], signal: AbortSignal): Promise<number> {
  if (words.length === 0) {
    process.stderr.write(helpText(columnsOf(process.stderr)));
    return ExitCode.usage;
  }
  const exitCode = answered(words);
  if (exitCode !== undefined) return exitCode;
  const [first] = words;
  const name = isCommandName(first) ? first : undefined;
  const command = COMMANDS[name ?? "sync"];
  const checked = checkArguments(name === undefined ? words : words.slice(1), command.options, command.least);
  const end = checked.indexOf("--");
  const [source, ...others] = checked.slice(end + 1);
  if (checked.slice(0, end).includes("--help")) return writeHelp(name ?? source);
  if (name === undefined) checkNoCommand(source, others.length > 0);
  checkFolder();
  // Where the C library cannot be called, the command says so.
  await startIoThreads().catch(() => undefined);
  const { result } = await command.run(checked, signal);
  return typeof result === "number" ? result : ExitCode.ok;
}
