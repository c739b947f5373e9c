import { expect, test } from "bun:test";
import { type ArgsDef, parseArgs } from "citty";
import { checkArguments } from "../../src/cli/arguments.ts";
import { compareOptions, serveOptions, syncOptions } from "../../src/cli/table.ts";
import { ExitCode, UsageError } from "../../src/errors.ts";

function checked(...words: string[]): string[] {
  return checkArguments(words, syncOptions);
}

/** The message of the UsageError that these words cause. */
function refusal(words: readonly string[], table: ArgsDef = syncOptions): string {
  try {
    checkArguments(words, table);
  } catch (error) {
    if (error instanceof UsageError && error.exitCode === ExitCode.usage) return error.message;
    throw error;
  }
  return "nothing thrown";
}

/** What citty makes of checked words. It gets a copy of the table, because it adds aliases such as "dryRun" to it. */
function parsed(...words: string[]): { readonly _: string[]; readonly [name: string]: unknown } {
  return parseArgs(checked(...words), structuredClone<ArgsDef>(syncOptions));
}

test("checkArguments() refuses a mistyped --dry-runn instead of writing", () => {
  expect(refusal(["--dry-runn", "a", "b"])).toBe('Unknown option "--dry-runn"');
  expect(refusal(["a", "b", "--dry-runn"])).toBe('Unknown option "--dry-runn"');
  for (const word of ["--dry", "--Dry-Run", "--dry_run", "--dryRun", "--dry-run-", "--n", "--nf", "--", "---dry-run"]) {
    expect(refusal([word])).toBe(word === "--" ? "nothing thrown" : `Unknown option ${JSON.stringify(word)}`);
  }
});

test("checkArguments() refuses unknown options in every form, the ones of Object included", () => {
  expect(refusal(["--unknown=1"])).toBe('Unknown option "--unknown"');
  expect(refusal(["--="])).toBe('Unknown option "--"');
  expect(refusal(["--constructor"])).toBe('Unknown option "--constructor"');
  expect(refusal(["--__proto__=1"])).toBe('Unknown option "--__proto__"');
  expect(refusal(["-z"])).toBe('Unknown option "-z"');
  expect(refusal(["-nz"])).toBe('Unknown option "-z"');
  expect(refusal(["-ny", "-y"])).toBe('Unknown option "-y"');
  expect(refusal(["-ß"])).toBe('Unknown option "-ß"');
  expect(refusal(["-n=true"])).toBe("The option -n takes no value");
  expect(refusal(["-="])).toBe('Unknown option "-="');
});

test("checkArguments() hints at --help for an unknown option", () => {
  const hint = (word: string) => {
    try {
      checked(word);
    } catch (error) {
      if (error instanceof UsageError) return error.hint;
    }
    return "nothing thrown";
  };
  const list = "blocksync sync --help lists the options";
  const meant: readonly (readonly [word: string, name: string])[] = [
    ["--dry-runn", "dry-run"],
    ["--dyr-run", "dry-run"],
    ["--dry_run", "dry-run"],
    ["--blok-size=4K", "block-size"],
    ["--nocompress", "no-compress"],
    ["--forc", "force"],
    ["--expect-ser", "expect-serial"],
  ];
  for (const [word, name] of meant) expect(hint(word)).toBe(`did you mean --${name}?`);
  for (const word of ["--bw", "--expect", "-ß", "--="]) expect(hint(word)).toBe(list);
});

test("checkArguments() names every unknown option at once, with one answer for each kind", () => {
  const said = (...words: string[]) => {
    try {
      checked(...words);
    } catch (error) {
      if (error instanceof UsageError) return [error.message, error.hint];
    }
    return [];
  };
  const contents = "not needed: blocksync copies contents only, no owners, permissions, times or links";
  expect(said("-avA", "--inplace", "--", "a", "b")).toEqual([
    'Unknown options "-a", "-A", "--inplace"',
    `-a -A: ${contents}\n--inplace: not needed: blocksync always writes in place, and only what differs`,
  ]);
  expect(said("--archive", "a", "b")).toEqual(['Unknown option "--archive"', contents]);
  // What follows may be its value, or what it is the value of.
  expect(said("-a", "-b")).toEqual(['Unknown option "-a"', contents]);
  expect(said("-ß", "--archive")).toEqual(['Unknown options "-ß", "--archive"', `--archive: ${contents}`]);
});

