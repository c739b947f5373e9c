/**
 * The README alone leads from a clone to a first sync of a loop device, a push and a pull over ssh and a compare: its
 * commands as they stand, typed at a terminal of a machine that has nothing yet.
 */
import { expect } from "bun:test";
import fs from "node:fs";
import { dirname, join } from "node:path";
import {
  commandsOf,
  questionTranscript,
  shapeOf,
  syncTranscript,
  transcriptOf,
  typeAll,
} from "../../scripts/transcripts.ts";
import { VERSION } from "../../src/version.ts";
import { startFreshMachine } from "../helpers/fresh-machine.ts";
import { testWith } from "../helpers/requirements.ts";
import { Typist } from "../helpers/typist.ts";

const root = join(import.meta.dir, "../..");

function git(...words: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["git", ...words], { cwd: root });
  if (exitCode !== 0) throw new Error(`git ${words.join(" ")}: ${stderr.toString()}`);
  return stdout.toString();
}

/** A clone of the repository as it will be once what was changed is committed. */
function clone(directory: string): void {
  git("clone", "--quiet", root, directory);
  const changed = (...words: string[]) =>
    git("ls-files", "-z", ...words)
      .split("\0")
      .filter((name) => name !== "");
  for (const name of changed("--deleted")) fs.rmSync(join(directory, name));
  for (const name of changed("--modified", "--others", "--exclude-standard")) {
    if (!fs.existsSync(join(root, name))) continue;
    fs.mkdirSync(dirname(join(directory, name)), { recursive: true });
    fs.cpSync(join(root, name), join(directory, name));
  }
}

testWith(
  "git",
  "mounts",
  "loop",
  "mkfs",
  "sshd",
  "sudo",
  "tmux",
)("the README alone leads from a clone to a sync, a push, a pull and a compare, as it says", async () => {
  await using machine = await startFreshMachine(140, 40);
  const { dir, terminal } = machine;
  clone(dir.file("home/clone"));
  const readme = fs.readFileSync(dir.file("home/clone/README.md"), "utf8");
  const typist = new Typist(terminal);
  // This project's Bun is the one on the machine: the packages need no network then.
  await typist.run(`cd clone; PATH="$PATH:${dirname(process.execPath)}"`);

  const commands = commandsOf(readme, "Get it");
  expect(commands).toEqual(["make", "sudo make install"]);
  for (const command of commands) {
    const { exitCode, lines } = await typist.run(command);
    expect({ command, exitCode, lines: exitCode === 0 ? [] : lines }).toEqual({ command, exitCode: 0, lines: [] });
  }
  expect((await typist.run("cd ..; blocksync --version")).lines.join()).toStartWith(`blocksync ${VERSION} (build `);

  const results = await typeAll(typist, commandsOf(readme, "The first five minutes"));
  for (const { command, exitCode, lines } of results)
    expect({ command, exitCode, lines: exitCode === 0 ? [] : lines }).toEqual({ command, exitCode: 0, lines: [] });
  const said = results
    .filter(({ command }) => /^(sudo )?blocksync /.test(command))
    .map(({ lines }) => lines.join("\n"));
  const written = expect.stringMatching(/^256\.0 MiB equal, \S+ [KM]iB written$/);
  const nothing = "256.0 MiB equal, nothing written";
  expect(said.map((text) => /^Completed in .*?: (.*)$/m.exec(text)?.[1])).toEqual([
    written,
    nothing,
    written,
    written,
    "256.0 MiB equal",
    expect.stringMatching(/^256\.0 MiB equal; .*nothing was written \(dry run\)$/),
    nothing,
  ]);
  expect(said[2]).toContain("Copying blocksync to backup, into /root/.cache/blocksync\n");
  const image = fs.readFileSync(dir.file("home/laptop.img"));
  for (const name of ["practice.raw", "pulled.img"])
    expect(fs.readFileSync(dir.file(`home/${name}`)).equals(image)).toBe(true);

  // What the README shows is what such a run shows today: make readme.
  const question = results.find(({ asked }) => asked.length > 0);
  if (question === undefined) throw new Error("Nothing was asked");
  expect(questionTranscript(question)).toEqual(transcriptOf(readme, "question"));
  terminal.resize(100, 40);
  const shown = shapeOf(transcriptOf(readme, "run"));
  expect(shapeOf(await syncTranscript(machine, typist, 256))).toEqual(shown);
});
