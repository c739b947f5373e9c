/**
 * The texts of --help, made from the option table; the man page is made of the same parts. They end with what one needs
 * first, since the end of a long text is what stays on the screen.
 */
import type { ArgDef, ArgsDef } from "citty";
import { ExitCode } from "../errors.ts";
import { VERSION } from "../version.ts";
import { cleanOptions, commandOptions, compareOptions, serveOptions, syncOptions, versionOption } from "./table.ts";

export const SUMMARY = "makes a block device or large file equal to another, sending and writing only what differs";

/** A form of the command line on each line, with a remark after three or more blanks. */
export const SYNOPSIS = `
    blocksync [sync] [OPTIONS] SOURCE DESTINATION
    blocksync [sync] [OPTIONS] SOURCE [USER@]HOST [PATH]      blocksync.py's form; HOST may be localhost
    blocksync compare [OPTIONS] A B                           prints the ranges that differ; writes nothing
    blocksync index [OPTIONS] IMAGE                           writes IMAGE.verity, prints its root hash
    blocksync history DIR
    blocksync clean [OPTIONS] [USER@]HOST…                    removes its copies from the hosts
    blocksync serve [--only PATH [--read-only]]               runs on the far side
`;

export const LOCATIONS = `SOURCE, DESTINATION, A and B are a PATH, [USER@]HOST:PATH, [USER@][IPV6]:PATH or \
ssh://[USER@]HOST[:PORT]/PATH; both may be remote. A colon before the first slash means a host, so ./a:b is a file. HOST: \
alone takes the source's path. SOURCE, A or B may be an http:// or https:// URL with a hash tree beside it.`;

type CommandName = keyof typeof commandOptions;

/** What each command is for, and how it is used most, each example with a remark. */
const COMMANDS: Readonly<
  Record<CommandName, { readonly summary: string; readonly examples: readonly (readonly [string, string])[] }>
> = {
  sync: {
    summary: SUMMARY,
    examples: [
      ["blocksync -n disk.img /dev/sdX", "a rehearsal"],
      ["blocksync disk.img /dev/sdX", "asks before it writes"],
      ["blocksync /dev/vg0/data backup:/srv/data.img", "push a volume"],
      ["blocksync root@db1:/dev/vg0/data /srv/data.img", "pull one"],
      ["blocksync https://example.org/disk.img /dev/sdX", "by its hash tree"],
    ],
  },
  compare: {
    summary:
      "prints the offset and length of each range in which A and B differ, and exits 1 if any does; writes nothing",
    examples: [["blocksync compare /dev/vg0/data backup:/srv/data.img", "check a backup"]],
  },
  index: {
    summary: "writes the hash tree of an image beside it, as a dm-verity file, and prints its root hash",
    examples: [
      ["blocksync index disk.img", "writes disk.img.verity"],
      ["blocksync compare --tree disk.img.verity disk.img", "find what changed since"],
    ],
  },
  history: {
    summary:
      "lists what --undo DIR/ has kept: for each run its time, the disk's size, what the run changed, its file, and whether that is whole",
    examples: [["blocksync history /srv/undo/", "7 if one is not whole"]],
  },
  clean: {
    summary: "removes every copy of itself that earlier runs left on these hosts",
    examples: [["blocksync clean root@backup", ""]],
  },
  serve: {
    summary: "the far side of a sync, which starts it by itself; as a forced command it restricts a key to one path",
    examples: [['command="blocksync serve --only /srv/disk.img",restrict ssh-ed25519 …', "in authorized_keys"]],
  },
};

/** Each exit code, as it is written, with its meaning. */
export const EXIT_CODES: readonly (readonly [code: string, meaning: string])[] = [
  [`${ExitCode.ok}`, "done, equal"],
  [`${ExitCode.differs}`, "differs (compare, --dry-run)"],
  [`${ExitCode.usage}`, "usage"],
  [`${ExitCode.refused}`, "refused for safety"],
  [`${ExitCode.io}`, "opening, reading, writing or flushing failed"],
  [`${ExitCode.unreachable}`, "the far side could not be reached or started"],
  [`${ExitCode.protocol}`, "protocol error"],
  [`${ExitCode.verification}`, "verification failed, or a side changed during the run"],
  [`${ExitCode.unreadable}`, "done except for unreadable source areas"],
  [`${ExitCode.interrupted}/${ExitCode.terminated}`, "interrupted"],
];

/** The options under their headings, each once. */
export const OPTION_GROUPS: readonly (readonly [heading: string, options: ArgsDef])[] = [
  ["Options of sync and compare, with their defaults", { ...compareOptions, ...versionOption }],
  ["Options of sync", without(syncOptions, compareOptions)],
  ["Options of serve", without(serveOptions, syncOptions)],
];

/** An option as a person reads it. */
export interface Spelling {
  /** The letter, "" for none. */
  readonly letter: string;
  /** Further names, with their dashes. */
  readonly aliases: readonly string[];
  /** What stands for its value, "" where it takes none. */
  readonly value: string;
  /** What applies without it, "" for nothing. */
  readonly initial: string;
  readonly description: string;
}

