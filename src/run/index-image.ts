/** A run that writes the hash tree of an image, and says its root hash. */

import fs from "node:fs";
import { asFailure, ExitCode, refused, refusedDestination } from "../errors.ts";
import { formatBytes } from "../format.ts";
import { LocalEndpoint } from "../local/endpoint.ts";
import { checkLibrary } from "../local/kernel/libc.ts";
import { checkOpenFiles } from "../local/kernel/limits.ts";
import { ofGrowing } from "../local/medium/descriptor.ts";
import { sha256 } from "../local/work/hash.ts";
import { bytesOf, quote, shownName } from "../name.ts";
import { hear } from "../report/hear.ts";
import { createOutput } from "../report/output.ts";
import { Report } from "../report/report.ts";
import { unlessAborted } from "../sync/abort.ts";
import { scanAhead } from "../sync/ahead.ts";
import { BlockLayout, LEAF_SIZE } from "../sync/blocks.ts";
import { hashAt } from "../sync/compare.ts";
import { type Endpoint, PRINT_SIZE } from "../sync/endpoint.ts";
import { type HashChoice, type Opening, SEED_SIZE } from "../sync/spec.ts";
import { Statistics } from "../sync/statistics.ts";
import { TreeBuilder } from "../tree/builder.ts";
import { TREE_HASH } from "../tree/endpoint.ts";
import { treeSize } from "../tree/layout.ts";
import { encodeSuperblock, readSuperblock, SUPERBLOCK_SIZE } from "../tree/superblock.ts";
import type { MessageOptions } from "./options.ts";
import { ReplacedFile } from "./replaced-file.ts";
import { CLOSE_WAIT_MS, sayFailure, within } from "./run.ts";
import { checkMessages, checkStreams, filesOf, type Taken } from "./taken.ts";

/** Returns the exit code; failures are reported here. @throws {UsageError} {IoError} {RefusedError} before anything is read. */
export async function runIndex(
  image: string,
  tree: string,
  { outputFile, quiet, verbose }: MessageOptions,
  signal: AbortSignal,
): Promise<number> {
  const ends: Taken[] = [[image, "the image"]];
  checkStreams(ends, { json: false });
  if (outputFile !== undefined) checkMessages(outputFile, ends);
  const file = openTree(tree, [...ends, ...filesOf({ "the file of --output": outputFile })]);
  using output = createOutput({ file: outputFile, quiet, verbose, draws: !quiet });
  // Lines of progress are about what matches, a bar is about how far it is.
  const isWatched = !quiet && output.screen !== undefined;
  const report = new Report(output, { json: false, progress: isWatched ? "bar" : "none" });
  using _ = hear("SIGUSR1", () => report.tell());
  let endpoint: LocalEndpoint | undefined;
  let indexing: Promise<Uint8Array> | undefined;
  try {
    checkOpenFiles(1);
    checkLibrary();
    const onNote = (text: string) => report.detail(text);
    endpoint = await LocalEndpoint.open(specOf(image), { onNote, sharers: 1, signal });
    indexing = index(endpoint, tree, file, report);
    const root = await unlessAborted(signal, indexing);
    report.stop();
    const size = formatBytes(treeSize(endpoint.description.sizeBytes / LEAF_SIZE));
    report.notice(`${quote(tree)} has the hash tree (${size}); its root hash:`);
    output.data(`${root.toHex()}  ${shownName(image)}`);
    return ExitCode.ok;
  } catch (error) {
    report.stop();
    sayFailure(report, asFailure(error));
    return asFailure(error).exitCode;
  } finally {
    // Interrupted, it removes what it has written.
    await within(CLOSE_WAIT_MS, Promise.resolve(indexing));
    await within(CLOSE_WAIT_MS, Promise.resolve(endpoint?.close()));
  }
}

