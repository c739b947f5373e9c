/**
 * What a test needs that not every machine has. A test that cannot run is named with its reason in one line; with CI set
 * it fails instead, so that a skip hides nothing.
 */
import { test } from "bun:test";
import fs from "node:fs";
import { release } from "node:os";

function has(program: string): boolean {
  return Bun.which(program) !== null;
}

const root = process.getuid?.() === 0;

/** Where Debian keeps the libraries of an arm64 system (libc6-arm64-cross, libgcc-s1-arm64-cross). */
export const ARM64_LIBRARIES = "/usr/aarch64-linux-gnu/lib";

function arm64Reason(): string | undefined {
  if (process.arch !== "x64") return "qemu's arm64 is played on x86-64 only";
  if (!has("qemu-aarch64-static") || !has("qemu-x86_64-static")) return "qemu-user-static is not installed";
  return ["libc.so.6", "libgcc_s.so.1"].every((name) => fs.existsSync(`${ARM64_LIBRARIES}/${name}`))
    ? undefined
    : "the libraries of arm64 are not installed (libc6-arm64-cross, libgcc-s1-arm64-cross)";
}

/** Kernel 6.7 or newer: a user namespace with binary formats of its own, so that this machine keeps its own. */
function binfmtReason(): string | undefined {
  const words = [
    "--user",
    "--map-root-user",
    "--mount",
    "mount",
    "-t",
    "binfmt_misc",
    "none",
    "/proc/sys/fs/binfmt_misc",
  ];
  if (!has("unshare")) return "unshare is not installed";
  return Bun.spawnSync(["unshare", ...words], { stdio: ["ignore", "ignore", "ignore"] }).exitCode === 0
    ? undefined
    : "this kernel has no binary formats in user namespaces";
}

/** PR_SET_MDWE of linux/prctl.h came with Linux 6.3. */
function mdweReason(): string | undefined {
  const [major = 0, minor = 0] = release().split(".").map(Number.parseFloat);
  return major > 6 || (major === 6 && minor >= 3) ? undefined : "this kernel refuses nobody executable memory (6.3)";
}

export const NEEDS = {
  sshd: has("sshd") || fs.existsSync("/usr/sbin/sshd") ? undefined : "sshd is not installed (openssh-server)",
  loop: !root
    ? "loop devices need root"
    : !fs.existsSync("/dev/loop-control")
      ? "this kernel has no loop devices"
      : undefined,
  mkfs: has("mkfs.ext4") || fs.existsSync("/usr/sbin/mkfs.ext4") ? undefined : "mkfs.ext4 is not installed (e2fsprogs)",
  btrfs:
    has("mkfs.btrfs") || fs.existsSync("/sbin/mkfs.btrfs") ? undefined : "mkfs.btrfs is not installed (btrfs-progs)",
  fuse:
    !has("ntfs-3g") || !has("fuse2fs")
      ? "ntfs-3g or fuse2fs is not installed"
      : fs.existsSync("/dev/fuse")
        ? undefined
        : "this kernel has no FUSE",
  virtual:
    has("qemu-system-x86_64") && has("qemu-img")
      ? undefined
      : "qemu-system-x86_64 or qemu-img is not installed (qemu-system-x86, qemu-utils)",
  qemuImg: has("qemu-img") ? undefined : "qemu-img is not installed (qemu-utils)",
  xz: has("xz") ? undefined : "xz is not installed (xz-utils)",
  perl: has("perl") ? undefined : "perl is not installed",
  nbd: !root
    ? "faulty block devices need root"
    : !has("nbdkit") || !has("nbdfuse")
      ? "nbdkit or nbdfuse is not installed (nbdkit, libnbd-bin)"
      : !fs.existsSync("/dev/fuse")
        ? "this kernel has no FUSE"
        : undefined,
  rsync: has("rsync") ? undefined : "rsync is not installed (rsync)",
  ddrescue: has("ddrescue") && has("ddrescuelog") ? undefined : "GNU ddrescue is not installed (gddrescue)",
  nginx: has("nginx") || fs.existsSync("/usr/sbin/nginx") ? undefined : "nginx is not installed (nginx-light)",
  lighttpd: has("lighttpd") || fs.existsSync("/usr/sbin/lighttpd") ? undefined : "lighttpd is not installed (lighttpd)",
  python: has("python3") ? undefined : "python3 is not installed",
  openssl: has("openssl") ? undefined : "openssl is not installed (openssl)",
  veritysetup:
    has("veritysetup") || fs.existsSync("/usr/sbin/veritysetup")
      ? undefined
      : "veritysetup is not installed (cryptsetup-bin)",
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
  fincore: has("fincore") ? undefined : "fincore is not installed (util-linux-extra or util-linux)",
  groff: has("groff") ? undefined : "groff is not installed (groff-base)",
  man: has("man") ? undefined : "man is not installed (man-db)",
  bash: has("bash") ? undefined : "bash is not installed",
  zsh: has("zsh") ? undefined : "zsh is not installed",
  fish: has("fish") ? undefined : "fish is not installed",
  rsvg: has("rsvg-convert") ? undefined : "rsvg-convert is not installed (librsvg2-bin)",
  readelf: has("readelf") ? undefined : "readelf is not installed (binutils)",
  qemu: arm64Reason(),
  binfmt: arm64Reason() ?? binfmtReason(),
  jq: has("jq") ? undefined : "jq is not installed",
  ansible: has("ansible-playbook") ? undefined : "ansible-playbook is not installed (ansible-core)",
  systemd: has("systemd-analyze") ? undefined : "systemd-analyze is not installed (systemd)",
  shellcheck: has("shellcheck") ? undefined : "shellcheck is not installed",
  tmux: has("tmux") && has("bash") ? undefined : "tmux or bash is not installed",
  mdwe: mdweReason(),
  partclone:
    has("partclone.ext4") || fs.existsSync("/usr/sbin/partclone.ext4") ? undefined : "partclone is not installed",
  nbdinfo: has("nbdinfo") ? undefined : "nbdinfo is not installed (libnbd-bin)",
  thin:
    has("thin_delta") || fs.existsSync("/usr/sbin/thin_delta")
      ? undefined
      : "thin_delta is not installed (thin-provisioning-tools)",
  bmap: has("bmaptool") ? undefined : "bmaptool is not installed (bmap-tools)",
  git: has("git") ? undefined : "git is not installed",
} as const;

/** `test` when all needs are met; otherwise a test that says why not. */
export function testWith(...needs: (keyof typeof NEEDS)[]): (name: string, body: () => Promise<void>) => void {
  const missing = needs.map((need) => NEEDS[need]).filter((reason) => reason !== undefined);
  if (missing.length === 0) return (name, body) => test(name, body);
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
