import { expect, test } from "bun:test";
import { type ArgsDef, parseArgs } from "citty";
import { checkArguments } from "../../src/cli/arguments.ts";
import { commandHelp, helpText } from "../../src/cli/help.ts";
import { parseLocations } from "../../src/cli/location.ts";
import { commandOptions, compareOptions, serveOptions, syncOptions } from "../../src/cli/table.ts";
import { ExitCode } from "../../src/errors.ts";
import { HASH_NAMES } from "../../src/sync/spec.ts";
import { VERSION } from "../../src/version.ts";
import { isAddress } from "../../src/web/address.ts";

/** So wide that nothing is wrapped. */
const WIDE = 1000;
const LINES = helpText(WIDE).split("\n");

const COMMANDS = ["sync", "compare", "index", "history", "clean", "serve"] as const;

/** The line that lists an option. */
function lineOf(name: string): string {
  const found = LINES.filter((line) => new RegExp(`^    (-.,|   ) --${name}( |$)`).test(line));
  expect({ name, lines: found.length }).toEqual({ name, lines: 1 });
  return found[0] ?? "";
}

test("helpText() begins with the version and has every form of a command once", () => {
  expect(LINES[0]).toStartWith(`blocksync ${VERSION}: `);
  for (const usage of [
    "    blocksync [sync] [OPTIONS] SOURCE DESTINATION",
    "    blocksync compare [OPTIONS] A B ",
    "    blocksync serve ",
  ]) {
    expect(LINES.filter((line) => line.startsWith(usage)).length).toBe(1);
  }
});

test("helpText() explains every form of a location", () => {
  const text = helpText(WIDE);
  for (const form of ["[USER@]HOST:PATH", "[USER@][IPV6]:PATH", "ssh://[USER@]HOST[:PORT]/PATH", "./a:b is a file"]) {
    expect(text).toContain(form);
  }
});

test("helpText() lists every option once, with its letter, value, other names and description", () => {
  const table: ArgsDef = syncOptions;
  for (const [name, option] of Object.entries(table)) {
    const line = lineOf(name);
    const aliases: string[] = "alias" in option ? [option.alias ?? []].flat() : [];
    const short = aliases.find((alias) => alias.length === 1);
    expect(line).toStartWith(`    ${short === undefined ? "   " : `-${short},`} --${name}`);
    if (option.valueHint !== undefined) expect(line).toContain(`--${name} ${option.valueHint} `);
    expect(line).toContain(option.description ?? "no description");
    const long = aliases.filter((alias) => alias.length > 1).map((alias) => `--${alias}`);
    if (long.length > 0) expect(line).toEndWith(` (also ${long.join(", ")})`);
  }
});

test("helpText() names the defaults that apply without the option", () => {
  // citty adds aliases to the table that it is given.
  const values: Readonly<Record<string, unknown>> = parseArgs(
    checkArguments([], syncOptions),
    structuredClone<ArgsDef>(syncOptions),
  );
  const named = new Map<string, string>();
  for (const name of Object.keys(syncOptions)) {
    const match = / \[([^\]]*)\](?: \(also .*\))?$/.exec(lineOf(name));
    if (match !== null) named.set(name, match[1] ?? "");
  }
  const applying = new Map<string, string>();
  for (const name of Object.keys(syncOptions)) {
    const value = values[name];
    if (value !== undefined) applying.set(name, value === true ? "on" : String(value));
  }
  expect(Object.fromEntries(named)).toEqual(Object.fromEntries(applying));
  expect(named.get("block-size")).toBe("1M");
  expect(named.get("compress")).toBe("on");
});

test("helpText() lists the options of compare before those that only sync has", () => {
  const index = (name: string) => LINES.indexOf(lineOf(name));
  const border = LINES.indexOf("Options of sync:");
  expect(border).toBeGreaterThan(0);
  const shared = new Set(Object.keys(compareOptions));
  for (const name of Object.keys(syncOptions)) expect(index(name) < border).toBe(shared.has(name));
});

