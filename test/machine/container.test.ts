/** The image of `make container`: what is in it, and blocksync.py's container line run with it. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { basename } from "node:path";
import { librariesOf } from "../../scripts/container/libraries.ts";
import { makeTree } from "../../scripts/container/tree.ts";
import { buildWords } from "../../scripts/container.ts";
import { readElf } from "../../scripts/elf.ts";
import { BINARY, type Result } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { command, mounted } from "../helpers/disk.ts";
import { attachLoop } from "../helpers/loop.ts";
import { testWith } from "../helpers/requirements.ts";
import { addDevice, runIn } from "../helpers/root.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const SIZE = 8 * MIB;
const onLoop = testWith("loop");
const inContainer = testWith("loop", "buildah", "mkfs");
const PROGRAM = "/usr/local/bin/blocksync";

test("the image's contents are the program, its libraries, those of the library it unpacks, and nothing else", () => {
  using dir = tempDir();
  const context = dir.file("context");
  makeTree(BINARY, context);
  const all = fs.readdirSync(context, { recursive: true, encoding: "utf8" });
  const files = all.filter((path) => fs.statSync(`${context}/${path}`).isFile());
  const expected = librariesOf([BINARY]).map((path) => `root${path}`);
  expect(files).toContain(`root${readElf(fs.readFileSync(BINARY)).interpreter}`);
  expect(files).toEqual(expect.arrayContaining(["Containerfile", `root${PROGRAM}`, ...expected]));
  const others = files.filter((path) => !["Containerfile", `root${PROGRAM}`, ...expected].includes(path));
  expect(others.map((path) => basename(path)).filter((name) => !/^lib(gcc_s|rt)\.so\.1$/.test(name))).toEqual([]);
  expect(fs.readFileSync(`${context}/root${PROGRAM}`).equals(fs.readFileSync(BINARY))).toBe(true);
  expect(fs.statSync(`${context}/root/tmp`).mode & 0o7777).toBe(0o1777);
});

onLoop("the image's contents alone, as a root, are enough to write to a disk", async () => {
  using dir = tempDir();
  makeTree(BINARY, dir.file("context"));
  const root = dir.file("context/root");
  fs.writeFileSync(dir.file("disk"), Buffer.alloc(SIZE));
  using loop = attachLoop(dir.file("disk"));
  addDevice(root, "/dev/target", loop.path);
  const image = bytes(311, 3 * MIB + 512);
  fs.writeFileSync(`${root}/image`, image);
  const { exitCode, stderr } = await runIn(root, [PROGRAM, "-f", "/image", "localhost", "/dev/target"]);
  expect({ exitCode, stderr: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(fs.readFileSync(dir.file("disk")).subarray(0, image.length).equals(image)).toBe(true);
});

/** buildah with everything it keeps in a directory of the test's. */
class Buildah {
  readonly #words: readonly string[];
  readonly #env: Record<string, string | undefined>;

  constructor(dir: TempDir) {
    fs.mkdirSync(dir.file("tmp"));
    this.#words = ["--storage-driver", "vfs", "--root", dir.file("store"), "--runroot", dir.file("state")];
    this.#env = { ...process.env, TMPDIR: dir.file("tmp") };
  }

  async try(words: readonly string[]): Promise<Result> {
    const child = Bun.spawn(["buildah", ...this.#words, ...words], {
      env: this.#env,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { exitCode, stdout, stderr };
  }

  async do(...words: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.try(words);
    if (exitCode !== 0) throw new Error(`buildah ${words.join(" ")}: ${stderr}`);
    return stdout.trim();
  }
}

describe("in a container", () => {
  inContainer("blocksync.py's container line works, with progress lines, and refuses what it should", async () => {
    using dir = tempDir();
    makeTree(BINARY, dir.file("context"));
    const buildah = new Buildah(dir);
    const [, build = "", ...words] = buildWords("buildah", "blocksync-test", dir.file("context"));
    await buildah.do(build, "--isolation", "chroot", "--pull-never", ...words);
    const settings = await buildah.do(
      "inspect",
      "--type",
      "image",
      "--format",
      "{{.OCIv1.Config.Entrypoint}}",
      "blocksync-test",
    );
    expect(settings).toBe(`[${PROGRAM}]`);

    const disk = dir.file("disk");
    fs.writeFileSync(disk, bytes(312, SIZE));
    using loop = attachLoop(disk);
    fs.mkdirSync(dir.file("iso"));
    const image = bytes(313, 5 * MIB + 512);
    fs.writeFileSync(dir.file("iso/image.img"), image);
    const container = await buildah.do(
      "from",
      "--pull-never",
      "--device",
      `${loop.path}:/dev/target`,
      "blocksync-test",
    );
    const mode = ["--isolation", "oci", "--runtime", "runc", "--network=none", "-v", `${dir.file("iso")}:/iso:ro`];
    const line = (...options: string[]) =>
      buildah.try([
        ...["run", ...mode, container, "--", PROGRAM],
        ...[...options, "-I", "python3", "/iso/image.img", "localhost", "/dev/target"],
      ]);

    const asked = await line();
    expect(asked.stderr).toContain(
      'blocksync: Refused to write to "/dev/target": it is a block device and there is no terminal to ask on (unconfirmed)\nblocksync: hint: --force overwrites a device without asking',
    );
    expect(asked.exitCode).toBe(3);

    const first = await line("-f");
    expect(first.stderr).toMatch(/^\[worker 0\] same: 0, diff: 6, 6\/6, .* MB\/s$/m);
    expect(first.stderr).toContain(" MiB written\n");
    expect(first.exitCode).toBe(0);
    expect(fs.readFileSync(disk).subarray(0, image.length).equals(image)).toBe(true);

    // Only what differs, with the hash whose library is in the image too.
    fs.writeFileSync(dir.file("iso/image.img"), changeLeaves(image, [7, 1000]));
    const second = await line("-f", "-v", "-1", "xxh128");
    expect(second.stderr).toContain(", 8.0 KiB written\n");
    expect(second.stderr).not.toContain("does not load");
    expect(second.exitCode).toBe(0);

    // The host's mount is in none of the container's tables.
    command("mkfs.ext4", "-q", "-F", loop.path);
    command("sync", loop.path);
    const before = fs.readFileSync(disk);
    {
      using _mount = mounted(loop.path, dir.file("mnt"), "-o", "ro");
      const refused = await line("-f");
      expect(refused.stderr).toContain('Refused to write to "/dev/target": the device is mounted or in use (in-use)');
      expect(refused.exitCode).toBe(3);
    }
    // A device made of it, which the container's /sys shows although /sys/dev is hidden there.
    {
      using upper = attachLoop(loop.path);
      const refused = await line("-f");
      expect(refused.stderr).toContain(`${basename(upper.path)} holds it (held)`);
      expect(refused.exitCode).toBe(3);
    }
    expect(fs.readFileSync(disk).equals(before)).toBe(true);
    await buildah.do("rm", container);
  });
});