test("checkArguments() knows to which command an option belongs", () => {
  const hint = (word: string, table: ArgsDef) => {
    try {
      checkArguments([word], table);
    } catch (error) {
      if (error instanceof UsageError) return error.hint;
    }
    return "nothing thrown";
  };
  expect(hint("-n", compareOptions)).toBe("--dry-run is an option of sync");
  expect(hint("--dryrun", compareOptions)).toBe("--dry-run is an option of sync");
  expect(hint("--only", syncOptions)).toBe("--only is an option of serve");
  expect(hint("--nonsense", compareOptions)).toBe("blocksync compare --help lists the options");
});

test("checkArguments() says which option took a word that may have been meant as a file", () => {
  const said = (words: readonly string[], least = 2) => {
    try {
      checkArguments(words, syncOptions, least);
    } catch (error) {
      if (error instanceof UsageError) return [error.message, error.hint];
    }
    return [];
  };
  expect(said(["--progress", "small.img", "/dev/sdb"])).toEqual([
    'Too few arguments: --progress took "small.img" as its value',
    `--progress KIND: ${syncOptions.progress.description}`,
  ]);
  expect(said(["-c", "small.img", "/dev/sdb"])[0]).toBe('Too few arguments: -c took "small.img" as its value');
  expect(said(["-b", "1M", "small.img"])).toEqual([]);
  expect(said(["--cipher=a.b", "small.img"])).toEqual([]);
  expect(said(["-c", "small.img", "-h"])).toEqual([]);
  expect(said(["-c", "small.img", "a", "b"])).toEqual([]);
});

test("checkArguments() keeps every positional word in order, surplus ones too, for the command to judge", () => {
  expect(checked("a", "-n", "b", "c", "", "d")).toEqual(["--dry-run", "--", "a", "b", "c", "", "d"]);
  expect(checked()).toEqual(["--"]);
  expect(parsed("a", "b", "c", "d")._).toEqual(["a", "b", "c", "d"]);
});

test("checkArguments() takes a lone dash as a word", () => {
  expect(checked("-", "b")).toEqual(["--", "-", "b"]);
});

test("checkArguments() takes everything after -- as words", () => {
  expect(checked("-n", "--", "--force", "-n", "--", "x")).toEqual(["--dry-run", "--", "--force", "-n", "--", "x"]);
  expect(parsed("-n", "--", "--force", "x")._).toEqual(["--force", "x"]);
  expect(parsed("-n", "--", "--force", "x")["force"]).toBeUndefined();
});

test("checkArguments() refuses empty values", () => {
  expect(refusal(["--output="])).toBe("The value of the option --output is empty");
  expect(refusal(["--output", ""])).toBe("The value of the option --output is empty");
  expect(refusal(["-o", ""])).toBe("The value of the option -o is empty");
  expect(refusal(["--blocksize="])).toBe("The value of the option --blocksize is empty");
});

test("checkArguments() refuses a file name that the shell did not expand, as none does behind =", () => {
  for (const word of ["--output=~/log", "--mapfile=$HOME/m", "--map=~/m.svg"])
    expect(refusal([word])).toBe(`The shell did not expand ${JSON.stringify(word.split("=")[1])}`);
  expect(refusal(["-o", "~/log"])).toBe('The shell did not expand "~/log"');
  expect(checked("--id=~/key", "--output=./~")).toEqual(["--id=~/key", "--output=./~", "--"]);
});

test("checkArguments() refuses a missing value", () => {
  expect(refusal(["a", "b", "--output"])).toBe("The option --output needs a value");
  expect(refusal(["a", "b", "-b"])).toBe("The option -b needs a value");
  expect(refusal(["-nb"])).toBe("The option -b needs a value");
});

test("checkArguments() refuses a value where none belongs", () => {
  expect(refusal(["--force=yes"])).toBe("The option --force takes no value");
  expect(refusal(["--dry-run="])).toBe("The option --dry-run takes no value");
  expect(refusal(["--no-compress=1"])).toBe("The option --no-compress takes no value");
});

