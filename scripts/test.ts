/**
 * `make test`: installs what the tests talk to where it may (root on Debian), runs them all, and ends with one line
 * "N passed, N failed". With CI set a test that cannot run is a failure.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");

/** Program → Debian package. */
const PACKAGES: Readonly<Record<string, string>> = {
  "/usr/sbin/sshd": "openssh-server",
  ssh: "openssh-client",
  "mkfs.ext4": "e2fsprogs",
  strace: "strace",
  losetup: "mount",
  nbdkit: "nbdkit",
  nbdfuse: "libnbd-bin",
  ddrescuelog: "gddrescue",
  zsh: "zsh",
  fish: "fish",
  tcsh: "tcsh",
  busybox: "busybox",
  dropbear: "dropbear-bin",
  sudo: "sudo",
  buildah: "buildah",
  runc: "runc",
  "apt-get": "apt",
  groff: "groff-base",
  man: "man-db",
  "rsvg-convert": "librsvg2-bin",
  readelf: "binutils",
  "qemu-aarch64-static": "qemu-user-static",
  "/usr/aarch64-linux-gnu/lib/libc.so.6": "libc6-arm64-cross",
  "/usr/aarch64-linux-gnu/lib/libgcc_s.so.1": "libgcc-s1-arm64-cross",
  jq: "jq",
  "ansible-playbook": "ansible-core",
  "systemd-analyze": "systemd",
  tmux: "tmux",
};

function missingPackages(): string[] {
  const missing = Object.entries(PACKAGES).filter(([program]) => {
    return program.startsWith("/")
      ? !existsSync(program)
      : Bun.which(program, { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` }) === null;
  });
  return missing.map(([, name]) => name);
}

function installMissing(): void {
  const packages = missingPackages();
  if (packages.length === 0) return;
  const mayInstall = process.getuid?.() === 0 && Bun.which("apt-get") !== null;
  if (!mayInstall) {
    process.stdout.write(`Not installed, so some tests cannot run: ${packages.join(" ")}\n`);
    return;
  }
  process.stdout.write(`Installing ${packages.join(" ")}\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const apt = (...words: string[]) =>
    Bun.spawnSync(["apt-get", "-qq", ...words], { env, stdout: "ignore", stderr: "inherit" }).exitCode;
  if (apt("install", "-y", "--no-install-recommends", ...packages) === 0) return;
  apt("update");
  const status = apt("install", "-y", "--no-install-recommends", ...packages);
  if (status !== 0) process.stdout.write(`apt-get could not install ${packages.join(" ")}\n`);
}

async function runTests(): Promise<number> {
  const words = process.argv.slice(2);
  const child = Bun.spawn([process.execPath, "test", "--timeout", "120000", ...words], {
    cwd: root,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` },
  });
  let output = "";
  const forward = async (stream: ReadableStream<Uint8Array>) => {
    for await (const chunk of stream) {
      output += new TextDecoder().decode(chunk);
      process.stdout.write(chunk);
    }
  };
  await Promise.all([forward(child.stdout), forward(child.stderr)]);
  const status = await child.exited;
  const count = (word: string) => Number(new RegExp(`^\\s*(\\d+) ${word}s?$`, "m").exec(output)?.[1] ?? 0);
  const failed = count("fail") + count("error");
  const unexplained = status !== 0 && failed === 0 ? 1 : 0;
  process.stdout.write(`\n${count("pass")} passed, ${failed + unexplained} failed\n`);
  return status;
}

installMissing();
process.exit(await runTests());
