/** A folder that something was created in. */
import fs from "node:fs";
import { IoError, reason, systemCode } from "../../errors.ts";
import { quote } from "../../name.ts";
import { Descriptor } from "./descriptor.ts";

/** What a file system says that has no fsync() for directories (fsync(2)), as CIFS before Linux 4.17 and some of FUSE. */
const UNABLE: ReadonlySet<string> = new Set(["EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"]);

/**
 * Makes durable that the file `label` was created: it is found after a crash only when its directory is on stable storage too
 * (fsync(2)). @throws {IoError}
 */
export async function flushFolder(directory: string, label: string): Promise<void> {
  // One may write to a directory without being allowed to read it; the file itself is safe.
  const folder = await Descriptor.open(directory, fs.constants.O_RDONLY).catch(() => undefined);
  try {
    await folder?.flush();
  } catch (cause) {
    // Where that is unknown, names are stored as they are made, or nobody can do better.
    if (UNABLE.has(systemCode(cause) ?? "")) return;
    const text = `Cannot flush the directory of ${quote(label)}: ${reason(cause)}; a crash may lose the new file's name`;
    throw new IoError(text, { cause, hint: "check the kernel log (dmesg), fix the cause and run again" });
  } finally {
    await folder?.close();
  }
}
