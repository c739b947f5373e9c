/** The man page says all that the program and its sources know, in roff that nothing complains about. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { join } from "node:path";
import type { ArgDef, ArgsDef } from "citty";
import schema from "../../scripts/events.schema.json";
import { fromMarkdown } from "../../scripts/man/roff.ts";
import { manPage } from "../../scripts/man.ts";
import * as table from "../../src/cli/table.ts";
import { BugError, ExitCode, OVERRIDABLE } from "../../src/errors.ts";
import { SIGNS } from "../../src/report/change-map-lines.ts";
import { progressLine } from "../../src/report/progress.ts";
import { LaneStatistics } from "../../src/sync/statistics.ts";
import { VERSION } from "../../src/version.ts";
import { testWith } from "../helpers/requirements.ts";
import { tempDir } from "../helpers/temp.ts";

const root = join(import.meta.dir, "../..");

const { commandOptions, ...tables } = table;

/** Every option of every table that table.ts has. */
const OPTIONS = new Map<string, ArgDef>(Object.values<ArgsDef>(tables).flatMap((options) => Object.entries(options)));

const SOURCES = fs
  .readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => fs.readFileSync(join(root, "src", name), "utf8"));

/** What the pattern's group finds in all sources, each once. */
function inSources(pattern: RegExp): string[] {
  return [...new Set(SOURCES.flatMap((text) => [...text.matchAll(pattern)].map(([, found = ""]) => found)))].toSorted();
}

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

/** What hangs out in a part of the page: the words of every term, with commas between those of one. */
function termsOf(text: string): string[] {
  return [...text.matchAll(/^\.TP\n(.*)$/gm)].flatMap(([, term = ""]) => term.split(", "));
}

test("every table of options that table.ts exports is one of a command, or the version", () => {
  const { versionOption, ...ofCommands } = tables;
  expect(Object.values(ofCommands)).toEqual(expect.arrayContaining(Object.values(commandOptions)));
  for (const options of Object.values(ofCommands)) expect(Object.values<unknown>(commandOptions)).toContain(options);
  expect(Object.keys(versionOption)).toEqual(["version"]);
});

test("the man page has the sections that man-pages(7) asks for, in its order, and those of this program behind OPTIONS", () => {
  expect([...PAGE.matchAll(/^\.SH (.*)$/gm)].map(([, title]) => title)).toEqual([
    "NAME",
    "SYNOPSIS",
    "DESCRIPTION",
    "OPTIONS",
    "LOCATIONS",
    "REFUSALS",
    "UNDO",
    "WHAT A RUN SHOWS",
    "SIGNALS",
    "JSON",
    "EXIT STATUS",
    "ENVIRONMENT",
    "FILES",
    "MIGRATION",
    "NOTES",
    "BUGS",
    "HOW DO I",
    "EXAMPLES",
    "SEE ALSO",
  ]);
  expect(PAGE).toContain(`.TH BLOCKSYNC 1 "" "blocksync ${VERSION}"`);
  expect(sectionOf("NAME")).toMatch(/^NAME\nblocksync - \S/);
});

test("the man page lists every option once, as the table has it, with a text of its own", () => {
  const entries = sectionOf("OPTIONS")
    .split(/\n\.SS .*|\n\.TP\n/)
    .slice(1)
    .filter((entry) => entry.startsWith("-"));
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
    const [found = "", ...more] = entries.filter((entry) => entry.split("\n")[0] === names + value);
    expect({ name, more }).toEqual({ name, more: [] });
    const [, short, br, ...text] = found.split("\n");
    expect({ short, br }).toEqual({ short: `${option.description}${initial}`, br: ".br" });
    expect(text.join(" ").length).toBeGreaterThan(25);
  }
});

test("every command's options are there, those of clean by their names", () => {
  const clean = sectionOf("OPTIONS").split('.SS "Options of clean"\n')[1] ?? "";
  expect([...clean.matchAll(/--([\w-]+)/g)].map(([, name = ""]) => name)).toEqual(Object.keys(table.cleanOptions));
});

