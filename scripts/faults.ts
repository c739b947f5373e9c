/**
 * `make faults`: what rsync and blocksync do about eight faults, of disks and around them, side by side in one table: what they say (the
 * exit code), and what they leave behind, counted in bytes. As root, with rsync, nbdkit, nbdfuse, mkfs.ext4 and QEMU. Ends with
 * 1 when blocksync calls a destination done that is not equal, or leaves one worse than it was.
 */
import fs from "node:fs";
import { quoteWord } from "../src/remote/host/quote.ts";
import { BINARY } from "../test/helpers/binary.ts";
import { bytes, changeLeaves } from "../test/helpers/bytes.ts";
import { command, mounted } from "../test/helpers/disk.ts";
import { attachLoop } from "../test/helpers/loop.ts";
import { badDisk, failingDisk, lyingDisk } from "../test/helpers/nbd.ts";
import { type TempDir, tempDir } from "../test/helpers/temp.ts";

const LENGTH = 8 << 20;
const SOURCE = bytes(1, LENGTH);
/** What a destination holds that was equal once: every sixteenth leaf is another now. */
const CHANGED = changeLeaves(
  SOURCE,
  Array.from({ length: LENGTH / 4096 / 16 }, (_, i) => i * 16),
);
const BAD_SECTOR = { offset: LENGTH / 2, length: 512 };

const TOOLS = ["rsync", "blocksync"] as const;
type Tool = (typeof TOOLS)[number];

/** The command of either tool for one pair of source and destination; a name that is no text as its bytes. */
type Commands = Readonly<Record<Tool, readonly (string | Buffer)[]>>;

interface Ending {
  readonly exitCode: number;
  /** The first line on standard error. */
  readonly said: string;
}

interface Outcome extends Ending {
  /** Bytes that differ from what should be there, before and after. */
  readonly wrongBefore: number;
  readonly wrongAfter: number;
  /** Bytes that were right before and are not any more. */
  readonly worse: number;
}

interface Fault {
  readonly name: string;
  play(dir: TempDir, run: (commands: Commands) => Promise<Ending>): Promise<Outcome>;
}

function outcome(ending: Ending, wanted: Buffer, before: Buffer, after: Buffer): Outcome {
  let [wrongBefore, wrongAfter, worse] = [0, 0, 0];
  for (let i = 0; i < wanted.length; i++) {
    if (before[i] !== wanted[i]) wrongBefore++;
    if (after[i] === wanted[i]) continue;
    wrongAfter++;
    if (before[i] === wanted[i]) worse++;
  }
  return { ...ending, wrongBefore, wrongAfter, worse };
}

/** Gives what the kernel still holds for the device to the device; a disk that fails may refuse. */
function writeBack(device: string): void {
  Bun.spawnSync(["blockdev", "--flushbufs", device]);
}

/** A file system on a loop device over a file; the tool is to write to that device, or with `beside` to another one over the file. */
function onMounted(name: string, { beside }: { readonly beside: boolean }): Fault {
  return {
    name,
    async play(dir, run) {
      fs.writeFileSync(dir.file("source"), SOURCE);
      fs.writeFileSync(dir.file("disk"), Buffer.alloc(LENGTH));
      using disk = attachLoop(dir.file("disk"));
      command("mkfs.ext4", "-q", "-E", "lazy_itable_init=0", disk.path);
      // Read-only, so that the file system itself writes nothing that could be taken for the tool's doing.
      using _mounted = mounted(disk.path, dir.file("mounted"), "-o", "ro");
      using other = beside ? attachLoop(dir.file("disk")) : undefined;
      const { path } = other ?? disk;
      const before = fs.readFileSync(path);
      const ending = await run({
        rsync: ["-I", "--inplace", "--write-devices", dir.file("source"), path],
        blocksync: ["-f", dir.file("source"), path],
      });
      return outcome(ending, before, before, fs.readFileSync(path));
    },
  };
}

