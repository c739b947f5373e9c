/** The command line of the benchmark. */
import { accessSync, constants, statfsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";

export const USAGE = `bun scripts/bench.ts [--size MIB] [--runs N] [--only NAME,...] [--program PATH] [--dir DIR] [--json FILE] [--markdown FILE]
    --size MIB        size of the images [2048]
    --runs N          timed runs of each contender, after one that is not timed [5]
    --only NAME,...   only these cases; --list names them
    --list            print the names of the cases
    --program PATH    the blocksync to measure, such as another version [dist/blocksync]
    --dir DIR         where the images are made [TMPDIR, or /tmp, or /var/tmp when /tmp is in memory]
    --json FILE       write every figure there
    --markdown FILE   write the tables there
Further contenders of local-identical are shell commands in the environment, run with SOURCE and DESTINATION set, and the
last of them of ssh-identical, too, with HOST and the client's configuration in SSH_CONFIG:
    BLOCKSYNC_FAST='blocksync-fast -s "$SOURCE" -d "$DESTINATION"'
    BDSYNC='bdsync "bdsync --server" "$SOURCE" "$DESTINATION" | bdsync --patch="$DESTINATION"'
    BLOCKSYNC_PY='python3 blocksync.py -I python3 -c aes128-ctr -x "-F $SSH_CONFIG" "$SOURCE" "$HOST" "$DESTINATION"'
`;

export interface Options {
  readonly sizeMib: number;
  readonly runs: number;
  /** undefined: every case. */
  readonly only: readonly string[] | undefined;
  /** The executable that is measured. */
  readonly program: string;
  readonly directory: string;
  readonly jsonFile: string | undefined;
  readonly markdownFile: string | undefined;
  readonly list: boolean;
  readonly help: boolean;
}

/** The command line makes no sense. */
export class UsageError extends Error {}

const TMPFS = 0x01021994;

/** Images in a file system of memory would time no disk and compete with the page cache for the same memory. */
export function defaultDirectory(): string {
  const chosen = process.env["TMPDIR"];
  if (chosen !== undefined && chosen !== "") return chosen;
  return statfsSync("/tmp").type === TMPFS ? "/var/tmp" : "/tmp";
}

function positiveInteger(text: string, option: string): number {
  const value = Number(text);
  if (!/^\d{1,7}$/.test(text) || value < 1) throw new UsageError(`--${option} ${JSON.stringify(text)} is no number`);
  return value;
}

/** Fails now rather than after the measurements. */
function writablePlace(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  const path = resolve(file);
  accessSync(dirname(path), constants.W_OK);
  return path;
}

/** @throws {UsageError} {Error} */
export function parseOptions(words: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...words],
    options: {
      size: { type: "string", default: "2048" },
      runs: { type: "string", default: "5" },
      only: { type: "string" },
      program: { type: "string", default: join(import.meta.dir, "../../dist/blocksync") },
      dir: { type: "string" },
      json: { type: "string" },
      markdown: { type: "string" },
      list: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  return {
    sizeMib: positiveInteger(values.size, "size"),
    runs: positiveInteger(values.runs, "runs"),
    only: values.only?.split(",").filter((name) => name !== ""),
    program: resolve(values.program),
    directory: resolve(values.dir ?? defaultDirectory()),
    jsonFile: writablePlace(values.json),
    markdownFile: writablePlace(values.markdown),
    list: values.list,
    help: values.help,
  };
}
