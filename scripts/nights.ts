/**
 * `make nights`: NIGHTS nightly backups (100) of a disk of 1 GiB with a file system at work (packages come and go, logs grow and are
 * rotated), by --undo DIR/ and, where they are installed, by restic and borg, in turns; then each day is read back, by QEMU and by
 * blocksync, and compared with what the disk was. SEED repeats a series. In a mount namespace of its own: in one of somebody else's the
 * disk would stay mounted when it is unmounted here, and be written to. As root on Debian, with btrfs and qemu-img; 8 GiB of space.
 */
import fs from "node:fs";
import { BINARY } from "../test/helpers/binary.ts";
import { random } from "../test/helpers/bytes.ts";
import { command, mounted } from "../test/helpers/disk.ts";
import { attachLoop } from "../test/helpers/loop.ts";
import { tempDir } from "../test/helpers/temp.ts";

const MIB = 1 << 20;
const DISK_BYTES = 1024 * MIB;
/** What is there before the first night, and is kept up; and how much of it a day replaces at least. */
const USED_BYTES = 400 * MIB;
const DAY_BYTES = 8 * MIB;
/** There may not be so many packages. */
const MOST_PACKAGES = 500;
const MAX_PACKAGE_KIB = 20 << 10;
const LOGS = ["syslog", "auth.log", "access.log"] as const;

const nights = Number(process.env["NIGHTS"] || "100");
const seed = Number(process.env["SEED"] || "1");
const next = random(seed);

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function spawn(words: readonly string[], env: Record<string, string> = {}): void {
  const { exitCode, stderr } = Bun.spawnSync([...words], { env: { ...process.env, ...env }, stdout: "ignore" });
  if (exitCode !== 0) throw new Error(`${words.join(" ")}: ${stderr}`);
}

// biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query(1) has its fields so.
const FIELDS = "${Package} ${Installed-Size} ${db:Status-Status}\n";
/** Installed packages of this machine that are not too large. */
const packages = command("dpkg-query", "-W", "-f", FIELDS)
  .split("\n")
  .map((line) => line.split(" "))
  .filter(([, size, status]) => Number(size) > 0 && Number(size) <= MAX_PACKAGE_KIB && status === "installed")
  .map(([name = ""]) => name);

/** Files of a package that are there, as paths. */
function filesOf(name: string): string[] {
  const isFile = (path: string) => fs.lstatSync(path, { throwIfNoEntry: false })?.isFile() === true;
  return command("dpkg", "-L", name).split("\n").filter(isFile);
}

function install(name: string, root: string): void {
  for (const path of filesOf(name)) {
    fs.mkdirSync(`${root}${path.slice(0, path.lastIndexOf("/"))}`, { recursive: true });
    fs.copyFileSync(path, `${root}${path}`);
  }
}

function remove(name: string, root: string): void {
  for (const path of filesOf(name)) fs.rmSync(`${root}${path}`, { force: true });
}

function usedBytes(root: string): number {
  const { blocks, bfree, bsize } = fs.statfsSync(root);
  return (blocks - bfree) * bsize;
}

/** The work of one day. */
class Work {
  readonly #installed: string[] = [];

  begin(root: string): void {
    fs.mkdirSync(`${root}/var/log`, { recursive: true });
    this.#installUpTo(USED_BYTES, root);
  }

  day(number: number, root: string): void {
    this.#installUpTo(usedBytes(root) + DAY_BYTES, root);
    do this.#remove(root);
    while (usedBytes(root) > USED_BYTES && this.#installed.length > 1);
    for (const log of LOGS) {
      const path = `${root}/var/log/${log}`;
      if (number % 7 === 6) {
        for (let age = 3; age > 0; age--)
          if (fs.existsSync(`${path}.${age}.gz`)) fs.renameSync(`${path}.${age}.gz`, `${path}.${age + 1}.gz`);
        spawn(["gzip", path]);
        fs.renameSync(`${path}.gz`, `${path}.1.gz`);
        fs.rmSync(`${path}.4.gz`, { force: true });
      }
      const line = () =>
        `night ${number} ${next()} session opened for user ${next() % 100} from 192.0.2.${next() % 256}\n`;
      fs.appendFileSync(path, Array.from({ length: 10_000 }, line).join(""));
    }
  }

  #installUpTo(bytes: number, root: string): void {
    for (let i = 0; i < MOST_PACKAGES && usedBytes(root) < bytes; i++) this.#install(root);
  }

  #install(root: string): void {
    const name = packages[next() % packages.length] ?? "";
    install(name, root);
    this.#installed.push(name);
  }

  #remove(root: string): void {
    const [name] = this.#installed.splice(next() % this.#installed.length, 1);
    if (name !== undefined) remove(name, root);
  }
}

