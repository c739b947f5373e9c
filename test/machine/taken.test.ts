/** Files that a run writes besides, and its own streams: none of them is a side of the run, under whatever name, or a device. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import fs from "node:fs";
import { BINARY, type Result, run } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { attachLoop } from "../helpers/loop.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const SOURCE = bytes(1, 70_000);
const DESTINATION = bytes(2, 70_000);

let dir: TempDir;
beforeEach(() => {
  dir = tempDir();
  fs.writeFileSync(dir.file("s"), SOURCE);
  fs.writeFileSync(dir.file("d"), DESTINATION);
});
afterEach(() => {
  dir[Symbol.dispose]();
  // What only a bug leaves there.
  for (const name of ["blocksync-none", "blocksync-none.json"]) fs.rmSync(`/dev/${name}`, { force: true });
});

/** Runs a line of sh in the folder; $B is the program. Without a terminal, so that nothing can be said on it. */
async function sh(line: string): Promise<Result> {
  const child = Bun.spawn(["setsid", "-w", "sh", "-c", line], {
    cwd: dir.path,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, BLOCKSYNC_DEBUG: undefined, B: BINARY },
  });
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { exitCode, stdout, stderr };
}

/** Nothing was written to either side. */
function expectUntouched(): void {
  expect(fs.readFileSync(dir.file("s")).equals(SOURCE)).toBe(true);
  expect(fs.readFileSync(dir.file("d")).equals(DESTINATION)).toBe(true);
}

function firstLine({ stderr }: Result): string {
  return stderr.split("\n")[0] ?? "";
}

const MESSAGES: readonly (readonly [where: string, prepare: string, file: string, said: string])[] = [
  ["the source", ":", "s", 'file of --output "s" is the source itself'],
  ["the destination by a hard link", "ln d l", "l", 'file of --output "l" is the destination itself'],
  ["the destination by a symbolic link", "ln -s d l", "l", 'file of --output "l" is the destination itself'],
  ["a destination that is still to be made", "ln -s new l", "l", 'file of --output "l" is the destination itself'],
  [
    "a device that is not there",
    ":",
    "/dev/blocksync-none",
    'file of --output "/dev/blocksync-none" does not exist, and blocksync creates nothing under /dev',
  ],
  [
    "a link to a device that is not there",
    "ln -s /dev/blocksync-none l",
    "l",
    'file of --output "l" does not exist, and blocksync creates nothing under /dev',
  ],
  ["a character device", ":", "/dev/full", 'file of --output "/dev/full" is a character device, and messages'],
  ["this program", `ln -s '${BINARY}' l`, "l", 'file of --output "l" is this program itself'],
  ["the key of ssh", "touch key; ln key l", "l", 'file of --output "l" is the key of --id itself'],
];

test.each(MESSAGES)("messages are not written into %s", async (_where, prepare, file, said) => {
  const to = prepare.includes("new") ? "new" : "d";
  const result = await sh(`${prepare}; "$B" -i key -o ${file} s ./${to}`);
  expect(firstLine(result)).toStartWith(`blocksync: The ${said}`);
  expect(result.exitCode).toBe(2);
  expectUntouched();
  expect([fs.existsSync("/dev/blocksync-none"), fs.existsSync(dir.file("new"))]).toEqual([false, false]);
});

test("messages go to /dev/null, to standard error by its name, and to a file beside those of the run", async () => {
  for (const file of ["/dev/null", "/dev/stderr", "/proc/self/fd/2", "log"]) {
    expect({ file, ...(await sh(`"$B" -o ${file} s d 2>said`)) }).toEqual({
      file,
      exitCode: 0,
      stdout: "",
      stderr: "",
    });
  }
  expect(fs.readFileSync(dir.file("said"), "utf8")).toBe("");
  expect(fs.readFileSync(dir.file("log"), "utf8")).toContain("equal");
});

test.each(["--map=FILE.json", "--on-read-error skip --mapfile FILE.json"])(
  "a map is none of the sides, nor a device: %s",
  async (option) => {
    const names: readonly (readonly [file: string, prepare: string, said: string])[] = [
      ["l", "ln d l.json", "is the destination itself"],
      ["k", "ln -s s k.json", "is the source itself"],
      ["/dev/blocksync-none", ":", "does not exist, and blocksync creates nothing under /dev"],
    ];
    for (const [file, prepare, said] of names) {
      const result = await sh(`${prepare}; "$B" ${option.replace("FILE", file)} s d`);
      expect([result.exitCode, firstLine(result)]).toEqual([2, expect.stringContaining(`"${file}.json" ${said}`)]);
    }
    expectUntouched();
    expect(fs.existsSync("/dev/blocksync-none.json")).toBe(false);
  },
);

const STREAMS: readonly (readonly [line: string, said: string])[] = [
  ['"$B" --json s d >>d', 'Standard output is the destination, "d", itself'],
  ['ln d l; "$B" --json s d 1<>l', 'Standard output is the destination, "d", itself'],
  ['"$B" --json s d >>s', 'Standard output is the source, "s", itself'],
  ['"$B" compare s d >>d', 'Standard output is B of compare, "d", itself'],
  ['"$B" compare s d >>s', 'Standard output is A of compare, "s", itself'],
  ['"$B" s d <d', 'Standard input is the destination, "d", itself'],
  ['"$B" s /dev/stdout >>d', 'Standard output is the destination, "/dev/stdout", itself'],
  // There is nowhere to say it.
  ['"$B" --json s d >>d 2>>d', ""],
  ['"$B" --typo-free=1 s d >>d 2>&1', ""],
  ['"$B" --typo-free=1 s d 2>said', 'Unknown option "--typo-free"'],
];

