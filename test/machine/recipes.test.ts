/** The README's recipes, as they stand there but for the names of disks, hosts and directories. */
import { expect } from "bun:test";
import fs from "node:fs";
import { basename, join } from "node:path";
import { BINARY, fakeSsh } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { attachLoop, detachBelow } from "../helpers/loop.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const readme = fs.readFileSync(join(import.meta.dir, "../../README.md"), "utf8");

/** The code below the recipe whose text begins so, with some of its words replaced. */
function recipe(title: string, words: Record<string, string>): string {
  const [, code = ""] = readme.split(`**${title}**`)[1]?.split(/\n\n((?: {4}.*\n)+)/) ?? [];
  expect(code.split("\n").length).toBeGreaterThan(3);
  let script = code;
  for (const [word, replacement] of Object.entries(words)) {
    expect(script).toContain(word);
    script = script.replaceAll(word, replacement);
  }
  return script;
}

/** A shell's run; "host" is this machine, and nobody needs sudo. */
function shell(dir: TempDir, cwd: string, script: string): { exitCode: number; stdout: string; stderr: string } {
  fs.mkdirSync(dir.file("bin"), { recursive: true });
  const ssh = fakeSsh(dir.file("bin/fake-ssh"))
    .map((word) => `'${word}'`)
    .join(" ");
  const program = (name: string, text: string) =>
    fs.writeFileSync(dir.file(`bin/${name}`), `#!/bin/sh\nexec ${text} "$@"\n`, { mode: 0o755 });
  program("blocksync", `'${BINARY}' ${ssh} -S '${BINARY}'`);
  program("sudo", "env");
  const PATH = `${dir.file("bin")}:${process.env["PATH"]}:/usr/sbin:/sbin`;
  const result = Bun.spawnSync(["sh", "-ec", script], { cwd, env: { ...process.env, PATH }, stdin: "ignore" });
  return { exitCode: result.exitCode, stdout: result.stdout.toString(), stderr: result.stderr.toString() };
}

/** Commands that put data into the file system of a volume. */
function fillVolume(path: string): string {
  return `mkdir m; mount ${path} m; head -c 9M /dev/urandom > m/file; umount m`;
}

/** Bytes that a file system has in use, shared blocks once. */
function allocated(directory: string): number {
  const { stdout } = Bun.spawnSync([
    "sh",
    "-c",
    'sync -f "$1"; df -B1 --output=used "$1" | tail -n 1',
    "sh",
    directory,
  ]);
  return Number(stdout.toString());
}

testWith(
  "loop",
  "btrfs",
  "mkfs",
)("a nightly pull keeps generations that share what did not change", async () => {
  using dir = tempDir();
  fs.writeFileSync(dir.file("store"), "");
  fs.truncateSync(dir.file("store"), 512 * MIB);
  using store = attachLoop(dir.file("store"));
  fs.mkdirSync(dir.file("images"));
  fs.writeFileSync(dir.file("volume"), "");
  fs.truncateSync(dir.file("volume"), 64 * MIB);
  using volume = attachLoop(dir.file("volume"));
  const images = dir.file("images");
  const ready = shell(
    dir,
    dir.path,
    `mkfs.btrfs -q ${store.path}; mount ${store.path} images; mkfs.ext4 -q -E lazy_itable_init=0 ${volume.path}`,
  );
  expect(ready).toMatchObject({ exitCode: 0 });
  try {
    const night = recipe("A nightly pull with generations and a restore test", {
      "root@db1:/dev/vg0/snap": `host:${volume.path}`,
      "/srv/images": ".",
    });
    const generations = () => fs.readdirSync(images).filter((name) => name.startsWith("db1-"));
    const pulled = shell(dir, images, night);
    expect({ stderr: pulled.stderr, exitCode: pulled.exitCode }).toMatchObject({ exitCode: 0 });
    const before = fs.readFileSync(join(images, "db1.img"));
    const [made = "", ...more] = generations();
    expect({ made, more }).toEqual({ made: expect.stringMatching(/^db1-\d{4}-\d\d-\d\d\.img$/), more: [] });
    // It was last night, and long ago there was another.
    fs.renameSync(join(images, made), join(images, "db1-last.img"));
    fs.writeFileSync(join(images, "db1-old.img"), "");
    fs.utimesSync(join(images, "db1-old.img"), 0, 0);
    expect(shell(dir, dir.path, fillVolume(volume.path))).toMatchObject({ exitCode: 0 });
    const used = allocated(images);
    expect(shell(dir, images, night)).toMatchObject({ exitCode: 0 });
    expect(generations().toSorted()).toEqual([made, "db1-last.img"].toSorted());
    expect(fs.readFileSync(join(images, "db1-last.img")).equals(before)).toBe(true);
    for (const name of [made, "db1.img"])
      expect(fs.readFileSync(join(images, name)).equals(fs.readFileSync(volume.path))).toBe(true);
    // The file is stored once more, and little besides.
    expect(allocated(images) - used).toBeLessThan(16 * MIB);

    // A copy that does not pass becomes none.
    fs.rmSync(join(images, made));
    fs.writeFileSync(volume.path, Buffer.alloc(MIB, 1));
    const failed = shell(dir, images, night);
    expect(failed.stderr).toContain(" equal, 1.0 MiB written\n");
    // fsck(8): 4 says that errors were left, 8 that it could not go on.
    expect(failed.exitCode & 12).toBeGreaterThan(0);
    expect(generations()).toEqual(["db1-last.img"]);
  } finally {
    detachBelow(images);
    Bun.spawnSync(["umount", images]);
  }
});

testWith("loop", "xz")("three cards are made from one image, and a disk of another size is left alone", async () => {
  using dir = tempDir();
  const data = bytes(451, 2 * MIB);
  fs.writeFileSync(dir.file("pi.img"), data);
  expect(Bun.spawnSync(["xz", "-0", dir.file("pi.img")]).exitCode).toBe(0);
  const card = (name: string, content: Buffer) => {
    fs.writeFileSync(dir.file(name), content);
    return attachLoop(dir.file(name));
  };
  using one = card("one", changeLeaves(data, [5]));
  using two = card("two", Buffer.alloc(2 * MIB));
  using three = card("three", bytes(452, 2 * MIB));
  using disk = card("disk", bytes(453, 4 * MIB));
  const cards = [one, two, three];
  const names = (loops: readonly { path: string }[]) => loops.map(({ path }) => basename(path)).join(" ");
  const words = { "sdb sdc sdd": names(cards), "31914983424": String(2 * MIB) };
  const { exitCode, stdout, stderr } = shell(dir, dir.path, recipe("Three cards from one image", words));
  expect({ exitCode, last: stdout.trimEnd().split("\n").at(-1), stderr }).toEqual({
    exitCode: 0,
    last: "0",
    stderr: "",
  });
  for (const { path } of cards) expect(fs.readFileSync(path).equals(data)).toBe(true);

  const mistyped = recipe("Three cards from one image", { ...words, "sdb sdc sdd": names([disk, two]) });
  const refused = shell(dir, dir.path, `set +e\n${mistyped}`);
  expect(refused.stdout.trimEnd().split("\n").at(-1)).toBe("123");
  expect(refused.stderr).toContain("(unexpected)");
  expect(fs.readFileSync(disk.path).equals(bytes(453, 4 * MIB))).toBe(true);
});
