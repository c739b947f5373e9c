/** Two files of this machine. */
import type { Case, Contender } from "../case.ts";
import { blocksync, furtherPeer, HERE, pair, RSYNC, shell, throughPipe } from "../contenders.ts";
import { timesAsFastAs, timesAsLongAs } from "../goals.ts";
import type { Workspace } from "../workspace.ts";

const READ_BOTH = "2 × dd";

function readBoth({ randomImage, destination }: Workspace): Contender {
  return pair(READ_BOTH, "dd", (file) => `dd if=${file} of=/dev/null bs=1M`, randomImage, destination);
}

export function localIdentical(program: string, workspace: Workspace): Case {
  const { randomImage: source, destination } = workspace;
  const env = { SOURCE: source, DESTINATION: destination, HOST: "localhost", SSH_CONFIG: "/dev/null" };
  return {
    name: "local-identical",
    title: "Two equal files on this machine",
    setup: () => workspace.needEqualPair(),
    contenders: [
      blocksync(program, HERE, source, destination),
      { name: "cmp", argv: ["cmp", source, destination] },
      readBoth(workspace),
      { name: "rsync", argv: [...RSYNC, source, destination] },
      ...furtherPeer("blocksync-fast", env),
      ...furtherPeer("bdsync", env),
      ...furtherPeer("blocksync.py", env),
    ],
    // What two dd at once take is what reading alone takes.
    goals: [timesAsFastAs("blocksync-fast", 1.8), timesAsFastAs("cmp", 2.8), timesAsFastAs(READ_BOTH, 0.75)],
  };
}

/** What the disk itself allows is the best of those that only read, with few and with more reads at once. */
export function localCold(program: string, workspace: Workspace): Case {
  const { randomImage: source, destination, sizeMib } = workspace;
  const half = Math.floor(sizeMib / 2);
  const inHalves = (file: string) =>
    `(dd if=${file} of=/dev/null bs=1M count=${half} & dd if=${file} of=/dev/null bs=1M skip=${half}; wait $!)`;
  return {
    name: "local-cold",
    title: "Two equal files on this machine, not in the page cache",
    setup: () => workspace.needEqualPair(),
    prepare: () => workspace.dropFromCache(),
    contenders: [
      blocksync(program, HERE, source, destination),
      { name: "cmp", argv: ["cmp", source, destination] },
      readBoth(workspace),
      pair("4 × dd", "dd", inHalves, source, destination),
    ],
    goals: [timesAsLongAs(READ_BOTH, 1.1), timesAsLongAs("4 × dd", 1.1)],
  };
}

/** Both ends on this machine, with a wire between them and no ssh. */
export function pipeIdentical(program: string, workspace: Workspace): Case {
  const { randomImage: source, destination } = workspace;
  return {
    name: "pipe-identical",
    title: "Two equal files through a pipe",
    setup: () => workspace.needEqualPair(),
    contenders: [blocksync(program, throughPipe(workspace), source, destination), readBoth(workspace)],
    goals: [timesAsLongAs(READ_BOTH, 2.2)],
  };
}

/** The source is one hole, the destination full of data. */
export function localHoles(program: string, workspace: Workspace): Case {
  const { randomImage, destination, sizeBytes } = workspace;
  const source = workspace.hole;
  return {
    name: "local-holes",
    title: "A source that is one hole over a destination that is data, flushed",
    setup: async () => {
      await workspace.needRandomImage();
      await workspace.needHole();
    },
    prepare: () => workspace.copyToDestination(randomImage),
    expected: source,
    contenders: [
      blocksync(program, HERE, source, destination),
      shell(
        "fallocate -p",
        "fallocate",
        'fallocate -p -o 0 -l "$2" "$1" && sync "$1" && dd if="$1" of=/dev/null bs=128K',
        destination,
        String(sizeBytes),
      ),
    ],
    goals: [timesAsLongAs("fallocate -p", 2)],
    reportSparseness: true,
  };
}

/** The same copy in large and in small blocks, here and through a pipe: what a block costs beside its bytes. */
export function smallBlocks(program: string, workspace: Workspace, isPiped: boolean): Case {
  const { randomImage: source, destination } = workspace;
  const route = isPiped ? throughPipe(workspace) : HERE;
  const contender = (size: string): Contender =>
    blocksync(program, route, source, destination, { name: `blocksync -b ${size}`, words: ["-b", size] });
  return {
    name: isPiped ? "small-blocks-pipe" : "small-blocks",
    title: `A new file ${isPiped ? "through a pipe" : "on this machine"} in small blocks and in large ones, random data, flushed`,
    setup: () => workspace.needRandomImage(),
    prepare: async () => workspace.removeDestination(),
    expected: source,
    contenders: [contender("4K"), contender("1M")],
    goals: [timesAsLongAs("blocksync -b 1M", 1.5)],
  };
}

export function localFresh(program: string, workspace: Workspace): Case {
  const { randomImage: source, destination } = workspace;
  return {
    name: "local-fresh",
    title: "A new file on this machine, random data, flushed",
    setup: () => workspace.needRandomImage(),
    prepare: async () => workspace.removeDestination(),
    expected: source,
    contenders: [
      blocksync(program, HERE, source, destination),
      shell("cp + sync", "cp", 'cp --sparse=never --reflink=never "$1" "$2" && sync "$2"', source, destination),
    ],
    goals: [timesAsLongAs("cp + sync", 1)],
  };
}
