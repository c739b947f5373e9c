/** The messages of protocol.ts as types, and their way into and out of frames. Pure. */

import { FAILURE_KINDS, type Failure, failureOfKind, ProtocolError, stackOf } from "../../errors.ts";
import { printable } from "../../name.ts";
import { type BlockLayout, type BlockRange, leafCount, type SectorSet } from "../../sync/blocks.ts";
import {
  type BlockData,
  CACHE_BYPASSES,
  type CacheBypass,
  type Counters,
  type Description,
  LEAF_HASH_SIZE,
  type LeafFilter,
  type LeafHashSize,
  MAX_RETRIES,
  MIN_HASH_SIZE,
  type Run,
  type Salvage,
  WIDE_LEAF_HASH_SIZE,
  type WriteOutcome,
} from "../../sync/endpoint.ts";
import { type Extent, extentsText, parseExtents } from "../../sync/extents.ts";
import type { EndpointSpec } from "../../sync/spec.ts";
import { readFacts, writeFacts } from "./facts.ts";
import { type PackedData, readData, readSalvage, readSectorSet, writeData } from "./packed.ts";
import {
  FieldReader,
  FieldWriter,
  type Frame,
  MAX_HASHES_LENGTH,
  MAX_TIMEOUT_SECONDS,
  MessageType,
  NO_BYTES,
} from "./protocol.ts";
import { readSpec, writeSpec } from "./spec.ts";

const RANGE_SIZE = 16;
/** Ranges of a scan that one request is for at most. */
export const MAX_SCAN_RANGES = MAX_HASHES_LENGTH / RANGE_SIZE;

export interface ScanRequest {
  /** None empty, in ascending order. */
  readonly ranges: readonly BlockRange[];
  readonly window: number;
  readonly hashed: boolean;
  readonly tolerant: boolean;
  readonly readHoles: boolean;
}

/** A message ready to be framed: everything of a frame but its id. */
export type Outgoing = Omit<Frame, "id">;

function message(type: MessageType, writer: FieldWriter, body: Uint8Array = NO_BYTES): Outgoing {
  return { type, head: writer.finish(), body };
}

/** Reads all fields of a frame's head with `read`, and insists that nothing is left over. */
function fields<Value>(frame: Frame, read: (reader: FieldReader) => Value): Value {
  const reader = new FieldReader(frame.head);
  const value = read(reader);
  reader.end();
  return value;
}

function writeBlocks({ first, count }: BlockRange): FieldWriter {
  return new FieldWriter().u64(first).u32(count);
}

function readBlocks(reader: FieldReader): BlockRange {
  return { first: reader.u64(), count: reader.u32() };
}

function writeRanges(ranges: readonly BlockRange[]): Uint8Array {
  const writer = new FieldWriter();
  for (const { first, count } of ranges) writer.u64(first).u64(count);
  return writer.finish();
}

/** Ranges in ascending order, none of them empty. */
function readRanges(bytes: Uint8Array): BlockRange[] {
  const reader = new FieldReader(bytes);
  const ranges: BlockRange[] = [];
  let end = 0;
  for (let at = 0; at < bytes.length; at += RANGE_SIZE) {
    const [first, count] = [reader.u64(), reader.u64()];
    if (first < end || count === 0 || !Number.isSafeInteger(first + count))
      throw new ProtocolError(`Cannot read a message: ${count} blocks from ${first} behind those up to ${end}`);
    ranges.push({ first, count });
    end = first + count;
  }
  return ranges;
}

/** What is opened anywhere; streams are read where the run is controlled. */
const KINDS: readonly Description["kind"][] = ["file", "device", "missing"];
const RUN_KINDS = ["hashed", "hole", "data", "unreadable"] as const;
const FILTERS = ["all", "nonzero", "differing"] as const;

