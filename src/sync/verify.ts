/**
 * After a run reads both sides again, including holes, the destination from its medium, and tells which side is no
 * longer what it was.
 */

import { VerificationError } from "../errors.ts";
import { quote } from "../name.ts";
import { scanAhead } from "./ahead.ts";
import { type BlockLayout, type BlockRange, equalBytes, otherSectors, type SectorSet } from "./blocks.ts";
import { hashAt, pairRuns, type RunPair } from "./compare.ts";
import { type Endpoint, PRINT_SIZE, type Run } from "./endpoint.ts";
import { addRange, type ByteRange, endOf, totalLength, without } from "./ranges.ts";
import type { BlockRecord } from "./record.ts";

export interface Findings {
  /** Where the destination does not hold what both sides agreed on. */
  readonly wrong: Places;
  /** Where it did not at first, but does when it is read once more. */
  readonly unstable: Places;
  /** Where the source does not. */
  readonly changed: Places;
  /** Where the two sides differ though a list says that nothing has changed. */
  readonly unlisted: Places;
}

/** Wrong places that are kept, and read once more; each may be a round trip. */
const KEPT = 100;

/** Places in ascending order, whole blocks, neighbours joined: the first are kept, all are counted, as there may be billions. */
export class Places {
  readonly kept: ByteRange[] = [];
  count = 0;
  bytes = 0;
  #end: number | undefined;

  add(place: ByteRange): void {
    this.bytes += place.length;
    const joins = this.#end === place.offset;
    this.#end = endOf(place);
    if (!joins) this.count++;
    if (this.count <= KEPT) addRange(this.kept, place);
  }

  /** Adds what others have found in other places, in whatever order. */
  addAll(others: readonly Places[]): this {
    const inOrder = others.flatMap(({ kept }) => kept).toSorted((a, b) => a.offset - b.offset);
    this.kept.push(...inOrder.slice(0, KEPT - this.kept.length));
    for (const { count, bytes } of others) {
      this.count += count;
      this.bytes += bytes;
    }
    return this;
  }
}

/** Compares ranges of blocks, in ascending order, and what is wrong in them twice. `onBlocks` is told of each number of further blocks compared. */
export async function verifyRanges(
  source: Endpoint,
  destination: Endpoint,
  layout: BlockLayout,
  ranges: readonly BlockRange[],
  record: BlockRecord,
  signal: AbortSignal,
  onBlocks: (count: number) => void,
): Promise<Findings> {
  const { wrong, changed, unlisted } = await compareAgain(
    source,
    destination,
    layout,
    ranges,
    record,
    signal,
    onBlocks,
  );
  const [still, unstable] = [new Places(), new Places()];
  for (const place of wrong.kept) {
    const blocks = layout.blocksOf(place);
    const again = (await compareAgain(source, destination, layout, [blocks], record, signal, () => undefined)).wrong;
    still.addAll([again]);
    // Of more than are kept it is not known where they are not.
    if (again.count === again.kept.length) for (const part of without([place], again.kept)) unstable.add(part);
  }
  still.count += wrong.count - wrong.kept.length;
  still.bytes += wrong.bytes - totalLength(wrong.kept);
  return { wrong: still, unstable, changed, unlisted };
}

/** Compares by hashes, and what was salvaged sector by sector. */
async function compareAgain(
  source: Endpoint,
  destination: Endpoint,
  layout: BlockLayout,
  ranges: readonly BlockRange[],
  record: BlockRecord,
  signal: AbortSignal,
  onBlocks: (count: number) => void,
): Promise<Found> {
  const findings: Found = { wrong: new Places(), changed: new Places(), unlisted: new Places() };
  const options = { hashed: true, tolerant: true, readHoles: true, ahead: scanAhead(layout.blockSize, 0) };
  if (source.description.kind === "stream") {
    // It cannot be read again, so what it was is what was noted of it.
    for await (const run of destination.scan(ranges, options)) {
      signal.throwIfAborted();
      for (let index = run.first; index < run.first + run.count; index++) {
        if ((index - run.first) % BLOCKS_AT_ONCE === BLOCKS_AT_ONCE - 1) await breathe();
        const there = run.kind === "unreadable" ? undefined : hashAt(run, index, source.description.zeroHash);
        if (there === undefined || !record.holds(index, there)) findings.wrong.add(layout.placeOf(index));
      }
      destination.advance(run.first + run.count);
      onBlocks(run.count);
    }
    return findings;
  }
  for await (const pair of pairRuns(source.scan(ranges, options), destination.scan(ranges, options))) {
    signal.throwIfAborted();
    for (let index = pair.first; index < pair.first + pair.count; index++) {
      if ((index - pair.first) % BLOCKS_AT_ONCE === BLOCKS_AT_ONCE - 1) await breathe();
      const missing = record.missingOf(index);
      if (missing === undefined && source.printless === true)
        checkDigest(pair, index, source.description.zeroHash, layout, findings);
      else if (missing === undefined) checkBlock(pair, index, source.description.zeroHash, layout, record, findings);
      else await checkSalvaged(source, destination, layout, index, missing, findings);
    }
    source.advance(pair.first + pair.count);
    destination.advance(pair.first + pair.count);
    onBlocks(pair.count);
  }
  return findings;
}

