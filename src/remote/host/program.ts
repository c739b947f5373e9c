/** An executable of blocksync as something to be sent: its target, its digest, its bytes packed. */
import fs from "node:fs";
import { loadZlib } from "../../builtin.ts";
import { UnreachableError } from "../../errors.ts";
import { variableGiven } from "../../given.ts";
import { bytesOf } from "../../name.ts";
import { programDigest } from "./program-digest.ts";
import { type Target, targetNamed } from "./target.ts";

/** The running file even if it was renamed or replaced meanwhile (proc(5)). */
const SELF = "/proc/self/exe";
/**
 * zstd 1, 2, 3 pack 110 MB to 58, 54, 52 in 0.33, 0.39, 0.61 s; gzip 1 to 56 in 1.9 s, gzip 6 to 52 in 4.9 s (2-core x86-64).
 * Nothing is sent before all is packed, so that zstd 2 is there before 1 on lines below 0.5 Gbit/s, and before 3 above 90 Mbit/s.
 */
const ZSTD_LEVEL = 2;
const GZIP_LEVEL = 1;

export interface Program {
  readonly target: Target;
  /** Lower-case hexadecimal. */
  sha256(): Promise<string>;
  /** The program packed by the first of `codecs` that is known: "zstd", "gzip", or "none". */
  packed(codecs: readonly string[]): Promise<{ readonly codec: string; readonly bytes: Uint8Array }>;
}

/** The program for `target` in the file `path`; its digest is noted under `note`. */
export function programIn(path: string, target: Target, note: string): Program {
  return {
    target,
    sha256: () => programDigest(path, variableGiven("HOME"), note),
    async packed(codecs) {
      const raw = await fs.promises.readFile(bytesOf(path));
      if (codecs.includes("zstd")) return { codec: "zstd", bytes: await Bun.zstdCompress(raw, { level: ZSTD_LEVEL }) };
      if (codecs.includes("gzip")) {
        const packed = await new Promise<Buffer>((resolve, reject) => {
          loadZlib().gzip(raw, { level: GZIP_LEVEL }, (error, result) =>
            error === null ? resolve(result) : reject(error),
          );
        });
        return { codec: "gzip", bytes: packed };
      }
      return { codec: "none", bytes: raw };
    },
  };
}

/**
 * The running program, which is for the target called `target`.
 * @throws {UnreachableError} when blocksync does not run as its own executable, so has nothing to send.
 */
export function ownProgram(target: string): Program {
  if (!Bun.main.startsWith("/$bunfs/")) {
    throw new UnreachableError("Cannot copy blocksync to the far side: it is not running as its own executable", {
      hint: "build it with make, and run dist/blocksync",
    });
  }
  return programIn(SELF, targetNamed(target), "program");
}