test.each(STREAMS)(
  "a stream that is a side of the run is refused, and nothing is written there: %s",
  async (line, said) => {
    const result = await sh(line);
    const shown = line.endsWith("said") ? fs.readFileSync(dir.file("said"), "utf8") : result.stderr;
    expect([result.exitCode, shown.split("\n")[0]]).toEqual([2, said === "" ? "" : `blocksync: ${said}`]);
    expect(result.stdout).toBe("");
    expectUntouched();
  },
);

test("what standard error cannot take, a side of the run, is said on standard output, unless that is JSON", async () => {
  const redirected =
    'blocksync: Standard error is the destination, "d", itself\nblocksync: hint: redirect it elsewhere\n';
  expect(await sh('"$B" s d 2>>d')).toEqual({ exitCode: 2, stdout: redirected, stderr: "" });
  expect((await sh('"$B" --typo-free=1 s d 2>>d')).stdout).toStartWith('blocksync: Unknown option "--typo-free"\n');
  const { stdout } = await sh('"$B" --json s d 2>>d');
  const events: unknown[] = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line).event);
  expect(events).toEqual(["error", "summary"]);
  expectUntouched();
  // Messages may go where --output has them, also those about words that are not understood.
  const both = await sh('"$B" --typo-free=1 -o log s d >>log 2>&1; cat log');
  expect(both.stdout).toStartWith('blocksync: Unknown option "--typo-free"\n');
});

testWith("loop")("a disk is no place for a stream, whatever the run is about", async () => {
  fs.writeFileSync(dir.file("image"), Buffer.alloc(1 << 20));
  using loop = attachLoop(dir.file("image"));
  const said = `blocksync: Standard error is the block device "${loop.path}"\nblocksync: hint: redirect it elsewhere\n`;
  expect(await sh(`"$B" s d 2>'${loop.path}'`)).toEqual({ exitCode: 2, stdout: said, stderr: "" });
  expect((await sh(`"$B" --typo-free=1 s d 2>'${loop.path}'`)).exitCode).toBe(2);
  expect((await sh(`"$B" compare s d >'${loop.path}'`)).exitCode).toBe(2);
  expect(fs.readFileSync(loop.path).equals(Buffer.alloc(1 << 20))).toBe(true);
  expectUntouched();
});

test("a side that the shell has emptied already is refused, with a word about that", async () => {
  const result = await sh('"$B" --json s d >s');
  expect(result).toEqual({
    exitCode: 2,
    stdout: "",
    stderr:
      'blocksync: Standard output is the source, "s", itself\n' +
      "blocksync: hint: the shell has already truncated it (>), so check what is left; redirect to another file\n",
  });
  expect(fs.statSync(dir.file("s")).size).toBe(0);
  expect(fs.readFileSync(dir.file("d")).equals(DESTINATION)).toBe(true);
});

test("messages go to the terminal by its name", async () => {
  const child = Bun.spawn([BINARY, "-o", "/dev/tty", dir.file("s"), dir.file("d")], {
    terminal: { cols: 80, rows: 24 },
  });
  expect(await child.exited).toBe(0);
  child.terminal?.close();
});

test("a source may be standard input, and streams that are closed are none of the run's files", async () => {
  expect(await sh('"$B" -q /dev/stdin d <s && cmp s d')).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  fs.writeFileSync(dir.file("d"), DESTINATION);
  expect(await sh('"$B" --json s d <&- >&- 2>&-; cmp s d')).toEqual({ exitCode: 0, stdout: "", stderr: "" });
});

describe("a loop device over a file", () => {
  testWith("loop")("may have the log in the file system that is on it, while it is the source", async () => {
    fs.writeFileSync(dir.file("image"), Buffer.alloc(4 << 20));
    using loop = attachLoop(dir.file("image"));
    fs.mkdirSync(dir.file("m"));
    const result = await sh(
      `mkfs.ext2 -q '${loop.path}' && mount '${loop.path}' m && touch m/log && "$B" -T -o m/log '${loop.path}' ./copy; e=$?; umount m; exit $e`,
    );
    // What is mounted for writing may change meanwhile.
    expect([0, 7]).toContain(result.exitCode);
    expect(result.stderr).not.toContain("itself");
    expect(fs.statSync(dir.file("copy")).size).toBe(4 << 20);
  });

  testWith("loop")("is that file: for messages, maps and streams, by every device over it", async () => {
    const image = dir.file("image");
    fs.writeFileSync(image, DESTINATION.subarray(0, 69_632));
    using one = attachLoop(image);
    using other = attachLoop(image);

    const words = ["-f", dir.file("s").replace(/s$/, "small")];
    fs.writeFileSync(dir.file("small"), SOURCE.subarray(0, 4096));
    const messages = await run([...words, one.path, "-o", image]);
    expect([messages.exitCode, firstLine(messages)]).toEqual([
      2,
      `blocksync: The file of --output ${JSON.stringify(image)} is the destination itself`,
    ]);
    const device = await run([...words, dir.file("d"), "-o", one.path]);
    expect([device.exitCode, firstLine(device)]).toEqual([
      2,
      `blocksync: The file of --output "${one.path}" is a block device, and messages would overwrite it`,
    ]);
    for (const [destination, stream] of [
      [one.path, image],
      [image, one.path],
      [one.path, other.path],
    ]) {
      const result = await sh(`"$B" -f --json small '${destination}' 1<>'${stream}'`);
      expect([result.exitCode, firstLine(result)]).toEqual([
        2,
        `blocksync: Standard output is the destination, ${JSON.stringify(destination)}, itself`,
      ]);
    }
    expect(fs.readFileSync(image).equals(DESTINATION.subarray(0, 69_632))).toBe(true);
    expectUntouched();
  });
});
