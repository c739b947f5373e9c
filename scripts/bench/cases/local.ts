/** Two files of this machine. */
import type { Case } from "../case.ts";
import { blocksync, furtherPeer, HERE, pair, RSYNC, shell } from "../contenders.ts";
import { timesAsFastAs, timesAsLongAs } from "../goals.ts";
import type { Workspace } from "../workspace.ts";

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
      pair("2 × dd", "dd", (file) => `dd if=${file} of=/dev/null bs=1M`, source, destination),
      { name: "rsync", argv: [...RSYNC, source, destination] },
      ...furtherPeer("blocksync-fast", env),
      ...furtherPeer("bdsync", env),
      ...furtherPeer("blocksync.py", env),
    ],
    // What two dd at once take is what reading alone takes.
    goals: [timesAsFastAs("blocksync-fast", 2), timesAsFastAs("cmp", 3), timesAsFastAs("2 × dd", 0.6)],
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
    goals: [timesAsLongAs("cp + sync", 1.2)],
  };
}
