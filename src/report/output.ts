/**
 * Where words go: the terminal's standard error, or with --output a file. Standard output carries data only (JSON
 * events, the ranges of compare). Written synchronously, so nothing is lost when the process ends.
 */

import fs from "node:fs";
import tty from "node:tty";
import { type ConsolaInstance, createConsola, LogLevels } from "consola/core";
import { IoError, reason, systemCode } from "../errors.ts";
import { formatTime } from "../format.ts";
import { bytesOf, printable, quote } from "../name.ts";
import { canDraw } from "./display.ts";
import { Screen } from "./screen.ts";

const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = fs.constants;

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

function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  let done = 0;
  while (done < bytes.length) {
    try {
      done += fs.writeSync(fd, bytes, done);
    } catch (error) {
      // A pipe that another process made non-blocking: wait for its reader.
      if (systemCode(error) !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
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
    isTerminal: fd === 2 && tty.isatty(2),
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
