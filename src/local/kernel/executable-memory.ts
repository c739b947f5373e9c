/** Why the functions of the C library cannot be called: the code that calls them has to be made, in executable memory. */
import { IoError, reason } from "../../errors.ts";
import { softLimit } from "./limits.ts";

/** Bun 1.4.5 reserves its executable memory from 2.3 GB of address space on, below that it does without (measured). */
const ADDRESS_SPACE = "3 GB";

/** The variable by which JavaScriptCore is told to do without executable memory. */
const SWITCH = "BUN_JSC_useJIT";

interface Cause {
  readonly why: string;
  readonly hint: string;
}

function causeOf(): Cause {
  if (/^(0|false|no)$/i.test(process.env[SWITCH] ?? ""))
    return { why: `the variable ${SWITCH} forbids executable memory`, hint: `unset ${SWITCH} and run again` };
  const limit = softLimit("Max address space");
  if (limit !== undefined) {
    return {
      why: `its address space is limited to ${limit} bytes, and it needs ${ADDRESS_SPACE}, of which it uses little`,
      hint: "raise the limit (ulimit -v, LimitAS= of systemd); a cgroup (MemoryMax=) limits what is used instead",
    };
  }
  return {
    why: "the system refuses it executable memory",
    hint: "allow it to blocksync: MemoryDenyWriteExecute= of systemd, seccomp, prctl(PR_SET_MDWE) or SELinux (execmem) forbids it",
  };
}

/** The failure of a program that `cause`, thrown by Bun, keeps from calling the system. */
export function cannotCall(cause: unknown): IoError {
  const said = cause instanceof Error ? cause.message : "";
  if (!/\bJIT\b/.test(said)) return new IoError(`Cannot call the C library: ${reason(cause)}`, { cause });
  const { why, hint } = causeOf();
  return new IoError(`Cannot run here: ${why}`, { cause, hint });
}
