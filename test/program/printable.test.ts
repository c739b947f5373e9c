/** Words of a far side, and names, reach a terminal, and it obeys nothing of them, nor shows them in another order. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import fs from "node:fs";
import { printable } from "../../src/name.ts";
import { createOutput } from "../../src/report/output.ts";
import { BINARY, run } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

/** Clears the screen (with ESC, and with CSI as one character), rings, turns directions around, ends lines, and hides a letter. */
const EVIL = "[\u001b[2J\u009b2J\u0007\r\u202e\u2066\u200f\u2028\u2029\u0085\u{e0041}]";

let dir: TempDir;
beforeEach(() => {
  dir = tempDir();
  fs.writeFileSync(dir.file("s"), bytes(1, 5000));
  fs.writeFileSync(dir.file("evil"), EVIL);
});
afterEach(() => dir[Symbol.dispose]());

/** Writes a stand-in for ssh: $m is the marker of the script that it was to run, $e the text. */
function farSide(line: string): string[] {
  const script = `#!/bin/sh
m=$(echo "$*" | grep -o 'blocksync-[0-9a-f]\\{32\\}' | head -n 1); e=$(cat '${dir.file("evil")}')
${line}
`;
  fs.writeFileSync(dir.file("rsh"), script, { mode: 0o755 });
  return ["-e", JSON.stringify(dir.file("rsh"))];
}

test("printable() replaces one for one what is obeyed, and leaves all else", () => {
  expect(printable("a\u00e4\u{1f600} \u4e00\u0301")).toBe("a\u00e4\u{1f600} \u4e00\u0301");
  expect(printable(EVIL)).toBe("[\ufffd[2J\ufffd2J\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd]");
  expect(printable("\ud800\udcff")).toBe("\u{100ff}");
  expect(printable("\udcf6")).toBe("\ufffd");
});

const PLACES: readonly (readonly [place: string, line: string, words: readonly string[], said: string])[] = [
  ["ssh's last words", 'printf "%s\\n" "$e" >&2; exit 255', [], "ended with exit status 255: ["],
  [
    "what ssh says meanwhile, with -v",
    'printf "%s\\n" "$e" >&2; shift; exec sh -c "$*"',
    ["-v", "-S", BINARY],
    "\n[\ufffd",
  ],
  ["why it cannot", 'printf "\\n%s failed %s\\n" "$m" "$e"', [], "Cannot start blocksync on "],
  ["the platform", 'printf "\\n%s probe %s x86_64 glibc 2.36\\n" "$m" "$e"', [], "Cannot start blocksync on "],
  [
    "the folder for the program",
    'printf "\\n%s probe Linux x86_64 glibc 2.36\\n%s send none %s\\n" "$m" "$m" "$e"; head -c 100000 >/dev/null',
    [],
    "into [",
  ],
  [
    "a line that is none",
    'printf "\\n%s probe Linux x86_64 glibc 2.36\\n%s\\n" "$m" "$e"; cat >/dev/null',
    [],
    "it answered ",
  ],
];

test.each(PLACES)("a far side's words are shown, and not obeyed: %s", async (_place, line, words, said) => {
  const far = farSide(line);
  const result = await run([...words, ...far, "--json", dir.file("s"), `h:${dir.file("d")}`]);
  expect(result.stderr).toContain(said);
  expect(printable((result.stderr + result.stdout).replaceAll("\n", ""))).toBe(
    (result.stderr + result.stdout).replaceAll("\n", ""),
  );
});

test("every message is looked at once more on its way out, whatever it was put together from", () => {
  const { log } = createOutput({ file: dir.file("log"), quiet: false, verbose: true, draws: false });
  for (const say of [log.info, log.warn, log.debug]) say(`a${EVIL}\n  b`);
  const lines = fs
    .readFileSync(dir.file("log"), "utf8")
    .replaceAll(/^\d\S+ /gm, "")
    .split("\n");
  expect(lines).toEqual([
    `a${printable(EVIL)}`,
    "  b",
    `blocksync: warning: a${printable(EVIL)}`,
    "  b",
    `a${printable(EVIL)}`,
    "  b",
    "",
  ]);
});

test("a path that clean is told of, and a host, are shown likewise", async () => {
  const far = farSide('printf "\\n%s removed 5 %s\\n%s cleaned\\n" "$m" "$e" "$m"');
  const cleaned = await run(["clean", ...far, "h"]);
  expect(cleaned.stderr).toContain('Removed "[\ufffd[2J');
  expect(cleaned.exitCode).toBe(0);
  expect(printable(cleaned.stderr.replaceAll("\n", ""))).toBe(cleaned.stderr.replaceAll("\n", ""));
  const host = await run([...far, dir.file("s"), "h\u0007\u202e:x"]);
  expect(host).toEqual({
    exitCode: 2,
    stdout: "",
    stderr: 'blocksync: The host "h\\u0007\\u202e" contains unprintable characters\n',
  });
});
