/** A run that makes the destination equal to the source, or a dry run of it. */

import { ExitCode, type Failure, UsageError } from "../errors.ts";
import { formatBoth, formatBytes } from "../format.ts";
import { sha256 } from "../local/work/hash.ts";
import { quote } from "../name.ts";
import { BlockLayout, LEAF_SIZE } from "../sync/blocks.ts";
import type { Description } from "../sync/endpoint.ts";
import { checkPair, sizeDiffers } from "../sync/pair.ts";
import { Rescue } from "../sync/rescue.ts";
import { fitRescueMap } from "../sync/rescue-map.ts";
import { Statistics } from "../sync/statistics.ts";
import { copyStream } from "../sync/stream.ts";
import { layoutOf, synchronize } from "../sync/sync.ts";
import { TREE_HASH } from "../tree/endpoint.ts";
import { BlockListFile } from "./block-list.ts";
import { ChangeMap } from "./change-map.ts";
import { asksAbout, canAsk, confirm } from "./confirm.ts";
import { checkExpected } from "./expect.ts";
import { isStandardInput, type Location } from "./location.ts";
import type { SyncCommandOptions } from "./options.ts";
import { RescueMapFile, RescueMapKeeper } from "./rescue-map.ts";
import { runPair } from "./run.ts";
import { checkFree, checkStreams, endsHere, filesOf, targetOf } from "./taken.ts";
import { undoChosen, undoOf } from "./undo.ts";

const AFTER_UNREADABLE =
  "run the same command again to retry the unreadable areas, with --retries N up to N times each; --mapfile FILE lists them, for ddrescue too";
const AFTER_MAPPED =
  "--retries N retries the bad areas, up to N times each; so does ddrescue -r N with the same source, destination and map file";
const OTHER_DESTINATION =
  "The rescue map was made for another destination, so what it lists as rescued is read again (if you only renamed the destination, delete the map's line that begins with '# Destination:')";
const DISBELIEF = "The destination does not hold what the rescue map lists as rescued, so everything is compared";

