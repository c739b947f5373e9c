/** What the system lets this process have (getrlimit(2)), said before a run fails of it in other words. */
import fs from "node:fs";
import { IoError } from "../../errors.ts";

/** The soft limit that proc_pid_limits(5) calls `name`, in the unit it has there; undefined where there is none. */
export function softLimit(name: string): number | undefined {
  let limits: string;
  try {
    limits = fs.readFileSync("/proc/self/limits", "latin1");
  } catch {
    return undefined;
  }
  const line = limits.split("\n").find((one) => one.startsWith(`${name}  `));
  const soft = /^\d+/.exec(line?.slice(name.length).trim() ?? "")?.[0];
  return soft === undefined ? undefined : Number(soft);
}

/** Open files of a process that has no lane yet, with its threads: 11 were counted. */
const FILES_AT_LEAST = 32;
/** Of each lane: two files, each again for reading around the cache, or three pipes to the far side. */
const FILES_PER_LANE = 6;

/**
 * Bun ends with exit code 1 where it cannot start a thread for want of open files, which would mean "differs"; it has raised
 * the soft limit to the hard one already.
 * @throws {IoError}
 */
export function checkOpenFiles(lanes: number): void {
  const limit = softLimit("Max open files");
  const needed = FILES_AT_LEAST + lanes * FILES_PER_LANE;
  if (limit === undefined || limit >= needed) return;
  throw new IoError(`Cannot run here: the limit is ${limit} open files, and blocksync may need ${needed}`, {
    hint: `raise the limit (ulimit -n, systemd's LimitNOFILE=)${lanes > 1 ? ", or use fewer --workers" : ""}`,
  });
}
