/** The option table as completions see it. */
import type { ArgDef, ArgsDef } from "citty";
import { type Spelling, spellingOf } from "../../src/cli/help.ts";
import { CHOICES } from "../../src/cli/options.ts";
import { commandOptions, versionOption } from "../../src/cli/table.ts";

export interface Option extends Spelling {
  readonly name: string;
  /** "choice": one of `choices`; "list": some of them, with commas between; "text": what only the user knows. */
  readonly takes: "nothing" | "choice" | "list" | "file" | "text";
  readonly choices: readonly string[];
  /** Whether the value may be left out. */
  readonly optional: boolean;
  /** Whether there is a --no-name. */
  readonly negatable: boolean;
}

export interface Command {
  readonly name: string;
  readonly options: readonly Option[];
}

export const HEAD = "Made by scripts/completions.ts from the option table; changes belong there.";

function takes(definition: ArgDef, choices: readonly string[]): Option["takes"] {
  const value = definition.valueHint ?? "";
  if (definition.type === "boolean") return "nothing";
  if (choices.length > 0) return value.includes(",") ? "list" : "choice";
  return /^\[?(FILE|PATH)\b/.test(value) ? "file" : "text";
}

function optionsOf(table: ArgsDef): Option[] {
  return Object.entries(table).map(([name, definition]) => {
    const choices = CHOICES[name] ?? [];
    const negatable = definition.type === "boolean" && definition.default === true;
    const optional = definition.valueHint?.startsWith("[") === true;
    return { ...spellingOf(definition), name, takes: takes(definition, choices), choices, optional, negatable };
  });
}

export const COMMANDS: readonly Command[] = Object.entries(commandOptions).map(([name, table]) => ({
  name,
  options: optionsOf(table),
}));

/** The command that is meant where the first word is none. */
export const DEFAULT: Command = { name: "sync", options: optionsOf(commandOptions.sync) };

/** Only as the first word. */
export const VERSION_OPTIONS: readonly Option[] = optionsOf(versionOption);

/** The spellings that are offered, without --no-name. */
export function offered({ letter, name }: Option): string[] {
  return [...(letter === "" ? [] : [`-${letter}`]), `--${name}`];
}
