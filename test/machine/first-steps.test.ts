/** The README's first steps, as they stand there: on a loop device in the place of the disk, an sshd in that of the host. */
import { expect } from "bun:test";
import fs from "node:fs";
import { join } from "node:path";
import { type Result, run } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { attachLoop } from "../helpers/loop.ts";
import { testWith } from "../helpers/requirements.ts";
import { startSshd } from "../helpers/sshd.ts";
import { tempDir } from "../helpers/temp.ts";
import { answering } from "../helpers/terminal.ts";

const readme = fs.readFileSync(join(import.meta.dir, "../../README.md"), "utf8");
const section = readme.split("## First steps\n")[1]?.split("\n## ")[0] ?? "";
const steps = [...section.matchAll(/^ {4}(?:sudo )?(\S+) (.+?) {3,}\d\. /gm)].map(([, program = "", words = ""]) => ({
  program,
  words: words.split(" "),
}));

testWith("loop", "sshd")(
  "the README's first steps lead to equal files, each with the result that it says",
  async () => {
    expect(steps.map(({ program }) => program)).toEqual(["lsblk", ...Array<string>(6).fill("blocksync")]);
    using dir = tempDir();
    await using sshd = await startSshd();
    const disk = bytes(301, 8 << 20);
    fs.writeFileSync(dir.file("disk"), disk);
    fs.writeFileSync(dir.file("far.img"), bytes(302, 1 << 20));
    using loop = attachLoop(dir.file("disk"));
    const here = (word: string) => {
      if (word === "/dev/sdb") return loop.path;
      if (word.startsWith("backup:")) return `${sshd.user}@127.0.0.1:${dir.file("far.img")}`;
      return word.endsWith(".img") ? dir.file(word) : word;
    };
    const [list, image, again, rehearse, restore, fetch, compare] = steps.map(({ words }) => words.map(here));
    const words = (step: readonly string[] | undefined) => {
      const [command = "", ...rest] = step ?? [];
      return command === "compare" ? [command, ...sshd.words, ...rest] : [...sshd.words, command, ...rest];
    };
    const does = async (step: readonly string[] | undefined, exitCode: number, said: RegExp): Promise<Result> => {
      const result = await run(words(step), { env: { BLOCKSYNC_REMOTE_DIR: dir.file("cache") } });
      expect({ step, stderr: result.stderr, exitCode: result.exitCode }).toMatchObject({ step, exitCode });
      expect(result.stderr).toMatch(said);
      return result;
    };

    expect(Bun.spawnSync(["lsblk", ...(list ?? []), loop.path]).exitCode).toBe(0);
    await does(image, 0, /^Completed in .* 8 of 8 blocks differed, 8\.0 MiB written$/m);
    expect(fs.readFileSync(dir.file("disk.img")).equals(disk)).toBe(true);
    const changed = changeLeaves(disk, [3, 700]);
    fs.writeFileSync(loop.path, changed);
    await does(again, 0, /^Completed in .* 2 of 8 blocks differed, 8\.0 KiB written$/m);
    expect(fs.readFileSync(dir.file("disk.img")).equals(changed)).toBe(true);
    await does(rehearse, 0, /nothing was written \(dry run\)/);
    fs.writeFileSync(loop.path, disk);
    await does(rehearse, 1, /nothing was written \(dry run\)/);
    const { exitCode, seen } = await answering(words(restore), "to go on: ", "yes\n");
    expect({ exitCode, seen: exitCode === 0 ? "" : seen }).toEqual({ exitCode: 0, seen: "" });
    expect(fs.readFileSync(loop.path).equals(changed)).toBe(true);
    await does(fetch, 0, /^Completed in /m);
    const { stdout } = await does(compare, 0, /^/);
    expect(stdout).toBe("");
  },
);
