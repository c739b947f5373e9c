/** What is typed out of habit from other tools is answered: their own lists of options are looked through. */
import { expect, test } from "bun:test";
import type { ArgDef, ArgsDef } from "citty";
import { ANSWERS, answerTo } from "../../src/cli/foreign.ts";
import { commandOptions } from "../../src/cli/table.ts";
import { testWith } from "../helpers/requirements.ts";

const OWN = new Set(
  Object.values<ArgsDef>(commandOptions).flatMap((table) =>
    Object.entries<ArgDef>(table).flatMap(([name, option]) => {
      const aliases: string[] = "alias" in option ? [option.alias ?? []].flat() : [];
      return [name, ...aliases].map((spelling) => (spelling.length === 1 ? `-${spelling}` : `--${spelling}`));
    }),
  ),
);

function isAnswered(word: string): boolean {
  return word === "--version" || OWN.has(word) || answerTo("option", word) !== undefined;
}

/** The long options that a tool lists at the beginning of a line, behind a letter or not. */
function listed(...command: string[]): string[] {
  const { stdout, stderr } = Bun.spawnSync(command);
  const text = stdout.toString() + stderr.toString();
  const names = [...text.matchAll(/^ *(?:-\w, ?)?(--[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)(?![\w-])/gm)].map(
    ([, name = ""]) => name,
  );
  expect({ command, isLong: names.length > 5 }).toEqual({ command, isLong: true });
  return names;
}

function unanswered(...command: string[]): string[] {
  return listed(...command).filter((word) => !isAnswered(word));
}

testWith("rsync")("every option of rsync is one of blocksync's, or answered", async () => {
  // What a newer rsync has besides is no fault of a commit that did not touch this; 3.5.0 came to Debian 12 as a security update.
  const { stdout } = Bun.spawnSync(["rsync", "--version"]);
  const [, major = 0, minor = 0] = /version (\d+)\.(\d+)/.exec(stdout.toString())?.map(Number) ?? [];
  const isKnown = major < 3 || (major === 3 && minor <= 5);
  const unknown = unanswered("rsync", "--help");
  if (isKnown) expect(unknown).toEqual([]);
  else process.stderr.write(`rsync ${major}.${minor} has options without an answer: ${unknown.join(" ")}\n`);
});

testWith("ddrescue")("every option of ddrescue is one of blocksync's, or answered", async () => {
  expect(unanswered("ddrescue", "--help")).toEqual([]);
});

test("every option of cmp is one of blocksync's, or answered", async () => {
  expect(unanswered("cmp", "--help")).toEqual([]);
});

test("every option that pv, bdsync, blocksync-fast and a fork of blocksync.py have is one of blocksync's, or answered", async () => {
  const tools = {
    pv: `--progress --timer --eta --fineta --rate --average-rate --bytes --buffer-percent --last-written --format --numeric
      --quiet --wait --delay-start --size --line-mode --null --interval --width --height --name --force --cursor
      --rate-limit --buffer-size --no-splice --skip-errors --stop-at-size --remote --pidfile --watchfd --help --version`,
    bdsync: `--server --patch --warndev --verbose --hash --blocksize --checksum --twopass --remdata --fixoffset --diffsize
      --zeroblocks --flushcache --salt --progress --cpuidle`,
    "blocksync-fast": `--src --dst --make-digest --digest --make-delta --apply-delta --delta --block-size --algo --list-algos
      --benchmark-algos --digest-info --delta-info --buffer-size --progress --progress-detail --mmap --no-compare
      --sync-writes --dont-write --dont-write-target --dont-write-digest --force --silent --help --version`,
    "blocksync.py": `--blocksize --hashalg --encalg --nocache --showsum --compress --sudo --force --dryrun --quiet --skip
      --devsize`,
  };
  for (const [tool, words] of Object.entries(tools))
    expect({ tool, left: words.split(/\s+/).filter((word) => !isAnswered(word)) }).toEqual({ tool, left: [] });
});

test("what rsync turns off with --no- is answered as what it turns off", () => {
  expect(answerTo("option", "--no-perms")).toBe(answerTo("option", "--perms") ?? "no answer");
  expect(answerTo("option", "--no-such-thing")).toBeUndefined();
});

test("every operand of dd has an answer, and the commands that are guessed", () => {
  for (const name of ["bs", "cbs", "conv", "count", "ibs", "iflag", "obs", "oflag", "seek", "skip", "status"])
    expect({ name, answer: answerTo("operand", name) }).toEqual({ name, answer: expect.any(String) });
  for (const name of ["diff", "verify", "copy", "rsync", "dd", "server"])
    expect({ name, answer: answerTo("command", name) }).toEqual({ name, answer: expect.any(String) });
});

test("no word of blocksync's own has an answer, and no answer names an option that there is not", () => {
  expect([...OWN].filter((word) => answerTo("option", word) !== undefined)).toEqual([]);
  expect(Object.keys(commandOptions).filter((word) => answerTo("command", word) !== undefined)).toEqual([]);
  // What belongs to losetup, cp, ssh, rsync and ddrescue.
  const others = ["-r", "--sizelimit", "-o", "--reflink", "-4", "-J"];
  const named = Object.values(ANSWERS)
    .flatMap((answers) => [...answers.values()])
    .flatMap((answer) => [...answer.matchAll(/(?<![\w-])--?[a-z0-9][a-z0-9-]*/gi)].map(([word]) => word));
  expect(named.length).toBeGreaterThan(40);
  expect(named.filter((word) => !OWN.has(word.replace(/^--no-/, "--")) && !others.includes(word))).toEqual([]);
});
