/**
 * XXH128 without a seed, in TypeScript: for a run's fingerprint, and what --hash xxh128 falls back to where its native
 * library cannot load. Written after the description of XXH3 by the xxHash project (doc/xxhash_spec.md, version 0.1.1),
 * whose names the constants have.
 *
 * All arithmetic is that of unsigned 64-bit numbers. What is done once for an input is done with BigInts; in the stripes,
 * where the time goes, a number is two 32-bit halves. On 1 MiB in cache 0.4 GB/s; the native library has 2.
 */

const PRIME32_1 = 0x9e3779b1n;
const PRIME32_2 = 0x85ebca77n;
const PRIME32_3 = 0xc2b2ae3dn;
const PRIME64_1 = 0x9e3779b185ebca87n;
const PRIME64_2 = 0xc2b2ae3d27d4eb4fn;
const PRIME64_3 = 0x165667b19e3779f9n;
const PRIME64_4 = 0x85ebca77c2b2ae63n;
const PRIME64_5 = 0x27d4eb2f165667c5n;
const PRIME_MX1 = 0x165667919e3779f9n;
const PRIME_MX2 = 0x9fb21c651e98df25n;

const SECRET = Buffer.from(
  [
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f",
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c",
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8",
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364",
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e",
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e",
  ].join(""),
  "hex",
);

const STRIPE = 64;
const LANES = 8;
const STRIPES_PER_BLOCK = (SECRET.length - STRIPE) / 8;

/** The low and high 64 bits. */
interface Hash128 {
  readonly low: bigint;
  readonly high: bigint;
}

function u64(value: bigint): bigint {
  return BigInt.asUintN(64, value);
}

/** A word of the secret. */
function secret(offset: number): bigint {
  return SECRET.readBigUInt64LE(offset);
}

/** Both halves of the product of two words. */
function multiply(a: bigint, b: bigint): Hash128 {
  const product = a * b;
  return { low: u64(product), high: product >> 64n };
}

/** The halves of the product of two words, folded together. */
function fold(a: bigint, b: bigint): bigint {
  const { low, high } = multiply(a, b);
  return low ^ high;
}

function swapped(value: bigint, bits: 32 | 64): bigint {
  let result = 0n;
  for (let shift = 0; shift < bits; shift += 8) result = (result << 8n) | ((value >> BigInt(shift)) & 0xffn);
  return result;
}

function avalanche(value: bigint): bigint {
  const mixed = u64((value ^ (value >> 37n)) * PRIME_MX1);
  return mixed ^ (mixed >> 32n);
}

function avalancheXxh64(value: bigint): bigint {
  const once = u64((value ^ (value >> 33n)) * PRIME64_2);
  const twice = u64((once ^ (once >> 29n)) * PRIME64_3);
  return twice ^ (twice >> 32n);
}

function hashUpTo3(input: Buffer): Hash128 {
  const { length } = input;
  if (length === 0)
    return { low: avalancheXxh64(secret(64) ^ secret(72)), high: avalancheXxh64(secret(80) ^ secret(88)) };
  const byte = (index: number) => BigInt(input[index] ?? 0);
  const combined = byte(length - 1) | (BigInt(length) << 8n) | (byte(0) << 16n) | (byte(length >> 1) << 24n);
  const back = swapped(combined, 32);
  const rotated = BigInt.asUintN(32, (back << 13n) | (back >> 19n));
  const half = (offset: number) => BigInt(SECRET.readUInt32LE(offset));
  return { low: avalancheXxh64(half(0) ^ half(4) ^ combined), high: avalancheXxh64(half(8) ^ half(12) ^ rotated) };
}

function hash4To8(input: Buffer): Hash128 {
  const { length } = input;
  const combined = BigInt(input.readUInt32LE(0)) | (BigInt(input.readUInt32LE(length - 4)) << 32n);
  const value = secret(16) ^ secret(24) ^ combined;
  const product = multiply(value, PRIME64_1 + BigInt(length << 2));
  const high = u64(product.high + (product.low << 1n));
  const low = product.low ^ (high >> 3n);
  const mixed = u64((low ^ (low >> 35n)) * PRIME_MX2);
  return { low: mixed ^ (mixed >> 28n), high: avalanche(high) };
}

function hash9To16(input: Buffer): Hash128 {
  const { length } = input;
  const last = input.readBigUInt64LE(length - 8);
  const first = secret(32) ^ secret(40) ^ input.readBigUInt64LE(0) ^ last;
  const second = secret(48) ^ secret(56) ^ last;
  const product = multiply(first, PRIME64_1);
  const low = u64(product.low + (BigInt(length - 1) << 54n));
  const high = u64(product.high + second + BigInt.asUintN(32, second) * (PRIME32_2 - 1n));
  const result = multiply(low ^ swapped(high, 64), PRIME64_2);
  return { low: avalanche(result.low), high: avalanche(u64(result.high + high * PRIME64_2)) };
}

