/** The fingerprint of src/sync/fingerprint.ts, by other implementations of its hashes and another way. */
import { createHash } from "node:crypto";
import { xxh3 } from "@node-rs/xxhash";

/** Little-endian, as every machine that this runs on is. */
function words(values: readonly bigint[] | BigUint64Array): Buffer {
  return Buffer.from(new BigUint64Array(values).buffer);
}

export function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

function digest(bytes: Uint8Array): Buffer {
  return sha256(bytes).subarray(0, 16);
}

/** Of units one after the other, of `unitBytes` each. */
function rootOf(units: Buffer, unitBytes: number): Buffer {
  const partBytes = 4096 * unitBytes;
  const parts = Array.from({ length: Math.max(1, Math.ceil(units.length / partBytes)) }, (_, i) =>
    digest(units.subarray(i * partBytes, (i + 1) * partBytes)),
  );
  const [only, ...others] = parts;
  return only !== undefined && others.length === 0 ? only : rootOf(Buffer.concat(parts), 16);
}

export function fingerprintOfPrints(
  prints: readonly bigint[] | BigUint64Array,
  sizeBytes: number,
  blockSize: number,
): string {
  const all = Buffer.concat([rootOf(words(prints), 8), words([BigInt(sizeBytes), BigInt(blockSize)])]);
  return digest(all).toString("hex");
}

export function fingerprintOf(data: Uint8Array, blockSize: number): string {
  const blocks = Array.from({ length: Math.ceil(data.length / blockSize) }, (_, i) =>
    data.subarray(i * blockSize, (i + 1) * blockSize),
  );
  const prints = blocks.map((block) => xxh3.xxh64(block));
  return fingerprintOfPrints(prints, data.length, blockSize);
}

/**
 * Two blocks of 4 KiB that differ and have one print. A lane of XXH3 adds up the products of the halves of each word after
 * XOR with its key, and its neighbour the words: with upper halves equal to the keys' all products are 0, and what one word
 * has more the next one may have less. The keys are those of the first lane in the first two stripes (the secret of
 * xxhash.h, bytes 0 to 15).
 */
export function equalPrints(): [Buffer, Buffer] {
  const keys = Buffer.from("b8fe6c3923a44bbe7c01812cf721ad1c", "hex");
  const blocks = [1000, 1001].map((low) => {
    const block = Buffer.alloc(4096, 7);
    for (const [stripe, value] of [low, 5000 - low].entries()) {
      block.writeUInt32LE(value, stripe * 64);
      keys.copy(block, stripe * 64 + 4, stripe * 8 + 4, stripe * 8 + 8);
    }
    return block;
  });
  const [one = Buffer.alloc(0), other = Buffer.alloc(0)] = blocks;
  if (one.equals(other) || xxh3.xxh64(one) !== xxh3.xxh64(other)) throw new Error("The prints are not equal");
  return [one, other];
}
