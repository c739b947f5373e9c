/** Where the hash is the limit, and not the reading. */
import type { Case } from "../case.ts";
import { blocksync, pair, throughPipe } from "../contenders.ts";
import { timesAsFastAs } from "../goals.ts";
import type { Workspace } from "../workspace.ts";

const ON_ONE_CORE = "blocksync, one core";

export function hashSha256(program: string, workspace: Workspace): Case {
  const { randomImage: source, destination } = workspace;
  const own = blocksync(program, throughPipe(workspace), source, destination, { words: ["--hash", "sha256"] });
  return {
    name: "hash-sha256",
    title: "Two equal files through a pipe, compared by SHA-256",
    setup: () => workspace.needEqualPair(),
    contenders: [
      own,
      { ...own, name: ON_ONE_CORE, argv: ["taskset", "-c", "0", ...own.argv] },
      pair("2 × sha256sum", "sha256sum", (file) => `sha256sum ${file}`, source, destination),
      pair("2 × openssl", "openssl", (file) => `openssl dgst -sha256 ${file}`, source, destination),
    ],
    goals: [timesAsFastAs(ON_ONE_CORE, 1.7)],
  };
}
