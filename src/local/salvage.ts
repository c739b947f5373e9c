/** Reads around bad sectors, and writes what was read that way without touching what lies between. */
import { notHeld, ReadError } from "../errors.ts";
import {
  addSectors,
  emptySectorSet,
  hasSectors,
  LEAF_SIZE,
  SECTOR_SIZE,
  type SectorSet,
  sectorRuns,
} from "../sync/blocks.ts";
import type { Salvage } from "../sync/endpoint.ts";
import type { ByteRange } from "../sync/ranges.ts";
import type { Device } from "./device.ts";
import { directBuffer } from "./direct.ts";

function* pieces({ offset, length }: ByteRange, size: number): Generator<ByteRange> {
  for (let start = offset; start < offset + length; start += size) {
    yield { offset: start, length: Math.min(size, offset + length - start) };
  }
}

/**
 * Reads `length` bytes at `offset` of the device by leaves, and leaves that fail by sectors, each of those `retries` times
 * more. Sectors of `known` are not tried. Around the page cache where that is possible, since it reads whole pages.
 */
export async function salvageBlock(
  device: Device,
  offset: number,
  length: number,
  known: SectorSet,
  retries: number,
): Promise<Salvage> {
  await device.openDirect();
  const sectors = emptySectorSet(length);
  const block = directBuffer(length);
  const read = async (piece: ByteRange, attempts: number) => {
    for (let attempt = 0; attempt < attempts; attempt++) {
      try {
        await device.read(block.subarray(piece.offset, piece.offset + piece.length), offset + piece.offset);
        addSectors(sectors, piece);
        return true;
      } catch (error) {
        if (!(error instanceof ReadError)) throw error;
      }
    }
    return false;
  };
  for (const leaf of pieces({ offset: 0, length }, LEAF_SIZE)) {
    if (!hasSectors(known, leaf) && (await read(leaf, 1))) continue;
    for (const sector of pieces(leaf, SECTOR_SIZE)) {
      if (!hasSectors(known, sector)) await read(sector, 1 + retries);
    }
  }
  const parts = [...sectorRuns(sectors, length)].map((run) => block.subarray(run.offset, run.offset + run.length));
  return { sectors, bytes: Buffer.concat(parts) };
}

/** The parts of `wanted` that the device does not hold at `offset`, or that cannot be read there. */
async function differing(device: Device, wanted: Buffer, offset: number): Promise<ByteRange[]> {
  const found = directBuffer(wanted.length);
  try {
    await device.read(found, offset);
  } catch (error) {
    if (error instanceof ReadError) return [{ offset: 0, length: wanted.length }];
    throw error;
  }
  const set = emptySectorSet(wanted.length);
  for (const sector of pieces({ offset: 0, length: wanted.length }, SECTOR_SIZE)) {
    const end = sector.offset + sector.length;
    if (!wanted.subarray(sector.offset, end).equals(found.subarray(sector.offset, end))) addSectors(set, sector);
  }
  return [...sectorRuns(set, wanted.length)];
}

/**
 * Makes the salvaged sectors of the block of `length` bytes at `offset` equal, and returns the bytes that were written.
 * @throws {VerificationError} when a part does not read back as it was written.
 */
export async function patchBlock(device: Device, offset: number, length: number, salvage: Salvage): Promise<number> {
  const bytes = Buffer.from(salvage.bytes.buffer, salvage.bytes.byteOffset, salvage.bytes.length);
  let position = 0;
  let written = 0;
  for (const run of sectorRuns(salvage.sectors, length)) {
    const wanted = bytes.subarray(position, position + run.length);
    position += run.length;
    const start = offset + run.offset;
    const parts = await differing(device, wanted, start);
    for (const part of parts) {
      await device.write(wanted.subarray(part.offset, part.offset + part.length), start + part.offset);
      written += part.length;
    }
    if (parts.length > 0 && (await differing(device, wanted, start)).length > 0) {
      throw notHeld(device.label, start, run.length);
    }
  }
  return written;
}
