/** What the shells offer is what the option table has; each shell that is here is really asked, or reads the file. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import type { ArgDef, ArgsDef } from "citty";
import { bashCompletion } from "../../scripts/completions/bash.ts";
import { fishCompletion } from "../../scripts/completions/fish.ts";
import { zshCompletion } from "../../scripts/completions/zsh.ts";
import { CHOICES } from "../../src/cli/options.ts";
import { commandOptions, versionOption } from "../../src/cli/table.ts";
import { OVERRIDABLE } from "../../src/errors.ts";
import { HASH_NAMES } from "../../src/sync/spec.ts";
import { until } from "../helpers/binary.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

/** Every spelling that is offered for a table: letter, name, and --no-name where there is one. */
function spellings(table: ArgsDef): string[] {
  return Object.entries<ArgDef>(table).flatMap(([name, option]) => {
    const aliases: string[] = "alias" in option ? [option.alias ?? []].flat() : [];
    const letters = aliases.filter((alias) => alias.length === 1).map((letter) => `-${letter}`);
    const off = option.type === "boolean" && option.default === true ? [`--no-${name}`] : [];
    return [...letters, `--${name}`, ...off];
  });
}

interface Answer {
  readonly offers: string[];
  readonly stderr: string;
}

function shell(words: readonly string[], cwd: string): Answer {
  // HOME is the test's own, so that nobody's settings and hosts count.
  const result = Bun.spawnSync([...words], { cwd, stdin: "ignore", env: { ...process.env, HOME: cwd } });
  const offers = result.stdout
    .toString()
    .split("\n")
    .filter((line) => line !== "");
  return { offers, stderr: result.stderr.toString() };
}

/** Has a fresh bash load the file and complete the last of `words`, which bash has split already. */
function askBash(directory: TempDir, words: readonly string[]): Answer {
  fs.writeFileSync(directory.file("blocksync.bash"), bashCompletion());
  const script = `set -u; . ./blocksync.bash; COMP_WORDS=(blocksync "$@"); COMP_CWORD=$#; _blocksync
    ((\${#COMPREPLY[@]} == 0)) || printf '%s\\n' "\${COMPREPLY[@]}"`;
  return shell(["bash", "--norc", "-c", script, "bash", ...words], directory.path);
}

/** What bash offers, when it has nothing to complain about. */
function bash(directory: TempDir, ...words: string[]): string[] {
  const { offers, stderr } = askBash(directory, words);
  expect({ words, stderr }).toEqual({ words, stderr: "" });
  return offers;
}

/** Has a fresh fish load the file and complete `line`; the offers without their descriptions. */
function fish(directory: TempDir, line: string): string[] {
  fs.writeFileSync(directory.file("blocksync.fish"), fishCompletion());
  const script = "source blocksync.fish; complete -C $argv[1]";
  const { offers, stderr } = shell(["fish", "--no-config", "-c", script, line], directory.path);
  expect({ line, stderr }).toEqual({ line, stderr: "" });
  return offers.map((offer) => offer.split("\t")[0] ?? "");
}

test("the words that an option knows are those that its value is checked against", () => {
  const { sync } = commandOptions;
  const table: ArgsDef = sync;
  expect(CHOICES["hash"]).toEqual(["auto", ...HASH_NAMES]);
  expect(CHOICES["allow"]).toEqual(OVERRIDABLE);
  for (const [name, words] of Object.entries(CHOICES)) {
    const description = table[name]?.description ?? "";
    if (name === "additional-hash") continue;
    for (const word of words)
      expect({ name, description }).toEqual({ name, description: expect.stringContaining(word) });
  }
});

testWith("bash")("bash offers every option of each command, and nothing else, after a dash", async () => {
  using directory = tempDir();
  expect(bash(directory, "-").toSorted()).toEqual(
    [...spellings(commandOptions.sync), ...spellings(versionOption)].toSorted(),
  );
  for (const [command, table] of Object.entries(commandOptions)) {
    expect(bash(directory, command, "-").toSorted()).toEqual(spellings(table).toSorted());
  }
  expect(bash(directory, "--dry")).toEqual(["--dry-run"]);
  expect(bash(directory, "a.img", "b.img", "--no-")).toEqual(["--no-compress"]);
  expect(bash(directory, "compare", "--dry")).toEqual([]);
});

