import { expect, test } from "bun:test";
import { VerificationError } from "../../src/errors.ts";
import { BufferPool } from "../../src/local/work/pool.ts";
import { type Patchable, patchBlock } from "../../src/local/work/salvage.ts";
import { emptySectorSet } from "../../src/sync/blocks.ts";
import { bytes } from "../helpers/bytes.ts";

/** A device in memory, of which what is written may be changed on the way. */
function deviceOf(memory: Buffer, onWrite: (written: Buffer) => void): Patchable {
  return {
    label: "/dev/sdb",
    reader: { read: async (buffer, offset) => void memory.copy(buffer, 0, offset, offset + buffer.length) },
    write: async (data, offset) => {
      const written = Buffer.from(data);
      onWrite(written);
      written.copy(memory, offset);
    },
  };
}

const POOL = new BufferPool(4096, 1);
const SALVAGE = { sectors: Uint8Array.of(0b0110), bytes: bytes(431, 1024) };

test("patchBlock() writes the sectors that differ and no others", async () => {
  const memory = Buffer.alloc(8192, 1);
  const device = deviceOf(memory, () => undefined);
  const block = { offset: 4096, length: 2048 };
  expect(await patchBlock(device, POOL, block, SALVAGE)).toBe(1024);
  expect(memory.equals(Buffer.concat([Buffer.alloc(4608, 1), SALVAGE.bytes, Buffer.alloc(2560, 1)]))).toBe(true);
  expect(await patchBlock(device, POOL, block, SALVAGE)).toBe(0);
  const nothing = { sectors: emptySectorSet(512), bytes: Buffer.alloc(0) };
  expect(await patchBlock(device, POOL, { offset: 0, length: 512 }, nothing)).toBe(0);
});

test("patchBlock() reads back what it wrote, and fails when that is something else", async () => {
  const flipping = deviceOf(Buffer.alloc(8192), (written) => written.writeUInt8(written.readUInt8(700) ^ 1, 700));
  const patching = patchBlock(flipping, POOL, { offset: 4096, length: 2048 }, SALVAGE);
  await expect(patching).rejects.toBeInstanceOf(VerificationError);
  await expect(patching).rejects.toThrow(
    'Cannot verify 1024 bytes at offset 4608 of "/dev/sdb": it does not hold what was written',
  );
});
