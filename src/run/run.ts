/** What sync and compare have in common: output, report, the two ends, one summary, and everything closed at the end. */

import { asFailure, type Failure } from "../errors.ts";
import { checkLibrary } from "../local/kernel/libc.ts";
import { checkOpenFiles } from "../local/kernel/limits.ts";
import { hear } from "../report/hear.ts";
import { createOutput } from "../report/output.ts";
import { Report } from "../report/report.ts";
import { unlessAborted } from "../sync/abort.ts";
import type { Lane } from "../sync/sync.ts";
import { type LaneOptions, Lanes } from "./lanes.ts";
import { isStandardInput, type Location } from "./location.ts";
import { StartingOver } from "./starting-over.ts";
import { checkMessages, endsHere, filesOf } from "./taken.ts";

export interface RunContext {
  readonly report: Report;
  readonly startingOver: StartingOver;
  /** Of this pass. */
  readonly lanes: Lanes;
  readonly first: Lane;
  /** Has something done when the pass fails or the run is interrupted, while what is open still is, within END_WAIT_MS. */
  readonly atFailure: (act: (failure: Failure) => Promise<void>) => void;
}

/** Reports a failure, with BLOCKSYNC_DEBUG its stack too. */
export function sayFailure(report: Report, failure: Failure): void {
  report.error(failure);
  if (process.env["BLOCKSYNC_DEBUG"] !== undefined) report.stack(failure);
}

/** What a run with such a second side does. */
const TASKS = { write: "sync", rehearse: "dry run", read: "compare" } as const;

/** How long a failed run waits for the last numbers. */
const COUNT_WAIT_MS = 500;
/** How long a failed run waits for what is still to be done then. */
const END_WAIT_MS = 8000;
/** How long closing may take before the process ends all the same. */
export const CLOSE_WAIT_MS = 8000;
/** How long an interrupted run that has nothing open any more is given to notice. */
const NOTICE_WAIT_MS = 100;

/** Waits for `work`, which is told to end or cannot be, for no longer than `ms`; however it comes out. */
export async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, ms);
  await Promise.race([work.catch(() => undefined), late.promise]);
  clearTimeout(timer);
}

/**
 * Opens the first lane, runs `work`, anew as often as the run starts over, and reports. Returns the exit code; failures are
 * reported here.
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
  using output = createOutput({
    file: options.outputFile,
    quiet: options.quiet,
    verbose: options.verbose,
    draws: options.progress === "bar",
  });
  const report = new Report(output, options);
  report.begin(TASKS[options.access], source.label, destination.label);
  // As dd does (dd(1)).
  using _ = hear("SIGUSR1", () => report.tell());
  let lanes = new Lanes(source, destination, options, report, signal);
  const startingOver = new StartingOver(options.reconnectMs, signal, isStandardInput(source));
  const endings: ((failure: Failure) => Promise<void>)[] = [];
  const atFailure: RunContext["atFailure"] = (act) => void endings.push(act);
  const settle = async (failure: Failure) => {
    await within(END_WAIT_MS, Promise.allSettled(endings.splice(0).map((act) => act(failure))));
    // What was read until then, if the other side still answers; a run that succeeded has counted.
    const { statistics } = startingOver;
    if (statistics !== undefined) await within(COUNT_WAIT_MS, lanes.countReads(statistics));
  };
  const run = async () => {
    checkOpenFiles(options.lanes);
    checkLibrary();
    for (const notice of options.notices) report.notice(notice);
    for (;;) {
      try {
        return await work({ report, startingOver, lanes, first: await lanes.open(0), atFailure });
      } catch (error) {
        startingOver.after(error);
        const failure = asFailure(error);
        report.startOver(failure);
        await settle(failure);
        await within(CLOSE_WAIT_MS, lanes.close());
        await startingOver.pause();
        lanes = new Lanes(source, destination, options, report, startingOver.signal, lanes);
      }
    }
  };
  const running = run();
  let exitCode: number;
  try {
    // It ends by itself soon after the signal, unless the system keeps it; the words for it do not wait.
    exitCode = await unlessAborted(signal, running);
    report.stop();
    await within(CLOSE_WAIT_MS, unlessAborted(signal, lanes.finish()));
  } catch (error) {
    const failure = asFailure(error);
    report.stop();
    report.unreadable();
    sayFailure(report, failure);
    report.stopped();
    exitCode = failure.exitCode;
    await settle(failure);
  }
  await within(CLOSE_WAIT_MS, lanes.close());
  await within(NOTICE_WAIT_MS, running);
  const sourceAuthenticated = source.tree?.root !== undefined && lanes.isOpen;
  const labels = { source: source.label, destination: destination.label };
  report.summary({ exitCode, ...labels, ...lanes.traffic, sourceAuthenticated });
  return exitCode;
}
