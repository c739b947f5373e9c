/** Names that are any bytes, from the command line to the file, here and on a far side, and what is said of them. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import fs from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { UsageError } from "../../src/errors.ts";
import { wordsGiven } from "../../src/given.ts";
import { parseMounts, parseSwaps } from "../../src/local/system/mounts.ts";
import { basename, dirname, join } from "../../src/paths.ts";
import { BINARY, fakeSsh, type Result } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { testWith } from "../helpers/requirements.ts";
import { checkerOf, schemaText } from "../helpers/schema.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const ROOT = path.join(import.meta.dir, "../..");
const DATA = [bytes(1, 20_000), bytes(2, 20_000)] as const;
const QUIET = { exitCode: 0, stdout: "", stderr: "" };

let dir: TempDir;
beforeEach(() => {
  dir = tempDir();
  fakeSsh(dir.file("rsh"));
  fs.writeFileSync(dir.file("x"), DATA[0]);
  fs.writeFileSync(dir.file("y"), DATA[1]);
});
afterEach(() => dir[Symbol.dispose]());

/** here: the program; far: with the host h, which is this machine. */
const FUNCTIONS = `here() { "$B" -q "$@"; }; far() { "$B" "$@" -q -e "\\"$D/rsh\\"" -S "$B"; }`;

/**
 * Runs a line of bash in the folder, since Bun.spawn() hands no bytes on; $'\xf6' is one. Without Bun's variables of
 * scripts/test.ts: what blocksync starts gets its environment byte for byte only where there are none.
 */
async function sh(line: string): Promise<Result> {
  const child = Bun.spawn(["bash", "-c", `unset \${!BUN_JSC_@}; ${FUNCTIONS}; ${line}`], {
    cwd: dir.path,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, BLOCKSYNC_DEBUG: undefined, B: BINARY, BUN: process.execPath, D: dir.path },
  });
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { exitCode, stdout, stderr };
}

/** Below the folder; each byte a character. */
function inDir(name: string): Buffer {
  return Buffer.concat([Buffer.from(`${dir.path}/`), Buffer.from(name, "latin1")]);
}

/** What a folder in it holds, besides what is there in the beginning. */
function made(folder = ""): string[] {
  const names = fs.readdirSync(inDir(folder), { encoding: "buffer" }).map((name) => name.toString("latin1"));
  return names.filter((name) => !["rsh", "x", "y"].includes(name)).toSorted();
}

function holds(name: string): Buffer {
  return fs.readFileSync(inDir(name));
}

/** As bash has it. */
function word(name: string): string {
  return `$'${[...name].map((one) => `\\x${one.charCodeAt(0).toString(16).padStart(2, "0")}`).join("")}'`;
}

const NAMES: readonly (readonly [kind: string, one: string, other: string])[] = [
  ["Latin-1", "k\xf6.img", "k\xe4.img"],
  ["U+FFFD itself, and a byte that is none", "k\xef\xbf\xbd", "k\xff"],
  ["the beginnings of characters", "k\xc3", "k\xf0\x9f\x98"],
  ["a surrogate in UTF-8's form, and a form too long", "\xed\xa0\x80", "\xc0\xae"],
  ["one character composed and decomposed (NFC, NFD)", "\xc3\xa4", "a\xcc\x88"],
  ["line breaks, tabs and ESC", "a\nb\tc", "a\x1b[31m"],
  ["quotes, backslashes and blanks", "a\"b'c\\", " a $x `id` "],
  ["255 bytes", `${"\xe4".repeat(254)}1`, `${"\xe4".repeat(254)}2`],
];

test.each(NAMES)("a name is its bytes, here and on a far side, both ways: %s", async (_kind, one, other) => {
  const [a, b] = [word(one), word(other)];
  expect(await sh(`here x ${a} && here y ${b}`)).toEqual(QUIET);
  expect(made()).toEqual([one, other].toSorted());
  expect([holds(one).equals(DATA[0]), holds(other).equals(DATA[1])]).toEqual([true, true]);
  const compared = await sh(`far compare h:${a} x && mkdir f && far h:${a} f/${b}; far compare ${a} h:${b}`);
  expect(compared).toEqual({ exitCode: 1, stdout: "0 20000\n", stderr: "" });
  expect(made("f")).toEqual([other]);
});

