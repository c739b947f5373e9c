/**
 * blocksync at a rescue prompt: a root of nothing but busybox, an ssh client and the program. No Node, Python, Bun or
 * libgcc_s, no home, no directory for temporary files that can hold a program.
 */
import { describe, expect } from "bun:test";
import fs from "node:fs";
import { BINARY, type Result } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { attachLoop, type Loop } from "../helpers/loop.ts";
import { testWith } from "../helpers/requirements.ts";
import { addDevice, install, runIn } from "../helpers/root.ts";
import { type Sshd, startSshd } from "../helpers/sshd.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const SIZE = 16 * MIB;
const inRescue = testWith("loop", "sshd", "shells");

interface Rescue extends Disposable {
  readonly root: string;
  /** The file behind the disk /dev/target. */
  readonly disk: string;
  run(...words: string[]): Promise<Result>;
}

function rescueSystem(dir: TempDir, contents: Buffer): Rescue {
  const root = dir.file("root");
  install(root, {
    "/bin/busybox": Bun.which("busybox") ?? "/bin/busybox",
    "/bin/ssh": Bun.which("ssh") ?? "/usr/bin/ssh",
    "/bin/blocksync": BINARY,
  });
  for (const name of ["sh", "ls", "sha256sum"]) fs.symlinkSync("busybox", `${root}/bin/${name}`);
  fs.mkdirSync(`${root}/etc`);
  fs.writeFileSync(`${root}/etc/passwd`, "root:x:0:0::/nonexistent:/bin/sh\n");
  const disk = dir.file("disk");
  fs.writeFileSync(disk, contents);
  const loop: Loop = attachLoop(disk);
  addDevice(root, "/dev/null", "/dev/null");
  addDevice(root, "/dev/target", loop.path);
  return {
    root,
    disk,
    run: (...words) => runIn(root, words, { PATH: "/bin" }),
    [Symbol.dispose]: () => loop[Symbol.dispose](),
  };
}

/** Puts keys for `sshd` into the rescue system; returns the words that make blocksync's ssh use them. */
function withKeys({ root }: Rescue, sshd: Sshd): string[] {
  const config = fs.readFileSync(sshd.configFile, "utf8");
  const moved = config.replace(/(IdentityFile|UserKnownHostsFile) "(.*)"/g, (_, name: string, path: string) => {
    fs.copyFileSync(path, `${root}/etc/${name}`);
    fs.chmodSync(`${root}/etc/${name}`, 0o600);
    return `${name} /etc/${name}`;
  });
  fs.writeFileSync(`${root}/etc/ssh_config`, moved);
  return ["-x", "-F /etc/ssh_config"];
}

/** The last line of a run that succeeded. */
function completed({ exitCode, stderr }: Result): string {
  expect({ exitCode, stderr: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, stderr: "" });
  return /^Completed in .*?: (.*)/m.exec(stderr)?.[1] ?? "";
}

describe("on a rescue system", () => {
  inRescue("a sync to a disk works, and is confirmed with --force alone", async () => {
    using dir = tempDir();
    using rescue = rescueSystem(dir, Buffer.alloc(SIZE));
    const missing = await rescue.run(
      "sh",
      "-c",
      "for name in bun node python3 perl; do command -v $name; done; ls -a ~",
    );
    expect(missing.stdout).toBe("");
    const image = bytes(301, SIZE - 5 * MIB - 512);
    fs.writeFileSync(`${rescue.root}/image`, image);
    const before = fs.readdirSync(rescue.root);
    const asked = await rescue.run("blocksync", "/image", "/dev/target");
    expect(asked.stderr).toContain("it is a block device and there is no terminal to ask on (unconfirmed)");
    expect(asked.stderr).toContain("hint: --force overwrites a device without asking");
    expect(asked.exitCode).toBe(3);
    expect(completed(await rescue.run("blocksync", "-f", "--verify", "/image", "/dev/target"))).toContain(
      "equal in its first 11.0 MiB, 11.0 MiB written",
    );
    expect(fs.readFileSync(rescue.disk).subarray(0, image.length).equals(image)).toBe(true);
    // A hash whose native library can neither be unpacked nor find libgcc_s here.
    fs.writeFileSync(`${rescue.root}/image`, changeLeaves(image, [3]));
    const again = await rescue.run("blocksync", "-f", "-1", "xxh128", "/image", "/dev/target");
    expect(completed(again)).toContain("equal in its first 11.0 MiB, 4.0 KiB written");
    expect(fs.readdirSync(rescue.root)).toEqual(before);
  });

  inRescue("a push of the disk to a host with sshd works, and the way back", async () => {
    await using sshd = await startSshd();
    using dir = tempDir();
    const contents = bytes(302, SIZE);
    using rescue = rescueSystem(dir, contents);
    const words = withKeys(rescue, sshd);
    const far = `${sshd.user}@127.0.0.1:${dir.file("far.img")}`;
    fs.mkdirSync(dir.file("cache"), { mode: 0o700 });
    const run = (...rest: string[]) =>
      runIn(rescue.root, ["blocksync", ...words, ...rest], { PATH: "/bin", BLOCKSYNC_REMOTE_DIR: dir.file("cache") });
    const first = await run("/dev/target", far);
    expect(completed(first)).toContain("16.0 MiB equal, 16.0 MiB written");
    expect(first.stderr).toContain("Copying blocksync to 127.0.0.1");
    expect(fs.readFileSync(dir.file("far.img")).equals(contents)).toBe(true);
    expect(completed(await run("/dev/target", far))).toContain("16.0 MiB equal, nothing written");
    const changed = changeLeaves(contents, [1, 2000]);
    fs.writeFileSync(dir.file("far.img"), changed);
    expect(completed(await run("-f", far, "/dev/target"))).toContain("16.0 MiB equal, 8.0 KiB written");
    expect(fs.readFileSync(rescue.disk).equals(changed)).toBe(true);
    expect(fs.existsSync(`${rescue.root}/nonexistent`)).toBe(false);
  });
});
