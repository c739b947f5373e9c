/** blocksync [sync] */
import fs from "node:fs";
import { ExitCode } from "../errors.ts";
import { formatBytes } from "../report/format.ts";
import { Statistics } from "../sync/statistics.ts";
import { checkPair, layoutOf, sizeDiffers, synchronize } from "../sync/sync.ts";
import { confirmOverwrite } from "./confirm.ts";
import { parseLocations } from "./location.ts";
import { syncCommandOptions, type Values } from "./options.ts";
import { type RunContext, runPair } from "./run.ts";

/** Returns the exit code. @throws {UsageError} */
export async function runSync(values: Values, words: readonly string[], signal: AbortSignal): Promise<number> {
  const options = syncCommandOptions(values);
  const { source, destination } = parseLocations(words, fs.existsSync);
  return await runPair(
    source,
    destination,
    { ...options, second: options.dryRun ? "dry run" : "destination" },
    signal,
    async (context) => {
      const { first, lanes, report } = context;
      const [from, to] = [first.source.description, first.destination.description];
      const exact = options.createDestination;
      for (const notice of checkPair(from, to, { exact })) report.notice(notice);
      if (to.kind === "device" && !options.force && !options.dryRun) await confirmOverwrite(from, to);
      const layout = layoutOf(from, options.blockSize);
      const statistics = new Statistics(layout, options.lanes);
      const hash = [options.hash, options.additionalHash].filter((name) => name !== undefined).join(" and ");
      report.start(source.label, destination.label, statistics, hash);
      const { blockSize, dryRun, pauseMs } = options;
      const openLane = async (number: number) => {
        await lanes.rest(number * options.splayMs);
        return await lanes.open(number);
      };
      await synchronize(first, { blockSize, exact, dryRun, pauseMs }, statistics, openLane);
      report.stop();
      if (!dryRun) {
        report.completed(syncResult(context, statistics));
        return ExitCode.ok;
      }
      const differs = statistics.blocksDiffering > 0 || sizeDiffers(from, to, { exact });
      report.completed(
        `${statistics.blocksDiffering} of ${statistics.blocksTotal} blocks differ; nothing was written (dry run)`,
      );
      return differs ? ExitCode.differs : ExitCode.ok;
    },
  );
}

function syncResult({ lanes }: RunContext, statistics: Statistics): string {
  const { bytesSent, bytesReceived } = lanes.traffic;
  const wire =
    bytesSent + bytesReceived === 0
      ? ""
      : `, ${formatBytes(bytesSent)} sent and ${formatBytes(bytesReceived)} received`;
  return `${formatBytes(statistics.sizeBytes)} equal, ${statistics.blocksDiffering} of ${statistics.blocksTotal} blocks differed, ${formatBytes(statistics.bytesWritten)} written${wire}`;
}