test("checkArguments() takes --name VALUE and --name=VALUE alike", () => {
  expect(checked("--output", "x y")).toEqual(["--output=x y", "--"]);
  expect(checked("--output=x y")).toEqual(["--output=x y", "--"]);
  expect(checked("--output=a=b=c")).toEqual(["--output=a=b=c", "--"]);
});

test("checkArguments() takes a value that begins with a dash", () => {
  expect(checked("-x", "-p 2222", "a")).toEqual(["--extra-params=-p 2222", "--", "a"]);
  expect(checked("--extra-params", "--", "a")).toEqual(["--extra-params=--", "--", "a"]);
  expect(checked("-x-p 2222")).toEqual(["--extra-params=-p 2222", "--"]);
  expect(parsed("-x", "-p 2222", "a", "b")["extra-params"]).toBe("-p 2222");
});

test("checkArguments() takes no option for another's value, unless it is attached", () => {
  for (const [option, next] of [
    ["-o", "-n"],
    ["--output", "--dry-run"],
    ["--interpreter", "-nf"],
    ["--script", "--"],
    ["--mapfile", "--json"],
  ] as const)
    expect(refusal([option, next, "a", "b"])).toBe(
      `The option ${option} needs a value, and "${next}" begins like an option`,
    );
  expect(checked("--output=-n", "-o-f", "-w", "-1")).toEqual(["--output=-f", "--workers=-1", "--"]);
  for (const option of ["-o", "--mapfile", "-i"])
    expect(refusal([option, "-", "a", "b"])).toBe(`The option ${option} needs a file, not standard input or output`);
});

test("checkArguments() takes letters in a group, the last of which may have a value", () => {
  expect(checked("-nf")).toEqual(["--dry-run", "--force", "--"]);
  expect(checked("-b4M")).toEqual(["--block-size=4M", "--"]);
  expect(checked("-nfb4M")).toEqual(["--dry-run", "--force", "--block-size=4M", "--"]);
  expect(checked("-nfb", "4M")).toEqual(["--dry-run", "--force", "--block-size=4M", "--"]);
  expect(checked("-bn")).toEqual(["--block-size=n", "--"]);
  expect(checked("-1", "sha256", "-2md5")).toEqual(["--hash=sha256", "--additional-hash=md5", "--"]);
});

test("checkArguments() takes the equals sign of a short option as part of its value", () => {
  expect(checked("-b=4M")).toEqual(["--block-size==4M", "--"]);
});

test("checkArguments() turns off what is on by default, and nothing else", () => {
  expect(checked("--no-compress")).toEqual(["--no-compress", "--"]);
  expect(parsed("--no-compress")["compress"]).toBe(false);
  expect(parsed()["compress"]).toBe(true);
  expect(parsed("--compress")["compress"]).toBe(true);
  for (const word of ["--no-force", "--no-dry-run", "--no-output", "--no-no-compress", "--no-", "--no-quiet"]) {
    expect(refusal([word])).toBe(`Unknown option ${JSON.stringify(word)}`);
  }
});

test("checkArguments() lets the last of several decide", () => {
  expect(checked("--compress", "--no-compress")).toEqual(["--no-compress", "--"]);
  expect(checked("--no-compress", "-C")).toEqual(["--compress", "--"]);
  expect(checked("-b", "4K", "--blocksize=8K", "--block-size", "1M")).toEqual(["--block-size=1M", "--"]);
  expect(checked("-nn")).toEqual(["--dry-run", "--"]);
});

test("checkArguments() knows the spellings of blocksync.py", () => {
  expect(checked("--blocksize=4K", "--additionalhash", "md5", "--extraparams=-v")).toEqual([
    "--block-size=4K",
    "--additional-hash=md5",
    "--extra-params=-v",
    "--",
  ]);
  expect(checked("--dryrun", "--createdest")).toEqual(["--dry-run", "--create-dest", "--"]);
  expect(checked("--remote-path", "/x")).toEqual(["--script=/x", "--"]);
});

test("checkArguments() answers to every name and alias in the tables, with the option's own name", () => {
  const tables: readonly ArgsDef[] = [syncOptions, compareOptions, serveOptions];
  for (const table of tables) {
    for (const [name, option] of Object.entries(table)) {
      const aliases: readonly string[] = "alias" in option ? [option.alias ?? []].flat() : [];
      const valued = option.type === "string";
      // An optional value is told by its ending.
      const value = option.valueHint?.startsWith("[") === true ? "v.json" : "v";
      for (const spelling of [name, ...aliases]) {
        const word = spelling.length === 1 ? `-${spelling}` : `--${spelling}`;
        const seen = checkArguments(valued ? [word, value] : [word], table);
        expect(seen).toEqual([valued ? `--${name}=${value}` : `--${name}`, "--"]);
      }
    }
  }
});