/** @throws {RefusedError} where there is something that is no tree as this run would write it. */
function openTree(tree: string, taken: readonly Taken[]): ReplacedFile {
  const link = fs.lstatSync(bytesOf(tree), { throwIfNoEntry: false })?.isSymbolicLink() === true;
  if (link && !fs.existsSync(bytesOf(tree)))
    throw refusedDestination(
      tree,
      "dangling-link",
      "it is a symbolic link to nothing",
      "remove the link, or name its target",
    );
  const file = ReplacedFile.open(tree, "hash tree", taken);
  const old = file.beginning(SUPERBLOCK_SIZE);
  if (old.length === 0 || (old.length === SUPERBLOCK_SIZE && isOwn(old))) return file;
  throw refusedDestination(
    tree,
    "no-tree",
    "it exists and is no hash tree that blocksync writes",
    "name another file with --tree, or remove it first",
  );
}

/** Whether it begins as what is written here does. */
function isOwn(superblock: Uint8Array): boolean {
  const shape = readSuperblock(superblock);
  return !("problem" in shape) && shape.salt.length === 0;
}

function specOf(image: string): Opening & { readonly hash: () => Promise<HashChoice> } {
  const hash: HashChoice = { name: TREE_HASH, additional: undefined, seed: new Uint8Array(SEED_SIZE) };
  return {
    path: image,
    label: image,
    access: "read",
    blockSize: LEAF_SIZE,
    dropCache: true,
    discard: false,
    compress: false,
    allowed: [],
    undo: undefined,
    examine: "nothing",
    hash: () => Promise.resolve(hash),
  };
}

/** Writes the tree and returns its root. */
async function index(image: Endpoint, tree: string, file: ReplacedFile, report: Report): Promise<Uint8Array> {
  const { label, sizeBytes } = image.description;
  if (sizeBytes === 0 || sizeBytes % LEAF_SIZE !== 0) {
    const why = sizeBytes === 0 ? "it is empty" : `its ${sizeBytes} bytes are no multiple of ${LEAF_SIZE}`;
    const hint = "a tree of dm-verity covers whole blocks of 4 KiB: lengthen it first (truncate -s %4096 FILE)";
    throw refused("index", label, "odd-size", why, hint);
  }
  await image.prepare(sizeBytes, { exact: false });
  const statistics = new Statistics(new BlockLayout(sizeBytes, LEAF_SIZE), 1);
  report.start(label, tree, statistics, TREE_HASH, () => NO_TRAFFIC);
  let root = new Uint8Array();
  await file.replaceBy(async (to) => {
    root = Uint8Array.from(await write(image, to, statistics));
    // A tree of a mixture of old and new would be worth nothing.
    await image.confirmUnchanged();
  });
  return root;
}

/** Writes the tree to an empty file. */
async function write(image: Endpoint, file: number, statistics: Statistics): Promise<Uint8Array> {
  const { sizeBytes, zeroHash } = image.description;
  const leaves = sizeBytes / LEAF_SIZE;
  const builder = new TreeBuilder(leaves, sha256, (bytes, offset) => writeAt(file, bytes, offset));
  const [lane] = statistics.lanes;
  const options = { hashed: true, tolerant: false, readHoles: false, ahead: scanAhead(LEAF_SIZE, 0) };
  for await (const run of image.scan([{ first: 0, count: leaves }], options)) {
    for (let first = run.first, end = run.first + run.count; first < end; ) {
      const stop = Math.min(end, first + LEAVES_AT_ONCE);
      for (let leaf = first; leaf < stop; leaf++) builder.add(hashAt(run, leaf, zeroHash).subarray(PRINT_SIZE));
      await builder.written();
      lane.blocksMatching += stop - first;
      first = stop;
    }
    image.advance(run.first + run.count);
  }
  const root = await builder.end();
  const start = new Uint8Array(LEAF_SIZE);
  start.set(encodeSuperblock(leaves, root));
  await writeAt(file, start, 0);
  return root;
}

const NO_TRAFFIC = { bytesSent: 0, bytesReceived: 0, bytesBootstrapped: 0, bytesFetched: 0 };

/** Leaves whose hashes are added between two writes; a hole may have any number. */
const LEAVES_AT_ONCE = 1 << 14;

async function writeAt(file: number, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; )
    done += await new Promise<number>((resolve, reject) => {
      fs.write(file, bytes, done, bytes.length - done, offset + done, (error, count) =>
        error === null ? resolve(count) : reject(ofGrowing(error)),
      );
    });
}
