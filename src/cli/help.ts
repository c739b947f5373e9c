/** The text of --help, made from the option table; the man page is made of the same parts. */
import type { ArgDef, ArgsDef } from "citty";
import { ExitCode } from "../errors.ts";
import { VERSION } from "../version.ts";
import { cleanOptions, compareOptions, serveOptions, syncOptions, versionOption } from "./table.ts";

export const SUMMARY = "makes a block device or large file equal to another, sending and writing only what differs";

/** A form of the command line on each line, with a remark after three or more blanks. */
export const SYNOPSIS = `
    blocksync [sync] [OPTIONS] SOURCE DESTINATION
    blocksync [sync] [OPTIONS] SOURCE [USER@]HOST [PATH]      blocksync.py's form, HOST may be localhost
    blocksync compare [OPTIONS] A B                           reads only; prints the differing ranges
    blocksync clean [OPTIONS] [USER@]HOST…                    removes every copy of itself there
    blocksync serve [--only PATH [--read-only]]               what runs at the far end
`;

export const LOCATIONS = `
Location: PATH, [USER@]HOST:PATH, [USER@][IPV6]:PATH or ssh://[USER@]HOST[:PORT]/PATH. A colon before the first slash
means a host; ./a:b is a file. Both sides may be remote. HOST: alone takes the source's path.
`;

/** Each exit code, as it is written, with its meaning. */
export const EXIT_CODES: readonly (readonly [code: string, meaning: string])[] = [
  [`${ExitCode.ok}`, "done, equal"],
  [`${ExitCode.differs}`, "differs (compare, --dry-run)"],
  [`${ExitCode.usage}`, "usage"],
  [`${ExitCode.refused}`, "refused for safety"],
  [`${ExitCode.io}`, "opening, reading, writing, flushing failed"],
  [`${ExitCode.unreachable}`, "the far side could not be reached or started"],
  [`${ExitCode.protocol}`, "protocol error"],
  [`${ExitCode.verification}`, "verification failed, or either side changed meanwhile"],
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

function optionLine(name: string, option: ArgDef): string {
  const { letter, aliases, value, initial, description } = spellingOf(option);
  const usage = `${letter === "" ? "    " : `-${letter}, `}--${name}${value === "" ? "" : ` ${value}`}`;
  const also = aliases.length === 0 ? "" : ` (also ${aliases.join(", ")})`;
  return `    ${usage.padEnd(30)}  ${description}${initial === "" ? "" : ` [${initial}]`}${also}`;
}

function optionList(table: ArgsDef): string {
  return Object.entries(table)
    .map(([name, option]) => optionLine(name, option))
    .join("\n");
}

/** The options of `table` that `listed` does not have. */
function without(table: ArgsDef, listed: ArgsDef): ArgsDef {
  return Object.fromEntries(Object.entries(table).filter(([name]) => !(name in listed)));
}

/** clean has some of those of sync and compare, and no others. */
export const CLEAN_OPTIONS = Object.keys(cleanOptions)
  .map((name) => `--${name}`)
  .join(" ");

/** In two columns. */
function exitCodes(): string {
  const half = EXIT_CODES.length / 2;
  const entry = ([code, meaning]: readonly [string, string]) => `${code}  ${meaning}`;
  const left = EXIT_CODES.slice(0, half).map(entry);
  const right = EXIT_CODES.slice(half).map(entry);
  return left.map((text, i) => `    ${text.padEnd(45)}  ${right[i]}`).join("\n");
}

export function helpText(): string {
  return [
    `blocksync ${VERSION}: ${SUMMARY}`,
    SYNOPSIS + LOCATIONS,
    ...OPTION_GROUPS.map(([heading, options]) => `${heading}:\n${optionList(options)}\n`),
    `Options of clean: ${CLEAN_OPTIONS}\n`,
    `Exit codes:\n${exitCodes()}\n`,
  ].join("\n");
}