test("helpText() lists what only serve has after the options of sync", () => {
  const border = LINES.indexOf("Options of serve:");
  const own = Object.keys(serveOptions).filter((name) => !(name in syncOptions));
  expect(own).toEqual(["only", "read-only"]);
  for (const name of own) expect(LINES.indexOf(lineOf(name))).toBeGreaterThan(border);
  expect(border).toBeGreaterThan(LINES.indexOf("Options of sync:"));
});

test("helpText() lists every hash and every exit code", () => {
  const hashes = lineOf("hash");
  for (const name of HASH_NAMES) expect(hashes).toContain(name);
  const codes = helpText(WIDE).split("Exit codes:")[1] ?? "";
  const { interrupted, terminated, ...others } = ExitCode;
  for (const code of Object.values(others)) expect(codes).toMatch(new RegExp(`^ +${code}  \\S`, "m"));
  expect(codes).toContain(`${interrupted}/${terminated}  interrupted`);
});

test("the texts of help keep to the width there is, and break no word", () => {
  const words = (text: string) => text.split(/\s+/);
  for (const width of [60, 80, 100, 132]) {
    const texts = [helpText(width), ...COMMANDS.map((command) => commandHelp(command, width))];
    const wide = [helpText(WIDE), ...COMMANDS.map((command) => commandHelp(command, WIDE))];
    for (const [i, text] of texts.entries()) {
      expect({ width, long: text.split("\n").filter((line) => line.length > width && width > 72) }).toEqual({
        width,
        long: [],
      });
      expect(words(text)).toEqual(words(wide[i] ?? ""));
    }
  }
});

test("helpText() ends with usage and examples, which fit a terminal of 25 lines", () => {
  const text = helpText(80);
  const end = text.slice(text.indexOf("Usage:\n"));
  expect(end.split("\n").length).toBeLessThan(25);
  expect(end).toContain("\nExamples:\n    blocksync -n disk.img /dev/sdX ");
  expect(end).toContain("    blocksync [sync] [OPTIONS] SOURCE DESTINATION\n");
});

test("the examples of help are command lines that blocksync takes", () => {
  const lines = [...helpText(80).matchAll(/^ {4}blocksync ([^[\]…]*?)(?: {3}.*)?$/gm)].map(([, line = ""]) =>
    line.split(" "),
  );
  expect(lines.length).toBeGreaterThan(4);
  for (const words of lines) {
    const compares = words[0] === "compare";
    const checked = checkArguments(compares ? words.slice(1) : words, compares ? compareOptions : syncOptions, 2);
    const options = { exists: () => false, forHost: false };
    // A URL is read by itself.
    const names = checked.slice(checked.indexOf("--") + 1).map((word) => (isAddress(word) ? "disk.img" : word));
    expect(() => parseLocations(names, options)).not.toThrow();
  }
});

test("commandHelp() shows its command alone, and ends with its usage and an example", () => {
  for (const command of COMMANDS) {
    const text = commandHelp(command, WIDE);
    expect(text).toStartWith(`blocksync ${command}: `);
    const listed = [...text.matchAll(/^ {4}(?:-.,| {3}) --([a-z-]+)/gm)].map(([, name]) => name);
    expect(listed).toEqual(Object.keys(commandOptions[command]));
    const forms = [...text.matchAll(/^ {4}blocksync \[?(\w+).*[A-Z]/gm)].map(([, name]) => name);
    expect(forms).toContain(command);
    if (command !== "sync") expect(text).not.toContain("[sync]");
    expect(text.split("Examples:\n")[1]).toContain("blocksync ");
    expect(text.includes("Exit codes:")).toBe(["sync", "compare", "index", "history"].includes(command));
  }
});

test("helpText() has no blanks at the end of a line and ends with one line break", () => {
  expect(LINES.filter((line) => /\s$/.test(line))).toEqual([]);
  expect(helpText(WIDE)).toMatch(/[^\n]\n$/);
});