export function spellingOf(option: ArgDef): Spelling {
  const aliases: string[] = "alias" in option && option.alias !== undefined ? [option.alias].flat() : [];
  return {
    letter: aliases.find((alias) => alias.length === 1) ?? "",
    aliases: aliases.filter((alias) => alias.length > 1).map((alias) => `--${alias}`),
    value: option.valueHint ?? "",
    initial: typeof option.default === "string" ? option.default : option.default === true ? "on" : "",
    description: option.description ?? "",
  };
}

/** Lines of at most `width` columns; words are never broken, so one that is longer stands alone. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

const INDENT = 4;

/** A term, and what is said of it from `column` on: beside it, or below where the term is too long. */
function entry(term: string, text: string, column: number, width: number): string[] {
  const [first = "", ...rest] = wrapped(text, Math.max(width - column, MIN_TEXT));
  const margin = " ".repeat(column);
  const head = `${" ".repeat(INDENT)}${term}`;
  const below = rest.map((line) => margin + line);
  if (first === "") return [head];
  if (head.length + 2 > column) return [head, margin + first, ...below];
  return [head.padEnd(column) + first, ...below];
}

/** Fewer columns would make a column of words. */
const MIN_TEXT = 30;

/** Where the descriptions of options begin; where there is room, none stands below its option. */
function optionColumn(width: number): number {
  return width < 100 ? 30 : 36;
}

function optionLines(table: ArgsDef, width: number): string[] {
  return Object.entries(table).flatMap(([name, option]) => {
    const { letter, aliases, value, initial, description } = spellingOf(option);
    const usage = `${letter === "" ? "    " : `-${letter}, `}--${name}${value === "" ? "" : ` ${value}`}`;
    const also = aliases.length === 0 ? "" : ` (also ${aliases.join(", ")})`;
    const text = `${description}${initial === "" ? "" : ` [${initial}]`}${also}`;
    return entry(usage, text, optionColumn(width), width);
  });
}

/** The options of `table` that `listed` does not have. */
function without(table: ArgsDef, listed: ArgsDef): ArgsDef {
  return Object.fromEntries(Object.entries(table).filter(([name]) => !(name in listed)));
}

/** clean has some of those of sync and compare, and no others. */
const CLEAN_OPTIONS = Object.keys(cleanOptions)
  .map((name) => `--${name}`)
  .join(" ");

function exitCodes(width: number): string[] {
  return ["Exit codes:", ...EXIT_CODES.flatMap(([code, meaning]) => entry(code.padStart(7), meaning, 13, width))];
}

/** Lines with a remark, beside them all or below each. */
function remarked(lines: readonly (readonly [line: string, remark: string])[], width: number): string[] {
  const longest = Math.max(...lines.map(([line]) => line.length));
  const beside = lines.every(([, remark]) => INDENT + longest + 3 + remark.length <= width);
  return lines.flatMap(([line, remark]) => entry(line, remark, beside ? INDENT + longest + 3 : 2 * INDENT, width));
}

function takesLocations(command: CommandName): boolean {
  return command === "sync" || command === "compare";
}

function hasExitCodes(command: CommandName): boolean {
  return takesLocations(command) || command === "index" || command === "history";
}

/** Where things are, how the commands are typed, and examples. */
function usage(commands: readonly CommandName[], width: number): string[] {
  const forms = SYNOPSIS.trim()
    .split("\n")
    .map((line) => line.trim().split(/ {3,}/))
    .filter(([form = ""]) => commands.some((command) => new RegExp(`^blocksync \\[?${command}\\b`).test(form)))
    .map(([form = "", remark = ""]) => [form, remark] as const);
  const examples = commands.length > 1 ? [...COMMANDS.sync.examples, ...COMMANDS.compare.examples] : undefined;
  return [
    ...(commands.some(takesLocations) ? [...wrapped(LOCATIONS, width), ""] : []),
    "Usage:",
    ...remarked(forms, width),
    "",
    "Examples:",
    ...remarked(examples ?? commands.flatMap((command) => COMMANDS[command].examples), width),
  ];
}

function text(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}

/** Everything, in lines of `width` columns. */
export function helpText(width: number): string {
  return text([
    ...wrapped(`blocksync ${VERSION}: ${SUMMARY}`, width),
    "",
    ...OPTION_GROUPS.flatMap(([heading, options]) => [`${heading}:`, ...optionLines(options, width), ""]),
    ...wrapped(`Options of clean: ${CLEAN_OPTIONS}`, width),
    "",
    ...exitCodes(width),
    "",
    ...usage(Object.keys(COMMANDS).filter(isCommandName), width),
    "",
    ...wrapped("blocksync help COMMAND shows that command alone, man blocksync everything.", width),
  ]);
}

/** One command alone. */
export function commandHelp(command: CommandName, width: number): string {
  return text([
    ...wrapped(`blocksync ${command}: ${COMMANDS[command].summary}`, width),
    "",
    "Options, with their defaults:",
    ...optionLines(commandOptions[command], width),
    "",
    ...(hasExitCodes(command) ? [...exitCodes(width), ""] : []),
    ...usage([command], width),
  ]);
}

export function isCommandName(word: string | undefined): word is CommandName {
  return word !== undefined && Object.hasOwn(COMMANDS, word);
}
