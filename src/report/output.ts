/**
 * Where words go: the terminal's standard error, or with --output a file. Standard output carries data only (JSON
 * events, the ranges of compare). Written synchronously, so nothing is lost when the process ends.
 */

import fs from "node:fs";
import { type ConsolaInstance, createConsola, LogLevels } from "consola/core";
import { isTerminal } from "../builtin.ts";
import { IoError, reason, systemCode } from "../errors.ts";
import { formatTime } from "../format.ts";
import { bytesOf, printable, quote } from "../name.ts";
import { canDraw } from "./display.ts";
import { unheard } from "./hear.ts";
import { Screen } from "./screen.ts";

const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK, O_NOCTTY } = fs.constants;

/** Its owner disposes of it, after the last word. */
export interface Output extends Disposable {
  /** Messages by level: error, warn, info, debug (-v). The one consola of the program. */
  readonly log: ConsolaInstance;
  /** A progress line: not a message, so not silenced by the level but by --quiet and --progress. */
  line(text: string): void;
  /** A line of data on standard output. @throws {IoError} */
  data(text: string): void;
  /** Whether a person looks on. */
  readonly isTerminal: boolean;
  /** Whether it is a file that is appended to, where each line has its time. */
  readonly isLog: boolean;
  /** The terminal's lowest lines, below all that is written; undefined where there is none to draw on. */
  readonly screen: Screen | undefined;
}

export interface OutputOptions {
  /** Append messages and progress to this file instead of standard error. */
  readonly file: string | undefined;
  readonly quiet: boolean;
  readonly verbose: boolean;
  /** Whether something may be drawn on the terminal. */
  readonly draws: boolean;
}

const PREFIX: Readonly<Record<string, string>> = {
  error: "blocksync: ",
  warn: "blocksync: warning: ",
  fatal: "blocksync: ",
};

/** For a reader that stops no longer than this, in milliseconds, a signal waits. */
const PATIENCE_MS = 1000;
const RETRY_MS = 5;

/**
 * The same pipe or terminal as `fd`, but writes to it say EAGAIN where they would wait for a reader that has stopped (less, Ctrl-S);
 * those of others wait as before. undefined for a file, and where it cannot be opened again.
 */
function unhurried(fd: number): number | undefined {
  try {
    const stat = fs.fstatSync(fd);
    if (!stat.isFIFO() && !stat.isCharacterDevice()) return undefined;
    return fs.openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    return undefined;
  }
}

function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  using stack = new DisposableStack();
  const own = unhurried(fd);
  if (own !== undefined) stack.defer(() => fs.closeSync(own));
  let stalledMs = 0;
  for (let done = 0; done < bytes.length; ) {
    try {
      done += fs.writeSync(own ?? fd, bytes, done);
    } catch (error) {
      if (systemCode(error) !== "EAGAIN") throw error;
      if (stalledMs < PATIENCE_MS && stalledMs + RETRY_MS >= PATIENCE_MS) stack.use(unheard());
      stalledMs += RETRY_MS;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  }
}

/** Nobody may listen any more (a closed terminal or pipe); the run and its exit code matter more. */
function say(fd: number, text: string): void {
  try {
    writeAll(fd, text);
  } catch {
    // As said.
  }
}

/** The last look at a message, whatever it was put together from: of what a terminal obeys only line breaks stay. */
function shown(message: string): string {
  return message.split("\n").map(printable).join("\n");
}

/** @throws {IoError} when the output file cannot be opened. */
export function createOutput(options: OutputOptions): Output {
  let fd = 2;
  if (options.file !== undefined) {
    try {
      // A pipe without a reader is refused, not waited for.
      fd = fs.openSync(bytesOf(options.file), O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o666);
    } catch (error) {
      throw new IoError(`Cannot open ${quote(options.file)} for messages: ${reason(error)}`, {
        cause: error,
        hint: "--output needs a file in an existing directory",
      });
    }
  }
  const screen = options.draws && fd === 2 && canDraw(process.env) ? new Screen((text) => say(2, text)) : undefined;
  const write = (text: string, isError: boolean) => {
    if (fd !== 2) say(fd, text.replaceAll(/^(?=.)/gm, `${formatTime(new Date())} `));
    else if (screen === undefined) say(fd, text);
    else screen.writeAbove(text);
    // What ends a run is said where the user looks, too.
    if (isError && fd !== 2) say(2, text);
  };
  const log = createConsola({
    level: options.quiet ? LogLevels.warn : options.verbose ? LogLevels.debug : LogLevels.info,
    throttle: 0,
    reporters: [
      {
        log: ({ type, args }) =>
          write(`${PREFIX[type] ?? ""}${shown(args.map(String).join(" "))}\n`, type === "error" || type === "fatal"),
      },
    ],
  });
  return {
    log,
    line: (text) => write(`${text}\n`, false),
    isLog: fd !== 2,
    isTerminal: fd === 2 && isTerminal(2),
    screen,
    data: (text) => {
      // Both may be the same terminal.
      screen?.erase();
      try {
        writeAll(1, `${text}\n`);
      } catch (error) {
        throw new IoError(`Cannot write to standard output: ${reason(error)}`, { cause: error });
      }
    },
    [Symbol.dispose]: () => {
      screen?.[Symbol.dispose]();
      if (fd !== 2) fs.closeSync(fd);
    },
  };
}
