/**
 * `make test`: installs what the tests talk to where it may (root on Debian), runs them all, several files at once, and ends
 * with one line "N passed, N failed". With CI set a test that cannot run is a failure.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { Glob } from "bun";

const root = join(import.meta.dir, "..");
/** Path of a file of tests → how many seconds it took the last time it was run here. */
const SECONDS = join(root, "node_modules/.cache/test-seconds.json");

/** `make test-quick`: what needs no root, no network and no build, so nothing is installed for it. */
const quick = process.argv[2] === "--quick";

/** Set for what the tests start. */
const RUNNING = "BLOCKSYNC_TESTS_RUN";

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
  "/usr/sbin/veritysetup": "cryptsetup-bin",
  "/usr/sbin/nginx": "nginx-light",
  "/usr/sbin/lighttpd": "lighttpd",
  python3: "python3",
  openssl: "openssl",
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
  xz: "xz-utils",
  "ansible-playbook": "ansible-core",
  "systemd-analyze": "systemd",
  shellcheck: "shellcheck",
  tmux: "tmux",
  "partclone.ext4": "partclone",
  thin_delta: "thin-provisioning-tools",
  bmaptool: "bmap-tools",
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
    process.stdout.write(`Some tests cannot run: they need the Debian packages ${packages.join(" ")}\n`);
    return;
  }
  process.stdout.write(`Installing what the tests need, with apt-get: ${packages.join(" ")}\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const apt = (...words: string[]) =>
    Bun.spawnSync(["apt-get", "-qq", ...words], { env, stdout: "ignore", stderr: "inherit" }).exitCode;
  if (apt("install", "-y", "--no-install-recommends", ...packages) === 0) return;
  apt("update");
  const status = apt("install", "-y", "--no-install-recommends", ...packages);
  if (status !== 0) process.stdout.write(`apt-get could not install ${packages.join(" ")}\n`);
}

/**
 * Processes that run tests. Most tests wait for something now and then, a disk, a login, a timeout, so that as many as there
 * are cores leave cores idle.
 */
const PROCESSES = 2 * availableParallelism();

/** Seconds of the files that take longest, on 2 cores, for a machine where they never ran. Begun last, one would end alone. */
const LONG: Readonly<Record<string, number>> = {
  "test/machine/terminal.test.ts": 70,
  "test/machine/bootstrap.test.ts": 60,
  "test/machine/bootstrap-places.test.ts": 50,
  "test/machine/faulty.test.ts": 48,
  "test/machine/dist.test.ts": 46,
  "test/machine/bootstrap-shells.test.ts": 42,
  "test/program/timeout.test.ts": 42,
  "test/machine/end.test.ts": 40,
  "test/machine/dying.test.ts": 39,
  "test/program/bounds.test.ts": 36,
  "test/machine/guard.test.ts": 35,
  "test/machine/slow-calls.test.ts": 35,
  "test/contract/cut.test.ts": 30,
  "test/machine/sshd.test.ts": 29,
  "test/program/hostile.test.ts": 26,
  "test/docs/examples.test.ts": 23,
  "test/machine/only.test.ts": 22,
  "test/machine/identity.test.ts": 22,
  "test/machine/first-steps.test.ts": 20,
  "test/machine/kill.test.ts": 20,
  "test/machine/locks.test.ts": 18,
  "test/machine/change-map.test.ts": 18,
  "test/program/fingerprint.test.ts": 17,
  "test/machine/geometry.test.ts": 16,
  "test/machine/mistakes.test.ts": 16,
  "test/program/binary.test.ts": 16,
  "test/machine/lanes.test.ts": 14,
};

interface Outcome {
  readonly passed: number;
  readonly failed: number;
  /** What was said of each test that failed. */
  readonly failures: readonly string[];
  /** Seconds that cores worked for it: its process and all that this and its children waited for. */
  readonly cpuSeconds: number;
}

/** What was asked for: parts of paths, and after a colon a part of a title. Nothing asked is everything. */
interface Selection {
  readonly words: readonly string[];
  /** "" for every title. */
  readonly title: string;
}

/** What needs neither the compiled program nor root; of that not what runs make, nor the sessions cut after each byte (20 s). */
const QUICK = /^test\/(unit|contract|docs)\//;
const NOT_QUICK = /^test\/(docs\/(examples|install|makefile)|contract\/cut)\./;

function selectionOf(asked: string): Selection {
  const colon = asked.indexOf(":");
  const paths = colon === -1 ? asked : asked.slice(0, colon);
  return {
    words: paths.split(/\s+/).filter((word) => word !== ""),
    title: colon === -1 ? "" : asked.slice(colon + 1).trim(),
  };
}

/** How long files take: here as of the last run, where there was none as of one on 2 cores, if it is long. */
function knownSeconds(): Record<string, number> {
  const known: Record<string, number> = { ...LONG };
  try {
    const noted: unknown = JSON.parse(readFileSync(SECONDS, "utf8"));
    for (const [file, seconds] of Object.entries(noted ?? {})) if (typeof seconds === "number") known[file] = seconds;
  } catch {
    // No run was here yet, or none that came to its end.
  }
  return known;
}

/** The tests in the order in which they are begun; `words` name some of them, as parts of their paths. */
function testFiles(words: readonly string[]): string[] {
  const all = [...new Glob("test/**/*.test.ts").scanSync({ cwd: root })].toSorted();
  const names = quick ? all.filter((name) => QUICK.test(name) && !NOT_QUICK.test(name)) : all;
  const chosen = names.filter((name) => words.length === 0 || words.some((word) => name.includes(word)));
  const seconds = knownSeconds();
  return chosen.toSorted((a, b) => (seconds[b] ?? 0) - (seconds[a] ?? 0));
}

/** How long a test may take, in ms: so long that none fails for a machine that is busy with something else. */
const LIMIT_MS = "600000";

/**
 * Nearly every process here, the program too, is one of a quarter of a second, for which JavaScriptCore would compile functions and
 * fill memory ahead, and its allocator give back memory: a sixth of all processor time (measured). What runs longer is compiled
 * as ever, only later.
 */
const SHORT_LIVED = {
  BUN_JSC_useWarmUpMarkedBlocks: "0",
  BUN_JSC_thresholdForJITAfterWarmUp: "5000",
  BUN_JSC_thresholdForJITSoon: "5000",
  MIMALLOC_PURGE_DELAY: "-1",
};

/** Runs one file in a process of its own and prints what it said as a whole. */
async function runFile(file: string, title: string): Promise<Outcome> {
  // Bun takes a regular expression.
  const only = title === "" ? [] : ["-t", title.replaceAll(/[^\w\s]/g, "\\$&")];
  const child = Bun.spawn([process.execPath, "test", "--timeout", LIMIT_MS, ...only, `./${file}`], {
    cwd: root,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    // What cannot run on this machine is left out of the quick ones, in CI too.
    env: {
      ...process.env,
      ...SHORT_LIVED,
      ...(quick ? { CI: undefined } : {}),
      PATH: `${process.env["PATH"]}:/usr/sbin:/sbin`,
    },
  });
  const [out, err, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  const cpuSeconds = Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1e6;
  if (only.length > 0 && /^error: regex .* matched 0 tests/m.test(err)) {
    return { passed: 0, failed: 0, failures: [], cpuSeconds };
  }
  process.stdout.write(err + out);
  const count = (word: string) => Number(new RegExp(`^\\s*(\\d+) ${word}s?$`, "m").exec(err)?.[1] ?? 0);
  const failed = count("fail") + count("error");
  // A process that ended without a count has run nothing.
  return {
    passed: count("pass"),
    failed: status !== 0 && failed === 0 ? 1 : failed,
    failures: status === 0 ? [] : failuresIn(err, file),
    cpuSeconds,
  };
}

/** Lines that are repeated of a failure, the last ones before its title. */
const FAILURE_LINES = 30;

/** What Bun said before the title of each test of `file` that failed; its last lines, if no test was to blame. */
function failuresIn(said: string, file: string): string[] {
  const failures: string[] = [];
  let lines: string[] = [];
  for (const line of said.trimEnd().split("\n")) {
    lines.push(line);
    if (!/^\((pass|fail|skip|todo)\) /.test(line)) continue;
    if (line.startsWith("(fail) ")) failures.push(lines.slice(-FAILURE_LINES).join("\n"));
    lines = [];
  }
  if (failures.length === 0) failures.push(lines.slice(-FAILURE_LINES).join("\n"));
  return failures.map((failure) => `${file}:\n${failure}\n`);
}

async function runTests(files: readonly string[], title: string): Promise<Outcome> {
  const queue = [...files];
  const outcomes = new Map<string, Outcome>();
  const seconds = knownSeconds();
  const work = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const begun = performance.now();
      outcomes.set(file, await runFile(file, title));
      if (title === "") seconds[file] = Math.round((performance.now() - begun) / 1000);
    }
  };
  await Promise.all(Array.from({ length: PROCESSES }, work));
  mkdirSync(dirname(SECONDS), { recursive: true });
  writeFileSync(SECONDS, JSON.stringify(seconds));
  const sum = (count: (outcome: Outcome) => number) =>
    [...outcomes.values()].reduce((total, outcome) => total + count(outcome), 0);
  const total = {
    passed: sum(({ passed }) => passed),
    failed: sum(({ failed }) => failed),
    failures: [...outcomes.values()].flatMap(({ failures }) => failures),
    cpuSeconds: sum(({ cpuSeconds }) => cpuSeconds),
  };
  printCosts(outcomes, total);
  return total;
}

/** Where the cores' time went: wall time says little of a file that shares them with others. */
function printCosts(outcomes: ReadonlyMap<string, Outcome>, total: Outcome): void {
  const costly = [...outcomes]
    .toSorted(([, a], [, b]) => b.cpuSeconds - a.cpuSeconds)
    .filter(([, { cpuSeconds }]) => cpuSeconds >= total.cpuSeconds / 100)
    .map(([file, { cpuSeconds }]) => `${cpuSeconds.toFixed(1).padStart(7)}  ${file}\n`);
  const sum = `${total.cpuSeconds.toFixed(1).padStart(7)}  all ${outcomes.size} files\n`;
  process.stdout.write(`\nSeconds of processor time, of files with 1 % of it or more:\n${costly.join("")}${sum}`);
}

const selected = process.argv.slice(quick ? 3 : 2).join(" ");
// A test of `make test` that lost its TEST= would start all tests again, its own among them, and so on.
if (process.env[RUNNING] !== undefined && selected === "") {
  process.stderr.write("make test: this is run by one of the tests themselves, and names none of them\n");
  process.exit(1);
}
process.env[RUNNING] = "1";
if (!quick) installMissing();
const { words, title } = selectionOf(selected);
const files = testFiles(words);
const { passed, failed, failures } = await runTests(files, title);
// Once more, where the end of a log of thousands of lines is read.
if (failures.length > 0) process.stdout.write(`\nFailed:\n\n${failures.join("\n")}`);
if (passed + failed === 0) process.stdout.write("No test has such a path and title\n");
process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