test("from remote to remote, with three arguments, after HOST: and below ~ it is the same name", async () => {
  const folder = "home\xe4";
  const lines = [
    `mkdir ${word(folder)} && cd ${word(folder)} && cp ../x ${word("s\xf6")}`,
    `far h:${word("s\xf6")} h2:${word("t\xf6")}`,
    `far ../y h ${word("u\xf6")}`,
    `cp ../x ${word("v\xf6")} && ln -s ${word("v\xf6")} l && cmp l ../x`,
    // The same name there is this very file.
    `! far ${word("v\xf6")} h: 2>../said`,
    `export HOME=$PWD && cd .. && far x h:~/${word("w\xf6")} && far y h:'~'/l`,
  ];
  expect(await sh(lines.join(" && "))).toEqual(QUIET);
  expect(made(folder)).toEqual(["l", "s\xf6", "t\xf6", "u\xf6", "v\xf6", "w\xf6"]);
  const contents = ["t\xf6", "u\xf6", "v\xf6", "w\xf6"].map((name) => holds(`${folder}/${name}`));
  expect(contents.map((one) => DATA.findIndex((data) => data.equals(one)))).toEqual([0, 1, 1, 0]);
  expect(fs.readFileSync(dir.file("said"), "utf8")).toContain(
    'Refused to write to "h:v\\xf6": it is the same file as the source "v\\xf6" (same-file)',
  );
});

test("every option that takes a file of this machine takes any bytes, in a folder of any bytes, and through links", async () => {
  const files = `-o ${word("log\xf6")} --map=${word("m\xf6.svg")} --on-read-error skip --mapfile l`;
  expect(
    await sh(`mkdir ${word("d\xe4")} && cd ${word("d\xe4")} && ln -s ${word("r\xf6")} l && here ${files} ../x z`),
  ).toEqual(QUIET);
  expect(made("d\xe4")).toEqual(["l", "log\xf6", "m\xf6.svg", "r\xf6", "z"]);
  expect(holds("d\xe4/r\xf6").toString()).toContain("0x00000000  0x00004E20  +");
  // Links into nothing, and what is no file, are found by their bytes and said with them.
  const links = await sh(
    `cd ${word("d\xe4")} && mkdir ${word("e\xf6")} && ln -s ${word("n\xf6")} g && here ../x g; here ../x ${word("e\xf6")}; here ../x ${word("q\xf6/q")}; here ${word("q\xf6")} y`,
  );
  expect(links.stderr.replaceAll(/.*hint.*\n/g, "").split("\n")).toEqual([
    'blocksync: Refused to write to "g": it is a symbolic link to "n\\xf6", which does not exist (dangling-link)',
    'blocksync: Refused to write to "e\\xf6": it is a directory (not-a-disk)',
    'blocksync: Cannot create "q\\xf6/q": no such file or directory',
    'blocksync: Cannot open "q\\xf6": no such file or directory',
    "",
  ]);
});

const HANDED_ON: readonly (readonly [option: string, words: string, said: string])[] = [
  ["--id", `-i ${word("k\xf6")}`, 'Cannot pass --id "k\\xf6" to ssh: it is not UTF-8'],
  ["--cipher", `-c ${word("k\xf6")}`, 'Cannot pass --cipher "k\\xf6" to ssh: it is not UTF-8'],
  ["--extra-params", `-x ${word("-F k\xf6")}`, 'Cannot pass --extra-params "-F k\\xf6" to ssh: it is not UTF-8'],
  ["--rsh", `-e ${word("./rsh\xf6")}`, 'Cannot pass --rsh "./rsh\\xf6" to ssh: it is not UTF-8'],
  ["--script", `-S ${word("k\xf6")}`, 'Cannot pass --script "k\\xf6" to ssh: it is not UTF-8'],
  ["--pass", "-P SECRET", "Cannot pass the password of --pass to ssh: it is not UTF-8"],
  ["the host", word("h\xf6:z"), 'Cannot pass the host "h\\xf6" to ssh: it is not UTF-8'],
];

