/**
 * Writes dist/blocksync.1, the man page, from what --help is made of: `bun scripts/man.ts`. It is roff with the macros
 * of man(7).
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ArgDef } from "citty";
import { EXIT_CODES, LOCATIONS, OPTION_GROUPS, SUMMARY, SYNOPSIS, spellingOf } from "../src/cli/help.ts";
import { VERSION } from "../src/version.ts";

/** Where a remote keeps the program: the order of src/remote/host/bootstrap.ts. */
const REMOTE_DIRECTORIES = [
  "$BLOCKSYNC_REMOTE_DIR",
  "~/.cache/blocksync",
  "$XDG_RUNTIME_DIR",
  "/var/tmp",
  "/dev/shm",
  "/tmp",
];

const ENVIRONMENT: readonly (readonly [name: string, meaning: string])[] = [
  [
    "BLOCKSYNC_REMOTE_DIR",
    "A directory where the far host keeps its copy of the program, before the usual places. Set here it is sent there; " +
      "set there it counts where none is sent.",
  ],
  [
    "BLOCKSYNC_BINARIES",
    "A directory with the programs for other platforms, such as blocksync-linux-arm64, besides that of the running one " +
      "and ~/.cache/blocksync.",
  ],
  ["BLOCKSYNC_DEBUG", "When set, a failure is followed by the places in the program that it came through."],
];

const EXAMPLES: readonly (readonly [command: string, meaning: string])[] = [
  ["blocksync disk.img /dev/sdX", "Write an image to a device, asking first."],
  ["blocksync -n /dev/sdb backup:/srv/disk.img", "Would anything change? Exit status 1 says yes."],
  ["blocksync root@db1:/dev/vg0/data /dev/vg1/data", "Pull a volume from another host."],
  ["blocksync old:/dev/sda new:/dev/vda", "From one host to another, through this one."],
  [
    "blocksync --on-read-error skip --mapfile sda.map /dev/sda backup:/srv/sda.img",
    "Save what can be read of a dying disk; ddrescue(1) can go on with the map.",
  ],
  [
    'command="/usr/local/bin/blocksync serve --only /srv/images/laptop.img",restrict ssh-ed25519 KEY',
    "In authorized_keys: a key that opens this path and nothing else.",
  ],
];

/**
 * Text as roff prints it: what it would take for its own is escaped, and a dash is the one of the keyboard, so that a
 * command copied from the page works.
 * @throws {Error} for a character without a form that every output device has.
 */
function roff(text: string): string {
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

function bold(text: string): string {
  return `\\fB${roff(text)}\\fR`;
}

function italic(text: string): string {
  return `\\fI${roff(text)}\\fR`;
}

/** A paragraph whose first line hangs out: a term that is already roff, and plain text about it. */
function entry(term: string, text: string): string {
  return `.TP\n${term}\n${roff(text)}`;
}

/** The parts of a form of the command line: what is typed as it stands is bold, what stands for something italic. */
function form(words: string): string {
  return words
    .split(/([\s[\]@:]+)/)
    .map((part) => (/^[A-Z]+$/.test(part) ? italic(part) : /^[\s[\]@:]*$/.test(part) ? roff(part) : bold(part)))
    .join("");
}

function synopsis(): string {
  const lines = SYNOPSIS.trim().split("\n");
  return lines
    .map((line) => {
      const [words = "", remark] = line.trim().split(/\s{3,}/);
      return `.TP\n${form(words)}${remark === undefined ? "" : `\n${roff(remark)}`}`;
    })
    .join("\n");
}

function option(name: string, definition: ArgDef): string {
  const { letter, aliases, value, initial, description } = spellingOf(definition);
  const names = [...(letter === "" ? [] : [`-${letter}`]), `--${name}`, ...aliases].map(bold).join(", ");
  const term = value === "" ? names : `${names} ${italic(value)}`;
  return entry(term, `${description}${initial === "" ? "" : ` [${initial}]`}`);
}

function section(title: string, ...parts: string[]): string {
  return [`.SH ${title}`, ...parts].join("\n");
}

/** Bun 1.4.5, measured. */
const BEFORE_MAIN =
  'Where not even the program\'s runtime can start (fewer than 8 open files, a stack under 152 KiB: ulimit -n, -s; a variable BUN_JSC_ that it does not know), it ends with 1 too, and says nothing on standard output. A script that has to be sure takes a 1 for "differs" only beside a line of compare, or the summary of --json.';

export function manPage(): string {
  return [
    '.\\" Made by scripts/man.ts from the option table; changes belong there.',
    `.TH BLOCKSYNC 1 "" "blocksync ${roff(VERSION)}" "User Commands"`,
    section("NAME", `blocksync \\- ${roff(SUMMARY)}`),
    section("SYNOPSIS", synopsis()),
    section(
      "DESCRIPTION",
      roff(
        "Makes DESTINATION, a block device, disk image or any large file, equal to SOURCE, and reads, sends and writes " +
          "only what it must. The far host needs an ssh server and nothing else: blocksync copies itself there on the " +
          "first run and finds that copy on the next.",
      ),
      ".PP",
      roff(
        "A block device is overwritten only after a yes on the terminal or with --force. Refused, forced or not, before " +
          "anything is written: a device that is mounted or in use (unless --allow names it), the disk of the running " +
          "system, the source under any of its names, a device that is too small or read-only. Success means that every " +
          "block that was touched was read back and has the hash of the source, and that the destination was flushed " +
          "to stable storage.",
      ),
    ),
    section(
      "OPTIONS",
      "A value in square brackets applies where the option is not given.",
      ...OPTION_GROUPS.map(([heading, options]) =>
        [
          `.SS "${roff(heading)}"`,
          ...Object.entries(options).map(([name, definition]) => option(name, definition)),
        ].join("\n"),
      ),
    ),
    section("LOCATIONS", roff(LOCATIONS.trim().replaceAll("\n", " "))),
    section(
      "EXIT STATUS",
      ...EXIT_CODES.map(([code, meaning]) => entry(bold(code.replace("/", ", ")), meaning)),
      ".PP",
      roff(BEFORE_MAIN),
    ),
    section(
      "FILES",
      "The far host keeps the program in the first of these directories that can hold and execute it, under a name with",
      "the SHA\\-256 of its contents:",
      ".PP",
      `.RS\n.nf\n${REMOTE_DIRECTORIES.map(roff).join("\n")}\n.fi\n.RE`,
    ),
    section("ENVIRONMENT", ...ENVIRONMENT.map(([name, meaning]) => entry(bold(name), meaning))),
    section(
      "EXAMPLES",
      ...EXAMPLES.map(([command, meaning]) => `.PP\n${roff(meaning)}\n.PP\n.RS\n.nf\n${roff(command)}\n.fi\n.RE`),
    ),
    section("SEE ALSO", ".BR ssh (1),\n.BR dd (1),\n.BR ddrescue (1),\n.BR rsync (1),\n.BR sshd (8)"),
    "",
  ].join("\n");
}

if (import.meta.main) {
  const directory = join(import.meta.dir, "../dist");
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "blocksync.1"), manPage());
}