/** `noticesIfNew` are said where the destination does not exist yet. Returns the exit code. @throws {UsageError} */
export async function runSync(
  source: Location,
  destination: Location,
  given: SyncCommandOptions,
  noticesIfNew: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  // A hash tree has its own.
  const options: SyncCommandOptions =
    source.tree === undefined ? given : { ...given, blockSize: LEAF_SIZE, hash: TREE_HASH };
  const asks = !options.force && !options.dryRun;
  const isInput = isStandardInput(source);
  const ends = endsHere(source, destination);
  checkStreams(ends, options);
  const { outputFile, shell } = options;
  const others = [...ends, ...filesOf({ "the file of --output": outputFile, "the key of --id": shell.identityFile })];
  const chosen = undoChosen(options.undo, new Date());
  const undoHere = destination.remote === undefined ? chosen?.path : undefined;
  if (undoHere !== undefined) checkFree(undoHere, `undo file ${quote(undoHere)}`, others);
  const taken = [...others, ...filesOf({ "the undo file": undoHere })];
  const list = options.list === undefined ? undefined : new BlockListFile(options.list.path, options.list.meaning);
  if (list !== undefined && source.tree !== undefined)
    throw new UsageError("A list of blocks does not go with a hash tree, which spares reading the source anyway");
  const openRescueMap = () =>
    options.rescueMap === undefined ? undefined : RescueMapFile.open(options.rescueMap, taken);
  let rescueMap = openRescueMap();
  /** As it was before the run, whatever a pass that was lost has made of it. */
  let before: Description | undefined;
  const changeMap = new ChangeMap(options, [...taken, ...filesOf({ "the rescue map": options.rescueMap })]);
  return await runPair(
    source,
    destination,
    {
      ...options,
      undo: chosen,
      access: options.dryRun ? "rehearse" : "write",
      examine: asks && canAsk(isInput) ? "partitions" : "itself",
    },
    signal,
    async ({ first, lanes, report, startingOver, atFailure }) => {
      const [from, to] = [first.source.description, first.destination.description];
      const exact = options.createDestination;
      const isAgain = startingOver.knows(from, to);
      const isStream = from.kind === "stream";
      if (isStream) checkOnce(from.label, options);
      const { decompress } = options.stream;
      const allowsPacked = decompress === "never" || options.allowed.includes("packed");
      const notices = [...lanes.notices, ...checkPair(from, to, { exact, allowsPacked })];
      if (to.kind === "missing") notices.push(...noticesIfNew);
      const listed = list?.fit(from, to);
      notices.push(...(list?.noticesOf(source) ?? []));
      const questioned = asks && !isAgain && asksAbout(from, to, noticesIfNew.length > 0, isInput);
      // What the question says need not be read twice.
      const asked = questioned && canAsk(isInput) && options.outputFile === undefined;
      if (!isAgain) for (const notice of notices) report.notice(notice, { asked });
      if (!isAgain) checkExpected(to, options);
      if (questioned) await report.whileAsking(() => confirm(from, to, notices, signal, isInput));
      const layout = isStream ? new BlockLayout(0, options.blockSize) : layoutOf(from, options.blockSize);
      const statistics = new Statistics(layout, options.lanes, report.statistics);
      statistics.listed = listed?.meaning;
      if (isStream) statistics.beginStream(from.sizeBytes === 0 ? undefined : from.sizeBytes);
      startingOver.begin(from, to, statistics);
      before ??= to;
      const undo =
        chosen === undefined
          ? undefined
          : undoOf(chosen.path, destination, before, isStream ? undefined : from.sizeBytes);
      if (chosen !== undefined && undo === undefined) {
        lanes.forgetUndo();
        report.notice(`${quote(to.label)} holds nothing yet, so there is nothing to undo, and no undo file`);
      }
      if (isAgain) rescueMap = openRescueMap();
      report.start(source.label, destination.label, statistics, await lanes.hashes(), () => lanes.traffic);
      const { blockSize, dryRun, pauseMs, verify } = options;
      const subject = {
        source: source.label,
        sizeBytes: from.sizeBytes,
        destination: destination.remote === undefined ? targetOf(destination.path) : destination.label,
      };
      const isKnown = rescueMap?.isAbout(subject) ?? true;
      const map = fitRescueMap(rescueMap?.old ?? [], from.sizeBytes, from.label);
      if (!isKnown) report.notice(OTHER_DESTINATION);
      // A destination that holds nothing yet, or ends before, holds nothing that was rescued.
      const heldBytes = to.blank || !isKnown ? 0 : to.sizeBytes;
      const rescue = options.skip ? new Rescue({ map, heldBytes, retries: options.retries }) : undefined;
      const onVerify = () => report.verifying();
      const onPrepared = () => {
        if (undo !== undefined && !options.dryRun) report.keeps(undo);
      };
      const changes = changeMap.begin(isStream ? undefined : from.sizeBytes, lanes.zeroLeafHash);
      const onDisbelief = () => report.notice(DISBELIEF);
      const syncOptions = {
        signal,
        blockSize,
        exact,
        dryRun,
        pauseMs,
        rescue,
        verify,
        sha256,
        changes,
        listed,
        onPrepared,
        onVerify,
        onDisbelief,
      };
      const openLane = async (number: number) => {
        await lanes.rest(number * options.splayMs);
        return await lanes.open(number);
      };
      let keeper: RescueMapKeeper | undefined;
      if (rescueMap !== undefined && rescue !== undefined && !dryRun) {
        const checkpoint = () => lanes.checkpoint();
        const onTrouble = ({ message }: Failure) => report.notice(message);
        keeper = new RescueMapKeeper({ file: rescueMap, subject, rescue, checkpoint, onTrouble });
        atFailure(async (failure) => await keeper?.fail(failure));
      }
      if (isStream) await copyStream(first, syncOptions, statistics);
      else await synchronize(first, syncOptions, statistics, openLane);
      await keeper?.finish();
      /** As it turned out to be. */
      const whole = { ...from, sizeBytes: statistics.sizeBytes };
      changeMap.end(whole.sizeBytes);
      const isWhole = statistics.unreadableAreas === 0;
      changeMap.save({ source: source.label, destination: destination.label });
      report.stop();
      report.unreadable();
      if (!dryRun) {
        const sizes = sizeText(whole, before, exact, dryRun);
        const isLonger = to.sizeBytes > whole.sizeBytes && (to.kind === "device" || !exact);
        report.completed({
          sizes,
          isLonger,
          next: isWhole ? undefined : rescueMap === undefined ? AFTER_UNREADABLE : AFTER_MAPPED,
        });
        changeMap.show(report);
        return isWhole ? ExitCode.ok : ExitCode.unreadable;
      }
      const sizes = sizeDiffers(whole, to, { exact }) ? sizeText(whole, before, exact, dryRun) : undefined;
      const differs = statistics.blocksDiffering > 0 || sizes !== undefined;
      const next = differs ? "without --dry-run the same command writes what differs" : undefined;
      report.completed({ sizes, next });
      changeMap.show(report);
      if (differs) return ExitCode.differs;
      return isWhole ? ExitCode.ok : ExitCode.unreadable;
    },
  );
}

/** What a source that is read once cannot be asked for. @throws {UsageError} */
function checkOnce(label: string, { skip, lanes, list }: SyncCommandOptions): void {
  const given = skip
    ? "--on-read-error skip"
    : lanes > 1
      ? "--workers"
      : list === undefined
        ? undefined
        : `--${list.meaning}-blocks`;
  if (given === undefined) return;
  throw new UsageError(`${given} does not go with ${quote(label)}, which is read once, from its beginning to its end`, {
    hint: lanes > 1 && !skip ? "leave it out" : "save it to a file that can be read at any place first",
  });
}

/** What became of a destination file's size, or a dry run would make of it; undefined where there is nothing to say. */
function sizeText(from: Description, to: Description, exact: boolean, dryRun: boolean): string | undefined {
  const [size, old] = [from.sizeBytes, to.sizeBytes];
  if (size === 0 && !dryRun)
    return `the source is empty${exact && old > 0 ? `, the destination was cut from ${formatBytes(old)}` : ""}`;
  if (to.kind === "missing") return `the destination ${dryRun ? "would be created" : "is new"}`;
  if (to.kind === "device" || size === old) return undefined;
  const change = `from ${formatBoth(old, size).join(" to ")}`;
  if (old < size) return `the destination ${dryRun ? "would grow" : "grew"} ${change}`;
  if (exact) return `the destination ${dryRun ? "would be" : "was"} cut ${change}`;
  return dryRun ? undefined : `the destination kept its last ${formatBytes(old - size)}`;
}
