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
      why: `the address space is limited to ${limit} bytes; blocksync reserves ${ADDRESS_SPACE}, but uses little of it`,
      hint: "raise the limit (ulimit -v, systemd's LimitAS=); to limit the memory that is used, set MemoryMax= instead",
    };
  }
  return {
    why: "the system denies blocksync executable memory",
    hint: "find out what denies it: systemd's MemoryDenyWriteExecute=, seccomp, prctl(PR_SET_MDWE) or SELinux (execmem)",
  };
}

/** The failure of a program that `cause`, thrown by Bun, keeps from calling the system. */
export function cannotCall(cause: unknown): IoError {
  const said = cause instanceof Error ? cause.message : "";
  if (!/\bJIT\b/.test(said)) return new IoError(`Cannot call the C library: ${reason(cause)}`, { cause });
  const { why, hint } = causeOf();
  return new IoError(`Cannot run here: ${why}`, { cause, hint });
}
