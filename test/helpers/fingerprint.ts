/** The fingerprint of src/sync/record.ts, by other implementations of its hashes and another way. */
import { xxh3 } from "@node-rs/xxhash";

function words(values: readonly bigint[]): Buffer {
  const bytes = Buffer.alloc(values.length * 8);
  for (const [i, value] of values.entries()) bytes.writeBigUInt64LE(value, i * 8);
  return bytes;
}

export function fingerprintOfPrints(prints: readonly bigint[], sizeBytes: number, blockSize: number): string {
  const digests: Buffer[] = [];
  for (let first = 0; first < prints.length; first += 4096) {
    const digest = xxh3.xxh128(words(prints.slice(first, first + 4096)));
    digests.push(words([digest & 0xffff_ffff_ffff_ffffn, digest >> 64n]));
  }
  const all = Buffer.concat([...digests, words([BigInt(sizeBytes), BigInt(blockSize)])]);
  return xxh3.xxh128(all).toString(16).padStart(32, "0");
}

export function fingerprintOf(data: Uint8Array, blockSize: number): string {
  const blocks = Array.from({ length: Math.ceil(data.length / blockSize) }, (_, i) =>
    data.subarray(i * blockSize, (i + 1) * blockSize),
  );
  const prints = blocks.map((block) => xxh3.xxh64(block));
  return fingerprintOfPrints(prints, data.length, blockSize);
}
