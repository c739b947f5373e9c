/** A far side that is an arm64 machine, played on this one by qemu-user. Needs "qemu" and "binfmt" of requirements.ts. */
import fs from "node:fs";
import { ARM64_LIBRARIES } from "./requirements.ts";
import type { TempDir } from "./temp.ts";

const QEMU = "qemu-aarch64-static";
/** What an executable for arm64 begins with, and which bits of that count (qemu's scripts/qemu-binfmt-conf.sh). */
const MAGIC = "\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00";
const MASK = `${"\\xff".repeat(7)}\\x00${"\\xff".repeat(8)}\\xfe${"\\xff".repeat(3)}`;

/** Words before an arm64 executable that run it here. */
export const ON_ARM64: readonly string[] = [QEMU, "-L", ARM64_LIBRARIES.replace(/\/lib$/, "")];

/**
 * Writes a stand-in for ssh whose far side runs arm64 executables as its kernel would, has the libraries of arm64 where
 * they belong, says it is one, and has its home in `directory`. All that is its own, and gone when it ends. Returns the
 * words that make blocksync use it.
 */
export function arm64Ssh(directory: TempDir): string[] {
  const at = (name: string) => directory.file(name);
  fs.mkdirSync(at("bin"));
  fs.mkdirSync(at("home"));
  fs.writeFileSync(at("bin/uname"), "#!/bin/sh\ncase $1 in -s) echo Linux;; -m) echo aarch64;; esac\n", {
    mode: 0o755,
  });
  fs.writeFileSync(at("format"), `:arm64:M::${MAGIC}:${MASK}:${Bun.which(QEMU) ?? QEMU}:F`);
  fs.writeFileSync(
    at("far"),
    `set -e
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
cat '${at("format")}' >/proc/sys/fs/binfmt_misc/register
lib=$(readlink -f /lib)
mount -t overlay -o "lowerdir=${ARM64_LIBRARIES}:$lib" overlay "$lib"
export PATH='${at("bin")}':"$PATH" HOME='${at("home")}'
exec /bin/sh -c "$1"
`,
  );
  fs.writeFileSync(
    at("shell"),
    `#!/bin/sh\nshift\nexec unshare --user --map-root-user --mount /bin/sh '${at("far")}' "$*"\n`,
    { mode: 0o755 },
  );
  return ["-e", JSON.stringify(at("shell"))];
}