test.each(HANDED_ON)(
  "what ssh would get as other bytes is refused before anything is done: %s",
  async (_o, words, said) => {
    const destination = words.startsWith("-") ? "h:z" : "";
    const refused = await sh(`ln -s rsh ${word("rsh\xf6")}; SECRET=${word("p\xf6")} "$B" x ${words} ${destination}`);
    expect([refused.exitCode, refused.stderr.split("\n")[0]]).toEqual([2, `blocksync: ${said}`]);
    expect(made()).toEqual(["rsh\xf6"]);
  },
);

test("a variable with a path for the far side is refused likewise, and one of this machine is taken", async () => {
  const refused = await sh(`BLOCKSYNC_REMOTE_DIR=${word("k\xf6")} "$B" -e ./rsh x h:z`);
  expect(refused.exitCode).toBe(2);
  expect(refused.stderr).toStartWith('blocksync: Cannot pass BLOCKSYNC_REMOTE_DIR "k\\xf6" to ssh: it');
  // The note about the program is in the home; other variables reach what is started as they are.
  fs.writeFileSync(dir.file("rsh"), '#!/bin/sh\nprintf %s "$OTHER" >other\nshift\nexec sh -c "$*"\n');
  const home = word("home\xe4");
  const taken = await sh(
    // Relative paths begin where the login did, which is in that folder.
    `mkdir ${home}; cd ${home}; HOME=$PWD OTHER=${word("o\xf6")} "$B" -q -e ../rsh ../x h:z`,
  );
  expect(taken).toMatchObject({ exitCode: 0, stderr: "" });
  expect(made("home\xe4/.cache/blocksync")).toContain("program.checked");
  expect(holds("home\xe4/other").toString("latin1")).toBe("o\xf6");
  expect([made(), made("home\xe4")]).toEqual([["home\xe4"], [".cache", "other", "z"]]);
});

test("serve --only lets in that name and no other", async () => {
  fs.writeFileSync(dir.file("rsh"), `#!/bin/bash\nexec "$B" serve --only ${word("d\xe4/k\xf6")}\n`);
  const good = await sh(
    `mkdir ${word("d\xe4")} && far x h:${word("d\xe4/k\xf6")} && ln -s ${word("d\xe4")} l && far x h:l/${word("k\xf6")}`,
  );
  expect(good).toEqual(QUIET);
  expect(holds("d\xe4/k\xf6").equals(DATA[0])).toBe(true);
  const bad = await sh(`far y h:${word("d\xe4/k\xe4")}`);
  expect(bad.exitCode).toBe(3);
  expect(bad.stderr).toContain('Refused to open "h:d\\xe4/k\\xe4": the far side may open only "d\\xe4/k\\xf6" (only)');
  expect(made("d\xe4")).toEqual(["k\xf6"]);
});

test("--json has a name to be read and, where it is not UTF-8, its bytes in base64; a terminal obeys nothing of it", async () => {
  const name = "k\xf6\x1b[31m\xe2\x80\xae\xc2\x9b";
  const { exitCode, stdout, stderr } = await sh(`"$B" --json --map=m.json x ${word(name)}; here ${word(`${name}!`)} z`);
  expect(exitCode).toBe(4);
  const events = stdout
    .trimEnd()
    .split("\n")
    .map((line): Record<string, unknown> => JSON.parse(line));
  expect(events.flatMap(checkerOf(schemaText("events")))).toEqual([]);
  const names = {
    source: "x",
    destination: "k\ufffd\x1b[31m\u202e\x9b",
    destinationBase64: Buffer.from(name, "latin1").toString("base64"),
  };
  expect(events.find(({ event }) => event === "start")).toMatchObject(names);
  expect(events.at(-1)).toMatchObject(names);
  expect(events.map((event) => "sourceBase64" in event)).not.toContain(true);
  const map: unknown = JSON.parse(fs.readFileSync(dir.file("m.json"), "utf8"));
  expect(map).toMatchObject(names);
  expect(stderr).toContain('"k\\xf6\\u001b[31m\\u202e\\u009b!"');
  for (const one of ["\x1b", "\u202e", "\x9b"]) expect(stdout + stderr).not.toContain(one);
});

test("the words are the last ones of the command line, whatever stands before them", async () => {
  const script = `import { wordsGiven } from ${JSON.stringify(path.join(ROOT, "src/given.ts"))};
    process.stdout.write(JSON.stringify(wordsGiven(process.argv.slice(-3))));`;
  fs.writeFileSync(dir.file("words.ts"), script);
  const { stdout } = await sh(
    `"$BUN" run --silent words.ts ${word("o\xe4")} ${word("k\xf6")} '' ${word("\xf0\x9f\x98.\xff")}`,
  );
  expect(JSON.parse(stdout)).toEqual(["k\udcf6", "", "\udcf0\udc9f\udc98.\udcff"]);
});

