/** The end of a run says what is true: what is refused as empty, gone, changed, lost or not read. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { BINARY, fakeSsh, run } from "./helpers/binary.ts";
import { bytes } from "./helpers/bytes.ts";
import { command } from "./helpers/disk.ts";
import { attachLoop, changeMedium } from "./helpers/loop.ts";
import { meddle, watch } from "./helpers/meddle.ts";
import { testWith } from "./helpers/requirements.ts";
import { type TempDir, tempDir } from "./helpers/temp.ts";

const onLoop = testWith("loop");

function file(dir: TempDir, name: string, data: Buffer): string {
  fs.writeFileSync(dir.file(name), data);
  return dir.file(name);
}

/** The words that make a path the far end of a connection. */
function farWords(dir: TempDir): string[] {
  return [...fakeSsh(dir.file("fake-ssh")), "-S", BINARY];
}

describe("nothing is no source", () => {
  for (const far of [false, true]) {
    const where = far ? "over a connection" : "here";
    onLoop(`a block device of 0 bytes is refused ${where}, and nothing is cut to it`, async () => {
      using dir = tempDir();
      const backup = bytes(1, 5000);
      const to = file(dir, "backup", backup);
      using empty = attachLoop(file(dir, "empty", Buffer.alloc(0)));
      const device = `${far ? "host:" : ""}${empty.path}`;
      const words = far ? farWords(dir) : [];
      for (const command of [
        ["-T", device, to],
        ["-n", device, to],
        ["-f", to, device],
        ["-n", to, device],
        ["compare", device, to],
        ["compare", to, device],
      ]) {
        const [first = "", ...rest] = command;
        const result = await run(first === "compare" ? [first, ...words, ...rest] : [...words, ...command]);
        expect(result.stderr).toContain(`Refused to use "${device}": the device has a size of 0 bytes (no-medium)\n`);
        expect({ command, exitCode: result.exitCode }).toEqual({ command, exitCode: 3 });
      }
      expect(fs.readFileSync(to).equals(backup)).toBe(true);
    });
  }

  test("a file that hides its size is refused, one that is empty is not", async () => {
    using dir = tempDir();
    const backup = bytes(2, 5000);
    const to = file(dir, "backup", backup);
    const hidden = await run(["-T", "/proc/self/status", to]);
    expect(hidden.stderr).toContain("it says that it has 0 bytes, and more can be read (no-size)");
    expect(hidden.exitCode).toBe(3);
    expect(fs.readFileSync(to).equals(backup)).toBe(true);
    expect((await run(["-T", file(dir, "nothing", Buffer.alloc(0)), to])).exitCode).toBe(0);
    expect(fs.statSync(to).size).toBe(0);
  });
});

const MIB = 1 << 20;
const SIZE = 8 * MIB;

describe("a destination that is not there at the end", () => {
  type Action = (dir: TempDir) => void;
  const replace: Action = (dir) => fs.renameSync(file(dir, "other", bytes(3, SIZE)), dir.file("folder/d"));
  const ACTIONS: readonly (readonly [
    name: string,
    far: boolean,
    words: readonly string[],
    action: Action,
    said: string,
  ])[] = [
    ["is removed", false, [], (dir) => fs.rmSync(dir.file("folder/d")), "nothing is under its name any more"],
    ["is replaced", false, ["--verify"], replace, "something else is under its name now"],
    ["is replaced and far", true, [], replace, "something else is under its name now"],
    [
      "lies in a folder that is renamed",
      false,
      [],
      (dir) => fs.renameSync(dir.file("folder"), dir.file("moved")),
      "nothing is under its name any more",
    ],
    [
      "is cut",
      false,
      [],
      (dir) => fs.truncateSync(dir.file("folder/d"), SIZE),
      `it has ${SIZE} bytes instead of ${SIZE + 1}`,
    ],
    [
      "grows",
      true,
      [],
      (dir) => fs.appendFileSync(dir.file("folder/d"), "x"),
      `it has ${SIZE + 2} bytes instead of ${SIZE + 1}`,
    ],
  ];
  for (const [name, far, words, action, said] of ACTIONS) {
    test(`is exit 7, not success, when it ${name} during the run`, async () => {
      using dir = tempDir();
      fs.mkdirSync(dir.file("folder"));
      const to = file(dir, "folder/d", bytes(4, SIZE + 1));
      const from = file(dir, "s", bytes(5, SIZE));
      const ends = far ? [...farWords(dir), from, `host:${to}`] : [from, to];
      const result = await meddle([...words, ...ends], () => action(dir));
      expect(result.stderr).toContain(
        `The destination "${far ? "host:" : ""}${to}" is not what was written: ${said}\n`,
      );
      expect(result.exitCode).toBe(7);
    });
  }

  onLoop("is exit 7 when another file system is mounted over its folder during the run", async () => {
    using dir = tempDir();
    fs.mkdirSync(dir.file("folder"));
    const to = file(dir, "folder/d", bytes(4, SIZE));
    const words = [file(dir, "s", bytes(5, SIZE)), to];
    try {
      const result = await meddle(words, () => command("mount", "-t", "tmpfs", "none", dir.file("folder")));
      expect(result.stderr).toContain("is not what was written: nothing is under its name any more\n");
      expect(result.exitCode).toBe(7);
    } finally {
      Bun.spawnSync(["umount", dir.file("folder")]);
    }
  });

  onLoop("is exit 7 when a device is another one by then, or of another size", async () => {
    using dir = tempDir();
    const from = file(dir, "s", bytes(5, SIZE));
    using one = attachLoop(file(dir, "one", bytes(4, 2 * SIZE)));
    using two = attachLoop(file(dir, "two", bytes(4, SIZE)));
    fs.symlinkSync(one.path, dir.file("disk"));
    const point = (path: string) => {
      fs.rmSync(dir.file("disk"));
      fs.symlinkSync(path, dir.file("disk"));
    };
    const moved = await meddle(["-f", from, dir.file("disk")], () => point(two.path));
    expect(moved.stderr).toContain("is not what was written: something else is under its name now\n");
    expect(moved.exitCode).toBe(7);
    point(one.path);
    const resized = await meddle(["-f", from, dir.file("disk")], () => {
      fs.truncateSync(dir.file("one"), SIZE);
      command("losetup", "-c", one.path);
    });
    expect(resized.stderr).toContain(`is not what was written: it has ${SIZE} bytes instead of ${2 * SIZE}\n`);
    expect(resized.exitCode).toBe(7);
  });
});