test("the option tables have no two options of one spelling", () => {
  const spellings = Object.entries(syncOptions).flatMap(([name, option]) => [
    name,
    ...("alias" in option ? option.alias : []),
  ]);
  expect(spellings.toSorted()).toEqual([...new Set(spellings)].toSorted());
});

test("checkArguments() knows only the options of the command", () => {
  expect(refusal(["--force"], compareOptions)).toBe('Unknown option "--force"');
  expect(refusal(["-n"], compareOptions)).toBe('Unknown option "-n"');
  expect(refusal(["--block-size=4K"], compareOptions)).toBe("nothing thrown");
  expect(refusal(["--block-size=4K"], serveOptions)).toBe('Unknown option "--block-size"');
  expect(refusal(["--help"], serveOptions)).toBe("nothing thrown");
});

test("citty reads checked words without a choice to make", () => {
  const values = parsed("-nfx", "-o StrictHostKeyChecking=no", "/dev/sda", "-b64K", "--pass=A=B", "--", "-weird");
  expect(values["dry-run"]).toBe(true);
  expect(values["force"]).toBe(true);
  expect(values["extra-params"]).toBe("-o StrictHostKeyChecking=no");
  expect(values["block-size"]).toBe("64K");
  expect(values["pass"]).toBe("A=B");
  expect(values["hash"]).toBe("auto");
  expect(values["quiet"]).toBeUndefined();
  expect(values._).toEqual(["/dev/sda", "-weird"]);
});

test("citty keeps values that look like numbers, booleans or options as they are", () => {
  for (const value of ["0", "1e3", "true", "false", "--force", "-n", "=", "a b", " ", "ß", "--no-compress"]) {
    const values = parsed(`--output=${value}`, "w");
    expect([values["output"], values["force"], values["compress"], values._]).toEqual([value, undefined, true, ["w"]]);
  }
});

test("checkArguments() takes a word after --map for its value only when it ends as one", () => {
  expect(checked("--map", "a", "b")).toEqual(["--map=", "--", "a", "b"]);
  expect(checked("a", "b", "--map")).toEqual(["--map=", "--", "a", "b"]);
  expect(checked("--map", "-n", "a.svg", "b")).toEqual(["--map=", "--dry-run", "--", "a.svg", "b"]);
  expect(checked("--map", "--", "a.svg", "b")).toEqual(["--map=", "--", "a.svg", "b"]);
  for (const name of ["m.svg", "m.JSON", "/tmp/a b.json", ".svg"]) {
    expect(checked("--map", name, "a", "b")).toEqual([`--map=${name}`, "--", "a", "b"]);
    expect(checked("a", "b", "--map", name)).toEqual([`--map=${name}`, "--", "a", "b"]);
  }
  expect(checked("--map=m.png", "a", "b")).toEqual(["--map=m.png", "--", "a", "b"]);
  expect(refusal(["--map=", "a", "b"])).toBe("The value of the option --map is empty");
  expect(parsed("--map", "a", "b")["map"]).toBe("");
  expect(parsed("--map", "m.svg", "a", "b")["map"]).toBe("m.svg");
  expect(parsed("a", "b")["map"]).toBeUndefined();
});

test("checkArguments() refuses a word after --map that may be its value or one of three words", () => {
  const doubt = 'Cannot tell whether "m.png" is the value of --map';
  expect(refusal(["--map", "m.png", "a", "b"])).toBe(doubt);
  expect(refusal(["a", "b", "--map", "m.png"])).toBe(doubt);
  expect(checked("a", "host", "b", "--map")).toEqual(["--map=", "--", "a", "host", "b"]);
  expect(checked("--map", "-n", "a", "host", "b")).toEqual(["--map=", "--dry-run", "--", "a", "host", "b"]);
  expect(checked("--map", "m.svg", "a", "host", "b")).toEqual(["--map=m.svg", "--", "a", "host", "b"]);
});
