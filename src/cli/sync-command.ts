/** blocksync [sync] */
import fs from "node:fs";
import { ExitCode, UsageError } from "../errors.ts";
import { formatBytes } from "../report/format.ts";
import type { Description } from "../sync/endpoint.ts";
import { areasWith, type MapArea, mapAfter, without } from "../sync/mapfile.ts";
import { Statistics } from "../sync/statistics.ts";
import { checkPair, layoutOf, sizeDiffers, synchronize } from "../sync/sync.ts";
import { ChangeMap } from "./change-map.ts";
import { canAsk, confirmOverwrite } from "./confirm.ts";
import { checkExpected } from "./expect.ts";
import { parseLocations } from "./location.ts";
import { MapFile } from "./mapfile.ts";
import { syncCommandOptions, type Values } from "./options.ts";
import { endsHere, type Taken } from "./replaced-file.ts";
import { type RunContext, runPair } from "./run.ts";

/** Returns the exit code. @throws {UsageError} */
export async function runSync(values: Values, words: readonly string[], signal: AbortSignal): Promise<number> {
  const options = syncCommandOptions(values);
  const { source, destination } = parseLocations(words, fs.existsSync);
  const asks = !options.force && !options.dryRun;
  const here = endsHere(source, destination);
  const mapFile = options.mapFile === undefined ? undefined : MapFile.open(options.mapFile, here);
  const mapped: Taken[] = options.mapFile === undefined ? [] : [[options.mapFile, "the map of --mapfile"]];
  const changeMap = new ChangeMap(options, [...here, ...mapped]);
  return await runPair(
    source,
    destination,
    { ...options, second: options.dryRun ? "dry run" : "destination", examine: asks && canAsk() },
    signal,
    async (context) => {
      const { first, lanes, report } = context;
      const [from, to] = [first.source.description, first.destination.description];
      const exact = options.createDestination;
      for (const notice of checkPair(from, to, { exact })) report.notice(notice);
      checkExpected(to, options);
      if (to.kind === "device" && asks) await confirmOverwrite(from, to);
      const layout = layoutOf(from, options.blockSize);
      const statistics = new Statistics(layout, options.lanes);
      const hash = [options.hash, options.additionalHash].filter((name) => name !== undefined).join(" and ");
      report.start(source.label, destination.label, statistics, hash);
      const { blockSize, dryRun, pauseMs, verify } = options;
      const map = mapFile?.old ?? [];
      checkMap(map, from);
      const known = options.retries === undefined ? areasWith(map, "-") : [];
      // A destination that holds nothing yet, or ends before, holds nothing that was rescued.
      const held = to.blank ? 0 : to.sizeBytes;
      const lacking = [{ offset: held, length: Math.max(0, from.sizeBytes - held) }];
      const rescued = without(areasWith(map, "+"), lacking);
      const skip = options.skip ? { retries: options.retries ?? 0, known, rescued } : undefined;
      const onVerify = () => report.notice("Verifying: reading both sides again");
      const changes = changeMap.begin(from.sizeBytes, lanes.zeroLeafHash);
      const syncOptions = { blockSize, exact, dryRun, pauseMs, skip, verify, changes, onVerify };
      const openLane = async (number: number) => {
        await lanes.rest(number * options.splayMs);
        return await lanes.open(number);
      };
      const save = (complete: boolean) => {
        if (!dryRun) mapFile?.save(mapAfter(from.sizeBytes, statistics.unreadable, map, complete));
      };
      // What is known by then is worth keeping, but what went wrong first is what must be said.
      const keep = () => void Promise.try(save, false).catch(() => undefined);
      signal.addEventListener("abort", keep, { once: true });
      try {
        await synchronize(first, syncOptions, statistics, openLane);
      } catch (error) {
        keep();
        report.stop();
        for (const { offset, length } of statistics.unreadable) report.unreadable(offset, length);
        throw error;
      } finally {
        signal.removeEventListener("abort", keep);
      }
      report.stop();
      const bad = statistics.unreadable;
      for (const { offset, length } of bad) report.unreadable(offset, length);
      save(true);
      changeMap.save({ source: source.label, destination: destination.label });
      if (!dryRun) {
        report.completed(syncResult(context, statistics));
        changeMap.show(report);
        return bad.length > 0 ? ExitCode.unreadable : ExitCode.ok;
      }
      const differs = statistics.blocksDiffering > 0 || sizeDiffers(from, to, { exact });
      report.completed(
        `${statistics.blocksDiffering} of ${statistics.blocksTotal} blocks differ; nothing was written (dry run)`,
      );
      changeMap.show(report);
      return differs ? ExitCode.differs : ExitCode.ok;
    },
  );
}

/** A map from another rescue would call good what is bad. @throws {UsageError} */
function checkMap(map: readonly MapArea[], source: Description): void {
  const last = map.at(-1);
  if (last === undefined || last.offset + last.length === source.sizeBytes) return;
  throw new UsageError(
    `The map is about ${last.offset + last.length} bytes, ${JSON.stringify(source.label)} has ${source.sizeBytes}: it belongs to another source`,
  );
}

function syncResult({ lanes }: RunContext, statistics: Statistics): string {
  const { bytesSent, bytesReceived } = lanes.traffic;
  const wire =
    bytesSent + bytesReceived === 0
      ? ""
      : `, ${formatBytes(bytesSent)} sent and ${formatBytes(bytesReceived)} received`;
  const { verified, sourceUnreadableBytes, rescuedBytes } = statistics;
  const equal =
    sourceUnreadableBytes === 0
      ? `${formatBytes(statistics.sizeBytes)} equal`
      : `equal except for ${sourceUnreadableBytes} bytes that cannot be read`;
  const rescued =
    rescuedBytes === 0 ? "" : `, ${rescuedBytes} unreadable bytes of it as the map says they were rescued`;
  const how = verified === "direct" ? "around the page cache" : "after the page cache was emptied";
  const proof = verified === undefined ? "" : `, verified ${how}`;
  return `${equal}${rescued}${proof}, ${statistics.blocksDiffering} of ${statistics.blocksTotal} blocks differed, ${formatBytes(statistics.bytesWritten)} written${wire}`;
}
