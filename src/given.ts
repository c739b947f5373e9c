/**
 * What this process was given by whoever started it: words, variables and a folder, as the texts of name.ts. Bun decodes
 * them and replaces what is no UTF-8 by U+FFFD (1.4.5, measured), so where that stands the bytes are looked up in /proc
 * (proc_pid_cmdline(5), proc_pid_environ(5)).
 */
import fs from "node:fs";
import { IoError, systemCode, UsageError } from "./errors.ts";
import { bytesOf, nameOf, quote } from "./name.ts";
import { linkText } from "./paths.ts";

const REPLACED = "\u{fffd}";
/** linux/fcntl.h (asm-generic), not in fs.constants: a folder can be entered that cannot be listed. */
const O_PATH = 0o10000000;

/** What is in a file of /proc/self: strings that end with a NUL each; nothing when the file cannot be read. */
function stringsIn(file: "cmdline" | "environ"): Buffer[] {
  const found: Buffer[] = [];
  try {
    const bytes = fs.readFileSync(`/proc/self/${file}`);
    for (let start = 0; start < bytes.length; ) {
      const end = bytes.indexOf(0, start);
      found.push(bytes.subarray(start, end === -1 ? bytes.length : end));
      start = end === -1 ? bytes.length : end + 1;
    }
  } catch {
    // Then nobody knows more than Bun does.
  }
  return found;
}

/** Whether `text` is what Bun makes of these bytes; how many replaced characters in a row stand for how many bytes is its own. */
function comesFrom(text: string, bytes: Uint8Array): boolean {
  const decoded = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  return decoded.replaceAll(/\u{fffd}+/gu, REPLACED) === text.replaceAll(/\u{fffd}+/gu, REPLACED);
}

/**
 * The words of the command line behind the program's name: those that Bun decoded, with the bytes that it lost.
 * @throws {UsageError} for a word whose bytes cannot be found out.
 */
export function wordsGiven(decoded: readonly string[]): string[] {
  if (!decoded.some((word) => word.includes(REPLACED))) return [...decoded];
  const raw = stringsIn("cmdline");
  // The last ones: what stands before them depends on how the program was started.
  const words = raw.slice(Math.max(0, raw.length - decoded.length));
  return decoded.map((text, i) => {
    if (!text.includes(REPLACED)) return text;
    const bytes = words[i];
    if (bytes !== undefined && words.length === decoded.length && comesFrom(text, bytes)) return nameOf(bytes);
    throw lost(`the word ${quote(text)}`, "/proc/self/cmdline");
  });
}

/** The value of a variable of the environment; undefined where it is not set. @throws {UsageError} as wordsGiven() does. */
export function variableGiven(name: string): string | undefined {
  const text = process.env[name];
  if (text?.includes(REPLACED) !== true) return text;
  const beginning = Buffer.from(`${name}=`);
  const bytes = stringsIn("environ")
    .find((one) => one.subarray(0, beginning.length).equals(beginning))
    ?.subarray(beginning.length);
  if (bytes !== undefined && comesFrom(text, bytes)) return nameOf(bytes);
  throw lost(`the variable ${name}`, "/proc/self/environ");
}

function lost(what: string, where: string): UsageError {
  return new UsageError(`Cannot determine the bytes of ${what}`, {
    hint: `it is not UTF-8, and ${where} cannot be read: mount /proc, or use a symbolic link with a UTF-8 name`,
  });
}

/** Without a current folder a relative name leads nowhere. @throws {IoError} */
export function checkFolder(): void {
  try {
    process.cwd();
  } catch (cause) {
    const isTooDeep = systemCode(cause) === "ERANGE";
    throw new IoError(`Cannot use the current directory: ${isTooDeep ? "its path is too long" : "it was deleted"}`, {
      cause,
      hint: isTooDeep ? "cd to a shorter path and run again" : "cd to one that exists and run again",
    });
  }
}

/** Makes `path` the folder in which relative paths begin. @throws {Error} of the system. */
export function enterFolder(path: string): void {
  // process.chdir() takes text alone; the link leads to the folder itself (proc_pid_fd(5)).
  const folder = fs.openSync(bytesOf(path), O_PATH | fs.constants.O_DIRECTORY);
  try {
    process.chdir(`/proc/self/fd/${folder}`);
  } finally {
    fs.closeSync(folder);
  }
}

/** Where the running program is, to be started again by others; its name is handed on as text. */
export function programPath(): string {
  // What the kernel calls it while this process lives, whatever its folder is called (proc_pid_exe(5)).
  return process.execPath.includes(REPLACED) ? `/proc/${process.pid}/exe` : process.execPath;
}

/** The path of the running program, to find what lies beside it. */
export function ownPath(): string {
  return process.execPath.includes(REPLACED) ? linkText("/proc/self/exe") : process.execPath;
}
