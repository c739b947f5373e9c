/** Who started whom. */
import { readLine } from "./sysfs.ts";

/** The process `pid`, what started it, and so on (proc_pid_status(5)), up to where nobody knows any more. */
export function* lineage(pid: number): Generator<number> {
  const seen = new Set<number>();
  for (let one = pid; one > 0 && !seen.has(one); ) {
    yield one;
    seen.add(one);
    one = Number(/^PPid:\s*(\d+)$/m.exec(readLine(`/proc/${one}/status`) ?? "")?.[1] ?? 0);
  }
}
