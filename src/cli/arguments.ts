/**
 * Checks a command line against the option table before citty sees it: citty 0.2.2 takes unknown options, surplus words
 * and missing values in silence, so that a mistyped --dry-run would write. The result is one spelling for everything,
 * which citty then reads without a choice to make.
 */

import type { ArgDef, ArgsDef } from "citty";
import { UsageError } from "../errors.ts";
import { quote } from "../name.ts";
import { suggestion } from "./suggest.ts";

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

const LIST = "blocksync --help lists the options of each command";
/** What an empty word of a command line most often comes from. */
export const UNSET = "is a variable of a script not set?";

function unknown(word: string, meant?: string): UsageError {
  const question = meant === undefined ? "" : `did you mean --${meant}? `;
  return new UsageError(`Unknown option ${quote(word)}`, {
    hint: question + LIST,
  });
}

/**
 * How a word must end to be the value of an option that also stands alone: ".svg" or ".json" for "[FILE.svg|FILE.json]";
 * undefined for options that need their value.
 */
function valueEndings({ valueHint = "" }: ArgDef): readonly string[] | undefined {
  return valueHint.startsWith("[") ? (valueHint.match(/\.\w+/g) ?? []) : undefined;
}

/**
 * Returns options as "--name" , "--no-name" or "--name=value", then "--", then the positional words. An option given
 * twice keeps its last value; one whose optional value was left out comes as "--name=".
 * @throws {UsageError} for an unknown option, a missing or an empty value, a value where none belongs, and a word that may
 * have been meant as an optional value.
 */
export function checkArguments(words: readonly string[], table: ArgsDef): string[] {
  const options = new Map<string, string>();
  const positionals: string[] = [];
  const queue = [...words];
  let doubtful: { readonly option: string; readonly word: string } | undefined;
  const takeValue = ({ name, option }: Found, word: string, attached: string | undefined) => {
    const [next] = queue;
    const endings = valueEndings(option);
    if (endings !== undefined && attached === undefined && !endings.some((end) => next?.toLowerCase().endsWith(end))) {
      if (next !== undefined && !next.startsWith("-")) doubtful = { option: word, word: next };
      options.set(name, `--${name}=`);
      return;
    }
    const value = attached ?? queue.shift();
    if (value === undefined) throw new UsageError(`The option ${word} needs a value`, { hint: LIST });
    if (value === "") throw new UsageError(`The value of the option ${word} is empty`, { hint: UNSET });
    options.set(name, `--${name}=${value}`);
  };
  for (let word = queue.shift(); word !== undefined; word = queue.shift()) {
    if (word === "--") {
      positionals.push(...queue.splice(0));
    } else if (word.startsWith("--")) {
      readLong(word, table, options, takeValue);
    } else if (word.startsWith("-") && word !== "-") {
      readShort(word, table, options, takeValue);
    } else {
      positionals.push(word);
    }
  }
  // Two words are what most commands take, so that a third may be a FILE with an ending that is not known.
  if (doubtful !== undefined && positionals.length > 2) {
    throw new UsageError(`The word ${quote(doubtful.word)} may be the value of ${doubtful.option} or not`, {
      hint: `for a value say ${doubtful.option}=VALUE, otherwise put ${doubtful.option} behind all other words`,
    });
  }
  return [...options.values(), "--", ...positionals];
}

type TakeValue = (found: Found, word: string, attached: string | undefined) => void;

function readLong(word: string, table: ArgsDef, options: Map<string, string>, takeValue: TakeValue): void {
  const equals = word.indexOf("=");
  const spelling = word.slice(2, equals === -1 ? undefined : equals);
  const attached = equals === -1 ? undefined : word.slice(equals + 1);
  const negated = /^no-../.test(spelling) ? findOption(table, spelling.slice(3)) : undefined;
  // Only what is on by default can be turned off.
  const isNegation = negated?.option.type === "boolean" && negated.option.default === true;
  const found = isNegation ? negated : findOption(table, spelling);
  if (found === undefined || spelling.length < 2) throw unknown(`--${spelling}`, suggestion(spelling, table));
  if (found.option.type === "string") {
    takeValue(found, `--${spelling}`, attached);
    return;
  }
  if (attached !== undefined) throw new UsageError(`The option --${spelling} takes no value`, { hint: LIST });
  options.set(found.name, isNegation ? `--no-${found.name}` : `--${found.name}`);
}

/** A group such as -nf, or -b4M: the rest of the word is the value of the first option that takes one. */
function readShort(word: string, table: ArgsDef, options: Map<string, string>, takeValue: TakeValue): void {
  for (let i = 1; i < word.length; i++) {
    const letter = word[i] ?? "";
    const found = findOption(table, letter);
    if (found === undefined) throw unknown(`-${letter}`);
    if (found.option.type === "string") {
      const rest = word.slice(i + 1);
      takeValue(found, `-${letter}`, rest === "" ? undefined : rest);
      return;
    }
    options.set(found.name, `--${found.name}`);
  }
}
