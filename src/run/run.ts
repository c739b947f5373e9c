/** What sync and compare have in common: output, report, the two ends, one summary, and everything closed at the end. */

import { asFailure, type Failure } from "../errors.ts";
import { checkLibrary } from "../local/kernel/libc.ts";
import { checkOpenFiles } from "../local/kernel/limits.ts";
import { createOutput } from "../report/output.ts";
import { Report } from "../report/report.ts";
import type { Lane } from "../sync/sync.ts";
import { type LaneOptions, Lanes } from "./lanes.ts";
import type { Location } from "./location.ts";
import { checkMessages, endsHere, filesOf } from "./taken.ts";

export interface RunContext {
  readonly report: Report;
  readonly lanes: Lanes;
  readonly first: Lane;
  /** Has something done when the run fails or is interrupted, while what is open still is, within END_WAIT_MS. */
  readonly atFailure: (act: (failure: Failure) => Promise<void>) => void;
}

/** Reports a failure, with BLOCKSYNC_DEBUG its stack too. */
export function sayFailure(report: Report, failure: Failure): void {
  report.error(failure);
  if (process.env["BLOCKSYNC_DEBUG"] !== undefined) report.stack(failure);
}

/** Rejects when the run is interrupted, with the failure that is the signal's reason. */
function interruption(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const interrupt = () => reject(asFailure(signal.reason));
    if (signal.aborted) interrupt();
    else signal.addEventListener("abort", interrupt, { once: true });
  });
}

/** What a run with such a second side does. */
const TASKS = { write: "sync", rehearse: "dry run", read: "compare" } as const;

/** How long a failed run waits for the last numbers. */
const COUNT_WAIT_MS = 500;
/** How long a failed run waits for what is still to be done then. */
const END_WAIT_MS = 8000;
/** How long closing may take before the process ends all the same. */
const CLOSE_WAIT_MS = 8000;

/**
 * Opens the first lane, runs `work` and reports. Returns the exit code; failures are reported here.
 */
export async function runPair(
  source: Location,
  destination: Location,
  options: LaneOptions,
  signal: AbortSignal,
  work: (context: RunContext) => Promise<number>,
): Promise<number> {
  if (options.outputFile !== undefined)
    checkMessages(options.outputFile, [
      ...endsHere(source, destination),
      ...filesOf({ "the key of --id": options.shell.identityFile }),
    ]);
  const output = createOutput({
    file: options.outputFile,
    quiet: options.quiet,
    verbose: options.verbose,
    draws: options.progress === "bar",
  });
  const report = new Report(output, options);
  // As dd does (dd(1)).
  process.on("SIGUSR1", () => report.tell());
  const lanes = new Lanes(source, destination, options, report, signal);
  const endings: ((failure: Failure) => Promise<void>)[] = [];
  const atFailure: RunContext["atFailure"] = (act) => void endings.push(act);
  const run = async () => {
    checkOpenFiles(options.lanes);
    checkLibrary();
    for (const notice of options.notices) report.notice(notice);
    return await work({ report, lanes, first: await lanes.open(0), atFailure });
  };
  let exitCode: number;
  try {
    const interrupted = interruption(signal);
    interrupted.catch(() => undefined);
    exitCode = await Promise.race([run(), interrupted]);
    report.stop();
    await Promise.race([lanes.finish(), interrupted.catch(() => undefined), Bun.sleep(CLOSE_WAIT_MS)]);
  } catch (error) {
    const failure = asFailure(error);
    report.stop();
    sayFailure(report, failure);
    report.stopped(TASKS[options.access]);
    exitCode = failure.exitCode;
    await Promise.race([Promise.allSettled(endings.map((act) => act(failure))), Bun.sleep(END_WAIT_MS)]);
    if (report.statistics !== undefined) {
      // What was read until then, if the other side still answers; a run that succeeded has counted.
      const counted = lanes.countReads(report.statistics).catch(() => undefined);
      await Promise.race([counted, Bun.sleep(COUNT_WAIT_MS)]);
    }
  }
  await Promise.race([lanes.close(), Bun.sleep(CLOSE_WAIT_MS)]);
  report.summary({ exitCode, source: source.label, destination: destination.label, ...lanes.traffic });
  return exitCode;
}
