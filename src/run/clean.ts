/** A run that removes the copies of the program that earlier ones left on far sides. */

import { asFailure, ExitCode, type Failure } from "../errors.ts";
import { formatBytes } from "../format.ts";
import { quote } from "../name.ts";
import { cleanHost } from "../remote/host/clean.ts";
import type { RemoteHost } from "../remote/host/ssh.ts";
import { createOutput } from "../report/output.ts";
import { Report } from "../report/report.ts";
import { hostConnection } from "./host.ts";
import type { HostOptions } from "./options.ts";
import { sayFailure } from "./run.ts";

/** Cleans every host, also after one that failed. Returns the exit code of the first failure. */
export async function runClean(
  hosts: readonly RemoteHost[],
  options: HostOptions,
  signal: AbortSignal,
): Promise<number> {
  const { quiet, verbose } = options;
  const report = new Report(createOutput({ file: undefined, quiet, verbose, draws: false }), {
    json: false,
    progress: "none",
  });
  using stages = report.stages();
  let failure: Failure | undefined;
  for (const remote of hosts) {
    const name = quote(remote.host);
    try {
      const removed = await cleanHost(remote, hostConnection(options, signal, stages.tell));
      for (const { path, sizeBytes } of removed)
        report.notice(`Removed ${quote(path)} (${formatBytes(sizeBytes)}) on ${name}`);
      if (removed.length === 0) report.notice(`No copy of blocksync was found on ${name}`);
    } catch (error) {
      if (signal.aborted) throw asFailure(signal.reason);
      failure ??= asFailure(error);
      sayFailure(report, asFailure(error));
    }
  }
  return failure?.exitCode ?? ExitCode.ok;
}