testWith("bash")("bash offers the words an option knows, however the value is attached", async () => {
  using directory = tempDir();
  expect(bash(directory, "--hash", "")).toEqual(["auto", ...HASH_NAMES]);
  expect(bash(directory, "-2", "sha")).toEqual(["sha256", "sha512", "sha1"]);
  expect(bash(directory, "--additionalhash", "m")).toEqual(["md5"]);
  expect(bash(directory, "--on-read-error", "=")).toEqual(["stop", "skip"]);
  expect(bash(directory, "--progress", "=", "p")).toEqual(["plain"]);
  expect(bash(directory, "--progress=p")).toEqual(["--progress=plain"]);
  expect(bash(directory, "--allow", "mounted,in")).toEqual(["mounted,in-use"]);
  expect(bash(directory, "--allow=mounted,in")).toEqual(["--allow=mounted,in-use"]);
});

testWith("bash")("bash offers commands and files first, leaves other places and files to readline", async () => {
  using directory = tempDir();
  fs.writeFileSync(directory.file("serious disk.img"), "");
  expect(bash(directory, "se")).toEqual(["serve", "serious disk.img"]);
  expect(bash(directory, "disk.img", "se")).toEqual([]);
  expect(bash(directory, "--mapfile", "se")).toEqual([]);
  expect(bash(directory, "--map", "se")).toEqual([]);
  expect(bash(directory, "--map", "--dry")).toEqual(["--dry-run"]);
  expect(bash(directory, "--mapfile", "--dry")).toEqual([]);
  expect(bash(directory, "--", "-")).toEqual([]);
  expect(bash(directory, "--block-size", "-")).toEqual([]);
  const { offers } = shell(["bash", "--norc", "-c", ". ./blocksync.bash; complete -p blocksync"], directory.path);
  expect(offers).toEqual(["complete -o bashdefault -o default -F _blocksync blocksync"]);
});

/** What ssh knows of hosts, in a home directory. */
function knowHosts(directory: TempDir): void {
  fs.mkdirSync(directory.file(".ssh/conf.d"), { recursive: true });
  const write = (name: string, ...lines: string[]) =>
    fs.writeFileSync(directory.file(`.ssh/${name}`), lines.map((line) => `${line}\n`).join(""));
  write(
    "config",
    "Include conf.d/*.conf ~/.ssh/more none",
    "# Host zremark",
    "Host znas zback-up !znot *.zlan z?",
    "  HostName 192.0.2.1",
    "\tHost zindented",
    "host=zequals",
    "Host $(>ran) `>ran` ;touch -zoption z'q",
  );
  write("conf.d/a.conf", "Host zincluded", "Include config");
  write("more", "Host zmore");
  write(
    "known_hosts",
    "zkey,192.0.2.7 ssh-ed25519 AAAA",
    "[zport]:2222 ssh-ed25519 AAAA",
    "|1|zhash= ssh-ed25519 AAAA",
    "@cert-authority *.zcert ssh-ed25519 AAAA",
    "$(>ran) ssh-ed25519 AAAA",
  );
}

const HOSTS = ["zback-up", "zequals", "zincluded", "zindented", "zkey", "zmore", "znas", "zport"];