interface Tool {
  readonly name: string;
  /** What its backups take. */
  readonly folders: readonly string[];
  begin(): void;
  night(): void;
  readonly seconds: number[];
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

using dir = tempDir();
const [disk, copy, days] = [dir.file("disk"), dir.file("copy"), dir.file("days")];
fs.mkdirSync(days);
command("truncate", "-s", String(DISK_BYTES), disk);
spawn(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0", disk]);
// What the disk was is kept by reflink.
command("truncate", "-s", "60G", dir.file("kept.img"));
spawn(["mkfs.btrfs", "-q", dir.file("kept.img")]);
using keptLoop = attachLoop(dir.file("kept.img"));
using _kept = mounted(keptLoop.path, dir.file("kept"));
const kept = (number: number) => dir.file(`kept/${number}`);

const secret = { RESTIC_PASSWORD: "nights", BORG_UNENCRYPTED_REPO_ACCESS_IS_OK: "yes" };
const cache = { RESTIC_CACHE_DIR: dir.file("restic-cache"), BORG_BASE_DIR: dir.file("borg-base") };
const env = { ...secret, ...cache };
const all: Tool[] = [
  {
    name: "blocksync --undo",
    folders: [copy, days],
    begin: () => spawn([BINARY, "-q", disk, copy]),
    night: () => spawn([BINARY, "-q", "-f", "--undo", `${days}/`, disk, copy]),
    seconds: [],
  },
  {
    name: "restic",
    folders: [dir.file("restic")],
    begin: () => {
      spawn(["restic", "-q", "-r", dir.file("restic"), "init"], env);
      spawn(["restic", "-q", "-r", dir.file("restic"), "backup", disk], env);
    },
    night: () => spawn(["restic", "-q", "-r", dir.file("restic"), "backup", disk], env),
    seconds: [],
  },
  {
    name: "borg",
    folders: [dir.file("borg")],
    begin: () => {
      spawn(["borg", "init", "-e", "none", dir.file("borg")], env);
      spawn(["borg", "create", `${dir.file("borg")}::first`, disk], env);
    },
    night: () => spawn(["borg", "create", `${dir.file("borg")}::{now:%s.%f}`, disk], env),
    seconds: [],
  },
];
const tools = all.filter(({ name }) => name.startsWith("blocksync") || Bun.which(name) !== null);

const work = new Work();
function onDisk(use: (root: string) => void): void {
  using loop = attachLoop(disk);
  using _mount = mounted(loop.path, dir.file("root"));
  use(dir.file("root"));
}
function keep(number: number): void {
  if (number === 0) {
    spawn(["cp", "--sparse=always", disk, kept(0)]);
    return;
  }
  // Only what changed is new there.
  spawn(["cp", "--reflink=always", kept(number - 1), kept(number)]);
  spawn([BINARY, "-q", "-f", disk, kept(number)]);
  spawn(["cmp", disk, kept(number)]);
}

print(`${nights} nights, SEED=${seed}`);
onDisk((root) => work.begin(root));
keep(0);
for (const tool of tools) tool.begin();
const sizeOf = ({ folders }: Tool) =>
  Number(
    command("du", "-sc", "-B1", ...folders)
      .split("\n")
      .at(-1)
      ?.split("\t")[0],
  );
const first = tools.map(sizeOf);
for (let night = 1; night <= nights; night++) {
  onDisk((root) => work.day(night, root));
  keep(night);
  for (let turn = 0; turn < tools.length; turn++) {
    const tool = tools[(night + turn) % tools.length];
    const begin = performance.now();
    tool?.night();
    tool?.seconds.push((performance.now() - begin) / 1000);
  }
  if (night % 10 === 0) print(`${night} nights`);
}

print("tool | first, MiB | after all nights, MiB | a night, median s | slowest s");
for (const [i, tool] of tools.entries()) {
  const sizes = [first[i] ?? 0, sizeOf(tool)].map((size) => Math.round(size / MIB));
  print([tool.name, ...sizes, median(tool.seconds).toFixed(2), Math.max(...tool.seconds).toFixed(2)].join(" | "));
}
print(`the days alone: ${Math.round(Number(command("du", "-s", "-B1", days).split("\t")[0]) / MIB)} MiB`);

const names = fs.readdirSync(days).toSorted();
let wrong = names.length === nights ? 0 : 1;
if (wrong > 0) print(`${names.length} days are there`);
for (const [number, name] of names.entries()) {
  const path = `${days}/${name}`;
  try {
    spawn(["qemu-img", "compare", "-f", "qcow2", "-F", "raw", path, kept(number)]);
    fs.rmSync(dir.file("day"), { force: true });
    spawn([BINARY, "-q", path, dir.file("day")]);
    spawn(["cmp", dir.file("day"), kept(number)]);
  } catch (error) {
    wrong++;
    print(`day ${number}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
spawn([BINARY, "history", days]);
print(`${names.length} days read back by qemu-img and by blocksync, ${wrong} not as they were`);
process.exitCode = wrong === 0 ? 0 : 1;
