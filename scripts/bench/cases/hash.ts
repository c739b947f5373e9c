/** Where the hash is the limit, and not the reading. */
import type { Case } from "../case.ts";
import { blocksync, pair, throughPipe } from "../contenders.ts";
import type { Workspace } from "../workspace.ts";

export function hashSha256(program: string, workspace: Workspace): Case {
  const { randomImage: source, destination } = workspace;
  return {
    name: "hash-sha256",
    title: "Two equal files through a pipe, compared by SHA-256",
    setup: () => workspace.needEqualPair(),
    contenders: [
      blocksync(program, throughPipe(workspace), source, destination, { words: ["--hash", "sha256"] }),
      pair("2 × sha256sum", "sha256sum", (file) => `sha256sum ${file}`, source, destination),
      pair("2 × openssl", "openssl", (file) => `openssl dgst -sha256 ${file}`, source, destination),
    ],
  };
}