/** Keeps a run of blocks without end, which two far sides may claim, from holding up signals and the connection. */
const BLOCKS_AT_ONCE = 1 << 16;

function breathe(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

type Found = Omit<Findings, "unstable">;

/** As checkBlock(), of a source that tells no prints, and does not change. */
function checkDigest(pair: RunPair, index: number, zeroHash: Uint8Array, layout: BlockLayout, findings: Found): void {
  const digestOf = (run: Run) => hashAt(run, index, zeroHash).subarray(PRINT_SIZE);
  const { source, destination } = pair;
  if (destination.kind === "unreadable" || !equalBytes(digestOf(source), digestOf(destination)))
    findings.wrong.add(layout.placeOf(index));
}

function checkBlock(
  pair: RunPair,
  index: number,
  zeroHash: Uint8Array,
  layout: BlockLayout,
  record: BlockRecord,
  findings: Found,
): void {
  const there = pair.destination.kind === "unreadable" ? undefined : hashAt(pair.destination, index, zeroHash);
  // A source that could be read when it was copied and cannot now says nothing against the destination.
  const here = pair.source.kind === "unreadable" ? undefined : hashAt(pair.source, index, zeroHash);
  if (here !== undefined && there !== undefined && equalBytes(here, there)) return;
  const place = layout.placeOf(index);
  if (record.isBelieved(index)) {
    // A rescue map says that it was read before, or a list that it has not changed. A source that cannot be read there says nothing against it.
    if (here !== undefined || there === undefined) (record.isListed ? findings.unlisted : findings.wrong).add(place);
    return;
  }
  const sourceHolds = here !== undefined && record.holds(index, here);
  if (here !== undefined && !sourceHolds) findings.changed.add(place);
  // Prints can be forged: of two that differ one is wrong, even if both have the print that was noted.
  if (there === undefined || sourceHolds || !record.holds(index, there)) findings.wrong.add(place);
}

/** Compares the sectors of a block that were copied, as both media give them now. */
async function checkSalvaged(
  source: Endpoint,
  destination: Endpoint,
  layout: BlockLayout,
  index: number,
  missing: SectorSet,
  findings: Found,
): Promise<void> {
  const here = await source.salvage(index, missing, 0);
  // Only what the source gives once more can be compared.
  const there = await destination.salvage(index, otherSectors(here.sectors, layout.lengthOf(index)), 0);
  if (!equalBytes(here.sectors, there.sectors) || !equalBytes(here.bytes, there.bytes))
    findings.wrong.add(layout.placeOf(index));
}

/** Ranges that a message lists; a broken disk may have millions. */
const LISTED = 10;

function listed({ kept, count, bytes }: Places): string {
  const places = kept.slice(0, LISTED).map(({ offset, length }) => `${length} at offset ${offset}`);
  const more = count > places.length ? `, and ${count - places.length} more places` : "";
  return `${bytes} bytes (${places.join(", ")}${more})`;
}

/** @throws {VerificationError} that says which side is to blame, unless nothing was found. */
export function checkFindings(parts: readonly Findings[], source: string, destination: string): void {
  const wrong = new Places().addAll(parts.map((part) => part.wrong));
  const unstable = new Places().addAll(parts.map((part) => part.unstable));
  const changed = new Places().addAll(parts.map((part) => part.changed));
  const unlisted = new Places().addAll(parts.map((part) => part.unlisted));
  const sourceChanged = `the source ${quote(source)} changed during the run: ${listed(changed)}`;
  if (wrong.count > 0) {
    const also = changed.count > 0 ? `; in addition, ${sourceChanged}` : "";
    throw new VerificationError(
      `Verification failed: ${quote(destination)} does not hold what was written: ${listed(wrong)}${also}`,
      {
        hint: "the device, or one below it, loses data: check the kernel log (dmesg), and do not rely on it",
      },
    );
  }
  if (unlisted.count > 0) {
    throw new VerificationError(
      `Verification failed: ${quote(destination)} differs from ${quote(source)} where --changed-blocks says that nothing has changed: ${listed(unlisted)}`,
      { hint: "the list is of other contents, or wrong: run again without it" },
    );
  }
  if (unstable.count > 0) {
    throw new VerificationError(
      `Verification failed: ${quote(destination)} is unstable and returns different bytes on each read: ${listed(unstable)}`,
      {
        hint: "the device, its cable or the memory is failing: check the kernel log (dmesg), and do not rely on it",
      },
    );
  }
  if (changed.count > 0) {
    throw new VerificationError(`Verification failed: ${sourceChanged}`, {
      hint: "the destination holds what was read: stop what writes to the source, or use a snapshot, and run again; if nothing wrote to it, its file system reports holes where there is data",
    });
  }
}