testWith("bash")(
  "bash offers the hosts of ssh's configuration and of known_hosts, and runs nothing that stands there",
  async () => {
    using directory = tempDir();
    knowHosts(directory);
    const places = HOSTS.map((host) => `${host}:`);
    expect(bash(directory, "a.img", "z").toSorted()).toEqual(places);
    expect(bash(directory, "z").toSorted()).toEqual(places);
    expect(bash(directory, "compare", "a.img", "zn")).toEqual(["znas:"]);
    expect(bash(directory, "clean", "z").toSorted()).toEqual(HOSTS);
    expect(bash(directory, "serve", "z")).toEqual([]);
    // The user before a host, however bash divides the word.
    expect(bash(directory, "a.img", "root", "@", "zn")).toEqual(["@znas:"]);
    expect(bash(directory, "a.img", "root@zn")).toEqual(["root@znas:"]);
    // Nothing behind the colon, and what is no host stays a file.
    expect(bash(directory, "a.img", "znas", ":", "z")).toEqual([]);
    expect(bash(directory, "a.img", "znas:z")).toEqual([]);
    fs.writeFileSync(directory.file("zfile $(touch ran).img"), "");
    expect(bash(directory, "a.img", "z").toSorted()).toEqual([...places, "zfile $(touch ran).img"].toSorted());
    expect(bash(directory, "a.img", "zf")).toEqual([]);
    expect(fs.existsSync(directory.file("ran"))).toBe(false);
  },
);

/** Types what stands behind "blocksync" into a shell on a terminal, whose prompt is "ready ", and waits for what it completes that to. */
async function completesOnTerminal(
  argv: readonly string[],
  directory: TempDir,
  env: Readonly<Record<string, string>>,
  cases: readonly (readonly [typed: string, completed: string])[],
): Promise<void> {
  let seen = "";
  const decoder = new TextDecoder();
  const child = Bun.spawn([...argv], {
    cwd: directory.path,
    env: { PATH: process.env["PATH"], HOME: directory.path, TERM: "dumb", ...env },
    terminal: {
      cols: 200,
      rows: 50,
      data: (_terminal, data) => {
        seen += decoder.decode(data, { stream: true });
      },
    },
  });
  try {
    for (const [typed, completed] of cases) {
      await until(`${argv[0]} is ready`, () => seen.includes("ready "));
      seen = "";
      child.terminal?.write(`blocksync ${typed}\n`);
      await until(`${argv[0]} shows ${completed}`, () => seen.includes(completed));
      seen = seen.slice(seen.indexOf(completed));
    }
  } finally {
    child.kill("SIGKILL");
    await child.exited;
    child.terminal?.close();
  }
}

testWith("bash")("bash completes a host on a terminal, without a space behind the colon", async () => {
  using directory = tempDir();
  knowHosts(directory);
  fs.writeFileSync(directory.file("blocksync.bash"), bashCompletion());
  fs.writeFileSync(directory.file("rc"), `. ./blocksync.bash\nblocksync() { echo "<$*>"; }\nPS1='ready '\n`);
  await completesOnTerminal(["bash", "--noprofile", "--rcfile", "rc", "-i"], directory, {}, [
    ["a.img zna\t/disk.img", "<a.img znas:/disk.img>"],
    ["a.img root@zna\t/disk.img", "<a.img root@znas:/disk.img>"],
    ["clean zna\t zmo\t", "<clean znas zmore>"],
    ["rc zna\trc\t", "<rc znas:rc>"],
  ]);
});

testWith("fish")("fish offers the hosts of ssh's configuration, to clean as they are", async () => {
  using directory = tempDir();
  knowHosts(directory);
  expect(fish(directory, "blocksync a.img zn")).toEqual(["znas:"]);
  expect(fish(directory, "blocksync clean zn")).toEqual(["znas"]);
});

testWith("fish")("fish offers every option of each command, and nothing else, after a dash", async () => {
  using directory = tempDir();
  const long = (words: string[]) => words.filter((word) => word.startsWith("--")).toSorted();
  expect(fish(directory, "blocksync --").toSorted()).toEqual(
    long([...spellings(commandOptions.sync), ...spellings(versionOption)]),
  );
  for (const [command, table] of Object.entries(commandOptions)) {
    expect(fish(directory, `blocksync ${command} --`).toSorted()).toEqual(long(spellings(table)));
    expect(fish(directory, `blocksync ${command} -`)).toEqual(expect.arrayContaining(["-h"]));
  }
});