/** For 17 to 240 bytes: two pieces of 16 bytes at a time go into two sums. */
function hash17To240(input: Buffer): Hash128 {
  const { length } = input;
  let a = u64(BigInt(length) * PRIME64_1);
  let b = 0n;
  const mixPair = (first: number, second: number, key: number) => {
    const [one, two] = [input.readBigUInt64LE(first), input.readBigUInt64LE(first + 8)];
    const [three, four] = [input.readBigUInt64LE(second), input.readBigUInt64LE(second + 8)];
    a = u64(a + fold(one ^ secret(key), two ^ secret(key + 8))) ^ u64(three + four);
    b = u64(b + fold(three ^ secret(key + 16), four ^ secret(key + 24))) ^ u64(one + two);
  };
  if (length <= 128) {
    for (let i = (length - 1) >> 5; i >= 0; i--) mixPair(i * 16, length - i * 16 - 16, i * 32);
  } else {
    for (let i = 0; i < 4; i++) mixPair(i * 32, i * 32 + 16, i * 32);
    [a, b] = [avalanche(a), avalanche(b)];
    for (let i = 4; i < length >> 5; i++) mixPair(i * 32, i * 32 + 16, (i - 4) * 32 + 3);
    mixPair(length - 16, length - 32, 103);
  }
  const high = u64(a * PRIME64_1 + b * PRIME64_4 + BigInt(length) * PRIME64_2);
  return { low: avalanche(u64(a + b)), high: u64(-avalanche(high)) };
}

/** The secret from `offset` on, as 32-bit halves of its words. */
function keyFrom(offset: number): Int32Array {
  const words = Math.floor((SECRET.length - offset) / 4);
  return Int32Array.from({ length: words }, (_, i) => SECRET.readInt32LE(offset + i * 4));
}

const STRIPE_KEYS = keyFrom(0);
const LAST_KEY = keyFrom(SECRET.length - STRIPE - 7);
const SCRAMBLE_KEY = keyFrom(SECRET.length - STRIPE);
const SIGN = 1 << 31;

/** Adds a stripe to the sums: `sums` and `key` are halves of words, the low one first. */
function accumulate(sums: Int32Array, input: DataView, offset: number, key: Int32Array, keyAt: number): void {
  for (let half = 0; half < 2 * LANES; half += 2) {
    const low = input.getInt32(offset + half * 4, true);
    const high = input.getInt32(offset + half * 4 + 4, true);
    add(sums, half ^ 2, low, high);
    const a = low ^ (key[keyAt + half] ?? 0);
    const b = high ^ (key[keyAt + half + 1] ?? 0);
    add(sums, half, Math.imul(a, b), highProduct(a, b));
  }
}

/** The upper 32 bits of the product of two unsigned 32-bit numbers. */
function highProduct(a: number, b: number): number {
  const [aLow, aHigh, bLow, bHigh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const middle = (Math.imul(aHigh, bLow) + (Math.imul(aLow, bLow) >>> 16)) | 0;
  const other = (Math.imul(aLow, bHigh) + (middle & 0xffff)) | 0;
  return (Math.imul(aHigh, bHigh) + (middle >>> 16) + (other >>> 16)) | 0;
}

function add(sums: Int32Array, at: number, low: number, high: number): void {
  const sum = ((sums[at] ?? 0) + low) | 0;
  sums[at] = sum;
  // Unsigned: the sum is less than what was added to it when it went over.
  const carry = (sum ^ SIGN) < (low ^ SIGN) ? 1 : 0;
  sums[at + 1] = ((sums[at + 1] ?? 0) + high + carry) | 0;
}

const PRIME32_1_NUMBER = Number(PRIME32_1);

function scramble(sums: Int32Array): void {
  for (let half = 0; half < 2 * LANES; half += 2) {
    const high = sums[half + 1] ?? 0;
    const a = (sums[half] ?? 0) ^ (high >>> 15) ^ (SCRAMBLE_KEY[half] ?? 0);
    const b = high ^ (SCRAMBLE_KEY[half + 1] ?? 0);
    sums[half] = Math.imul(a, PRIME32_1_NUMBER);
    sums[half + 1] = (highProduct(a, PRIME32_1_NUMBER) + Math.imul(b, PRIME32_1_NUMBER)) | 0;
  }
}

const FIRST_SUMS = BigUint64Array.of(
  PRIME32_3,
  PRIME64_1,
  PRIME64_2,
  PRIME64_3,
  PRIME64_4,
  PRIME32_2,
  PRIME64_5,
  PRIME32_1,
);

function merge(sums: BigUint64Array, start: bigint, key: number): bigint {
  let result = start;
  for (let lane = 0; lane < LANES; lane += 2) {
    const [one, two] = [sums[lane] ?? 0n, sums[lane + 1] ?? 0n];
    result += fold(one ^ secret(key + lane * 8), two ^ secret(key + lane * 8 + 8));
  }
  return avalanche(u64(result));
}

function hashLong(input: Buffer): Hash128 {
  const { length } = input;
  const words = FIRST_SUMS.slice();
  const sums = new Int32Array(words.buffer);
  const view = new DataView(input.buffer, input.byteOffset, length);
  const stripes = Math.floor((length - 1) / STRIPE);
  for (let stripe = 0; stripe < stripes; stripe++) {
    const place = stripe % STRIPES_PER_BLOCK;
    accumulate(sums, view, stripe * STRIPE, STRIPE_KEYS, place * 2);
    if (place === STRIPES_PER_BLOCK - 1) scramble(sums);
  }
  accumulate(sums, view, length - STRIPE, LAST_KEY, 0);
  const size = BigInt(length);
  return {
    low: merge(words, u64(size * PRIME64_1), 11),
    high: merge(words, u64(~(size * PRIME64_2)), SECRET.length - STRIPE - 11),
  };
}

function hash(input: Buffer): Hash128 {
  if (input.length <= 3) return hashUpTo3(input);
  if (input.length <= 8) return hash4To8(input);
  if (input.length <= 16) return hash9To16(input);
  if (input.length <= 240) return hash17To240(input);
  return hashLong(input);
}

/** The XXH128 of `bytes`, as the 128-bit number that its canonical form shows. */
export function xxh128(bytes: Uint8Array): bigint {
  const { low, high } = hash(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  return (high << 64n) | low;
}