describe("a source that is not what it was at the end", () => {
  for (const far of [false, true]) {
    const where = far ? "over a connection" : "here";
    test(`is exit 7 ${where} when it is written to and its time set back`, async () => {
      using dir = tempDir();
      const from = file(dir, "s", bytes(6, SIZE));
      fs.utimesSync(from, 1000, 1000);
      const ends = far ? [...farWords(dir), `host:${from}`, dir.file("d")] : [from, dir.file("d")];
      const result = await meddle(ends, () => {
        fs.writeSync(fs.openSync(from, "r+"), "x", 0);
        fs.utimesSync(from, 1000, 1000);
      });
      expect(result.stderr).toContain(
        `The source "${far ? "host:" : ""}${from}" changed during the run: its time of change`,
      );
      expect(result.exitCode).toBe(7);
    });

    onLoop(`is exit 7 ${where} when it is a device that grows or whose medium is changed`, async () => {
      using dir = tempDir();
      using loop = attachLoop(file(dir, "image", bytes(7, SIZE)), "--read-only");
      const words = far ? [...farWords(dir), `host:${loop.path}`] : [loop.path];
      const grown = await meddle([...words, dir.file("d")], () => {
        fs.truncateSync(dir.file("image"), 2 * SIZE);
        command("losetup", "-c", loop.path);
      });
      expect(grown.stderr).toContain(`changed during the run: it has ${2 * SIZE} bytes instead of ${SIZE}\n`);
      expect(grown.exitCode).toBe(7);
      const other = file(dir, "other", bytes(7, 2 * SIZE));
      const changed = await meddle([...words, dir.file("d")], () => changeMedium(loop, other));
      expect(changed.stderr).toContain("changed during the run: it is another medium, or another file below it\n");
      expect(changed.exitCode).toBe(7);
    });
  }

  testWith("strace")("is said of both sides of compare, with exit 7", async () => {
    using dir = tempDir();
    const [one, other] = [file(dir, "one", bytes(8, SIZE)), file(dir, "other", bytes(8, SIZE))];
    for (const path of [one, other]) {
      const slow = ["strace", "-f", "-o", "/dev/null", "-P", one, "-e", "inject=pread64:delay_exit=200000"];
      const words = ["compare", "-t", "0.05", one, other];
      const result = await watch(words, "remaining)", () => fs.utimesSync(path, 1000, 1000), slow);
      expect(result.stderr).toContain(`"${path}" changed during the run: something wrote to it\n`);
      expect(result.exitCode).toBe(7);
    }
  });

  test("is not said because it was read, or read by others, or its folder changed", async () => {
    using dir = tempDir();
    const from = file(dir, "s", bytes(9, SIZE));
    const result = await meddle([from, dir.file("d")], () => {
      fs.readFileSync(from);
      file(dir, "beside", Buffer.alloc(1));
    });
    expect(result.stderr).not.toContain("changed");
    expect(result.exitCode).toBe(0);
  });
});
