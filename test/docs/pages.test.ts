/** The pages for readers name only what exists: files, make targets, options, command lines. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { dirname, join } from "node:path";
import { Glob } from "bun";
import { checkArguments } from "../../src/cli/arguments.ts";
import { parseLocations } from "../../src/cli/location.ts";
import {
  cleanOptions,
  compareOptions,
  historyOptions,
  indexOptions,
  serveOptions,
  syncOptions,
} from "../../src/cli/table.ts";

const root = join(import.meta.dir, "../..");
const makefile = fs.readFileSync(join(root, "Makefile"), "utf8");

/** All but the changelog, which tells of what was. */
const PAGES = ["*.md", "scripts/**/*.md"]
  .flatMap((pattern) => [...new Glob(pattern).scanSync({ cwd: root })])
  .filter((name) => name !== "CHANGELOG.md")
  .toSorted();

/** Long options of other programs: docker, fallocate, virt-install, rsync, LVM, cp, sha256sum, bdsync, losetup, xz, lsblk, veritysetup and the bench. */
const FOREIGN = new Set(
  "rm network device import name memory disk os-variant inplace no-whole-file write-devices partial append checksum"
    .concat(
      " snapshot size yes sparse reflink check ignore-missing find show detach decompress keep bytes runs markdown server patch diffsize".concat(
        " now partscan dig-holes salt uuid stdout format offset_domain",
      ),
    )
    .split(" "),
);

const LONG = new Set(["version"]);
const LETTERS = new Set(["V"]);
for (const [name, option] of Object.entries({ ...syncOptions, ...compareOptions, ...serveOptions })) {
  LONG.add(name).add(`no-${name}`);
  for (const alias of "alias" in option ? option.alias : []) (alias.length === 1 ? LETTERS : LONG).add(alias);
}

/** The words of every indented line that runs blocksync, as a shell splits them, without the remark behind three blanks. */
function commandLines(text: string): string[][] {
  const lines = text.matchAll(/^ {4,}(?:\$ |docker .* |sudo )?(?:\S*\/)?blocksync (.*)$/gm);
  return (
    [...lines]
      // Not what is said of it, nor where its output goes, nor what comes after it.
      .map(([, line = ""]) => line.split(/ {3,}| \| | && /)[0] ?? "")
      // Forms are no command lines, and nobody knows what an ellipsis stands for.
      .filter((line) => !/[[\]…]/.test(line))
      // A shell would have put something there.
      .map((line) => line.replaceAll(/\$\w+/g, "/dev/loop0"))
      .map((line) => [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? ""))
  );
}

/** Fails unless blocksync would take these words, with a source and a destination. */
function expectTaken(words: readonly string[]): void {
  const [command = "", ...rest] = words;
  if (command === "clean") return void checkArguments(rest, cleanOptions);
  if (command === "history") return void checkArguments(rest, historyOptions);
  if (command === "index") return void checkArguments(rest, indexOptions);
  const checked = command === "compare" ? checkArguments(rest, compareOptions) : checkArguments(words, syncOptions);
  const { source, destination } = parseLocations(checked.slice(checked.indexOf("--") + 1), {
    exists: () => false,
    forHost: false,
  });
  expect({ words, named: source.path !== "" && destination.path !== "" }).toEqual({ words, named: true });
}

test("there are the pages that a reader looks for", () => {
  expect(PAGES).toEqual(expect.arrayContaining(["README.md", "SECURITY.md", "scripts/bench/README.md"]));
});

for (const page of PAGES) {
  const text = fs.readFileSync(join(root, page), "utf8");
  describe(page, () => {
    test("names only files that exist", () => {
      const paths = [...text.matchAll(/`((?:src|test|scripts)\/[\w./-]+)`/g)].map(([, path = ""]) => path);
      const linked = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)].map(([, path = ""]) =>
        join(dirname(page), path),
      );
      expect([...paths, ...linked].filter((path) => !fs.existsSync(join(root, path)))).toEqual([]);
    });

    test("names only make targets that exist", () => {
      const targets = [...text.matchAll(/(?:`| {4}|&& )(?:sudo )?make ([a-z][a-z-]*)/g)].map(([, name = ""]) => name);
      expect(targets.filter((target) => !new RegExp(`^${target}:`, "m").test(makefile))).toEqual([]);
    });

    test("names only options that exist", () => {
      const long = [...text.matchAll(/(?<=[\s`(])--([a-z][a-z_-]+)/g)].map(([, name = ""]) => name);
      expect(long.filter((name) => !LONG.has(name) && !FOREIGN.has(name))).toEqual([]);
      const short = [...text.matchAll(/`-([A-Za-z0-9])[ `]/g)].map(([, letter = ""]) => letter);
      expect(short.filter((letter) => !LETTERS.has(letter))).toEqual([]);
    });

    test("shows only command lines that blocksync takes", () => {
      for (const words of commandLines(text)) expectTaken(words);
    });
  });
}
