/**
 * Checks a command line against the option table before citty sees it: citty 0.2.2 takes unknown options, surplus words
 * and missing values in silence, so that a mistyped --dry-run would write. The result is one spelling for everything,
 * which citty then reads without a choice to make.
 */
import type { ArgDef, ArgsDef } from "citty";
import { UsageError } from "../errors.ts";

function findOption(table: ArgsDef, spelling: string): { name: string; option: ArgDef } | undefined {
  for (const [name, option] of Object.entries(table)) {
    const aliases: string[] = "alias" in option && option.alias !== undefined ? [option.alias].flat() : [];
    if (name === spelling || aliases.includes(spelling)) return { name, option };
  }
  return undefined;
}

function unknown(word: string): UsageError {
  return new UsageError(`Unknown option ${JSON.stringify(word)}`, { hint: "blocksync --help lists every option" });
}

/**
 * Returns options as "--name" , "--no-name" or "--name=value", then "--", then the positional words. An option given
 * twice keeps its last value.
 * @throws {UsageError} for an unknown option, a missing or an empty value, a value where none belongs.
 */
export function checkArguments(words: readonly string[], table: ArgsDef): string[] {
  const options = new Map<string, string>();
  const positionals: string[] = [];
  const queue = [...words];
  const takeValue = (name: string, word: string, attached: string | undefined) => {
    const value = attached ?? queue.shift();
    if (value === undefined) throw new UsageError(`The option ${word} needs a value`);
    if (value === "") throw new UsageError(`The value of the option ${word} is empty`);
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
  return [...options.values(), "--", ...positionals];
}

type TakeValue = (name: string, word: string, attached: string | undefined) => void;

function readLong(word: string, table: ArgsDef, options: Map<string, string>, takeValue: TakeValue): void {
  const equals = word.indexOf("=");
  const spelling = word.slice(2, equals === -1 ? undefined : equals);
  const attached = equals === -1 ? undefined : word.slice(equals + 1);
  const negated = /^no-../.test(spelling) ? findOption(table, spelling.slice(3)) : undefined;
  // Only what is on by default can be turned off.
  const isNegation = negated?.option.type === "boolean" && negated.option.default === true;
  const found = isNegation ? negated : findOption(table, spelling);
  if (found === undefined || spelling.length < 2) throw unknown(word);
  if (found.option.type === "string") {
    takeValue(found.name, `--${spelling}`, attached);
    return;
  }
  if (attached !== undefined) throw new UsageError(`The option --${spelling} takes no value`);
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
      takeValue(found.name, `-${letter}`, rest === "" ? undefined : rest);
      return;
    }
    options.set(found.name, `--${found.name}`);
  }
}
