/** Runs the command that follows as a hardened service would: memory that could be written never becomes executable. */
import { dlopen } from "bun:ffi";

const PR_SET_MDWE = 65; // linux/prctl.h, since Linux 6.3
const PR_MDWE_REFUSE_EXEC_GAIN = 1;

/** What a Bun script needs in front of a command so that this happens to it. */
export const NO_EXEC_MEMORY = [process.execPath, import.meta.path];

if (import.meta.main) {
  const { prctl } = dlopen("libc.so.6", {
    prctl: { args: ["int", "u64", "u64", "u64", "u64"], returns: "int" },
  }).symbols;
  if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) !== 0) throw new Error("This kernel knows no PR_SET_MDWE");
  const child = Bun.spawnSync(process.argv.slice(2), { stdio: ["inherit", "inherit", "inherit"] });
  process.exit(child.exitCode);
}
