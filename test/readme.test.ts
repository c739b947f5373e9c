/** The README names only what exists. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { join } from "node:path";
import { compareOptions, serveOptions, syncOptions } from "../src/cli/table.ts";
import { ExitCode } from "../src/errors.ts";

const root = join(import.meta.dir, "..");
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
  // What belongs to docker and rsync in the examples.
  const foreign = new Set([
    "rm",
    "network",
    "device",
    "inplace",
    "no-whole-file",
    "write-devices",
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

test("README lists every exit code", () => {
  for (const code of Object.values(ExitCode))
    expect(readme).toMatch(new RegExp(`^\\| (130, )?${code}(, 143)? \\|`, "m"));
});

test("every source file that README's tour could need is in the repository's table of contents", () => {
  const rooms = ["cli", "sync", "local", "remote", "report"];
  for (const room of rooms) expect(readme).toContain(`src/${room}/`);
});
