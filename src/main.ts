/** The process edge: words and signals in, message and exit code out. */

import fs from "node:fs";
import { runCommandLine } from "./cli/cli.ts";
import { asFailure, ExitCode, InterruptedError, systemCode } from "./errors.ts";
import { answerAskpass } from "./run/askpass.ts";

/** A terminal that closes may send its signal twice, by the kernel and by the shell. */
const SAME_SIGNAL_MS = 200;

/** Which of these signals were ignored when the process began (proc_pid_status(5): SigIgn, a bit for each signal). */
function ignoredSignals(): Set<"SIGHUP" | "SIGINT"> {
  let status: string;
  try {
    status = fs.readFileSync("/proc/self/status", "latin1");
  } catch {
    // Where no file can be opened, the run itself has better words for it.
    return new Set();
  }
  const mask = Number.parseInt(/^SigIgn:\s*[0-9a-f]*([0-9a-f]{2})$/m.exec(status)?.[1] ?? "0", 16);
  return new Set([...(mask & 1 ? ["SIGHUP" as const] : []), ...(mask & 2 ? ["SIGINT" as const] : [])]);
}

async function main(): Promise<number> {
  const askpass = answerAskpass(process.env, process.argv.slice(2));
  if (askpass !== undefined) return askpass;
  const interrupt = new AbortController();
  let interruptedAt = 0;
  const onSignal = (exitCode: number, isHangUp = false) => {
    if (!interrupt.signal.aborted) {
      interruptedAt = performance.now();
      interrupt.abort(new InterruptedError(exitCode, isHangUp));
    } else if (!isHangUp && performance.now() - interruptedAt > SAME_SIGNAL_MS) {
      // A second signal does not wait for anything to be closed.
      process.exit(exitCode);
    }
  };
  // All that listens here does so until the process ends, which is right after this; whatever else listens is disposed of.
  // What the parent has ignored stays so: nohup(1), and a shell's background jobs.
  const ignored = ignoredSignals();
  if (!ignored.has("SIGINT")) process.on("SIGINT", () => onSignal(ExitCode.interrupted));
  if (!ignored.has("SIGHUP")) process.on("SIGHUP", () => onSignal(ExitCode.terminated, true));
  process.on("SIGTERM", () => onSignal(ExitCode.terminated));
  // What nobody foresaw ends a run as a signal does: closed, said in words, and with a summary.
  const onCrash = (cause: unknown) => {
    // But a note for a standard error that nobody reads any more is none of it.
    if (systemCode(cause) !== "EPIPE") interrupt.abort(asFailure(cause));
  };
  process.on("uncaughtException", onCrash);
  process.on("unhandledRejection", onCrash);
  // A file that becomes longer than the process may make it (ulimit -f) ends a write with an error then, not the process.
  process.on("SIGXFSZ", () => undefined);
  // Asks a run how far it is; whoever is not in one must not be ended by that.
  process.on("SIGUSR1", () => undefined);
  return await runCommandLine(process.argv.slice(2), interrupt.signal);
}

/** What even the words for a failure could not be said of; Bun's own code for it, 1, would mean "differs". */
function lastWords(error: unknown): number {
  try {
    fs.writeSync(2, `blocksync: ${asFailure(error).message}\n`);
  } catch {
    // Nobody can be told.
  }
  return asFailure(error).exitCode;
}

process.exit(await main().catch(lastWords));
