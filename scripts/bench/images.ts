/** Makes the sample data. Piece by piece, so that the page cache has the memory and not this process. */
import { type FileHandle, open } from "node:fs/promises";
import { random } from "../../test/helpers/bytes.ts";

const MIB = 1 << 20;
const PAGE = 4096;

/** getRandomValues() takes no more at once. */
const RANDOM_PIECE = 65_536;

/** Writes an image of whole MiB, filled by `fill` one after the other. */
async function writeImage(
  path: string,
  sizeMib: number,
  signal: AbortSignal,
  fill: (piece: Uint8Array, index: number) => void,
): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    const piece = new Uint8Array(MIB);
    for (let index = 0; index < sizeMib; index++) {
      signal.throwIfAborted();
      fill(piece, index);
      await file.write(piece, 0, MIB, index * MIB);
    }
  } finally {
    await file.close();
  }
}

/** Data nothing can shorten. */
export function makeRandomImage(path: string, sizeMib: number, signal: AbortSignal): Promise<void> {
  return writeImage(path, sizeMib, signal, (piece) => {
    for (let at = 0; at < MIB; at += RANDOM_PIECE) crypto.getRandomValues(piece.subarray(at, at + RANDOM_PIECE));
  });
}

/** Invented words of 2 to 11 letters, each with the space after it. */
function vocabulary(next: () => number): Uint8Array[] {
  const encoder = new TextEncoder();
  const letters = "eeeettaaooiinnsshhrrddlucmwfgypbvk";
  return Array.from({ length: 4096 }, () => {
    const length = 2 + (next() % 10);
    return encoder.encode(`${Array.from({ length }, () => letters[next() % letters.length]).join("")} `);
  });
}

/** Fills with words, the first of the vocabulary more often than the last, as in a language. */
function fillWithText(piece: Uint8Array, words: readonly Uint8Array[], next: () => number): void {
  for (let at = 0; at < piece.length; ) {
    const fraction = next() / 2 ** 32;
    const word = words[Math.floor(fraction * fraction * words.length)];
    if (word === undefined) return;
    for (const byte of word) piece[at++] = byte;
  }
}

/**
 * Half zeros, half text, in turn for 4 MiB each. The zeros are written, not left out: a disk's zeros are stored, too, and a
 * sparse source would spare both contenders the reading.
 */
export function makeCompressibleImage(path: string, sizeMib: number, signal: AbortSignal): Promise<void> {
  const next = random(1);
  const words = vocabulary(next);
  return writeImage(path, sizeMib, signal, (piece, index) => {
    if (Math.floor(index / 4) % 2 === 0) piece.fill(0);
    else fillWithText(piece, words, next);
  });
}

/** Which pages are changed: the same in every run, at most half of them, in ascending order. */
export function choosePages(sizeMib: number, count: number): number[] {
  const next = random(2);
  const pages = (sizeMib * MIB) / PAGE;
  const chosen = new Set<number>();
  while (chosen.size < Math.min(count, pages / 2)) chosen.add(next() % pages);
  return [...chosen].sort((first, second) => first - second);
}

export function pageBytes(pages: readonly number[]): number {
  return pages.length * PAGE;
}

/** Pages of data that is the same in every run, and that no random image has. */
function pageMaker(): () => Uint8Array {
  const next = random(3);
  const words = new Uint32Array(PAGE / 4);
  return () => {
    for (let i = 0; i < words.length; i++) words[i] = next();
    return new Uint8Array(words.buffer);
  };
}

async function writePages(file: FileHandle, pages: readonly number[], signal: AbortSignal): Promise<void> {
  const nextPage = pageMaker();
  for (const page of pages) {
    signal.throwIfAborted();
    await file.write(nextPage(), 0, PAGE, page * PAGE);
  }
}

/** Overwrites the pages. */
export async function changePages(path: string, pages: readonly number[], signal: AbortSignal): Promise<void> {
  await using file = await open(path, "r+");
  await writePages(file, pages, signal);
}

/** As many at every size, so that what grows with the size grows with nothing else; and enough to be some work. */
export const SPARSE_PAGES = 256;

/** Evenly over the whole. */
function sparsePages(sizeBytes: number): number[] {
  const step = Math.floor(sizeBytes / PAGE / SPARSE_PAGES);
  return Array.from({ length: SPARSE_PAGES }, (_, index) => index * step);
}

/** A file of any size that is a hole but for a page here and there; two of one size are equal. */
export async function makeSparseImage(path: string, sizeBytes: number, signal: AbortSignal): Promise<void> {
  await using file = await open(path, "wx", 0o600);
  await file.truncate(sizeBytes);
  await writePages(file, sparsePages(sizeBytes), signal);
}

/** Looks at the size, at the pages and at what is on the disk; to read all of 4 TiB would take many minutes. */
export async function checkSparseImage(path: string, sizeBytes: number): Promise<string | undefined> {
  await using file = await open(path, "r");
  const { size, blocks } = await file.stat();
  if (size !== sizeBytes) return `the destination has ${size} bytes, not ${sizeBytes}`;
  const pages = sparsePages(sizeBytes);
  // A file system may keep more than a page for each, and a table of them.
  if (blocks * 512 > (pages.length + 1) * (64 << 10)) return `the destination takes ${blocks * 512} bytes on the disk`;
  const nextPage = pageMaker();
  const found = Buffer.alloc(PAGE);
  for (const page of pages) {
    await file.read(found, 0, PAGE, page * PAGE);
    if (!found.equals(nextPage())) return `the destination is not equal to the source at page ${page}`;
  }
  return undefined;
}
