/**
 * Markdown as scripts/man/ uses it, made into roff with the macros of man(7). What it knows: ## and ### headings, paragraphs,
 * definition lists (the term on a line, ": " before the text), blocks indented by four blanks, and `typed`, **strong** and
 * _placeholder_ (*placeholder* within a word) in a line.
 */

/**
 * Text as roff prints it: what it would take for its own is escaped, and a dash is the one of the keyboard, so that a
 * command copied from the page works.
 * @throws {Error} for a character without a form that every output device has.
 */
export function roff(text: string): string {
  const ascii = text.replaceAll("…", "...");
  if (/[^\n -~]/.test(ascii)) throw new Error(`The man page has no form for ${JSON.stringify(ascii)}`);
  return ascii
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll("'", "\\(aq")
    .replaceAll("`", "\\(ga")
    .replaceAll("^", "\\(ha")
    .replaceAll("~", "\\(ti")
    .replaceAll(/^\./gm, "\\&.");
}

export function bold(text: string): string {
  return `\\fB${roff(text)}\\fR`;
}

export function italic(text: string): string {
  return `\\fI${roff(text)}\\fR`;
}

/** A paragraph whose first line hangs out; both are roff. */
export function entry(term: string, text: string): string {
  return `.TP\n${term}\n${text}`;
}

/** Lines that stay as they are. */
export function verbatim(lines: readonly string[]): string {
  return `.PP\n.RS\n.nf\n${lines.map(roff).join("\n")}\n.fi\n.RE`;
}

/** Text within a line. */
function inline(text: string): string {
  return text
    .split(/(`[^`]+`|\*\*[^*]+\*\*|\*[^*]+\*|(?<!\w)_[^_]+_(?!\w))/)
    .map((part) => {
      if (part.startsWith("`")) return bold(part.slice(1, -1));
      if (part.startsWith("**")) return bold(part.slice(2, -2));
      return /^([*_]).*\1$/s.test(part) ? italic(part.slice(1, -1)) : roff(part);
    })
    .join("");
}

/** What stands between two empty lines. */
function block(text: string): string {
  if (text.startsWith("## ")) return `.SH ${roff(text.slice(3))}`;
  if (text.startsWith("### ")) return `.SS "${roff(text.slice(4))}"`;
  if (text.startsWith("    ")) return verbatim(text.split("\n").map((line) => line.slice(4)));
  const [, term, meaning] = /^(.+)\n: ([\s\S]+)$/.exec(text) ?? [];
  return term === undefined ? `.PP\n${inline(text)}` : entry(inline(term), inline(meaning ?? ""));
}

/** `parts` stand where the text has a line <!-- NAME -->, or a word of that kind in a line. @throws {Error} for one that is missing. */
export function fromMarkdown(markdown: string, parts: Readonly<Record<string, string>>): string {
  const part = (name: string) => {
    const found = parts[name];
    if (found === undefined)
      throw new Error(`The man page's text asks for ${JSON.stringify(name)}, which nothing makes`);
    return found;
  };
  return markdown
    .trim()
    .split(/\n{2,}/)
    .map((text) => {
      const [, name] = /^<!-- ([\w-]+) -->$/.exec(text) ?? [];
      if (name !== undefined) return part(name);
      return block(text).replaceAll(/<!\\-\\- ([\w-]+) \\-\\->/g, (_, word: string) => part(word));
    })
    .join("\n");
}
