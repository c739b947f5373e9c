/** A file tree that a program runs in as if it were the whole machine: what is not in it is not there. Root only. */
import fs from "node:fs";
import { dirname, join } from "node:path";
import { copyInto, librariesOf } from "../../scripts/container/libraries.ts";
import type { Result } from "./binary.ts";
import { command } from "./disk.ts";

/** Copies programs, a path there → the file here, and the libraries they need. */
export function install(root: string, programs: Readonly<Record<string, string>>): void {
  for (const [path, file] of Object.entries(programs)) {
    fs.mkdirSync(join(root, dirname(path)), { recursive: true });
    fs.copyFileSync(file, join(root, path));
    fs.chmodSync(join(root, path), 0o755);
  }
  copyInto(root, librariesOf(Object.values(programs)));
}

/** Makes a device file at `path` there, for the same device as `device` here. */
export function addDevice(root: string, path: string, device: string): void {
  const { rdev, mode } = fs.statSync(device);
  const kind = (mode & fs.constants.S_IFMT) === fs.constants.S_IFBLK ? "b" : "c";
  fs.mkdirSync(join(root, dirname(path)), { recursive: true });
  // Numbers below 256 have these bits (makedev(3)).
  command("mknod", "-m", "666", join(root, path), kind, String((rdev >> 8) & 0xfff), String(rdev & 0xff));
}

/**
 * Runs a program of the tree with nothing but /proc, /sys and a /tmp where nothing can be executed mounted; all of it in
 * a mount namespace of its own, so that nothing has to be undone. `env` is the whole environment.
 */
export async function runIn(
  root: string,
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Result> {
  for (const folder of ["proc", "sys", "tmp"]) fs.mkdirSync(join(root, folder), { recursive: true });
  const script = [
    'mount -t proc proc "$0/proc"',
    'mount -t sysfs -o ro sysfs "$0/sys"',
    'mount -t tmpfs -o noexec none "$0/tmp"',
    'exec env -i "$@"',
  ].join("\n");
  const pairs = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const entering = [...pairs, "/usr/sbin/chroot", root, ...words];
  const argv = ["unshare", "-m", "--propagation", "private", "sh", "-ec", script, root, ...entering];
  const child = Bun.spawn(argv, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { exitCode, stdout, stderr };
}
