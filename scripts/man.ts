/**
 * Writes dist/blocksync.1, the man page: `bun scripts/man.ts`. Its text is in scripts/man/; names, values and short help of the
 * options, exit codes, the map's signs and the events of --json come from what the program and the schema say.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ArgDef } from "citty";
import { EXIT_CODES, OPTION_GROUPS, SUMMARY, SYNOPSIS, spellingOf } from "../src/cli/help.ts";
import { cleanOptions, indexOptions } from "../src/cli/table.ts";
import { FAR_DIRECTORIES } from "../src/remote/host/bootstrap.ts";
import { SIGNS } from "../src/report/change-map-lines.ts";
import type { Mark } from "../src/report/change-map-mark.ts";
import { HASH_NAMES } from "../src/sync/spec.ts";
import { VERSION } from "../src/version.ts";
import schema from "./events.schema.json";
import { bold, entry, fromMarkdown, italic, roff, verbatim } from "./man/roff.ts";

const TEXTS = join(import.meta.dir, "man");

/** The parts of a form of the command line: what is typed as it stands is bold, what stands for something italic. */
function form(words: string): string {
  return words
    .split(/([\s[\]@:]+)/)
    .map((part) => (/^[A-Z]+$/.test(part) ? italic(part) : /^[\s[\]@:]*$/.test(part) ? roff(part) : bold(part)))
    .join("");
}

function synopsis(): string {
  const lines = SYNOPSIS.trim().split("\n");
  return lines
    .map((line) => {
      const [words = "", remark] = line.trim().split(/\s{3,}/);
      return `.TP\n${form(words)}${remark === undefined ? "" : `\n${roff(remark)}`}`;
    })
    .join("\n");
}

/** The text about each option, by its name; all start with its heading in options.md. */
function optionTexts(): Map<string, string> {
  const sections = readFileSync(join(TEXTS, "options.md"), "utf8")
    .split(/^## --/m)
    .slice(1);
  return new Map(
    sections.map((section) => {
      const end = section.indexOf("\n");
      return [section.slice(0, end), section.slice(end).trim()];
    }),
  );
}

/** @throws {Error} for an option that nobody wrote about, and for a text about none. */
function options(): string {
  const texts = optionTexts();
  const parts = { hashes: HASH_NAMES.map(bold).join(", ") };
  const option = (name: string, definition: ArgDef) => {
    const { letter, aliases, value, initial, description } = spellingOf(definition);
    const names = [...(letter === "" ? [] : [`-${letter}`]), `--${name}`, ...aliases].map(bold).join(", ");
    const term = value === "" ? names : `${names} ${italic(value)}`;
    const text = texts.get(name);
    if (text === undefined) throw new Error(`scripts/man/options.md says nothing about --${name}`);
    texts.delete(name);
    const short = roff(`${description}${initial === "" ? "" : ` [${initial}]`}`);
    return entry(term, `${short}\n.br\n${fromMarkdown(text, parts).replace(/^\.PP\n/, "")}`);
  };
  const groups = OPTION_GROUPS.map(([heading, table]) =>
    [`.SS "${roff(heading)}"`, ...Object.entries(table).map(([name, definition]) => option(name, definition))].join(
      "\n",
    ),
  );
  const [surplus] = texts.keys();
  if (surplus !== undefined) throw new Error(`scripts/man/options.md is about --${surplus}, which is no option`);
  return groups.join("\n");
}

const MEANINGS: readonly (readonly [mark: Mark, meaning: string])[] = [
  ["equal", "equal"],
  [1, "up to a quarter of the cell differs, however little"],
  [2, "up to a half"],
  [3, "up to three quarters"],
  [4, "more"],
  ["zero", "most of what differs is zero in the source"],
  ["unreadable", "something in it cannot be read"],
];

/** Not every device has the shades; where one is missing its name stands for it (groff(7), the condition c). */
function legend(): string {
  const strings = MEANINGS.map(([mark]) => {
    const sign = SIGNS.unicode[mark];
    if (/^[!-~]$/.test(sign)) return `.ds bs-${mark} ${sign}`;
    const code = sign.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0");
    return `.ie c\\[u${code}] .ds bs-${mark} \\[u${code}]\n.el .ds bs-${mark} U+${code}`;
  });
  const rows = MEANINGS.map(([mark, meaning]) =>
    entry(`\\fB\\*[bs-${mark}]\\fR, ${bold(SIGNS.ascii[mark])}`, roff(meaning)),
  );
  return [...strings, ...rows].join("\n");
}

/** A property of an event; one that only refers to another's description has none. */
interface Property {
  readonly description?: string;
  readonly [keyword: string]: unknown;
}

/** Each event with what it says, and each field of which the schema says something. */
function events(): string {
  const { $defs } = schema;
  const { start, progress, notice, difference, unreadable, error, summary } = $defs;
  const all = { start, progress, notice, difference, unreadable, error, summary };
  const known = Object.entries<{ description: string; properties: Readonly<Record<string, Property>> }>(all);
  return known
    .map(([name, { description, properties }]) => {
      const fields = Object.entries(properties).filter(([field]) => field !== "event" && field !== "time");
      const told = fields.map(([field, property]) =>
        property.description === undefined
          ? italic(field)
          : `${italic(field)} (${roff(property.description.replace(/\.$/, ""))})`,
      );
      return entry(bold(name), `${roff(description)}\n.br\n${told.join(",\n")}.`);
    })
    .join("\n");
}

/** The words of the bootstrap script as a person writes them. */
function directories(): readonly string[] {
  const words = FAR_DIRECTORIES.replace('"$2" ', "").replace(/"\$\(.*? echo "\$HOME(.*?)"\)"/, "~$1");
  return words.replaceAll('"', "").split(" ");
}

export function manPage(): string {
  const parts = {
    name: `blocksync \\- ${roff(SUMMARY)}`,
    synopsis: synopsis(),
    options: options(),
    index: `.PP\n${Object.keys(indexOptions)
      .map((name) => bold(`--${name}`))
      .join(", ")}, as above; ${bold("--tree")} names the file to write instead of ${italic("IMAGE")}.verity.`,
    clean: `.PP\n${Object.keys(cleanOptions)
      .map((name) => bold(`--${name}`))
      .join(", ")}, as above.`,
    legend: legend(),
    exit: EXIT_CODES.map(([code, meaning]) => entry(bold(code.replace("/", ", ")), roff(meaning))).join("\n"),
    events: events(),
    directories: verbatim(directories()),
  };
  return [
    '.\\" Made by scripts/man.ts from scripts/man/ and the option table; changes belong there.',
    `.TH BLOCKSYNC 1 "" "blocksync ${roff(VERSION)}" "User Commands"`,
    fromMarkdown(readFileSync(join(TEXTS, "page.md"), "utf8"), parts),
    "",
  ].join("\n");
}

if (import.meta.main) {
  const directory = join(import.meta.dir, "../dist");
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "blocksync.1"), manPage());
}
