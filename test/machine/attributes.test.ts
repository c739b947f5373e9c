/** What root is told that root may not, and files that are larger than numbers: here and on the far side. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { remedy } from "../../src/errors.ts";
import { BINARY, fakeSsh, type Result, run } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { command, mounted } from "../helpers/disk.ts";
import { attachLoop } from "../helpers/loop.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const onExt4 = testWith("loop", "mkfs");
const onMounts = testWith("mounts");

const ATTRIBUTES = "lsattr shows whether it is immutable (i) or append-only (a); chattr -i or -a removes that";
const MAY_NOT = "run blocksync as root, or as a user with access; on the far side --sudo does that";

function says(result: Result, exitCode: number, message: string, hint: string): void {
  expect({ exitCode: result.exitCode, stderr: result.stderr }).toEqual({
    exitCode,
    stderr: `blocksync: ${message}\nblocksync: hint: ${hint}\n`,
  });
}

function far(dir: TempDir): string[] {
  return [...fakeSsh(dir.file("rsh")), "--script", BINARY];
}

for (const attribute of ["i", "a"]) {
  onExt4(`a destination with chattr +${attribute} leads to lsattr, and root is not told to become root`, async () => {
    using dir = tempDir();
    fs.chmodSync(dir.path, 0o755);
    command("truncate", "-s", "8M", dir.file("image"));
    using loop = attachLoop(dir.file("image"));
    command("mkfs.ext4", "-q", "-F", loop.path);
    using _mount = mounted(loop.path, dir.file("m"));
    const source = dir.file("s");
    fs.writeFileSync(source, bytes(31, 20_000));
    const destination = dir.file("m/d");
    fs.writeFileSync(destination, "");
    fs.chownSync(destination, 61_234, 61_234);
    command("chattr", `+${attribute}`, destination);
    const [here, there] = [JSON.stringify(destination), JSON.stringify(`h:${destination}`)];
    const root = `${ATTRIBUTES}; otherwise a container or kernel lockdown (dmesg) forbids it`;
    const reason = "operation not permitted";
    says(await run(["-q", source, destination]), 4, `Cannot open ${here}: ${reason}`, root);
    const remote = await run(["-q", ...far(dir), source, `h:${destination}`]);
    says(remote, 4, `Cannot open ${there}: ${reason}`, root);
    fs.chmodSync(source, 0o644);
    // The program lies where another user may run it.
    fs.copyFileSync(BINARY, dir.file("program"));
    fs.chmodSync(dir.file("program"), 0o755);
    const argv0 = ["setpriv", "--reuid=61234", "--regid=61234", "--clear-groups"];
    const owner = await run(["-q", source, destination], { argv0, binary: dir.file("program") });
    says(owner, 4, `Cannot open ${here}: ${reason}`, `${ATTRIBUTES}; else ${MAY_NOT}`);
    command("chattr", `-${attribute}`, destination);
    expect((await run(["-q", source, destination])).exitCode).toBe(0);
  });
}

test("errors that root meets are not answered with root", () => {
  const may = process.geteuid?.() === 0 ? /^even root is denied: by root_squash/ : /such as root/;
  expect(remedy(Object.assign(new Error("x"), { code: "EACCES" }))).toMatch(may);
});

onMounts(
  "a file of 2^53 bytes is refused by its size, as source and destination, here and on the far side",
  async () => {
    using dir = tempDir();
    using _mount = mounted("none", dir.file("m"), "-t", "tmpfs");
    const big = dir.file("m/big");
    fs.writeFileSync(big, "");
    command("truncate", "-s", String(2n ** 53n), big);
    fs.writeFileSync(dir.file("s"), "x");
    const hint = "cut a sparse file to the data it holds (truncate -s)";
    const refusal = (label: string) =>
      `Cannot use ${JSON.stringify(label)}: it has 9007199254740992 bytes, and blocksync supports at most 4503599627370495`;
    for (const words of [
      [big, dir.file("m/d")],
      [dir.file("s"), big],
      ["-T", dir.file("s"), big],
      ["-n", big, dir.file("s")],
    ]) {
      says(await run(["-q", ...words]), 4, refusal(big), hint);
    }
    says(await run(["compare", "-q", dir.file("s"), big]), 4, refusal(big), hint);
    for (const words of [
      [`h:${big}`, dir.file("m/d")],
      [dir.file("s"), `h:${big}`],
    ]) {
      says(await run(["-q", ...far(dir), ...words]), 4, refusal(`h:${big}`), hint);
    }
    expect(fs.readdirSync(dir.file("m"))).toEqual(["big"]);
    expect(fs.statSync(big, { bigint: true }).size).toBe(2n ** 53n);
  },
);
