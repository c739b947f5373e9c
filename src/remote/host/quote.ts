/**
 * The one function by which a word reaches a shell. ssh joins its arguments with spaces and the login shell parses the
 * result again, so every word of a remote command is quoted here.
 *
 * It means the same in sh, bash, dash, zsh, busybox, fish and csh. Single quotes keep everything but a quote, a backslash
 * (in fish) and "!" (in csh, whose history looks into them): those stand outside, each behind a backslash, as in 'it'\''s'.
 * A line break is refused because csh cannot quote it.
 * @throws {RangeError} for a word with a NUL or a line break.
 */
export function quoteWord(word: string): string {
  if (/[\0\r\n]/.test(word)) throw new RangeError("A word for a shell must not contain NUL or line breaks");
  if (/^[A-Za-z0-9_./:@+,-][A-Za-z0-9_./:=@%+,-]*$/.test(word)) return word;
  return `'${word.replaceAll(/['\\!]+/g, (run) => `'${run.replaceAll(/./g, "\\$&")}'`)}'`;
}

/** Splits a command line the way a shell would, for --rsh and --extra-params: quotes and backslashes, no expansion. */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote: string | undefined;
  for (let i = 0; i < line.length; i++) {
    const char = line[i] ?? "";
    if (quote !== undefined) {
      if (char === quote) quote = undefined;
      else if (char === "\\" && quote === '"' && /["\\$`]/.test(line[i + 1] ?? ""))
        word = (word ?? "") + (line[++i] ?? "");
      else word = (word ?? "") + char;
    } else if (char === "'" || char === '"') {
      quote = char;
      word ??= "";
    } else if (char === "\\" && i + 1 < line.length) {
      word = (word ?? "") + (line[++i] ?? "");
    } else if (/[ \t\r\n]/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? "") + char;
    }
  }
  if (quote !== undefined) throw new RangeError(`The quote ${quote} is not closed`);
  if (word !== undefined) words.push(word);
  return words;
}
