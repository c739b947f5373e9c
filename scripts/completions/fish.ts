/** fish: one "complete" for each option, with a condition on the command. */
import { quoteWord } from "../../src/remote/host/quote.ts";
import { COMMANDS, DEFAULT, HEAD, type Option, VERSION_OPTIONS } from "./options.ts";

const NAMES = COMMANDS.map(({ name }) => name).join(" ");

/** What fish is told of an option's value: -x takes one that is no file, -r one that may be, without both the next word is no value. */
function value({ takes, choices, optional }: Option): string {
  if (takes === "nothing") return "";
  if (takes === "file") return optional ? " -F" : " -r -F";
  if (takes === "text") return " -x";
  const words = choices.join(" ");
  return ` -x -a ${quoteWord(takes === "list" ? `(__fish_append , ${words})` : words)}`;
}

function lines(option: Option, condition: string): string {
  const { name, letter, description, negatable } = option;
  const start = `complete -c blocksync -n ${quoteWord(condition)}`;
  const text = quoteWord(description);
  const on = `${start}${letter === "" ? "" : ` -s ${letter}`} -l ${name}${value(option)} -d ${text}\n`;
  return negatable ? `${on}${start} -l no-${name} -d 'turn --${name} off'\n` : on;
}

/** Every option once, with the commands that have it. */
function options(): string {
  const byName = new Map(
    COMMANDS.flatMap((command) => command.options.map((option) => [option.name, option] as const)),
  );
  return [...byName.values()]
    .map((option) => {
      const having = COMMANDS.filter((command) => command.options.some(({ name }) => name === option.name));
      return lines(option, `__blocksync_command ${having.map(({ name }) => name).join(" ")}`);
    })
    .join("");
}

export function fishCompletion(): string {
  return `# fish completion for blocksync. ${HEAD}

# Whether the next word is the first one.
function __blocksync_first
    test (count (commandline -opc)) -eq 1
end

# Whether the command is one of those named; without one it is ${DEFAULT.name}.
function __blocksync_command
    set -l words (commandline -opc)
    if contains -- "$words[2]" ${NAMES}
        contains -- $words[2] $argv
    else
        contains -- ${DEFAULT.name} $argv
    end
end

complete -c blocksync -n __blocksync_first -a ${quoteWord(NAMES)} -d command
complete -c blocksync -n '__blocksync_command sync compare' -a '(__fish_print_hostnames):' -d host
complete -c blocksync -n '__blocksync_command clean' -f -a '(__fish_print_hostnames)' -d host
${VERSION_OPTIONS.map((option) => lines(option, "__blocksync_first")).join("")}${options()}`;
}
