/** bash: a function that fills COMPREPLY, or leaves it empty where readline's own completion of files is meant. */
import fs from "node:fs";
import { join } from "node:path";
import { quoteWord } from "../../src/remote/host/quote.ts";
import { COMMANDS, DEFAULT, HEAD, type Option, offered, VERSION_OPTIONS } from "./options.ts";

/** The options of all commands that take a value, each once. */
const VALUED = [
  ...new Map(COMMANDS.flatMap(({ options }) => options.map((option) => [option.name, option] as const))).values(),
].filter(({ takes }) => takes !== "nothing");

/** A case for some options, in any of their spellings; "" for no options. */
function arm(options: readonly Option[], commands: string): string {
  const spellings = options.flatMap((option) => [...offered(option), ...option.aliases]);
  return options.length === 0 ? "" : `    ${spellings.join(" | ")})\n      ${commands}\n      ;;\n`;
}

function values(): string {
  const taking = (takes: Option["takes"]) => VALUED.filter((option) => option.takes === takes);
  return [
    arm(
      taking("file").filter(({ optional }) => !optional),
      "return",
    ),
    // Another option may follow.
    ...taking("file")
      .filter(({ optional }) => optional)
      .map(({ name }) => `    --${name})\n      [[ $cur == -* ]] || return\n      ;;&\n`),
    arm(taking("text"), "compopt +o default +o bashdefault 2>/dev/null\n      return"),
    ...taking("choice").map((option) => arm([option], `words=${quoteWord(option.choices.join(" "))}`)),
    ...taking("list").map((option) =>
      arm(
        [option],
        `words=${quoteWord(option.choices.join(" "))}\n      [[ $cur == *,* ]] && before+="\${cur%,*}," cur=\${cur##*,}`,
      ),
    ),
  ].join("");
}

function words(options: readonly Option[]): string {
  const spellings = options.flatMap((option) => [
    ...offered(option),
    ...(option.negatable ? [`--no-${option.name}`] : []),
  ]);
  return spellings.join(" ");
}

export function bashCompletion(): string {
  const others = COMMANDS.filter(({ name }) => name !== DEFAULT.name);
  const hosts = fs.readFileSync(join(import.meta.dir, "hosts.bash"), "utf8");
  return `# bash completion for blocksync. ${HEAD}

${hosts}
_blocksync() {
  local cur=\${COMP_WORDS[COMP_CWORD]} option=\${COMP_WORDS[COMP_CWORD - 1]} words='' before='' i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ \${COMP_WORDS[i]} == -- ]] && return
  done
  # bash takes --name=value for three words, unless COMP_WORDBREAKS was changed.
  if [[ $cur == = ]]; then
    cur=''
  elif [[ $option == = ]]; then
    option=\${COMP_WORDS[COMP_CWORD - 2]}
  elif [[ $cur == --*=* ]]; then
    option=\${cur%%=*} before=\${cur%%=*}= cur=\${cur#*=}
  fi
  case $option in
${values()}    *)
      if [[ $cur != -* ]]; then
        _blocksync_word ${quoteWord(COMMANDS.map(({ name }) => name).join(" "))}
        return
      fi
      case \${COMP_WORDS[1]} in
${others.map(({ name, options }) => `        ${name}) words=${quoteWord(words(options))} ;;\n`).join("")}        *) words=${quoteWord(words(DEFAULT.options))} ;;
      esac
      ((COMP_CWORD == 1)) && words+=${quoteWord(` ${words(VERSION_OPTIONS)}`)}
      ;;
  esac
  mapfile -t COMPREPLY < <(compgen -P "$before" -W "$words" -- "$cur")
}

complete -o bashdefault -o default -F _blocksync blocksync
`;
}
