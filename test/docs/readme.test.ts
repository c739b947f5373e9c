/** The README names only what exists. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { join } from "node:path";
import { checkArguments } from "../../src/cli/arguments.ts";
import { parseLocations } from "../../src/cli/location.ts";
import { compareOptions, serveOptions, syncOptions } from "../../src/cli/table.ts";
import { ExitCode } from "../../src/errors.ts";

const root = join(import.meta.dir, "../..");
const readme = fs.readFileSync(join(root, "README.md"), "utf8");
const makefile = fs.readFileSync(join(root, "Makefile"), "utf8");

test("README names only files that exist", () => {
  const paths = [...readme.matchAll(/`((?:src|test|scripts)\/[\w./-]+)`/g)].map(([, path = ""]) => path);
  expect(paths.length).toBeGreaterThan(15);
  expect(paths.filter((path) => !fs.existsSync(join(root, path)))).toEqual([]);
});

test("README names only make targets that exist, and every target stands in .PHONY or builds a file", () => {
  const targets = [...readme.matchAll(/make ([a-z][a-z-]*)/g)].map(([, target = ""]) => target);
  expect(targets).toContain("demo");
  expect(targets).toContain("test");
  expect(targets.filter((target) => !new RegExp(`^${target}:`, "m").test(makefile))).toEqual([]);
});

test("README names only options that exist", () => {
  const known = new Set(["version"]);
  const letters = new Set(["V"]);
  for (const [name, option] of Object.entries({ ...syncOptions, ...compareOptions, ...serveOptions })) {
    known.add(name).add(`no-${name}`);
    for (const alias of "alias" in option ? option.alias : []) (alias.length === 1 ? letters : known).add(alias);
  }
  // What belongs to docker, virt-install, rsync and LVM in the examples.
  const foreign = new Set([
    "rm",
    "network",
    "device",
    "import",
    "name",
    "memory",
    "disk",
    "os-variant",
    "inplace",
    "no-whole-file",
    "write-devices",
    "partial",
    "append",
    "checksum",
    "snapshot",
    "size",
    "yes",
    "sparse",
    "reflink",
  ]);
  const long = [...readme.matchAll(/(?<=[\s`(])--([a-z][a-z-]+)/g)].map(([, name = ""]) => name);
  expect(long.filter((name) => !known.has(name) && !foreign.has(name))).toEqual([]);
  const short = [...readme.matchAll(/`-([A-Za-z0-9])[ `]/g)].map(([, letter = ""]) => letter);
  expect(short.length).toBeGreaterThan(5);
  expect(short.filter((letter) => !letters.has(letter))).toEqual([]);
});

test("README names a test for every guarantee, and each is the beginning of a test's title in that file", () => {
  const section = readme.split("## What is guaranteed\n")[1]?.split("\n### ")[0] ?? "";
  const guarantees = section.split(/^- /m).slice(1);
  expect(guarantees.length).toBeGreaterThan(10);
  const wrong: string[] = [];
  for (const guarantee of guarantees) {
    let file = "";
    let named = 0;
    for (const [, path, title] of guarantee.replaceAll(/\s+/g, " ").matchAll(/`(test\/[^`]+)`|"([^"]+)"/g)) {
      if (path !== undefined) {
        file = fs.readFileSync(join(root, path), "utf8");
        continue;
      }
      named++;
      if (!['"', "`"].some((quote) => file.includes(`${quote}${title}`))) wrong.push(title ?? "");
    }
    if (named === 0) wrong.push(guarantee);
  }
  expect(wrong).toEqual([]);
});

/** The words of every indented line that runs blocksync, in a container too, as a shell splits them, without the remark after three blanks. */
function commandLines(): string[][] {
  const lines = [...readme.matchAll(/^ {4}(?:\$ |docker .* )?(?:\S*\/)?blocksync (.*)$/gm)].map(
    ([, line = ""]) => line,
  );
  // Forms are no command lines, and of an elided word nobody knows.
  return (
    lines
      // Not what is said of it, nor what its output goes to.
      .map((line) => line.split(/ {3,}| \| /)[0] ?? "")
      .filter((line) => !/[[\]…]/.test(line))
      .map((line) => [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? ""))
  );
}

test("README's command lines are ones that blocksync takes", () => {
  const lines = commandLines();
  expect(lines.length).toBeGreaterThan(12);
  for (const words of lines) {
    const compares = words[0] === "compare";
    const checked = checkArguments(compares ? words.slice(1) : words, compares ? compareOptions : syncOptions);
    const { source, destination } = parseLocations(checked.slice(checked.indexOf("--") + 1), {
      exists: () => false,
      forHost: false,
    });
    expect({ words, named: source.path !== "" && destination.path !== "" }).toEqual({ words, named: true });
  }
});

test("README's walk-through on a rescue system goes from lsblk to the new machine, with one source and one destination", () => {
  const section = readme.split("## On a rescue system\n")[1]?.split("\n## ")[0] ?? "";
  const steps = [...section.matchAll(/^ {4}(.+?) {3,}(\d)\. /gm)].map(([, command = "", number]) => ({
    command,
    number,
  }));
  expect(steps.map(({ number }) => number)).toEqual(["1", "2", "3", "4", "5", "6"]);
  const syncs = steps.filter(({ command }) => command.startsWith("/root/blocksync "));
  expect(new Set(syncs.map(({ command }) => command.split(" ").slice(-2).join(" "))).size).toBe(1);
  expect(syncs.length).toBe(2);
});

test("README lists every exit code", () => {
  for (const code of Object.values(ExitCode))
    expect(readme).toMatch(new RegExp(`^\\| (130, )?${code}(, 143)? \\|`, "m"));
});

test("README's tour names a file of every room of src, and says what each room is for", () => {
  const tour = readme.split("## How it works\n")[1]?.split("\n## ")[0] ?? "";
  const files = fs
    .readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"));
  const rooms = new Set(files.map((name) => name.split("/").slice(0, -1).join("/")).filter((room) => room !== ""));
  const named = [...tour.matchAll(/`src\/([\w/.-]+)`/g)].map(([, name = ""]) => name);
  expect([...rooms].filter((room) => !named.some((name) => name.startsWith(`${room}/`)))).toEqual([]);
});
