/** What sync and compare have in common: output, report, the two ends, one summary, and everything closed at the end. */
import { asFailure, type Failure, InterruptedError } from "../errors.ts";
import { createOutput } from "../report/output.ts";
import { Report } from "../report/report.ts";
import { countReads } from "../sync/sync.ts";
import { type OpenPairOptions, openPair, type Pair, Scope } from "./endpoints.ts";
import type { Location } from "./location.ts";
import type { CommonOptions } from "./options.ts";

export interface RunContext {
  readonly report: Report;
  readonly pair: Pair;
}

/** Reports a failure, with BLOCKSYNC_DEBUG its stack too. */
export function sayFailure(report: Report, failure: Failure): void {
  report.error(failure);
  if (process.env["BLOCKSYNC_DEBUG"] !== undefined) report.stack(failure);
}

/** Rejects when the run is interrupted, with the InterruptedError that is the signal's reason. */
function interruption(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const interrupt = () => reject(signal.reason instanceof InterruptedError ? signal.reason : new InterruptedError());
    if (signal.aborted) interrupt();
    else signal.addEventListener("abort", interrupt, { once: true });
  });
}

/** How long a failed run waits for the last numbers. */
const COUNT_WAIT_MS = 500;
/** How long closing may take before the process ends all the same. */
const CLOSE_WAIT_MS = 8000;

/**
 * Opens both ends, runs `work` and reports. Returns the exit code; failures are reported here.
 */
export async function runPair(
  source: Location,
  destination: Location,
  options: CommonOptions & {
    readonly second: OpenPairOptions["second"];
    readonly compress: boolean;
    readonly bytesPerSecond: number | undefined;
  },
  signal: AbortSignal,
  work: (context: RunContext) => Promise<number>,
): Promise<number> {
  const output = createOutput({ file: options.outputFile, quiet: options.quiet, verbose: options.verbose });
  const report = new Report(output, options);
  const scope = new Scope();
  let pair: Pair | undefined;
  const run = async () => {
    for (const notice of options.notices) report.notice(notice);
    pair = await openPair(source, destination, { ...options, signal }, report, scope);
    return await work({ report, pair });
  };
  let exitCode: number;
  try {
    const interrupted = interruption(signal);
    interrupted.catch(() => undefined);
    exitCode = await Promise.race([run(), interrupted]);
    report.stop();
  } catch (error) {
    const failure = asFailure(error);
    report.stop();
    sayFailure(report, failure);
    exitCode = failure.exitCode;
    if (pair !== undefined && report.statistics !== undefined) {
      // What was read until then, if the other side still answers; a run that succeeded has counted.
      const counted = countReads(pair.source, pair.destination, report.statistics).catch(() => undefined);
      await Promise.race([counted, Bun.sleep(COUNT_WAIT_MS)]);
    }
  }
  const traffic = pair?.traffic() ?? { bytesSent: 0, bytesReceived: 0, bytesBootstrapped: 0 };
  await Promise.race([scope.close(), Bun.sleep(CLOSE_WAIT_MS)]);
  report.summary({ exitCode, source: source.label, destination: destination.label, ...traffic });
  return exitCode;
}
