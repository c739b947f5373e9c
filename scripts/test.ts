/**
 * `make test`: installs what the tests talk to where it may (root on Debian), runs them all, several files at once, and ends
 * with one line "N passed, N failed". With CI set a test that cannot run is a failure.
 */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, join } from "node:path";
import { Glob } from "bun";

const root = join(import.meta.dir, "..");

/** Program → Debian package. */
const PACKAGES: Readonly<Record<string, string>> = {
  "/usr/sbin/sshd": "openssh-server",
  ssh: "openssh-client",
  "mkfs.ext4": "e2fsprogs",
  "mkfs.btrfs": "btrfs-progs",
  "ntfs-3g": "ntfs-3g",
  fuse2fs: "fuse2fs",
  "qemu-system-x86_64": "qemu-system-x86",
  "qemu-img": "qemu-utils",
  strace: "strace",
  losetup: "mount",
  nbdkit: "nbdkit",
  nbdfuse: "libnbd-bin",
  rsync: "rsync",
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
  fincore: "util-linux-extra",
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

/**
 * Files whose tests take longest, in that order (wall time one after the other on 2 cores, from three minutes down to 20 s).
 * They are begun first, so that none is still running when all others are through.
 */
const LONGEST: readonly string[] = [
  "bootstrap.test.ts",
  "terminal.test.ts",
  "faulty.test.ts",
  "timeout.test.ts",
  "hostile.test.ts",
  "end.test.ts",
  "sshd.test.ts",
  "bounds.test.ts",
  "slow-calls.test.ts",
  "dist.test.ts",
  "only.test.ts",
  "dying.test.ts",
  "kill.test.ts",
  "guard.test.ts",
  "sudo.test.ts",
  "fingerprint.test.ts",
  "signals.test.ts",
  "locks.test.ts",
  "identity.test.ts",
  "lanes.test.ts",
];

/** A test process waits for the programs it runs, so one for each core, but two where there is one. */
const PROCESSES = Math.max(2, availableParallelism());

interface Outcome {
  readonly passed: number;
  readonly failed: number;
}

/** What was asked for: parts of paths, and after a colon a part of a title. Nothing asked is everything. */
interface Selection {
  readonly words: readonly string[];
  /** "" for every title. */
  readonly title: string;
}

function selectionOf(asked: string): Selection {
  const colon = asked.indexOf(":");
  const paths = colon === -1 ? asked : asked.slice(0, colon);
  return {
    words: paths.split(/\s+/).filter((word) => word !== ""),
    title: colon === -1 ? "" : asked.slice(colon + 1).trim(),
  };
}

/** The tests in the order in which they are begun; `words` name some of them, as parts of their paths. */
function testFiles(words: readonly string[]): string[] {
  const names = [...new Glob("test/**/*.test.ts").scanSync({ cwd: root })].toSorted();
  const chosen = names.filter((name) => words.length === 0 || words.some((word) => name.includes(word)));
  const rank = (name: string) => (LONGEST.indexOf(basename(name)) + LONGEST.length + 1) % (LONGEST.length + 1);
  return chosen.toSorted((a, b) => rank(a) - rank(b));
}

/** Runs one file in a process of its own and prints what it said as a whole. */
async function runFile(file: string, title: string): Promise<Outcome> {
  // Bun takes a regular expression.
  const only = title === "" ? [] : ["-t", title.replaceAll(/[^\w\s]/g, "\\$&")];
  const child = Bun.spawn([process.execPath, "test", "--timeout", "120000", ...only, `./${file}`], {
    cwd: root,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` },
  });
  const [out, err, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (only.length > 0 && /^error: regex .* matched 0 tests/m.test(err)) return { passed: 0, failed: 0 };
  process.stdout.write(err + out);
  const count = (word: string) => Number(new RegExp(`^\\s*(\\d+) ${word}s?$`, "m").exec(err)?.[1] ?? 0);
  const failed = count("fail") + count("error");
  // A process that ended without a count has run nothing.
  return { passed: count("pass"), failed: status !== 0 && failed === 0 ? 1 : failed };
}

async function runTests(files: readonly string[], title: string): Promise<Outcome> {
  const queue = [...files];
  const outcomes: Outcome[] = [];
  const work = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) outcomes.push(await runFile(file, title));
  };
  await Promise.all(Array.from({ length: PROCESSES }, work));
  const sum = (count: (outcome: Outcome) => number) => outcomes.reduce((total, outcome) => total + count(outcome), 0);
  return { passed: sum(({ passed }) => passed), failed: sum(({ failed }) => failed) };
}

installMissing();
const { words, title } = selectionOf(process.argv.slice(2).join(" "));
const files = testFiles(words);
const { passed, failed } = await runTests(files, title);
if (passed + failed === 0) process.stdout.write("No test has such a path and title\n");
process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
