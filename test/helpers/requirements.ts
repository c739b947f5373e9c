/**
 * What a test needs that not every machine has. A test that cannot run is named with its reason in one line; with CI set
 * it fails instead, so that a skip hides nothing.
 */
import { test } from "bun:test";
import fs from "node:fs";

function has(program: string): boolean {
  return Bun.which(program) !== null;
}

const root = process.getuid?.() === 0;

export const NEEDS = {
  sshd: has("sshd") || fs.existsSync("/usr/sbin/sshd") ? undefined : "sshd is not installed (openssh-server)",
  loop: !root
    ? "loop devices need root"
    : !fs.existsSync("/dev/loop-control")
      ? "this kernel has no loop devices"
      : undefined,
  mkfs: has("mkfs.ext4") || fs.existsSync("/usr/sbin/mkfs.ext4") ? undefined : "mkfs.ext4 is not installed (e2fsprogs)",
  nbd: !root
    ? "faulty block devices need root"
    : !has("nbdkit") || !has("nbdfuse")
      ? "nbdkit or nbdfuse is not installed (nbdkit, libnbd-bin)"
      : !fs.existsSync("/dev/fuse")
        ? "this kernel has no FUSE"
        : undefined,
  buildah: !root
    ? "a container's devices need root"
    : !has("buildah") || !has("runc")
      ? "buildah or runc is not installed"
      : undefined,
  sudo: has("sudo") ? undefined : "sudo is not installed",
  mounts: root ? undefined : "mounts for a test need root",
  users: root ? undefined : "users for a test need root",
  shells: ["zsh", "fish", "tcsh", "busybox", "dropbear"].every(
    (name) => has(name) || fs.existsSync(`/usr/sbin/${name}`),
  )
    ? undefined
    : "zsh, fish, tcsh, busybox or dropbear is not installed",
  strace: has("strace") ? undefined : "strace is not installed",
  groff: has("groff") ? undefined : "groff is not installed (groff-base)",
  man: has("man") ? undefined : "man is not installed (man-db)",
  bash: has("bash") ? undefined : "bash is not installed",
  zsh: has("zsh") ? undefined : "zsh is not installed",
  fish: has("fish") ? undefined : "fish is not installed",
  rsvg: has("rsvg-convert") ? undefined : "rsvg-convert is not installed (librsvg2-bin)",
  git: has("git") ? undefined : "git is not installed",
} as const;

/** `test` when all needs are met; otherwise a test that says why not. */
export function testWith(
  ...needs: (keyof typeof NEEDS)[]
): (name: string, body: () => Promise<void>, timeoutMs?: number) => void {
  const missing = needs.map((need) => NEEDS[need]).filter((reason) => reason !== undefined);
  if (missing.length === 0) return (name, body, timeoutMs = 60_000) => test(name, body, timeoutMs);
  const reason = missing.join("; ");
  if (process.env["CI"] !== undefined) {
    return (name) =>
      test(name, () => {
        throw new Error(`Cannot run: ${reason}`);
      });
  }
  return (name) => {
    process.stderr.write(`skipped: ${name}: ${reason}\n`);
    test.skip(name, () => undefined);
  };
}
