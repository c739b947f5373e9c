/** The text of --help, made from the option table. */
import type { ArgDef, ArgsDef } from "citty";
import { VERSION } from "../version.ts";
import { compareOptions, serveOptions, syncOptions } from "./table.ts";

const USAGE = `blocksync ${VERSION}: makes a block device or large file equal to another, sending and writing only what differs

    blocksync [sync] [OPTIONS] SOURCE DESTINATION
    blocksync [sync] [OPTIONS] SOURCE [USER@]HOST [PATH]      blocksync.py's form, HOST may be localhost
    blocksync compare [OPTIONS] A B                           reads only; prints the differing ranges
    blocksync serve [--only PATH [--read-only]]               what runs at the far end

Location: PATH, [USER@]HOST:PATH, [USER@][IPV6]:PATH or ssh://[USER@]HOST[:PORT]/PATH. A colon before the first slash
means a host; ./a:b is a file. Both sides may be remote. HOST: alone takes the source's path.
`;

const EXIT_CODES = `Exit codes:
    0  done, equal                                 5  the far side could not be reached or started
    1  differs (compare, --dry-run)                6  protocol error
    2  usage                                       7  verification failed, or the source changed meanwhile
    3  refused for safety                          8  done except for unreadable source areas
    4  opening, reading, writing, flushing failed  130/143  interrupted
`;

function optionLine(name: string, option: ArgDef): string {
  const aliases: string[] = "alias" in option && option.alias !== undefined ? [option.alias].flat() : [];
  const short = aliases.find((alias) => alias.length === 1);
  const long = aliases.filter((alias) => alias.length > 1).map((alias) => `--${alias}`);
  const value = option.valueHint === undefined ? "" : ` ${option.valueHint}`;
  const usage = `${short === undefined ? "    " : `-${short}, `}--${name}${value}`;
  const initial = typeof option.default === "string" ? ` [${option.default}]` : option.default === true ? " [on]" : "";
  const alias = long.length === 0 ? "" : ` (also ${long.join(", ")})`;
  return `    ${usage.padEnd(30)}  ${option.description ?? ""}${initial}${alias}`;
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

export function helpText(): string {
  return [
    USAGE,
    "Options of sync and compare, with their defaults:",
    optionList(compareOptions),
    "    -V, --version                   print version and build",
    "",
    "Options of sync:",
    optionList(without(syncOptions, compareOptions)),
    "",
    "Options of serve:",
    optionList(without(serveOptions, compareOptions)),
    "",
    EXIT_CODES,
  ].join("\n");
}