export const encode = {
  open: (spec: EndpointSpec) => message(MessageType.open, writeSpec(new FieldWriter(), spec)),
  prepare: (sizeBytes: number, exact: boolean) =>
    message(MessageType.prepare, new FieldWriter().u64(sizeBytes).bool(exact)),
  scan: (request: ScanRequest) =>
    message(
      MessageType.scan,
      new FieldWriter().u64(request.window).bool(request.hashed).bool(request.tolerant).bool(request.readHoles),
      writeRanges(request.ranges),
    ),
  advance: (index: number) => message(MessageType.advance, new FieldWriter().u64(index)),
  alive: (timeoutSeconds: number) => message(MessageType.alive, new FieldWriter().u32(timeoutSeconds)),
  leafHashes: (blocks: BlockRange, size: LeafHashSize) => message(MessageType.leafHashes, writeBlocks(blocks).u8(size)),
  read: (blocks: BlockRange, filter: LeafFilter) =>
    message(
      MessageType.read,
      writeBlocks(blocks).u8(FILTERS.indexOf(filter.kind)),
      filter.kind === "differing" ? filter.hashes : NO_BYTES,
    ),
  write: (blocks: BlockRange, data: BlockData, body: Uint8Array) =>
    message(MessageType.write, writeData(writeBlocks(blocks), data), body),
  block: (data: BlockData, body: Uint8Array) => message(MessageType.block, writeData(new FieldWriter(), data), body),
  salvage: (index: number, known: SectorSet, retries: number) =>
    message(MessageType.salvage, new FieldWriter().u64(index).u32(retries).bytes(known)),
  salvaged: (salvage: Salvage) =>
    message(MessageType.salvaged, new FieldWriter().bytes(salvage.sectors), salvage.bytes),
  patch: (index: number, salvage: Salvage) =>
    message(MessageType.patch, new FieldWriter().u64(index).bytes(salvage.sectors), salvage.bytes),
  patched: (bytesWritten: number) => message(MessageType.patched, new FieldWriter().u64(bytesWritten)),
  bypassed: (how: CacheBypass) => message(MessageType.bypassed, new FieldWriter().u8(CACHE_BYPASSES.indexOf(how))),
  empty: (type: "counters" | "confirm" | "checkpoint" | "flush" | "bypass" | "done") =>
    message(MessageType[type], new FieldWriter()),
  opened: (description: Description) =>
    message(
      MessageType.opened,
      writeFacts(
        new FieldWriter()
          .u8(KINDS.indexOf(description.kind))
          .u64(description.sizeBytes)
          .text(description.identity)
          .text(extentsText(description.within))
          .bool(description.blank)
          .bytes(description.zeroHash),
        description.facts,
      ),
    ),
  prepared: (identity: string) => message(MessageType.prepared, new FieldWriter().text(identity)),
  run: (run: Run) =>
    message(
      MessageType.run,
      new FieldWriter().u8(RUN_KINDS.indexOf(run.kind)).u64(run.first).u64(run.count),
      run.kind === "hashed" ? run.hashes : NO_BYTES,
    ),
  leaves: (hashes: Uint8Array) => message(MessageType.leaves, new FieldWriter(), hashes),
  written: (outcome: WriteOutcome) =>
    message(MessageType.written, new FieldWriter().bool(outcome.proved).u64(outcome.bytesWritten)),
  counted: (counters: Counters) =>
    message(MessageType.counted, new FieldWriter().u64(counters.bytesRead).u64(counters.bytesWritten)),
  failed: (failure: Failure) =>
    message(
      MessageType.failed,
      new FieldWriter()
        .text(failure.kind)
        .text(failure.message.slice(0, 8192))
        .text((failure.kind === "bug" ? stackOf(failure.cause) : (failure.hint ?? "")).slice(0, 8192)),
    ),
};

export interface SalvageRequest {
  readonly index: number;
  readonly retries: number;
  readonly known: SectorSet;
}

function noBody(frame: Frame): void {
  if (frame.body.length !== 0)
    throw new ProtocolError(`Cannot read a message: ${frame.body.length} bytes of body, expected none`);
}

/** Its length is that of every hash of the run. */
function readExtents(reader: FieldReader): Extent[] {
  const extents = parseExtents(reader.text());
  if (extents === undefined) throw new ProtocolError("Cannot read a message: it contains an invalid range");
  return extents;
}

function readZeroHash(reader: FieldReader): Uint8Array {
  const hash = reader.bytes();
  if (hash.length < MIN_HASH_SIZE)
    throw new ProtocolError(`Received a hash of ${hash.length} bytes instead of ${MIN_HASH_SIZE} or more`);
  return hash.slice();
}

