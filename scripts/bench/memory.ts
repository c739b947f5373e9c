/**
 * How much memory blocksync needs at both ends, sampled from /proc while it runs.
 *
 * What the kernel tells of a child that has ended would be exact, but of this end only; it takes in whatever the child
 * waited for, and the benchmark's own pages up to exec. VmHWM is a peak itself, so a sample misses only what is reached
 * in the last moments.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface Peaks {
  readonly hereBytes: number;
  /** The largest of all processes there; 0 without a far side. */
  readonly thereBytes: number;
  /** How many there were on the far side. */
  readonly thereProcesses: number;
}

/** A look takes some 0.1 ms, so this is 1 % of a core. */
const INTERVAL_MS = 10;

function processIds(): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((id) => id > 0);
}

/** undefined when the process is gone, or somebody else's. */
function executable(id: number): string | undefined {
  try {
    return readlinkSync(`/proc/${id}/exe`);
  } catch {
    return undefined;
  }
}

/** 0 when it is gone. */
function peakBytes(id: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${id}/status`, "latin1"))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** Watches one run, from just before its start. */
export class MemoryWatch {
  readonly #farDirectory: string;
  /** What runs before the start is none of ours, and need not be looked at again and again. */
  readonly #earlier = new Set(processIds());
  readonly #there = new Map<number, number>();
  #hereBytes = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** The far side is every process whose program lies in `farDirectory`. */
  constructor(farDirectory: string) {
    this.#farDirectory = farDirectory;
  }

  /** `id` is blocksync at this end. */
  start(id: number): void {
    this.#timer = setInterval(() => this.#sample(id), INTERVAL_MS);
  }

  #sample(here: number): void {
    this.#hereBytes = Math.max(this.#hereBytes, peakBytes(here));
    for (const id of processIds()) {
      if (this.#earlier.has(id) || id === here) continue;
      // Each time anew: a shell becomes blocksync under the same number.
      if (executable(id)?.startsWith(`${this.#farDirectory}/`) !== true) continue;
      this.#there.set(id, Math.max(this.#there.get(id) ?? 0, peakBytes(id)));
    }
  }

  stop(): Peaks {
    clearInterval(this.#timer);
    const thereBytes = Math.max(0, ...this.#there.values());
    return { hereBytes: this.#hereBytes, thereBytes, thereProcesses: this.#there.size };
  }
}
