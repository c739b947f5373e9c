/** What the kernel tells of this machine's processor. */
import fs from "node:fs";

/** The first processor's part of /proc/cpuinfo is shorter. */
const LENGTH = 8 << 10;

/** By architecture: the line of /proc/cpuinfo that lists what a processor can do, and what AES-GCM is fast with (proc_cpuinfo(5)). */
const WANTED: Partial<Record<NodeJS.Architecture, readonly [line: RegExp, words: readonly string[]]>> = {
  x64: [/^flags\s*:(.*)$/m, ["aes", "pclmulqdq"]],
  arm64: [/^Features\s*:(.*)$/m, ["aes", "pmull"]],
};

/** Whether a processor that /proc/cpuinfo describes so has AES instructions; false under emulation, where it tells of another one. */
export function hasAesIn(cpuinfo: string, architecture: NodeJS.Architecture): boolean {
  const [line, words = []] = WANTED[architecture] ?? [];
  const found = line?.exec(cpuinfo)?.[1]?.split(" ");
  return found !== undefined && words.every((word) => found.includes(word));
}

/** Whether this machine's processor has the instructions that AES-GCM is fast with; false where nobody knows. */
export function hasAes(): boolean {
  try {
    const fd = fs.openSync("/proc/cpuinfo", "r");
    try {
      const room = Buffer.alloc(LENGTH);
      return hasAesIn(room.toString("latin1", 0, fs.readSync(fd, room)), process.arch);
    } finally {
      fs.closeSync(fd);
    }
  } catch {
    return false;
  }
}