testWith("fish")("fish offers the words an option knows, commands first, and files", async () => {
  using directory = tempDir();
  fs.writeFileSync(directory.file("serious.img"), "");
  expect(fish(directory, "blocksync --hash ").toSorted()).toEqual(["auto", ...HASH_NAMES].toSorted());
  expect(fish(directory, "blocksync --progress=p")).toEqual(["--progress=plain"]);
  expect(fish(directory, "blocksync --allow mounted,in")).toEqual(["mounted,in-use"]);
  expect(fish(directory, "blocksync se").toSorted()).toEqual(["serious.img", "serve"]);
  expect(fish(directory, "blocksync a.img serio")).toEqual(["serious.img"]);
  expect(fish(directory, "blocksync --mapfile serio")).toEqual(["serious.img"]);
  expect(fish(directory, "blocksync --map serio")).toEqual(["serious.img"]);
  expect(fish(directory, "blocksync --map=serio")).toEqual(["--map=serious.img"]);
  expect(fish(directory, "blocksync --map --dry")).toEqual(["--dry-run"]);
  expect(fish(directory, "blocksync -b ser")).toEqual([]);
});

testWith("fish")("fish finds no fault with its file", async () => {
  using directory = tempDir();
  fs.writeFileSync(directory.file("blocksync.fish"), fishCompletion());
  expect(shell(["fish", "--no-config", "-n", "blocksync.fish"], directory.path)).toEqual({ offers: [], stderr: "" });
});

testWith("zsh")("zsh finds no fault with its file", async () => {
  using directory = tempDir();
  fs.writeFileSync(directory.file("_blocksync"), zshCompletion());
  expect(shell(["zsh", "-f", "-n", "_blocksync"], directory.path)).toEqual({ offers: [], stderr: "" });
});

testWith("zsh")("zsh's function gives _arguments every option of each command", async () => {
  using directory = tempDir();
  fs.writeFileSync(directory.file("_blocksync"), zshCompletion());
  const specified = (...words: string[]) => {
    const script =
      '_arguments() { shift 2; print -rl -- "$@"; }; words=(blocksync "$@"); CURRENT=$#words; . ./_blocksync';
    const { offers, stderr } = shell(["zsh", "-f", "-c", script, "zsh", ...words], directory.path);
    expect(stderr).toBe("");
    const pattern = /^\([^)]*\)(--?[\w-]+)[=+]?\[/;
    return offers.filter((offer) => pattern.test(offer)).map((offer) => pattern.exec(offer)?.[1] ?? "");
  };
  expect(specified("").toSorted()).toEqual([...spellings(commandOptions.sync), ...spellings(versionOption)].toSorted());
  for (const [command, table] of Object.entries(commandOptions)) {
    expect(specified(command, "").toSorted()).toEqual(spellings(table).toSorted());
  }
});

testWith("zsh")("zsh completes a command line on a terminal", async () => {
  using directory = tempDir();
  fs.writeFileSync(directory.file("_blocksync"), zshCompletion());
  // HOME is the test's own, so that nobody's settings count. A tab with more input behind it would be taken for itself.
  const settings = [
    "fpath=($HOME $fpath); autoload -Uz compinit; compinit -u -D; zstyle ':completion:*' insert-tab false",
    `blocksync() { print -r -- "<$*>" }; PROMPT="ready "`,
  ];
  fs.writeFileSync(directory.file(".zshrc"), settings.join("\n"));
  await completesOnTerminal(["zsh", "-i", "-d"], directory, { ZDOTDIR: directory.path }, [
    ["--on-read-error sk\t", "<--on-read-error skip>"],
    ["compare --jso\t", "<compare --json>"],
    ["--allow mounted,in\t", "<--allow mounted,in-use>"],
    ["serve --read\t", "<serve --read-only>"],
    ["--map --dry-r\t", "<--map --dry-run>"],
  ]);
});
