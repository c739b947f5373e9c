/** Threads are help, not a need. */
import { expect, test } from "bun:test";
import { Hasher } from "../../src/local/work/hash.ts";
import { hashBlocks } from "../../src/local/work/hash-threads.ts";
import { SEED_SIZE } from "../../src/sync/spec.ts";

test("hashBlocks() does without threads where no more may be started", async () => {
  const real = globalThis.Worker;
  let starts = 0;
  globalThis.Worker = new Proxy(real, {
    construct() {
      starts++;
      throw new Error("Failed to spawn worker thread");
    },
  });
  try {
    const hasher = await Hasher.create({ name: "sha256", additional: undefined, seed: new Uint8Array(SEED_SIZE) });
    const bytes = new Uint8Array(new SharedArrayBuffer(8192)).fill(7);
    const alone = hasher.hashEach(bytes, 4096);
    for (let i = 0; i < 2; i++) expect(await hashBlocks(hasher, bytes, 4096)).toEqual(alone);
  } finally {
    globalThis.Worker = real;
  }
  // Nor is it tried for each block.
  expect(starts).toBe(1);
});
