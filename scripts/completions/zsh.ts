/** zsh: a function for its completion system that hands specifications to _arguments. */
import { quoteWord } from "../../src/remote/host/quote.ts";
import { COMMANDS, DEFAULT, HEAD, type Option, offered, VERSION_OPTIONS } from "./options.ts";

const NAMES = COMMANDS.map(({ name }) => name);

/** Text within a specification, where brackets and colons end a part. */
function part(text: string): string {
  return text.replaceAll(/[[\]:\\]/g, "\\$&");
}

/** What completes the value of an option. */
function action({ takes, choices }: Option): string {
  if (takes === "choice") return `(${choices.join(" ")})`;
  if (takes === "list") return `_values -s , name ${choices.join(" ")}`;
  return takes === "file" ? "_files" : " ";
}

/** One specification for each spelling; those that are no longer offered after it stand in the round brackets. */
function specifications(option: Option): string[] {
  const { name, takes, value, optional, description, negatable } = option;
  const spellings = offered(option);
  const off = negatable ? [`--no-${name}`] : [];
  const exclusive = `(${[...spellings, ...off].join(" ")})`;
  const specification = (spelling: string) => {
    if (takes === "nothing") return `${exclusive}${spelling}[${part(description)}]`;
    const attached = spelling.startsWith("--") ? "=" : "+";
    const colon = optional ? "::" : ":";
    return `${exclusive}${spelling}${attached}[${part(description)}]${colon}${part(value)}:${action(option)}`;
  };
  return [...spellings.map(specification), ...off.map((spelling) => `${exclusive}${spelling}[turn --${name} off]`)];
}

/** The specifications of some options as words of an array. */
function words(options: readonly Option[]): string {
  return options
    .flatMap(specifications)
    .map((text) => `        ${quoteWord(text)}\n`)
    .join("");
}

function arm({ name, options }: (typeof COMMANDS)[number]): string {
  // serve is told its path by an option, or over the wire.
  const actions: Readonly<Record<string, string>> = {
    serve: "",
    clean: "'*:host:_hosts'",
    index: "'*:image:_files'",
    history: "'*:directory:_directories'",
  };
  const action = actions[name] ?? "'*:location:_blocksync_location'";
  const locations = action === "" ? "" : `        ${action}\n`;
  return `    ${name})\n      specifications=(\n${words(options)}${locations}      )\n      ;;\n`;
}

export function zshCompletion(): string {
  return `#compdef blocksync
# ${HEAD}

_blocksync_location() {
  local -a kinds=('files:file or device:_files' 'hosts:host:_hosts -S :')
  [[ -n $first ]] && kinds+=('commands:command:(${NAMES.join(" ")})')
  _alternative $kinds
}

_blocksync() {
  local command=${DEFAULT.name} first=
  local -a specifications
  if (( CURRENT == 2 )); then
    first=yes
  elif [[ $words[2] == (${NAMES.join("|")}) ]]; then
    command=$words[2]
    shift words
    (( CURRENT-- ))
  fi
  case $command in
${COMMANDS.map(arm).join("")}  esac
  if [[ -n $first ]]; then
    specifications+=(
${words(VERSION_OPTIONS)}    )
  fi
  _arguments -s -S $specifications
}

_blocksync "$@"
`;
}
