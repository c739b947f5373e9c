/** A run that tells where two files or devices differ and writes to neither. */

import { ExitCode } from "../errors.ts";
import { formatBytes } from "../format.ts";
import { sha256 } from "../local/work/hash.ts";
import { quote } from "../name.ts";
import { BlockLayout, LEAF_SIZE } from "../sync/blocks.ts";
import { differingRanges } from "../sync/differences.ts";
import { Fingerprint } from "../sync/fingerprint.ts";
import { checkHashes, noticeOfItself, tailBeyond } from "../sync/pair.ts";
import { Statistics } from "../sync/statistics.ts";
import { countReads } from "../sync/sync.ts";
import { TREE_HASH } from "../tree/endpoint.ts";
import { ChangeMap } from "./change-map.ts";
import type { Location } from "./location.ts";
import type { CommonOptions } from "./options.ts";
import { runPair } from "./run.ts";
import { checkStreams, endsHere, filesOf } from "./taken.ts";

/** Returns the exit code. @throws {UsageError} */
export async function runCompare(
  a: Location,
  b: Location,
  options: CommonOptions,
  signal: AbortSignal,
): Promise<number> {
  const roles =
    a.tree === undefined ? (["A of compare", "B of compare"] as const) : (["the tree", "the image"] as const);
  const ends = endsHere(a, b, roles);
  checkStreams(ends, options);
  const { outputFile, shell } = options;
  const taken = [...ends, ...filesOf({ "the file of --output": outputFile, "the key of --id": shell.identityFile })];
  const changeMap = new ChangeMap(options, taken);
  // A tree has its own.
  const { blockSize, hash } = a.tree === undefined ? options : ({ blockSize: LEAF_SIZE, hash: TREE_HASH } as const);
  let toldTo = 0;
  return await runPair(
    a,
    b,
    {
      ...options,
      blockSize,
      hash,
      access: "read",
      compress: false,
      discard: false,
      allowed: [],
      examine: "nothing",
      bytesPerSecond: undefined,
      undo: undefined,
      lanes: 1,
      stream: undefined,
    },
    signal,
    async ({ first: lane, lanes, report, startingOver }) => {
      const { source, destination } = lane;
      const [inA, inB] = [source.description, destination.description];
      startingOver.knows(inA, inB);
      checkHashes(inA, inB);
      const itself = noticeOfItself(inA, inB);
      if (itself !== undefined) report.notice(itself);
      const sizeBytes = Math.min(inA.sizeBytes, inB.sizeBytes);
      const layout = new BlockLayout(sizeBytes, blockSize);
      const statistics = new Statistics(layout, 1, report.statistics);
      startingOver.begin(inA, inB, statistics);
      report.start(a.label, b.label, statistics, await lanes.hashes(), () => lanes.traffic);
      await Promise.all([source, destination].map((end) => end.prepare(sizeBytes, { exact: false })));
      const tail = tailBeyond(inA, inB);
      const changes = changeMap.begin(sizeBytes + tail, lanes.zeroLeafHash);
      let bytesDiffering = 0;
      const [share] = statistics.lanes;
      const fingerprint = () => new Fingerprint(layout, inA.zeroHash, sha256);
      const fingerprints = { a: fingerprint(), b: fingerprint() };
      const work = { signal, statistics: share, fingerprints, changes };
      for await (const range of differingRanges(source, destination, layout, work)) {
        bytesDiffering += range.length;
        // What a pass that was lost has told is not told again.
        const [begin, end] = [Math.max(range.offset, toldTo), range.offset + range.length];
        if (end > begin) report.difference(begin, end - begin);
        toldTo = Math.max(toldTo, end);
      }
      await Promise.all([source.confirmUnchanged(), destination.confirmUnchanged(), countReads([lane], statistics)]);
      if (tail > 0) {
        report.difference(sizeBytes, tail);
        changes?.add("differ", { offset: sizeBytes, length: tail });
      } else {
        statistics.sourceFingerprint = fingerprints.a.value;
        statistics.destinationFingerprint = fingerprints.b.value;
      }
      if (inB.kind === "device" && inB.sizeBytes > sizeBytes) {
        report.notice(
          `${quote(inB.label)} is ${formatBytes(inB.sizeBytes - sizeBytes)} larger; what lies beyond was not compared`,
        );
      }
      report.stop();
      changeMap.save({ source: a.label, destination: b.label });
      const larger = inA.sizeBytes > inB.sizeBytes ? "first" : "second";
      const sizes = tail > 0 ? `the ${larger} is ${formatBytes(tail)} larger` : undefined;
      report.completed({ sizes, bytesDiffering, next: undefined });
      changeMap.show(report);
      return bytesDiffering + tail > 0 ? ExitCode.differs : ExitCode.ok;
    },
  );
}
