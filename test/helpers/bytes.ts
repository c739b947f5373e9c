/** Deterministic data: the same seed gives the same bytes on every run. */

/** A generator of 32-bit numbers (mulberry32, public domain). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return (value ^ (value >>> 14)) >>> 0;
  };
}

export function bytes(seed: number, length: number): Buffer {
  const next = random(seed);
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0; i < words.length; i++) words[i] = next();
  return Buffer.from(words.buffer, 0, length);
}

/** A copy of `data` with one byte changed in each of the given leaves (4 KiB). */
export function changeLeaves(data: Buffer, leaves: Iterable<number>): Buffer {
  const changed = Buffer.from(data);
  for (const leaf of leaves) {
    const offset = leaf * 4096 + ((leaf * 997) % 4096);
    const at = Math.min(offset, changed.length - 1);
    changed[at] = (changed[at] ?? 0) ^ 0x5a;
  }
  return changed;
}