const FAULTS: readonly Fault[] = [
  {
    name: "every write to the destination fails (EIO)",
    async play(dir, run) {
      fs.writeFileSync(dir.file("source"), SOURCE);
      fs.writeFileSync(dir.file("disk"), CHANGED);
      await using disk = await failingDisk(dir.file("disk"), "write", "EIO");
      disk.fail(true);
      const ending = await run({
        rsync: ["-I", "--inplace", "--write-devices", dir.file("source"), disk.path],
        blocksync: ["-f", dir.file("source"), disk.path],
      });
      writeBack(disk.path);
      return outcome(ending, SOURCE, CHANGED, fs.readFileSync(dir.file("disk")));
    },
  },
  {
    name: "one bad sector in the source, the destination is equal already",
    async play(dir, run) {
      fs.writeFileSync(dir.file("disk"), SOURCE);
      fs.writeFileSync(dir.file("destination"), SOURCE);
      await using disk = await badDisk(dir.file("disk"), [BAD_SECTOR]);
      const ending = await run({
        rsync: ["-I", "--inplace", "--no-whole-file", "--copy-devices", disk.path, dir.file("destination")],
        blocksync: [disk.path, dir.file("destination")],
      });
      return outcome(ending, SOURCE, SOURCE, fs.readFileSync(dir.file("destination")));
    },
  },
  {
    name: "a disk that acknowledges writes and flushes, and stores nothing",
    async play(dir, run) {
      fs.writeFileSync(dir.file("source"), SOURCE);
      fs.writeFileSync(dir.file("disk"), CHANGED);
      await using disk = await lyingDisk(dir.file("disk"));
      const ending = await run({
        rsync: ["-I", "--inplace", "--write-devices", "--fsync", dir.file("source"), disk.path],
        blocksync: ["-f", "--verify", dir.file("source"), disk.path],
      });
      writeBack(disk.path);
      return outcome(ending, SOURCE, CHANGED, fs.readFileSync(dir.file("disk")));
    },
  },
  onMounted("a mounted destination (right is what the file system has there)", { beside: false }),
  {
    name: "a full disk below the destination's file system, at the second run",
    async play(dir, run) {
      fs.writeFileSync(dir.file("source"), SOURCE);
      for (const name of ["full", "mounted"]) fs.mkdirSync(dir.file(name));
      command("mount", "-t", "tmpfs", "-o", `size=${LENGTH / 2}`, "tmpfs", dir.file("full"));
      // A loop device lets go of its file a little later.
      using _full = { [Symbol.dispose]: () => command("umount", "--lazy", dir.file("full")) };
      fs.writeFileSync(dir.file("full/disk"), "");
      fs.truncateSync(dir.file("full/disk"), 4 * LENGTH);
      using disk = attachLoop(dir.file("full/disk"));
      command("mkfs.ext4", "-q", "-O", "^has_journal", disk.path);
      using _mounted = mounted(disk.path, dir.file("mounted"));
      const destination = dir.file("mounted/destination");
      fs.writeFileSync(destination, "");
      fs.truncateSync(destination, LENGTH);
      const commands = {
        rsync: ["-I", "--inplace", "--no-whole-file", dir.file("source"), destination],
        blocksync: [dir.file("source"), destination],
      };
      await run(commands);
      const ending = await run(commands);
      Bun.spawnSync(["sync", "--file-system", destination]);
      // What is on the disk is asked for, not what the kernel remembers of it.
      command("dd", `if=${destination}`, "iflag=nocache", "count=0", "status=none");
      return outcome(ending, SOURCE, Buffer.alloc(LENGTH), readable(destination));
    },
  },
  {
    name: "an image that a virtual machine has open (right is what it has)",
    async play(dir, run) {
      fs.writeFileSync(dir.file("source"), SOURCE);
      fs.writeFileSync(dir.file("image"), CHANGED);
      const drive = `file=${dir.file("image")},format=raw,if=virtio`;
      const words = ["-S", "-display", "none", "-nodefaults", "-monitor", "stdio", "-drive", drive];
      const machine = Bun.spawn(["qemu-system-x86_64", ...words], { stdio: ["pipe", "pipe", "ignore"] });
      try {
        // It says so when all is open and locked.
        for await (const text of machine.stdout) if (Buffer.from(text).includes("(qemu)")) break;
        const ending = await run({
          rsync: ["-I", "--inplace", dir.file("source"), dir.file("image")],
          blocksync: ["-f", dir.file("source"), dir.file("image")],
        });
        return outcome(ending, CHANGED, CHANGED, fs.readFileSync(dir.file("image")));
      } finally {
        machine.kill("SIGKILL");
        await machine.exited;
      }
    },
  },
  onMounted("a loop device whose file another one has mounted (right is what is there)", { beside: true }),
  {
    name: "a destination whose name is not UTF-8, beside one that differs in that byte only",
    async play(dir, run) {
      const [wanted, other] = ["\xf6", "\xe4"].map((byte) =>
        Buffer.concat([Buffer.from(dir.file("k")), Buffer.from(byte, "latin1")]),
      );
      if (wanted === undefined || other === undefined) throw new RangeError("Two names");
      fs.writeFileSync(dir.file("source"), SOURCE);
      fs.writeFileSync(wanted, CHANGED);
      fs.writeFileSync(other, CHANGED);
      const ending = await run({
        rsync: ["-I", "--inplace", dir.file("source"), wanted],
        blocksync: [dir.file("source"), wanted],
      });
      const [before, right] = [Buffer.concat([CHANGED, CHANGED]), Buffer.concat([SOURCE, CHANGED])];
      return outcome(ending, right, before, Buffer.concat([fs.readFileSync(wanted), fs.readFileSync(other)]));
    },
  },
];