test("nothing in the man page looks like an option that does not exist", () => {
  // MIGRATION shows those of rsync, dd and bdsync to their users; those of other tools are in examples and answers.
  const migration = sectionOf("MIGRATION");
  const foreign = new Set(["--snapshot", "--size", "--name", "--yes", "--stdout", "--format", "-r", "-J", "-D", "-O"]);
  for (const name of ["dig-holes", "find", "show", "partscan", "reflink", "salt", "uuid", "offset_domain"])
    foreign.add(`--${name}`);
  const known = new Set<string>();
  for (const [name, option] of OPTIONS) {
    known.add(`--${name}`);
    if (option.type === "boolean" && option.default === true) known.add(`--no-${name}`);
    const aliases: string[] = "alias" in option ? [option.alias ?? []].flat() : [];
    for (const alias of aliases) known.add(alias.length === 1 ? `-${alias}` : `--${alias}`);
  }
  const like = [...PAGE.replace(migration, "").matchAll(/(?<![\w.\\)[-])(--?[a-zA-Z0-9][\w-]*)/g)];
  const words = like.map(([, word = ""]) => word).filter((word) => !["-USR1", "-nf"].includes(word));
  expect(words.length).toBeGreaterThan(150);
  expect(words.filter((word) => !known.has(word) && !foreign.has(word))).toEqual([]);
});

