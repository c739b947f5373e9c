/** The man page says what the option table says, in roff that nothing complains about. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { join } from "node:path";
import type { ArgDef, ArgsDef } from "citty";
import { manPage } from "../../scripts/man.ts";
import * as table from "../../src/cli/table.ts";
import { ExitCode } from "../../src/errors.ts";
import { VERSION } from "../../src/version.ts";
import { testWith } from "../helpers/requirements.ts";
import { tempDir } from "../helpers/temp.ts";

const root = join(import.meta.dir, "../..");

const { commandOptions, ...tables } = table;

/** Every option of every table that table.ts has. */
const OPTIONS = new Map<string, ArgDef>(Object.values<ArgsDef>(tables).flatMap((options) => Object.entries(options)));

/** The page without its escapes and font changes, as far as the tests look at it. */
function plain(roff: string): string {
  return roff
    .replaceAll(/\\f[BIR]/g, "")
    .replaceAll("\\-", "-")
    .replaceAll("\\(aq", "'")
    .replaceAll("\\(ti", "~")
    .replaceAll("\\&", "")
    .replaceAll("\\e", "\\");
}

const PAGE = plain(manPage());

/** The text under a heading, up to the next one. */
function sectionOf(title: string): string {
  const found = PAGE.split(/^\.SH /m).filter((section) => section.startsWith(`${title}\n`));
  expect({ title, sections: found.length }).toEqual({ title, sections: 1 });
  return found[0] ?? "";
}

test("every table of options that table.ts exports is one of a command, or the version", () => {
  const { versionOption, ...ofCommands } = tables;
  expect(Object.values(ofCommands)).toEqual(expect.arrayContaining(Object.values(commandOptions)));
  for (const options of Object.values(ofCommands)) expect(Object.values<unknown>(commandOptions)).toContain(options);
  expect(Object.keys(versionOption)).toEqual(["version"]);
});

test("the man page has the sections that a man page has, in their order", () => {
  expect([...PAGE.matchAll(/^\.SH (.*)$/gm)].map(([, title]) => title)).toEqual([
    "NAME",
    "SYNOPSIS",
    "DESCRIPTION",
    "OPTIONS",
    "LOCATIONS",
    "EXIT STATUS",
    "FILES",
    "ENVIRONMENT",
    "EXAMPLES",
    "SEE ALSO",
  ]);
  expect(PAGE).toContain(`.TH BLOCKSYNC 1 "" "blocksync ${VERSION}"`);
  expect(sectionOf("NAME")).toMatch(/^NAME\nblocksync - \S/);
});

test("the man page lists every option once, with its letter, names, value, default and description", () => {
  const entries = sectionOf("OPTIONS").split("\n.TP\n").slice(1);
  expect(entries.length).toBe(OPTIONS.size);
  for (const [name, option] of OPTIONS) {
    const aliases: string[] = "alias" in option ? [option.alias ?? []].flat() : [];
    const names = [
      ...aliases.filter((alias) => alias.length === 1).map((letter) => `-${letter}`),
      `--${name}`,
      ...aliases.filter((alias) => alias.length > 1).map((alias) => `--${alias}`),
    ].join(", ");
    const value = option.valueHint === undefined ? "" : ` ${option.valueHint.replace("…", "...")}`;
    const initial = option.default === undefined ? "" : ` [${option.default === true ? "on" : option.default}]`;
    // Behind the last option of a group stands the next group's heading.
    const found = entries.filter((entry) => entry.split("\n")[0] === names + value);
    expect(found.map((entry) => entry.split("\n")[1])).toEqual([`${option.description}${initial}`]);
  }
});

test("nothing in the man page looks like an option that does not exist", () => {
  const known = new Set<string>();
  for (const [name, option] of OPTIONS) {
    known.add(`--${name}`);
    if (option.type === "boolean" && option.default === true) known.add(`--no-${name}`);
    const aliases: string[] = "alias" in option ? [option.alias ?? []].flat() : [];
    for (const alias of aliases) known.add(alias.length === 1 ? `-${alias}` : `--${alias}`);
  }
  const like = [...PAGE.matchAll(/(?<![\w.\\)-])(--?[a-zA-Z0-9][\w-]*)/g)].map(([, word = ""]) => word);
  expect(like.length).toBeGreaterThan(60);
  expect(like.filter((word) => !known.has(word))).toEqual([]);
});

test("the man page lists every exit code", () => {
  const codes = [...sectionOf("EXIT STATUS").matchAll(/^\.TP\n(.*)\n\S/gm)].flatMap(([, code = ""]) =>
    code.split(", "),
  );
  expect(codes.map(Number)).toEqual(Object.values(ExitCode));
});

test("the man page names variables that the program reads, and the directories in the order they are tried", () => {
  const sources = fs
    .readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => fs.readFileSync(join(root, "src", name), "utf8"));
  const variables = [...sectionOf("ENVIRONMENT").matchAll(/^\.TP\n(.*)$/gm)].map(([, name = ""]) => name);
  expect(variables).toContain("BLOCKSYNC_REMOTE_DIR");
  const reads = (text: string, name: string) =>
    [`env["${name}"]`, `variableGiven("${name}")`].some((words) => text.includes(words));
  for (const name of variables)
    expect({ name, readers: sources.filter((text) => reads(text, name)).length }).toEqual({ name, readers: 1 });
  const tried = /FAR_DIRECTORIES =\s*'"\$2" (.*?)';/.exec(
    fs.readFileSync(join(root, "src/remote/host/bootstrap.ts"), "utf8"),
  )?.[1];
  const inScript = tried?.replace(/"\$\(.*? echo "\$HOME(.*?)"\)"/, "~$1").replaceAll('"', "");
  const listed = /\.nf\n([\s\S]*?)\n\.fi/.exec(sectionOf("FILES"))?.[1];
  expect(listed?.replaceAll("\n", " ")).toBe(inScript ?? "no list in the bootstrap script");
});

/** Runs a program on the page as a file; all it printed. */
function formatted(words: readonly string[]): { exitCode: number; stdout: string; stderr: string } {
  using directory = tempDir();
  fs.writeFileSync(directory.file("blocksync.1"), manPage());
  const env = { ...process.env, LC_ALL: "C.UTF-8", MANWIDTH: "100" };
  const result = Bun.spawnSync([...words, directory.file("blocksync.1")], { env, stdin: "ignore" });
  return { exitCode: result.exitCode, stdout: result.stdout.toString(), stderr: result.stderr.toString() };
}

testWith("groff")("groff has no warning about the man page", async () => {
  expect(formatted(["groff", "-man", "-ww", "-z", "-Tascii"])).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  expect(formatted(["groff", "-man", "-ww", "-z", "-Tutf8"])).toEqual({ exitCode: 0, stdout: "", stderr: "" });
});

testWith("man", "groff")("man shows the man page without a warning, commands as they are typed", async () => {
  const { exitCode, stdout, stderr } = formatted(["man", "--warnings", "--no-hyphenation", "-l"]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(stdout).toContain("-b, --block-size, --blocksize SIZE");
  expect(stdout).toContain("blocksync -n /dev/sdb backup:/srv/disk.img");
  expect(stdout).toContain("~/.cache/blocksync");
  expect(stdout).toContain("with ssh's command line");
});