/** A file as far as it can be read; the rest of LENGTH bytes is zero. */
function readable(path: string): Buffer {
  const found = Buffer.alloc(LENGTH);
  const file = fs.openSync(path, "r");
  try {
    for (let at = 0; at < LENGTH; at += 4096) {
      try {
        fs.readSync(file, found, at, 4096, at);
      } catch {
        // Then it is not what it should be.
      }
    }
  } finally {
    fs.closeSync(file);
  }
  return found;
}

const interrupt = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => interrupt.abort(new Error(`ended by ${signal}`)));
}

/** As a shell has it: Bun.spawn() hands on no bytes that are no text. */
function shellWord(word: string | Buffer): string {
  if (typeof word === "string") return quoteWord(word);
  const octal = [...word].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
  return `"$(printf '${octal}')"`;
}

async function runTool(tool: Tool, commands: Commands): Promise<Ending> {
  interrupt.signal.throwIfAborted();
  const words = [tool === "blocksync" ? BINARY : tool, ...commands[tool]];
  const child = Bun.spawn(["sh", "-c", `exec ${words.map(shellWord).join(" ")}`], {
    stdio: ["ignore", "ignore", "pipe"],
    signal: interrupt.signal,
  });
  const [text, exitCode] = await Promise.all([child.stderr.text(), child.exited]);
  interrupt.signal.throwIfAborted();
  const said = text.split("\n").find((line) => line.trim() !== "" && !/^\[worker /.test(line)) ?? "nothing";
  return { exitCode, said: said.replaceAll(/"?\/[^"]*\/([^"/]+)"?/g, "$1") };
}

/** Whether it was said that something is wrong when something is, and nothing was made worse. */
function isSafe({ exitCode, wrongAfter, worse }: Outcome): boolean {
  return worse === 0 && (exitCode !== 0 || wrongAfter === 0);
}

function printTable(rows: readonly (readonly string[])[]): void {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  for (const row of rows) {
    const cells = row.map((cell, column) => cell.padEnd(widths[column] ?? 0));
    process.stdout.write(`${cells.join("  ").trimEnd()}\n`);
  }
}

function missing(): string[] {
  const programs = ["rsync", "nbdkit", "nbdfuse", "losetup", "mkfs.ext4", "blockdev", "qemu-system-x86_64"];
  const path = `${process.env["PATH"]}:/usr/sbin:/sbin`;
  return programs.filter((program) => Bun.which(program, { PATH: path }) === null);
}

async function main(): Promise<number> {
  if (process.getuid?.() !== 0) throw new Error("it makes block devices, which only root may");
  if (missing().length > 0) throw new Error(`not installed: ${missing().join(" ")}`);
  process.env["PATH"] = `${process.env["PATH"]}:/usr/sbin:/sbin`;
  const version = Bun.spawnSync(["rsync", "--version"]).stdout.toString().split(/\s+/)[2];
  process.stdout.write(
    `rsync ${version} and blocksync, eight faults, ${LENGTH >> 20} MiB each; bytes that are wrong\n\n`,
  );
  const rows: string[][] = [["fault", "tool", "exit", "wrong before", "after", "worse", "it says"]];
  let safe = true;
  for (const { name, play } of FAULTS) {
    for (const tool of TOOLS) {
      using dir = tempDir();
      const result = await play(dir, (commands) => runTool(tool, commands));
      const { exitCode, wrongBefore, wrongAfter, worse, said } = result;
      if (tool === "blocksync" && !isSafe(result)) safe = false;
      rows.push([name, tool, ...[exitCode, wrongBefore, wrongAfter, worse].map(String), said.slice(0, 100)]);
    }
  }
  printTable(rows);
  return safe ? 0 : 1;
}

process.exit(
  await main().catch((error: unknown) => {
    process.stderr.write(`make faults: ${error instanceof Error ? error.message : String(error)}\n`);
    return interrupt.signal.aborted ? 130 : 1;
  }),
);
