/**
 * The algorithm for a source that can be read only once: as synchronize(), part by part, since the end is known when it comes. A
 * part is compared and copied while the source reads its next one.
 */
import { IoError, VerificationError } from "../errors.ts";
import { formatBoth } from "../format.ts";
import { quote } from "../name.ts";
import { unlessAborted } from "./abort.ts";
import { BlockLayout } from "./blocks.ts";
import { compareOf, compareWithNothing } from "./compare.ts";
import type { StreamPart } from "./endpoint.ts";
import { checkHashes } from "./pair.ts";
import { BlockRecord } from "./record.ts";
import { type Lane, Share, type SyncOptions } from "./share.ts";
import type { Statistics } from "./statistics.ts";
import { finish, prepareLane } from "./sync.ts";
import type { Compare } from "./verdicts.ts";

/**
 * Makes the destination equal to a source that is a stream, and durable, or with dryRun only counts. Fills in `statistics` as it
 * goes; a destination file has its final size, with `exact`, when the source has come to its end.
 * @throws {Failure} what was written until then stays written; one of the source says how far that is.
 */
export async function copyStream(lane: Lane, options: SyncOptions, statistics: Statistics): Promise<void> {
  const { source, destination } = lane;
  const { blockSize, exact, sha256, verify: keep } = options;
  checkHashes(source.description, destination.description);
  const { zeroHash } = source.description;
  const record = new BlockRecord(BlockLayout.endless(blockSize), zeroHash, { keep, sha256 });
  const compare: Compare = destination.description.blank
    ? (...args) => compareWithNothing(source, ...args)
    : compareOf(source, destination);
  let layout = new BlockLayout(0, blockSize);
  for (let isLast = false; !isLast; ) {
    const part = await readOn(lane, layout.sizeBytes, options);
    ({ isLast } = part);
    layout = new BlockLayout(part.endBytes, blockSize);
    // The scans are asked for right behind, which spares a round trip.
    const preparing = prepareLane(lane, layout, { exact: false }).then(options.onPrepared);
    using share = new Share(lane, compare, layout, options, statistics.lanes[0], record, statistics.grow(layout, part));
    await Promise.all([preparing, share.copyFirst()]);
  }
  record.end(layout);
  if (exact) await prepareLane(lane, layout, { exact });
  await finish([lane], layout, options, statistics, record);
}

/** The next part of the source, which was read up to `doneBytes`. @throws {Failure} */
async function readOn(
  { source, destination }: Lane,
  doneBytes: number,
  { signal, dryRun }: SyncOptions,
): Promise<StreamPart> {
  if (source.readOn === undefined) throw new RangeError("Only a stream is read on");
  const { label, kind, sizeBytes } = destination.description;
  const held = dryRun
    ? "nothing was written (dry run)"
    : doneBytes === 0
      ? "the destination was left as it was"
      : `the first ${doneBytes} bytes of the destination were made equal to what came before, and the rest was left as it was`;
  let part: StreamPart;
  try {
    part = await unlessAborted(signal, source.readOn());
  } catch (error) {
    const Kind = error instanceof VerificationError ? VerificationError : IoError;
    if (!(error instanceof Kind)) throw error;
    throw new Kind(`${error.message}; ${held}`, { cause: error, hint: error.hint });
  }
  if (kind !== "device" || part.endBytes <= sizeBytes) return part;
  const [more, there] = formatBoth(part.endBytes, sizeBytes);
  throw new IoError(
    `Cannot write all of ${quote(source.description.label)} to ${quote(label)}: the source has ${more} at least, the device only ${there}; ${held}`,
    { hint: "choose a larger device; --source-size SIZE has one that is too small refused before anything is written" },
  );
}