export const decode = {
  open: (frame: Frame): EndpointSpec => {
    noBody(frame);
    return fields(frame, readSpec);
  },
  prepare: (frame: Frame) => {
    noBody(frame);
    return fields(frame, (reader) => ({ sizeBytes: reader.u64(), exact: reader.bool() }));
  },
  scan: (frame: Frame): ScanRequest =>
    fields(frame, (reader) => ({
      window: reader.u64(),
      hashed: reader.bool(),
      tolerant: reader.bool(),
      readHoles: reader.bool(),
      ranges: readRanges(frame.body),
    })),
  advance: (frame: Frame): number => {
    noBody(frame);
    return fields(frame, (reader) => reader.u64());
  },
  /** The sender's timeout in seconds. */
  alive: (frame: Frame): number => {
    noBody(frame);
    const seconds = fields(frame, (reader) => reader.u32());
    if (frame.id !== 0 || seconds < 1 || seconds > MAX_TIMEOUT_SECONDS)
      throw new ProtocolError(`Cannot read a sign of life: a timeout of ${seconds} s under the id ${frame.id}`);
    return seconds;
  },
  leafHashes: (frame: Frame): { blocks: BlockRange; size: LeafHashSize } => {
    noBody(frame);
    return fields(frame, (reader) => {
      const blocks = readBlocks(reader);
      const size = reader.u8();
      if (size !== LEAF_HASH_SIZE && size !== WIDE_LEAF_HASH_SIZE) {
        throw new ProtocolError(`Cannot read a message: ${size} is not the size of a leaf hash`);
      }
      return { blocks, size };
    });
  },
  /** `lengthOf` tells the blocks' length and throws for what are none, or too many. */
  read: (frame: Frame, lengthOf: (blocks: BlockRange) => number): { blocks: BlockRange; filter: LeafFilter } =>
    fields(frame, (reader) => {
      const blocks = readBlocks(reader);
      const kind = reader.oneOf(FILTERS);
      if (kind !== "differing") {
        noBody(frame);
        return { blocks, filter: { kind } };
      }
      const wanted = leafCount(lengthOf(blocks)) * LEAF_HASH_SIZE;
      if (frame.body.length !== wanted) {
        throw new ProtocolError(
          `Cannot read a message: ${frame.body.length} bytes of leaf hashes instead of ${wanted}`,
        );
      }
      return { blocks, filter: { kind, hashes: frame.body } };
    }),
  write: (frame: Frame): { blocks: BlockRange; data: PackedData } =>
    fields(frame, (reader) => ({ blocks: readBlocks(reader), data: readData(reader, frame.body) })),
  block: (frame: Frame): PackedData => fields(frame, (reader) => readData(reader, frame.body)),
  opened: (frame: Frame, label: string): Description => {
    noBody(frame);
    return fields(frame, (reader) => ({
      label,
      kind: reader.oneOf(KINDS),
      sizeBytes: reader.u64(),
      identity: reader.text(),
      within: readExtents(reader),
      blank: reader.bool(),
      zeroHash: readZeroHash(reader),
      facts: readFacts(reader),
    }));
  },
  prepared: (frame: Frame): string => {
    noBody(frame);
    return fields(frame, (reader) => reader.text());
  },
  /** Checks that the run continues at `position` within the range and carries the hashes it should. */
  run: (frame: Frame, position: number, end: number, hashSize: number, layout: BlockLayout): Run =>
    fields(frame, (reader) => {
      const kind = reader.oneOf(RUN_KINDS);
      const first = reader.u64();
      const count = reader.u64();
      if (first !== position || count === 0 || count > end - first) {
        throw new ProtocolError(
          `Cannot read a scan: ${count} blocks from ${first}, expected ${position} to ${end - 1}`,
        );
      }
      if (kind === "hashed") {
        if (frame.body.length !== count * hashSize)
          throw new ProtocolError(`Cannot read a scan: ${frame.body.length} bytes of hashes`);
        return { kind, first, count, hashes: frame.body };
      }
      noBody(frame);
      if (kind === "hole" && first + count > layout.fullBlockCount) {
        throw new ProtocolError("Cannot read a scan: a short last block is reported as a hole");
      }
      return { kind, first, count };
    }),
  /** `lengthOf` tells the block's length and throws for an index that is none. */
  salvage: (frame: Frame, lengthOf: (index: number) => number): SalvageRequest => {
    noBody(frame);
    return fields(frame, (reader) => {
      const index = reader.u64();
      const retries = reader.u32();
      if (retries > MAX_RETRIES)
        throw new ProtocolError(`Cannot read a message: ${retries} retries where at most ${MAX_RETRIES} are allowed`);
      return { index, retries, known: readSectorSet(reader.bytes(), lengthOf(index)) };
    });
  },
  patch: (frame: Frame, lengthOf: (index: number) => number): { index: number; salvage: Salvage } =>
    fields(frame, (reader) => {
      const index = reader.u64();
      return { index, salvage: readSalvage(reader.bytes(), frame.body, lengthOf(index)) };
    }),
  salvaged: (frame: Frame, blockLength: number): Salvage =>
    fields(frame, (reader) => readSalvage(reader.bytes(), frame.body, blockLength)),
  patched: (frame: Frame): number => {
    noBody(frame);
    return fields(frame, (reader) => reader.u64());
  },
  bypassed: (frame: Frame): CacheBypass => {
    noBody(frame);
    return fields(frame, (reader) => reader.oneOf(CACHE_BYPASSES));
  },
  leaves: (frame: Frame, wantedLength: number): Uint8Array => {
    fields(frame, () => undefined);
    if (frame.body.length !== wantedLength) {
      throw new ProtocolError(`Cannot read leaf hashes: ${frame.body.length} bytes instead of ${wantedLength}`);
    }
    return frame.body;
  },
  written: (frame: Frame): WriteOutcome => {
    noBody(frame);
    return fields(frame, (reader) => ({ proved: reader.bool(), bytesWritten: reader.u64() }));
  },
  counted: (frame: Frame): Counters => {
    noBody(frame);
    return fields(frame, (reader) => ({ bytesRead: reader.u64(), bytesWritten: reader.u64() }));
  },
  empty: (frame: Frame): void => {
    noBody(frame);
    fields(frame, () => undefined);
  },
  failed: (frame: Frame): Failure => {
    noBody(frame);
    return fields(frame, (reader) => {
      const name = reader.text();
      const kind = FAILURE_KINDS.find((known) => known === name);
      if (kind === undefined) throw new ProtocolError("Cannot read a failure: its kind is unknown");
      const text = printable(reader.text());
      const hint = (kind === "bug" ? reader.text().split("\n") : [reader.text()]).map(printable).join("\n");
      return failureOfKind(kind, text, hint === "" ? undefined : hint);
    });
  },
};
