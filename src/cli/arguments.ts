/**
 * Checks a command line against the option table before citty sees it: citty 0.2.2 takes unknown options, surplus words
 * and missing values in silence, so that a mistyped --dry-run would write. The result is one spelling for everything,
 * which citty then reads without a choice to make.
 */

import type { ArgDef, ArgsDef } from "citty";
import { UsageError } from "../errors.ts";
import { quote } from "../name.ts";
import { answerTo } from "./foreign.ts";
import { UNEXPANDED } from "./slips.ts";
import { suggestion } from "./suggest.ts";
import { commandOptions } from "./table.ts";

interface Found {
  readonly name: string;
  readonly option: ArgDef;
}

function findOption(table: ArgsDef, spelling: string): Found | undefined {
  for (const [name, option] of Object.entries(table)) {
    const aliases: string[] = "alias" in option && option.alias !== undefined ? [option.alias].flat() : [];
    if (name === spelling || aliases.includes(spelling)) return { name, option };
  }
  return undefined;
}

/** What an empty word of a command line most often comes from. */
export const UNSET = "is a shell variable unset?";

/** Where the options of the command with this table are listed. */
function listing(table: ArgsDef): string {
  const command = Object.entries<ArgsDef>(commandOptions).find(([, options]) => options === table)?.[0] ?? "sync";
  return `blocksync ${command} --help lists the options`;
}

/** What an option is for, as --help has it. */
function purpose({ name, option: { valueHint, description } }: Found): string {
  return `--${name} ${valueHint}: ${description}`;
}

/** An option, as it was typed, that the command does not have. */
type Unknown = `-${string}`;

/** What to use instead; undefined where nobody can know. */
function answer(word: Unknown, table: ArgsDef): string | undefined {
  const spelling = word.replace(/^--?/, "");
  const isLetter = !word.startsWith("--");
  for (const [command, options] of isLetter === (spelling.length === 1) ? Object.entries(commandOptions) : []) {
    const other = findOption(options, spelling);
    if (other !== undefined) return `--${other.name} is an option of ${command}`;
  }
  const known = answerTo("option", word);
  if (known !== undefined || isLetter) return known;
  const meant = suggestion(spelling, table);
  return meant === undefined ? undefined : `did you mean --${meant}?`;
}

/** All of them at once, since whoever is used to another tool types several. */
function unknownOptions(words: readonly Unknown[], table: ArgsDef): UsageError {
  const unknown = [...new Set(words)];
  const answers = new Map<string, string[]>();
  for (const word of unknown) {
    const text = answer(word, table);
    if (text !== undefined) answers.set(text, [...(answers.get(text) ?? []), word]);
  }
  const isOne = unknown.length === 1;
  const hints = [...answers].map(([text, about]) => (isOne ? text : `${about.join(" ")}: ${text}`));
  return new UsageError(`Unknown option${isOne ? "" : "s"} ${unknown.map(quote).join(", ")}`, {
    hint: hints.length === 0 ? listing(table) : hints.join("\n"),
  });
}

/**
 * How a word must end to be the value of an option that also stands alone: ".svg" or ".json" for "[FILE.svg|FILE.json]";
 * undefined for options that need their value.
 */
function valueEndings({ valueHint = "" }: ArgDef): readonly string[] | undefined {
  return valueHint.startsWith("[") ? (valueHint.match(/\.\w+/g) ?? []) : undefined;
}

/** A value that may have been meant as SOURCE or DESTINATION. */
const LIKE_LOCATION = /[/.:]/;

/**
 * Returns options as "--name" , "--no-name" or "--name=value", then "--", then the positional words. An option given
 * twice keeps its last value; one whose optional value was left out comes as "--name=".
 * @param least how many positional words the command needs; where there are fewer, an option may have taken one
 * @throws {UsageError} for unknown options, a missing or an empty value, a value where none belongs, and a word of which
 * nobody can tell whether it is a value.
 */
