/** The one door to child processes: a command with pipes on its input and output, and its last words kept. */

import fs from "node:fs";
import { reason, UnreachableError } from "../../errors.ts";
import { bytesOf, printable, quote } from "../../name.ts";
import { onAbort } from "../../sync/abort.ts";
import { descriptorSink, descriptorSource } from "../wire/descriptors.ts";
import type { ByteSink, ByteSource } from "../wire/streams.ts";

/** Lines of standard error that are kept for an error message, or as the stack of a bug. */
const KEPT_LINES = 32;
const KEPT_LINE_LENGTH = 400;
/** How long a child that closed its output may take to exit before it is not waited for any more. */
const EXIT_WAIT_MS = 3000;

export interface ChildOptions {
  /** undefined for our own, byte for byte; of another one what is no UTF-8 would be replaced. */
  readonly env: Readonly<Record<string, string | undefined>> | undefined;
  /** Makes a pipe whose two ends are closed by whoever has them. */
  readonly createPipe: () => { readonly readEnd: number; readonly writeEnd: number };
  /** Ends the process when aborted. */
  readonly signal: AbortSignal;
  /** Whether it is to go on where the terminal interrupts all that run on it, or closes. */
  readonly outlastsTerminal: boolean;
  /** Called for each line of standard error as it comes. Returns whether it is to be kept as one of the last words. */
  readonly onLine: (line: string) => boolean;
}

export interface Child {
  readonly source: ByteSource;
  readonly sink: ByteSink;
  /** The last lines of standard error, oldest first. */
  readonly lastLines: readonly string[];
  /** Waits for the end and says how it came: "exit status 255", "signal SIGKILL". */
  ending(): Promise<{ readonly status: number | undefined; readonly text: string }>;
  /** Closes the pipes and ends the process, first politely, for so long. Resolves when it is gone. */
  stop(politeMs?: number): Promise<void>;
}

/** Where programs are looked for when there is no PATH at all (_PATH_DEFPATH of paths.h). */
const DEFAULT_PATH = "/usr/bin:/bin";

/**
 * The file of a program named without a slash. Only folders named from the root on count: a PATH with "." in it, or with an
 * empty part, must not have whoever owns the current folder run something as us.
 */
function fileOf(name: string, env: ChildOptions["env"]): string {
  if (name.includes("/")) return name;
  const folders = ((env ?? process.env)["PATH"] ?? DEFAULT_PATH).split(":").filter((folder) => folder.startsWith("/"));
  const found = Bun.which(name, { PATH: folders.join(":") });
  if (found === null) throw new Error("not found in PATH");
  return found;
}

/** Longer answers are none. */
const ANSWER_LIMIT = 1 << 20;

export interface QuestionOptions extends Pick<ChildOptions, "env" | "signal"> {
  readonly limitMs: number;
}

/**
 * What a command prints on standard output, without input and without a terminal on which it could ask somebody; undefined when it
 * fails, or takes longer than `limitMs`, and then it is ended with all that it has started.
 */
export async function outputOf(
  [name = "", ...words]: readonly string[],
  { env, signal, limitMs }: QuestionOptions,
): Promise<string | undefined> {
  let child: Bun.Subprocess<"ignore", "pipe", "ignore">;
  try {
    child = Bun.spawn([fileOf(name, env), ...words], {
      argv0: name,
      stdio: ["ignore", "pipe", "ignore"],
      detached: true,
      ...(env === undefined ? {} : { env: { ...env } }),
    });
  } catch {
    return undefined;
  }
  const reader = child.stdout.getReader();
  const giveUp = () => {
    endGroup(child.pid);
    // What has left the group may keep the pipe open.
    reader.cancel().catch(() => undefined);
  };
  const timer = setTimeout(giveUp, limitMs);
  using _ending = onAbort(signal, giveUp);
  try {
    const decoder = new TextDecoder();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      text += decoder.decode(value, { stream: true });
      if (text.length > ANSWER_LIMIT) giveUp();
    }
    return (await child.exited) === 0 ? text : undefined;
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

/** Ends a child that leads its process group, and all in it. */
function endGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // They have ended.
  }
}

