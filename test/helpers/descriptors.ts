/** What this process has open. */
import fs from "node:fs";

/** Of these paths and of what lies in them, once for each descriptor. */
export function openOf(...paths: readonly string[]): string[] {
  const targets = fs.readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [fs.readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return [];
    }
  });
  return targets.filter((target) => paths.some((path) => target === path || target.startsWith(`${path}/`)));
}
