import { expect, test } from "bun:test";
import fc from "fast-check";
import { quoteWord, splitWords } from "../../src/remote/host/quote.ts";

/** The shells of this machine that are required (sh) or likely, each as the words before a script. */
const SHELLS: readonly string[][] = [
  ["sh", "-c"],
  ...[
    ["bash", "-c"],
    ["dash", "-c"],
    ["busybox", "sh", "-c"],
    ["zsh", "-f", "-c"],
    ["fish", "--no-config", "-c"],
    ["tcsh", "-f", "-c"],
  ].filter(([program]) => Bun.which(program ?? "") !== null),
];

const NASTY = [
  "",
  " ",
  "  leading and trailing  ",
  "\t",
  "a\tb",
  "two words",
  "'",
  "''",
  "'''",
  "it's",
  "'quoted'",
  '"',
  'say "hello"',
  `'"'"'`,
  "$HOME",
  "\x24{HOME}",
  "$(echo no)",
  "$",
  "$$",
  "`echo no`",
  "\\",
  "\\\\",
  "a\\",
  "\\n",
  "\\'",
  "*",
  "/*",
  "?",
  "[a-z]",
  "{a,b}",
  "~",
  "~root",
  "a~",
  ";",
  "; echo no",
  "&",
  "a & b",
  "&&",
  "|",
  "<",
  ">",
  "> /nowhere/file",
  "!",
  "!!",
  "a!b",
  "it's!!\\!'",
  "#",
  "# comment",
  "(",
  ")",
  "^",
  "=",
  "a=b",
  "%s",
  "%",
  "-",
  "--",
  "-n",
  "-rf /",
  "größe",
  "日本語",
  "🦀",
  "\u00a0",
  "\u2028",
  "\x01\x02\x1b[0m\x7f",
  "\ufeff",
];

/** What `shell` makes of the command line "printf %s WORD". */
function printed(shell: readonly string[], word: string): string {
  const { stdout, exitCode } = Bun.spawnSync([...shell, `printf %s ${word}`], { env: { PATH: process.env["PATH"] } });
  return exitCode === 0 ? stdout.toString() : `exit code ${exitCode}`;
}

for (const shell of SHELLS) {
  test(`quoteWord() makes every nasty string one word of ${shell.slice(0, -1).join(" ")}`, () => {
    for (const text of NASTY) expect({ text, seen: printed(shell, quoteWord(text)) }).toEqual({ text, seen: text });
  });

  test(`quoteWord() keeps words apart in one command line of ${shell.slice(0, -1).join(" ")}`, () => {
    const texts = fc
      .sample(fc.string({ unit: "binary", maxLength: 12 }), { numRuns: 300, seed: 1 })
      .concat(
        fc.sample(fc.string({ unit: fc.constantFrom(..."'\"\\$`!*~ \t;&|<>-=a"), maxLength: 9 }), {
          numRuns: 300,
          seed: 2,
        }),
      )
      .map((text) => text.replaceAll(/[\0\r\n]/g, "x"));
    const script = `printf '%s\\n' ${texts.map(quoteWord).join(" ")}`;
    const { stdout } = Bun.spawnSync([...shell, script], { env: { PATH: process.env["PATH"] } });
    expect(stdout.toString()).toBe(`${texts.join("\n")}\n`);
  });
}

test("quoteWord() survives two shells, as through ssh and sh -c", () => {
  for (const text of NASTY) {
    const inner = `printf %s ${quoteWord(text)}`;
    const { stdout } = Bun.spawnSync(["sh", "-c", `sh -c ${quoteWord(inner)}`]);
    expect({ text, seen: stdout.toString() }).toEqual({ text, seen: text });
  }
});

test("quoteWord() leaves plain words as they are", () => {
  for (const text of ["a", "/srv/disk.img", "user@host:22", "a-b_c.d,e+f%g=h", "-o", "0"])
    expect(quoteWord(text)).toBe(text);
});

test("quoteWord() writes single quotes, and outside of them what not every shell leaves alone there", () => {
  expect(quoteWord("")).toBe("''");
  expect(quoteWord("a b")).toBe("'a b'");
  expect(quoteWord("it's")).toBe("'it'\\''s'");
  expect(quoteWord("größe")).toBe("'größe'");
  expect(quoteWord("a!!b\\c")).toBe("'a'\\!\\!'b'\\\\'c'");
});

test("quoteWord() refuses NUL and line breaks, which no quoting carries everywhere", () => {
  for (const text of ["\0", "a\0b", "\n", "a\nb", "a\n", "\r", "a\rb"]) {
    expect(() => quoteWord(text)).toThrow(new RangeError("A word for a shell must not contain NUL or line breaks"));
  }
});

test("splitWords() splits as a shell does, without expanding", () => {
  const cases: [line: string, words: string[]][] = [
    ["", []],
    ["   \t ", []],
    ["ssh", ["ssh"]],
    ["  ssh   -p\t2222  ", ["ssh", "-p", "2222"]],
    ["a 'b c' d", ["a", "b c", "d"]],
    ['a "b c" d', ["a", "b c", "d"]],
    ["a\\ b c", ["a b", "c"]],
    ["''", [""]],
    ['a "" b', ["a", "", "b"]],
    ["'a'\"b\"c", ["abc"]],
    ["x'y z'w", ["xy zw"]],
    ["'it'\\''s'", ["it's"]],
    ["'a\"b'", ['a"b']],
    ['"a\'b"', ["a'b"]],
    ["'a\\b'", ["a\\b"]],
    ['"a\\"b"', ['a"b']],
    ['"a\\\\b"', ["a\\b"]],
    ['"\\$HOME \\`x\\`"', ["$HOME `x`"]],
    ['"a\\nb"', ["a\\nb"]],
    ["\\'", ["'"]],
    ["a\\", ["a\\"]],
    ["$HOME *.img ~ `x` $(y)", ["$HOME", "*.img", "~", "`x`", "$(y)"]],
    ["-o ProxyCommand='ssh -W %h:%p jump'", ["-o", "ProxyCommand=ssh -W %h:%p jump"]],
    ["a\nb", ["a", "b"]],
    ["größe 日本", ["größe", "日本"]],
    ["a;b|c&d", ["a;b|c&d"]],
  ];
  expect(splitWords("a\u00a0b\u3000c d")).toEqual(["a\u00a0b\u3000c", "d"]);
  for (const [line, words] of cases) expect({ line, words: splitWords(line) }).toEqual({ line, words });
});

test("splitWords() refuses a quote that is not closed", () => {
  for (const line of ["'", "a 'b", "'a'b'c'd'", "'a\\'b'"]) {
    expect(() => splitWords(line)).toThrow(new RangeError("The quote ' is not closed"));
  }
  for (const line of ['"', 'a "b', '"a\\"']) {
    expect(() => splitWords(line)).toThrow(new RangeError('The quote " is not closed'));
  }
});

test("splitWords() gives back what quoteWord() wrote", () => {
  const lines = fc.array(fc.string({ unit: "binary" }).map((text) => text.replaceAll(/[\0\r\n]/g, "x")));
  fc.assert(
    fc.property(lines, (words) => {
      expect(splitWords(words.map(quoteWord).join(" "))).toEqual(words);
    }),
  );
  expect(splitWords(NASTY.map(quoteWord).join(" "))).toEqual(NASTY);
});