/** @throws {UnreachableError} when the command cannot be started. */
export function startChild([name = "", ...words]: readonly string[], options: ChildOptions): Child {
  const input = options.createPipe();
  const output = options.createPipe();
  let child: Bun.Subprocess<number, number, "pipe">;
  try {
    const file = fileOf(name, options.env);
    fs.accessSync(bytesOf(file), fs.constants.X_OK);
    const argv = [file, ...words];
    // What is ignored stays so in what is executed (execve(2)); Bun itself can start nothing that way.
    const deaf = ["/bin/sh", "-c", `trap "" INT HUP; exec "$@"`, "sh", ...argv];
    child = Bun.spawn(options.outlastsTerminal ? deaf : argv, {
      ...(options.outlastsTerminal ? {} : { argv0: name }),
      stdin: input.readEnd,
      stdout: output.writeEnd,
      stderr: "pipe",
      ...(options.env === undefined ? {} : { env: { ...options.env } }),
    });
  } catch (cause) {
    for (const fd of [input.readEnd, input.writeEnd, output.readEnd, output.writeEnd]) fs.closeSync(fd);
    throw new UnreachableError(`Cannot start ${quote(name)}: ${reason(cause)}`, {
      cause,
      hint: "install it on this machine; --rsh names a remote shell to use instead of ssh",
    });
  }
  const ending = onAbort(options.signal, () => child.kill("SIGTERM"));
  child.exited.finally(() => ending[Symbol.dispose]()).catch(() => undefined);
  const lastLines: string[] = [];
  const errors = collectLines(child.stderr, (line) => {
    if (!options.onLine(line)) return;
    lastLines.push(printable(line.slice(0, KEPT_LINE_LENGTH)));
    if (lastLines.length > KEPT_LINES) lastLines.shift();
  });
  // The child has its own; with ours open it would never see the end of its input, nor we that of its output.
  for (const fd of [input.readEnd, output.writeEnd]) fs.closeSync(fd);
  const sink = closeableSink(input.writeEnd);
  const source = descriptorSource(output.readEnd);
  const ended = Promise.all([child.exited, errors]);

  return {
    lastLines,
    source,
    sink,
    async ending() {
      await Promise.race([ended, Bun.sleep(EXIT_WAIT_MS)]);
      if (child.signalCode !== null) return { status: undefined, text: `signal ${child.signalCode}` };
      if (child.exitCode === null) return { status: undefined, text: "its output closed, though it still runs" };
      return { status: child.exitCode, text: `exit status ${child.exitCode}` };
    },
    async stop(politeMs = EXIT_WAIT_MS) {
      await sink.end();
      if (await settlesWithin(child.exited, politeMs)) return;
      child.kill("SIGTERM");
      if (await settlesWithin(child.exited, EXIT_WAIT_MS)) return;
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

/** A sink that closes its descriptor at the end, after the write under way: the number may be another file's at once. */
function closeableSink(fd: number): ByteSink {
  let open = true;
  let writing: Promise<void> = Promise.resolve();
  const sink = descriptorSink(fd);
  return {
    write(bytes) {
      if (!open) return Promise.reject(new Error("The pipe is closed"));
      writing = sink.write(bytes);
      return writing;
    },
    end() {
      if (open) {
        open = false;
        writing.catch(() => undefined).finally(() => fs.closeSync(fd));
      }
      return Promise.resolve();
    },
  };
}

async function settlesWithin(promise: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  let timer: Timer | undefined;
  const timeout = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), timeoutMs);
  });
  const settled = await Promise.race([promise.then(() => true), timeout]);
  clearTimeout(timer);
  return settled;
}

/** A line that does not end is cut into pieces of this length, so that a flood cannot fill the memory. */
const MAX_LINE_LENGTH = 4096;

async function collectLines(stream: ReadableStream<Uint8Array>, onLine: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split(/\r?\n/);
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.trim() !== "") onLine(line);
    if (rest.length > MAX_LINE_LENGTH) {
      onLine(rest);
      rest = "";
    }
  }
  if (rest.trim() !== "") onLine(rest);
}
