/** Reads around bad sectors, and writes what was read that way without touching what lies between. */
import { notHeld, ReadError } from "../../errors.ts";
import {
  addSectors,
  emptySectorSet,
  hasSectors,
  LEAF_SIZE,
  SECTOR_SIZE,
  type SectorSet,
  sectorRuns,
} from "../../sync/blocks.ts";
import type { Salvage } from "../../sync/endpoint.ts";
import { type ByteRange, endOf, pieces } from "../../sync/ranges.ts";
import type { Device } from "../medium/device.ts";
import type { Reader } from "../medium/reader.ts";
import type { BufferPool } from "./pool.ts";

/** Valid until release(), which is called once. */
export type LentSalvage = Salvage & { readonly release: () => void };

/**
 * Reads a block at `place` by leaves, and leaves that fail by sectors, each of those `retries` times more; the sectors lie in a
 * buffer of `pool` until release(). Sectors of `known` are not tried. Around the page cache where that is possible, since it
 * reads whole pages. `check` throws when nobody waits any more.
 */
export async function salvageBlock(
  device: Device,
  pool: BufferPool,
  place: ByteRange,
  known: SectorSet,
  retries: number,
  check: () => void,
): Promise<LentSalvage> {
  const buffer = await pool.take();
  const release = () => pool.give(buffer);
  try {
    await device.reader.openDirect();
    const block = buffer.subarray(0, place.length);
    return { ...(await readSectors(device, block, place.offset, known, retries, check)), release };
  } catch (error) {
    release();
    throw error;
  }
}

/** Fills `block` with what can be read from `offset` on, and moves that together at its start. */
async function readSectors(
  device: Device,
  block: Buffer,
  offset: number,
  known: SectorSet,
  retries: number,
  check: () => void,
): Promise<Salvage> {
  const { length } = block;
  const sectors = emptySectorSet(length);
  const read = async (piece: ByteRange, attempts: number) => {
    for (let attempt = 0; attempt < attempts; attempt++) {
      check();
      try {
        await device.reader.read(block.subarray(piece.offset, endOf(piece)), offset + piece.offset);
        addSectors(sectors, piece);
        return true;
      } catch (error) {
        if (!(error instanceof ReadError)) throw error;
      }
    }
    return false;
  };
  // A disk of longer sectors would be asked eight times for one.
  const isFiner = device.sectorBytes < LEAF_SIZE;
  for (const leaf of pieces({ offset: 0, length }, LEAF_SIZE)) {
    const isUnknown = !hasSectors(known, leaf);
    if (isUnknown && ((await read(leaf, isFiner ? 1 : 1 + retries)) || !isFiner)) continue;
    for (const sector of pieces(leaf, SECTOR_SIZE)) {
      if (!hasSectors(known, sector)) await read(sector, 1 + retries);
    }
  }
  let used = 0;
  for (const run of sectorRuns(sectors, length)) {
    block.copyWithin(used, run.offset, endOf(run));
    used += run.length;
  }
  return { sectors, bytes: block.subarray(0, used) };
}

/** What patchBlock() needs of a device. */
export type Patchable = Pick<Device, "label" | "write"> & { readonly reader: Pick<Reader, "read"> };

/** The parts of `wanted` that the device does not hold at `offset`, or that cannot be read there; reads into `room`. */
async function differing(device: Patchable, wanted: Buffer, offset: number, room: Buffer): Promise<ByteRange[]> {
  const found = room.subarray(0, wanted.length);
  try {
    await device.reader.read(found, offset);
  } catch (error) {
    if (error instanceof ReadError) return [{ offset: 0, length: wanted.length }];
    throw error;
  }
  const set = emptySectorSet(wanted.length);
  for (const sector of pieces({ offset: 0, length: wanted.length }, SECTOR_SIZE)) {
    const end = endOf(sector);
    if (!wanted.subarray(sector.offset, end).equals(found.subarray(sector.offset, end))) addSectors(set, sector);
  }
  return [...sectorRuns(set, wanted.length)];
}

/**
 * Makes the salvaged sectors of the block at `place` equal, and returns the bytes that were written.
 * @throws {VerificationError} when a part does not read back as it was written.
 */
export async function patchBlock(
  device: Patchable,
  pool: BufferPool,
  place: ByteRange,
  salvage: Salvage,
): Promise<number> {
  const room = await pool.take();
  try {
    return await patchSectors(device, room, place, salvage);
  } finally {
    pool.give(room);
  }
}

async function patchSectors(device: Patchable, room: Buffer, place: ByteRange, salvage: Salvage): Promise<number> {
  const bytes = Buffer.from(salvage.bytes.buffer, salvage.bytes.byteOffset, salvage.bytes.length);
  let position = 0;
  let written = 0;
  for (const run of sectorRuns(salvage.sectors, place.length)) {
    const wanted = bytes.subarray(position, position + run.length);
    position += run.length;
    const start = place.offset + run.offset;
    const parts = await differing(device, wanted, start, room);
    for (const part of parts) {
      await device.write(wanted.subarray(part.offset, endOf(part)), start + part.offset);
      written += part.length;
    }
    if (parts.length > 0 && (await differing(device, wanted, start, room)).length > 0) {
      throw notHeld(device.label, start, run.length);
    }
  }
  return written;
}