export function checkArguments(words: readonly string[], table: ArgsDef, least = 0): string[] {
  const options = new Map<string, string>();
  const positionals: string[] = [];
  const unknown: Unknown[] = [];
  const queue = [...words];
  let doubtful: { readonly option: string; readonly word: string } | undefined;
  let taken: { readonly word: string; readonly found: Found; readonly value: string } | undefined;
  // What stands behind an unknown option may be its value, so that is said first.
  const failure = (message: string, hint: string) =>
    unknown.length > 0 ? unknownOptions(unknown, table) : new UsageError(message, { hint });
  const takeValue = (found: Found, word: string, attached: string | undefined) => {
    const { name, option } = found;
    const [next] = queue;
    const endings = valueEndings(option);
    if (endings !== undefined && attached === undefined && !endings.some((end) => next?.toLowerCase().endsWith(end))) {
      if (next !== undefined && !next.startsWith("-")) doubtful = { option: word, word: next };
      options.set(name, `--${name}=`);
      return;
    }
    const value = attached ?? queue.shift();
    if (value === undefined) throw failure(`The option ${word} needs a value`, purpose(found));
    if (value === "") throw failure(`The value of the option ${word} is empty`, UNSET);
    // ssh's own options begin so; elsewhere an option that was taken for a value would not be obeyed, -n above all.
    if (attached === undefined && option.valueHint !== "WORDS" && /^-\D/.test(value))
      throw failure(
        `The option ${word} needs a value, and ${quote(value)} begins like an option`,
        `${purpose(found)}\nif it is the value, write --${name}=${value}`,
      );
    if (value === "-" && option.valueHint?.includes("FILE") === true)
      throw failure(
        `The option ${word} needs a file, not standard input or output`,
        'for a file named "-" write "./-"',
      );
    // ssh expands what it is given itself.
    if (option.valueHint?.includes("FILE") === true && name !== "id" && UNEXPANDED.test(value))
      throw failure(
        `The shell did not expand ${quote(value)}`,
        `write ${word} ${value}, with a space and without quotes`,
      );
    if (attached === undefined && LIKE_LOCATION.test(value)) taken = { word, found, value };
    options.set(name, `--${name}=${value}`);
  };
  const readLong = (word: string) => {
    const equals = word.indexOf("=");
    const spelling = word.slice(2, equals === -1 ? undefined : equals);
    const attached = equals === -1 ? undefined : word.slice(equals + 1);
    const negated = /^no-../.test(spelling) ? findOption(table, spelling.slice(3)) : undefined;
    // Only what is on by default can be turned off.
    const isNegation = negated?.option.type === "boolean" && negated.option.default === true;
    const found = isNegation ? negated : findOption(table, spelling);
    if (found === undefined || spelling.length < 2) unknown.push(`--${spelling}`);
    else if (found.option.type === "string") takeValue(found, `--${spelling}`, attached);
    else if (attached !== undefined)
      throw failure(`The option --${spelling} takes no value`, `write --${spelling} alone`);
    else options.set(found.name, isNegation ? `--no-${found.name}` : `--${found.name}`);
  };
  // A group such as -nf, or -b4M: the rest of the word is the value of the first option that takes one.
  const readShort = (word: string) => {
    for (let i = 1; i < word.length; i++) {
      const letter = word[i] ?? "";
      const found = findOption(table, letter);
      if (letter === "=" && i > 1) {
        const flag = word.slice(0, i);
        throw failure(`The option ${flag} takes no value`, `write ${flag} alone`);
      }
      if (found === undefined) {
        unknown.push(`-${letter}`);
      } else if (found.option.type === "string") {
        const rest = word.slice(i + 1);
        takeValue(found, `-${letter}`, rest === "" ? undefined : rest);
        return;
      } else {
        options.set(found.name, `--${found.name}`);
      }
    }
  };
  for (let word = queue.shift(); word !== undefined; word = queue.shift()) {
    if (word === "--") positionals.push(...queue.splice(0));
    else if (word.startsWith("--")) readLong(word);
    else if (word.startsWith("-") && word !== "-") readShort(word);
    else positionals.push(word);
  }
  if (unknown.length > 0) throw unknownOptions(unknown, table);
  // Two words are what most commands take, so that a third may be a FILE with an ending that is not known.
  if (doubtful !== undefined && positionals.length > 2) {
    const { option, word } = doubtful;
    throw new UsageError(`Cannot tell whether ${quote(word)} is the value of ${option}`, {
      hint: `if it is, write ${option}=VALUE; if not, put ${option} last`,
    });
  }
  if (taken !== undefined && positionals.length < least && !options.has("help")) {
    throw new UsageError(`Too few arguments: ${taken.word} took ${quote(taken.value)} as its value`, {
      hint: purpose(taken.found),
    });
  }
  return [...options.values(), "--", ...positionals];
}