test("the man page lists every refusal that the sources have, under whether --allow overrides it", () => {
  const names = [
    ...inSources(/refused(?:Destination)?\(\s*(?:"\w+",\s*)?\w+(?:\.\w+)?,\s*"([a-z-]+)"/g),
    ...inSources(/\bname: "([a-z-]+)",\s+sentence/g),
    ...OVERRIDABLE,
    ...["source", "destination"].map((side) => `other-${side}`),
    ...inSources(/refuse = \(why: string, hint: string\) => refusedDestination\(label, "([a-z-]+)"/g),
  ];
  const section = sectionOf("REFUSALS");
  expect(termsOf(section).toSorted()).toEqual([...new Set(names)].toSorted());
  expect(names).toContain("root-disk");
  const [, overridden = ""] = section.split(/^\.SS .*$/m);
  expect(termsOf(overridden)).toEqual([...OVERRIDABLE]);
});

test("the man page answers under HOW DO I what people look up in the words they would search for", () => {
  const questions = termsOf(sectionOf("HOW DO I").replaceAll(", ", " / "));
  expect(questions.filter((question) => !question.endsWith("?"))).toEqual([]);
  const words =
    "resume,stop,throttle,mounted,check,sparse,size,cards,generations,port,root,sudo,cron,far,left on a host";
  expect(words.split(",").filter((word) => !questions.some((question) => question.includes(word)))).toEqual([]);
});

test("the man page lists every exit code, that of a bug included", () => {
  const codes = termsOf(sectionOf("EXIT STATUS"));
  expect(codes.map(Number)).toEqual([...Object.values(ExitCode), new BugError("x").exitCode]);
});

test("the man page names every signal that the sources listen to, and what becomes of PIPE", () => {
  const signals = inSources(/\b(?:on|hear)\("SIG(\w+)"/g);
  expect(signals.length).toBeGreaterThan(6);
  expect(termsOf(sectionOf("SIGNALS")).toSorted()).toEqual([...signals, "PIPE"].toSorted());
});

test("the man page names every variable that the sources read", () => {
  const constants = new Map(
    SOURCES.flatMap((text) =>
      [...text.matchAll(/const ([A-Z_]+) = "(\w+)"/g)].map(([, name = "", value = ""]) => [name, value]),
    ),
  );
  const read = [
    ...inSources(/\b(?:env|environment)\["(\w+)"\]/g),
    ...inSources(/\bvariableGiven\("(\w+)"\)/g),
    ...inSources(/\benv\[([A-Z_]+)\]/g).map((name) => constants.get(name) ?? name),
    // The script on the far side.
    ...["XDG_RUNTIME_DIR", "PATH"],
    "BLOCKSYNC_ASKPASS_FOR",
  ];
  expect(read).toContain("BLOCKSYNC_CWD");
  expect(termsOf(sectionOf("ENVIRONMENT")).toSorted()).toEqual([...new Set(read)].toSorted());
});

test("the man page has the directories of the far host in the order they are tried", () => {
  const tried = /FAR_DIRECTORIES =\s*'"\$2" (.*?)';/.exec(
    fs.readFileSync(join(root, "src/remote/host/bootstrap.ts"), "utf8"),
  )?.[1];
  const inScript = tried?.replace(/"\$\(.*? echo "\$HOME(.*?)"\)"/, "~$1").replaceAll('"', "");
  const listed = /\.nf\n([\s\S]*?)\n\.fi/.exec(sectionOf("FILES"))?.[1];
  expect(listed?.replaceAll("\n", " ")).toBe(inScript ?? "no list in the bootstrap script");
});

test("the man page has every event of --json with all of its fields", () => {
  const section = sectionOf("JSON").replaceAll(/\s+/g, " ");
  for (const { $ref } of schema.oneOf) {
    const name = $ref.split("/").at(-1) ?? "";
    const found = Object.entries(schema.$defs).find(([key]) => key === name)?.[1];
    const properties = found !== undefined && "properties" in found ? Object.keys(found.properties) : [];
    const event = section.split(` .TP ${name} `)[1]?.split(" .TP ")[0] ?? "";
    expect(properties.length).toBeGreaterThan(2);
    expect({ name, lacks: properties.filter((field) => !`event time ${event}`.includes(field)) }).toEqual({
      name,
      lacks: [],
    });
  }
});

test("the man page explains every sign of the map", () => {
  const section = manPage().split(".SH WHAT A RUN SHOWS\n")[1]?.split("\n.SH ")[0] ?? "";
  for (const sign of Object.values(SIGNS.unicode)) {
    const code = sign.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0") ?? "";
    expect(section).toContain(/^[!-~]$/.test(sign) ? ` ${sign}\n` : `\\[u${code}]`);
  }
  const ascii = [...section.matchAll(/^\\fB\\\*\[bs-\w+\]\\fR, \\fB(.*)\\fR$/gm)].map(([, sign = ""]) => plain(sign));
  expect(ascii.toSorted()).toEqual(Object.values(SIGNS.ascii).toSorted());
});

test("the man page's progress line is one that blocksync prints", () => {
  const lane = new LaneStatistics({ first: 0, count: 947 });
  Object.assign(lane, { blocksMatching: 46, blocksDiffering: 128 });
  expect(sectionOf("WHAT A RUN SHOWS")).toContain(`\n${progressLine(0, lane, 857 * 4096, 126_700, true)}\n`);
});

test("what the text asks for and nothing makes is an error, and so is a sign that not every device has", () => {
  expect(() => fromMarkdown("<!-- nothing -->", {})).toThrow('asks for "nothing"');
  expect(() => fromMarkdown("10 µs", {})).toThrow("no form for");
  expect(fromMarkdown("## A\n\n`x-y`, _N_\nand **z**\n\nterm\n: text\n\n    a 'b'\n    .c", {})).toBe(
    ".SH A\n.PP\n\\fBx\\-y\\fR, \\fIN\\fR\nand \\fBz\\fR\n.TP\nterm\ntext\n.PP\n.RS\n.nf\na \\(aqb\\(aq\n\\&.c\n.fi\n.RE",
  );
});

/** Runs a program on the page as a file; all it printed. */
function formatted(words: readonly string[], locale = "C.UTF-8"): { exitCode: number; stdout: string; stderr: string } {
  using directory = tempDir();
  fs.writeFileSync(directory.file("blocksync.1"), manPage());
  const env = { ...process.env, LC_ALL: locale, MANWIDTH: "100" };
  const result = Bun.spawnSync([...words, directory.file("blocksync.1")], { env, stdin: "ignore" });
  return { exitCode: result.exitCode, stdout: result.stdout.toString(), stderr: result.stderr.toString() };
}

testWith("groff")("groff has no warning about the man page", async () => {
  expect(formatted(["groff", "-man", "-ww", "-z", "-Tascii"])).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  expect(formatted(["groff", "-man", "-ww", "-z", "-Tutf8"])).toEqual({ exitCode: 0, stdout: "", stderr: "" });
});

testWith("man", "groff")("man shows the man page without a warning, commands and signs as they are typed", async () => {
  const { exitCode, stdout, stderr } = formatted(["man", "--warnings", "--no-hyphenation", "-l"]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(stdout).toContain("-b, --block-size, --blocksize SIZE");
  expect(stdout).toContain("blocksync -n /dev/sdb backup:/srv/disk.img");
  expect(stdout).toContain("~/.cache/blocksync");
  expect(stdout).toContain("░, -");
  expect(stdout).not.toContain("U+25");
  // Marks of the text that nothing made anything of.
  expect(stdout).not.toMatch(/[\s(]_\w+_|\*\*|`/);
  expect(formatted(["man", "--warnings", "-l"], "C").stdout).toContain("U+2591, -");
});
