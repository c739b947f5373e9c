/** The process edge: words and signals in, message and exit code out. */

import { answerAskpass } from "./cli/askpass.ts";
import { runCommandLine } from "./cli/cli.ts";
import { asFailure, ExitCode, InterruptedError, systemCode } from "./errors.ts";

async function main(): Promise<number> {
  const askpass = answerAskpass(process.env, process.argv.slice(2));
  if (askpass !== undefined) return askpass;
  const interrupt = new AbortController();
  const onSignal = (exitCode: number) => {
    // A second signal does not wait for anything to be closed.
    if (interrupt.signal.aborted) process.exit(exitCode);
    interrupt.abort(new InterruptedError(exitCode));
  };
  process.on("SIGINT", () => onSignal(ExitCode.interrupted));
  process.on("SIGTERM", () => onSignal(ExitCode.terminated));
  process.on("SIGHUP", () => onSignal(ExitCode.terminated));
  // What nobody foresaw ends a run as a signal does: closed, said in words, and with a summary.
  const onCrash = (cause: unknown) => {
    // But a note for a standard error that nobody reads any more is none of it.
    if (systemCode(cause) !== "EPIPE") interrupt.abort(asFailure(cause));
  };
  process.on("uncaughtException", onCrash);
  process.on("unhandledRejection", onCrash);
  // Asks a run how far it is; whoever is not in one must not be ended by that.
  process.on("SIGUSR1", () => undefined);
  return await runCommandLine(process.argv.slice(2), interrupt.signal);
}

process.exit(await main());
