/** Data on the wire: the leaves of blocks or sectors of one, with what says which they are. Pure. */
import { ProtocolError } from "../../errors.ts";
import { MAX_BLOCK_SIZE, type SectorSet, sectorRuns, sectorSetProblem } from "../../sync/blocks.ts";
import type { BlockData, Salvage } from "../../sync/endpoint.ts";
import type { FieldReader, FieldWriter } from "./protocol.ts";

/** The fields of `data` of protocol.ts but its body. */
export function writeData(writer: FieldWriter, data: BlockData): FieldWriter {
  return writer.bytes(data.hashes).bytes(data.leaves).bytes(data.zeros).u32(data.bytes.length);
}

/** Block data as it came off the wire: the body is still packed. */
export interface PackedData {
  readonly hashes: Uint8Array;
  readonly leaves: Uint8Array;
  readonly zeros: Uint8Array;
  readonly expandedLength: number;
  readonly body: Uint8Array;
}

export function readData(reader: FieldReader, body: Uint8Array): PackedData {
  const data = {
    hashes: reader.bytes(),
    leaves: reader.bytes(),
    zeros: reader.bytes(),
    expandedLength: reader.u32(),
    body,
  };
  if (data.expandedLength > MAX_BLOCK_SIZE || body.length > data.expandedLength) {
    throw new ProtocolError(`Cannot read a message: ${body.length} bytes that expand to ${data.expandedLength}`);
  }
  return data;
}

export function readSectorSet(set: Uint8Array, blockLength: number): SectorSet {
  const problem = sectorSetProblem(set, blockLength);
  if (problem !== undefined) throw new ProtocolError(`Cannot read a message: ${problem}`);
  return set;
}

export function readSalvage(set: Uint8Array, bytes: Uint8Array, blockLength: number): Salvage {
  const sectors = readSectorSet(set, blockLength);
  const wanted = sectorRuns(sectors, blockLength).reduce((sum, { length }) => sum + length, 0);
  if (bytes.length !== wanted) {
    throw new ProtocolError(`Cannot read a message: ${bytes.length} bytes of sectors instead of ${wanted}`);
  }
  return { sectors, bytes };
}