test("a word whose bytes cannot be found out is refused", () => {
  expect(wordsGiven(["x", "\u00e4"])).toEqual(["x", "\u00e4"]);
  expect(() => wordsGiven(["x", "k\ufffd"])).toThrow(
    new UsageError('Cannot determine the bytes of the word "k\ufffd"'),
  );
});

testWith("loop")("a mount point, and the file of a loop device, of any bytes are found and said", async () => {
  fs.writeFileSync(inDir("i\xf6 "), Buffer.alloc(4 << 20));
  const image = word("i\xf6 ");
  const lines = [
    `L=$(losetup -f --show ${image}); here x ${image}; here $L ${image}`,
    `mkfs.ext2 -q $L && mkdir ${word("m\xf6 \t")} && mount $L ${word("m\xf6 \t")}`,
    `here -f x $L; umount ${word("m\xf6 \t")}; losetup -d $L`,
  ];
  const { stderr, exitCode } = await sh(lines.join("; "));
  expect(exitCode).toBe(0);
  const said = stderr
    .replaceAll(/.*hint.*\n/g, "")
    .replaceAll(/loop\d+/g, "LOOP")
    .trimEnd()
    .split("\n");
  expect(said).toEqual([
    'blocksync: Refused to write to "i\\xf6 ": the loop device LOOP is attached to it (held)',
    'blocksync: Refused to write to "i\\xf6 ": the loop device LOOP is attached to it (held)',
    `blocksync: Refused to write to "/dev/LOOP": it is mounted on ${JSON.stringify(`${dir.path}/m`).slice(0, -1)}\\xf6 \\t" (mounted)`,
  ]);
});

testWith("sudo")("the program itself may lie in a folder of any bytes, and starts itself again", async () => {
  fs.mkdirSync(inDir("p\xf6"));
  fs.copyFileSync(BINARY, inDir("p\xf6/b"), fs.constants.COPYFILE_FICLONE);
  fs.writeFileSync(dir.file("ask"), `#!/bin/sh\n"$SSH_ASKPASS" "x@h's password: " >&2; exit 255\n`, { mode: 0o755 });
  const b = `./${word("p\xf6")}/b`;
  expect(await sh(`${b} -q -s x z && cmp x z`)).toEqual(QUIET);
  const asked = await sh(`PW=secret ${b} -P PW -e ./ask x h:y`);
  expect(asked.stderr).toContain("./ask ended with exit status 255: secret");
});

test("a mount point and a swap file are the bytes that the kernel writes in octal", () => {
  const line = (point: string) => `27 1 254:0 / ${point} rw shared:1 - ext4 /dev/vda rw`;
  const [mount] = parseMounts(line("/m\udcf6\\040\\134\\303\\244"));
  expect(mount?.point).toBe("/m\udcf6 \\\u00e4");
  // Blanks of Unicode are no blanks to the kernel.
  const swaps = "Filename\tType\tSize\tUsed\tPriority\n/s\u00a0a\udcf6\\040b  file\t1\t0\t-2\n";
  expect(parseSwaps(swaps)).toEqual(["/s\u00a0a\udcf6 b"]);
});

test("paths are taken apart and put together as node:path does, and any bytes stay", () => {
  const part = fc.stringMatching(/^[./a\u00e4]{0,6}$/);
  fc.assert(
    fc.property(part, part, part, (a, b, c) => {
      expect(join(a, b, c)).toBe(path.join(a, b, c));
      // Of several slashes in a row Node keeps some.
      const single = a.replaceAll(/\/+/g, "/");
      expect([dirname(single), basename(single)]).toEqual([path.dirname(single), path.basename(single)]);
    }),
    { numRuns: 3000 },
  );
  expect([dirname("d\udce4/k\udcf6"), basename("d\udce4/k\udcf6"), join("d\udce4", "k\udcf6")]).toEqual([
    "d\udce4",
    "k\udcf6",
    "d\udce4/k\udcf6",
  ]);
});
