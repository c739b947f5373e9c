/**
 * What a person reads after the most common mistakes: the whole of standard error, the hint, and the exit code. What can
 * happen at either end reads the same there. The compiled program; nothing of a file that was there is changed.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fs from "node:fs";
import { dirname, join } from "node:path";
import { commandHelp, helpText } from "../../src/cli/help.ts";
import { VERSION } from "../../src/version.ts";
import { BINARY, fakeSsh, type Result, type RunOptions, run } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { command, mounted } from "../helpers/disk.ts";
import { attachLoop } from "../helpers/loop.ts";
import { NEEDS, testWith } from "../helpers/requirements.ts";
import { freePort, type Sshd, startSshd } from "../helpers/sshd.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";
import { answering } from "../helpers/terminal.ts";
import { startTmux } from "../helpers/tmux.ts";
import { throwawayUser, type User } from "../helpers/user.ts";

const MIB = 1 << 20;

interface Mistake {
  readonly name: string;
  /**
   * In these and in what is said, DIR is the test's directory, LOOP a device of 512 KiB, MOUNTED one with a mounted file
   * system, LISTENED the port of an sshd, SILENT one that nobody listens on. A word that begins with "@" is at either end in turn.
   */
  readonly words: readonly string[];
  readonly exitCode: number;
  readonly says: string;
  readonly hint: string;
  readonly needs?: readonly (keyof typeof NEEDS)[];
  /** As a user who is not root. */
  readonly asUser?: boolean;
}

const USAGE: readonly Mistake[] = [
  {
    name: "a mistyped option",
    words: ["--dry-runn", "DIR/s", "DIR/d"],
    exitCode: 2,
    says: 'Unknown option "--dry-runn"',
    hint: "did you mean --dry-run?",
  },
  {
    name: "an option of another command",
    words: ["compare", "-n", "DIR/s", "DIR/d"],
    exitCode: 2,
    says: 'Unknown option "-n"',
    hint: "--dry-run is an option of sync",
  },
  {
    name: "a value for an option that takes none",
    words: ["--json=yes", "DIR/s", "DIR/d"],
    exitCode: 2,
    says: "The option --json takes no value",
    hint: "write --json alone",
  },
  {
    name: "a hash that there is not",
    words: ["-1", "sha-256", "DIR/s", "DIR/d"],
    exitCode: 2,
    says: '--hash "sha-256" is not one of auto, xxh3-xxh64, xxh128, sha256, sha512, blake2b512, md5, sha1, gmac',
    hint: "did you mean sha256?",
  },
  {
    name: "a unit that there is not",
    words: ["-b", "1X", "DIR/s", "DIR/d"],
    exitCode: 2,
    says: '--block-size "1X" is not a size such as 4096, 64K or 1M',
    hint: "units are K, M, G and T, powers of 1024 bytes; a number alone means bytes",
  },
  {
    name: "a unit twice",
    words: ["--expect-size", "10MM", "DIR/s", "DIR/d"],
    exitCode: 2,
    says: '--expect-size "10MM" is not a size such as 4096, 64K or 1M',
    hint: "units are K, M, G and T, powers of 1024 bytes; a number alone means bytes",
  },
  {
    name: "a block size without its unit",
    words: ["-b", "64", "DIR/s", "DIR/d"],
    exitCode: 2,
    says: '--block-size "64" is not a multiple of 4K from 4K to 16M',
    hint: "the default, 1M, suits nearly everything; a number alone means bytes",
  },
  {
    name: "a name with blanks that nobody quoted",
    words: ["my", "old", "disk.img", "DIR/d"],
    exitCode: 2,
    says: 'Too many arguments: "DIR/d"',
    hint: "give SOURCE DESTINATION or SOURCE HOST PATH; quote a name that contains spaces",
  },
  {
    name: "a name with one blank that nobody quoted",
    words: ["my", "./disk.img", "DIR/d"],
    exitCode: 2,
    says: '"./disk.img" is not a host: three arguments are SOURCE HOST PATH',
    hint: "quote a name that contains spaces",
  },
  {
    name: "a URL of ssh where three arguments want a host",
    words: ["DIR/s", "ssh://host", "DIR/d"],
    exitCode: 2,
    says: '"ssh://host" is not a host: three arguments are SOURCE HOST PATH',
    hint: "ssh://HOST:PORT/PATH is one argument",
  },
  {
    name: "messages into the source",
    words: ["-o", "DIR/s", "DIR/s", "DIR/d"],
    exitCode: 2,
    says: 'The file of --output "DIR/s" is the source itself',
    hint: "name another file",
  },
  {
    name: "messages into the map",
    words: ["-o", "DIR/m", "--on-read-error", "skip", "--mapfile", "DIR/m", "DIR/s", "DIR/d"],
    exitCode: 2,
    says: 'The rescue map "DIR/m" is the file of --output itself',
    hint: "name another file",
  },
  {
    name: "an option with a secret in its value",
    words: ["--password=hunter2", "DIR/s", "DIR/d"],
    exitCode: 2,
    says: 'Unknown option "--password"',
    hint: "a password does not belong on the command line: --pass VAR names the variable that holds it, or use a key",
  },
  {
    name: "a command behind options",
    words: ["-q", "compare", "DIR/s", "DIR/d"],
    exitCode: 2,
    says: "The command compare comes first, before any option",
    hint: "blocksync compare [OPTIONS] …; for a file of that name write ./compare",
  },
  {
    name: "options of rsync",
    words: ["-a", "-z", "--delete", "--partial", "DIR/s", "DIR/d"],
    exitCode: 2,
    says: 'Unknown options "-a", "-z", "--delete", "--partial"',
    hint:
      "-a: not needed: blocksync copies contents only, no owners, permissions, times or links\nblocksync: hint: " +
      "-z: not needed: what is sent is compressed where that saves bytes; --no-compress turns it off\nblocksync: hint: " +
      "--delete: not needed: blocksync deletes nothing; -T cuts a longer destination file to the source's size\nblocksync: hint: " +
      "--partial: not needed: run the same command again; it sends and writes only what still differs",
  },
  {
    name: "rsync's --progress, which takes no kind",
    words: ["--progress", "DIR/s", "DIR/d"],
    exitCode: 2,
    says: 'Too few arguments: --progress took "DIR/s" as its value',
    hint: "--progress KIND: how to show progress: auto, bar, plain or none",
  },
  {
    name: "dd's operands",
    words: ["if=s.img", "of=/dev/sdX", "bs=4M"],
    exitCode: 2,
    says: '"if=s.img" is dd\'s syntax',
    hint:
      "write blocksync s.img /dev/sdX\nblocksync: hint: bs= is -b SIZE here, and the default suits nearly everything\n" +
      'blocksync: hint: for a file of that name write "./if=s.img"',
  },
  {
    name: "a URL of a file",
    words: ["file://DIR/s", "DIR/d"],
    exitCode: 2,
    says: 'Cannot read "file://DIR/s" as PATH or HOST:PATH',
    hint: 'write "DIR/s"',
  },
  {
    name: "a path that the shell was to expand",
    words: ["DIR/s", "~/d"],
    exitCode: 2,
    says: 'The shell did not expand "~/d"',
    hint: 'leave "~" outside the quotes; for a file of that name write "./~/d"',
  },
  {
    name: "a host and its path without the colon",
    words: ["compare", "DIR/s", "root@box/dev/sdb"],
    exitCode: 2,
    says: 'There is no directory "root@box" for "root@box/dev/sdb"',
    hint: 'did you mean "root@box:/dev/sdb"?',
  },
  {
    name: "a refusal that nobody can override",
    words: ["--allow", "swap", "DIR/s", "DIR/d"],
    exitCode: 2,
    says: '--allow "swap" is not one of mounted, held, in-use, locked, unseen, packed',
    hint: "no other refusal can be overridden",
  },
  {
    name: "a command of another tool",
    words: ["diff", "DIR/s", "DIR/d"],
    exitCode: 2,
    says: '"diff" is neither a command nor a file',
    hint: "blocksync compare A B compares two files or devices and writes nothing",
  },
  {
    name: "a mistyped command",
    words: ["comapre", "DIR/s", "DIR/d"],
    exitCode: 2,
    says: '"comapre" is neither a command nor a file',
    hint: "did you mean blocksync compare?",
  },
  {
    name: "an unset variable",
    words: ["DIR/s", ""],
    exitCode: 2,
    says: "The name of a file or device is empty",
    hint: "is a shell variable unset?",
  },
  {
    name: "one argument",
    words: ["DIR/s"],
    exitCode: 2,
    says: "DESTINATION is missing",
    hint: "usage: blocksync SOURCE DESTINATION; blocksync help shows everything",
  },
  {
    name: "a host without its colon",
    words: ["/dev/sda", "root@backup"],
    exitCode: 2,
    says: '"root@backup" could be a host or a file',
    hint: 'write "root@backup:/dev/sda" for the host, "./root@backup" for a file',
  },
  {
    name: "a password in place of its variable",
    words: ["-P", "hunter2", "DIR/s", "host:DIR/d"],
    exitCode: 2,
    says: "--pass names a variable that is not set",
    hint: "name an exported variable that holds the password, never the password itself",
  },
  {
    name: "a mapfile that is none",
    words: ["--on-read-error", "skip", "--mapfile", "DIR/map", "DIR/s", "DIR/d"],
    exitCode: 2,
    says: 'Cannot read the rescue map "DIR/map": line 1 is not a line of a GNU ddrescue mapfile',
    hint: "--mapfile names a map that ddrescue or blocksync wrote for this source, or a new file",
  },
  {
    name: "a log in a directory that is not there",
    words: ["-o", "DIR/none/log", "DIR/s", "DIR/d"],
    exitCode: 4,
    says: 'Cannot open "DIR/none/log" for messages: no such file or directory',
    hint: "--output needs a file in an existing directory",
  },
];

const NOT_FOUND = "check the name (ls, lsblk); in a sync the source comes first, then the destination";
const NO_DISK = "the destination must be a regular file or a block device; for a directory, name a file in it";
const MAY_NOT = "run blocksync as root, or as a user with access; on the far side --sudo does that";

const EITHER_END: readonly Mistake[] = [
  {
    name: "a source that is not there",
    words: ["@DIR/none", "DIR/d"],
    exitCode: 4,
    says: 'Cannot open "@DIR/none": no such file or directory',
    hint: NOT_FOUND,
  },
  {
    name: "source and destination the wrong way round",
    words: ["@DIR/new.img", "DIR/s"],
    exitCode: 4,
    says: 'Cannot open "@DIR/new.img": no such file or directory',
    hint: NOT_FOUND,
  },
  {
    name: "a source that is a directory",
    words: ["@DIR/folder", "DIR/d"],
    exitCode: 4,
    says: 'Cannot open "@DIR/folder": it is a directory',
    hint: "name a regular file or a block device; to copy the files in a directory use rsync",
  },
  {
    name: "a source that is a named pipe",
    words: ["@DIR/pipe", "DIR/d"],
    exitCode: 4,
    says: 'Cannot open "@DIR/pipe": it is a named pipe',
    hint: "blocksync reads blocks in any order, and more than once: save its output to a file and use that",
  },
  {
    name: "a source that is a character device",
    words: ["@/dev/zero", "DIR/d"],
    exitCode: 4,
    says: 'Cannot open "@/dev/zero": it is a character device',
    hint: "name a block device (lsblk shows them) or a regular file; to fill a device with zeros use dd",
  },
  {
    name: "a destination that is a directory",
    words: ["DIR/s", "@DIR/folder/"],
    exitCode: 3,
    says: 'Refused to write to "@DIR/folder/": it is a directory (not-a-disk)',
    hint: NO_DISK,
  },
  {
    name: "a new destination with a slash at its end",
    words: ["DIR/s", "@DIR/new/"],
    exitCode: 3,
    says: 'Refused to create "@DIR/new/": the trailing slash makes it a directory (not-a-disk)',
    hint: "leave out the trailing slash to create a file of that name",
  },
  {
    name: "a destination in a directory that is not there",
    words: ["DIR/s", "@DIR/none/d"],
    exitCode: 4,
    says: 'Cannot create "@DIR/none/d": no such file or directory',
    hint: "create its directory first (mkdir -p), or correct the path",
  },
  {
    name: "a destination below a file",
    words: ["DIR/s", "@DIR/s/d"],
    exitCode: 4,
    says: 'Cannot open "@DIR/s/d": a part of the path is not a directory',
    hint: "check the path: one of its directories is a file",
  },
  {
    name: "a link into nothing as the destination",
    words: ["DIR/s", "@DIR/dangling"],
    exitCode: 3,
    says: 'Refused to write to "@DIR/dangling": it is a symbolic link to "DIR/nowhere", which does not exist (dangling-link)',
    hint: "create the link's target, name the target itself, or remove the link",
  },
  {
    name: "the same file twice",
    words: ["@DIR/s", "@DIR/hardlink"],
    exitCode: 3,
    says: 'Refused to write to "@DIR/hardlink": it is the same file as the source "@DIR/s" (same-file)',
    hint: "both names lead to it (readlink -f, hard links): check which of them is wrong",
  },
  {
    name: "a device that is not there",
    words: ["DIR/s", "@/dev/no-such-disk"],
    exitCode: 3,
    says: 'Refused to create "@/dev/no-such-disk": there is no such device (missing-device)',
    hint: "nothing is ever created under /dev; lsblk lists the block devices",
  },
  {
    name: "a destination that only root may write to",
    words: ["DIR/s", "@DIR/secret"],
    asUser: true,
    needs: ["users"],
    exitCode: 4,
    says: 'Cannot open "@DIR/secret": permission denied',
    hint: MAY_NOT,
  },
  {
    name: "a destination where only root may create",
    words: ["DIR/s", "@DIR/d"],
    asUser: true,
    needs: ["users"],
    exitCode: 4,
    says: 'Cannot create "@DIR/d": permission denied',
    hint: MAY_NOT,
  },
  {
    name: "a source that only root may read",
    words: ["@DIR/secret", "/dev/shm/blocksync-mistake"],
    asUser: true,
    needs: ["users"],
    exitCode: 4,
    says: 'Cannot open "@DIR/secret": permission denied',
    hint: MAY_NOT,
  },
  {
    name: "a full disk",
    words: ["DIR/s", "@DIR/full/d"],
    needs: ["loop"],
    exitCode: 4,
    says: 'Cannot write N bytes at offset N of "@DIR/full/d": no space left on device',
    hint: "the destination is a mixture of old and new until a run succeeds: free some space (df -h) and run again",
  },
  {
    name: "a device that is too small",
    words: ["-f", "DIR/s", "@LOOP"],
    needs: ["loop"],
    exitCode: 3,
    says: 'Refused to write to "@LOOP": the source has 1.0 MiB, the device only 512.0 KiB (too-small)',
    hint: "a device never changes size: choose a larger one, or shrink the source first",
  },
  {
    name: "a device without --force",
    words: ["DIR/small", "@LOOP"],
    needs: ["loop"],
    exitCode: 3,
    says: 'Refused to write to "@LOOP": it is a block device and there is no terminal to ask on (unconfirmed)',
    hint: "--force overwrites a device without asking",
  },
  {
    name: "a mounted device",
    words: ["-f", "DIR/small", "@MOUNTED"],
    needs: ["loop", "mkfs"],
    exitCode: 3,
    says: 'Refused to write to "@MOUNTED": it is mounted on "DIR/mnt" (mounted)',
    hint: 'unmount it first: umount "DIR/mnt"; --allow mounted writes to it anyway',
  },
];

const BY_HAND = "ssh -F 'DIR/config'";
const CONFIG = '-F "DIR/config"';
/** With none of the keys that would be let in. */
const STRANGER = `-F none -o IdentitiesOnly=yes -o 'UserKnownHostsFile="DIR/known"'`;

const LOGIN: readonly Mistake[] = [
  {
    name: "a host name that there is not",
    words: ["DIR/s", "root@backpu.invalid:DIR/d"],
    exitCode: 5,
    says: 'Cannot start blocksync on "backpu.invalid": ssh ended with exit status 255: ssh: Could not resolve hostname backpu.invalid: WHY',
    hint: "check the spelling of the name; ssh looks it up in ~/.ssh/config, /etc/hosts and DNS",
  },
  {
    name: "a port that nobody listens on",
    words: ["DIR/s", "ssh://127.0.0.1:SILENT/DIR/d"],
    exitCode: 5,
    says: 'Cannot start blocksync on "127.0.0.1": ssh ended with exit status 255: ssh: connect to host 127.0.0.1 port SILENT: Connection refused',
    hint: "no ssh server listens on that port: is sshd running? ssh://HOST:PORT/PATH names another port",
  },
  {
    name: "a key that is not accepted",
    words: ["-x", STRANGER, "-i", "DIR/other", "DIR/s", "ssh://127.0.0.1:LISTENED/DIR/d"],
    exitCode: 5,
    says: 'Cannot start blocksync on "127.0.0.1": ssh ended with exit status 255: ACCOUNT@127.0.0.1: Permission denied (publickey).',
    hint: "sshd accepted no key or password for this user, or refuses the account (AllowUsers, expired): --id names a key, USER@HOST another user, --pass the variable that holds a password",
  },
  {
    name: "a host whose key has changed",
    words: ["-x", `${CONFIG} -o 'UserKnownHostsFile="DIR/changed"'`, "DIR/s", "up:DIR/d"],
    exitCode: 5,
    says: 'Cannot start blocksync on "up": ssh ended with exit status 255: Offending ED25519 key in DIR/changed:1 | Host key for [127.0.0.1]:LISTENED has changed and you have requested strict checking. | Host key verification failed.',
    hint: "the host was reinstalled, or something else answers in its place: find out which, then remove the old key with ssh-keygen -R",
  },
  {
    name: "a host whose key is not known",
    words: ["-x", `${CONFIG} -o UserKnownHostsFile=none`, "DIR/s", "up:DIR/d"],
    exitCode: 5,
    says: 'Cannot start blocksync on "up": ssh ended with exit status 255: Host key verification failed.',
    hint: `ssh does not know this host's key yet: log in once by hand and check it: ${BY_HAND} -o UserKnownHostsFile=none up true`,
  },
  {
    name: "an option that ssh does not know",
    words: ["-x", `${CONFIG} -o NoSuchOption=1`, "DIR/s", "up:DIR/d"],
    exitCode: 5,
    says: 'Cannot start blocksync on "up": ssh ended with exit status 255: command-line: line 0: Bad configuration option: nosuchoption',
    hint: "check --extra-params and ssh's own configuration (~/.ssh/config)",
  },
  {
    name: "a program that is not there",
    words: ["-x", CONFIG, "-S", "/nowhere/blocksync", "DIR/s", "up:DIR/d"],
    exitCode: 5,
    says: 'Cannot start blocksync on "up": ssh ended with exit status 127: SHELL: /nowhere/blocksync',
    hint: "the far side did not find that program or a library it needs: leave out --script and blocksync copies itself there",
  },
  {
    name: "two remotes of which one is down",
    words: ["-x", CONFIG, "up:DIR/s", "down:DIR/d"],
    exitCode: 5,
    says: 'Cannot start blocksync on "down": ssh ended with exit status 255: ssh: connect to host 127.0.0.1 port SILENT: Connection refused',
    hint: "no ssh server listens on that port: is sshd running? ssh://HOST:PORT/PATH names another port",
  },
  {
    name: "a login that fails for a reason of its own",
    words: ["-e", "'DIR/odd'", "DIR/s", "root@up:DIR/d"],
    exitCode: 5,
    says: 'Cannot start blocksync on "up": DIR/odd ended with exit status 3: odd: out of order | odd: sorry',
    hint: "try it by hand: the --rsh command followed by the host and true; -v shows the command and its full output",
  },
  {
    name: "an ssh that is not in PATH",
    words: ["-e", "no-such-ssh -4", "DIR/s", "up:DIR/d"],
    exitCode: 5,
    says: 'Cannot start "no-such-ssh": not found in PATH',
    hint: "install it on this machine; --rsh names a remote shell to use instead of ssh",
  },
  {
    name: "an ssh that is not installed",
    words: ["-e", "/no/such/ssh", "DIR/s", "up:DIR/d"],
    exitCode: 5,
    says: 'Cannot start "/no/such/ssh": no such file or directory',
    hint: "install it on this machine; --rsh names a remote shell to use instead of ssh",
  },
];

/** Everything the rows speak of. */
class Bench implements AsyncDisposable {
  readonly dir: TempDir = tempDir();
  readonly #stack = new DisposableStack();
  readonly #names = new Map<string, string>();
  #sshd: Sshd | undefined;
  user: User | undefined;

  async prepare(): Promise<void> {
    const { dir } = this;
    fs.chmodSync(dir.path, 0o755);
    fs.writeFileSync(dir.file("s"), bytes(901, MIB));
    fs.writeFileSync(dir.file("small"), bytes(902, MIB / 4));
    fs.writeFileSync(dir.file("secret"), "", { mode: 0o600 });
    fs.writeFileSync(dir.file("map"), "my notes\n");
    fs.linkSync(dir.file("s"), dir.file("hardlink"));
    fs.symlinkSync(dir.file("nowhere"), dir.file("dangling"));
    if (Bun.spawnSync(["mkfifo", dir.file("pipe")]).exitCode !== 0) throw new Error("no pipe");
    const odd = "#!/bin/sh\necho odd: out of order >&2\necho '  odd: sorry' >&2\nexit 3\n";
    fs.writeFileSync(dir.file("odd"), odd, { mode: 0o755 });
    for (const name of ["folder", "full", "mnt", "cache"]) fs.mkdirSync(dir.file(name));
    if (NEEDS.users === undefined) this.user = this.#stack.use(throwawayUser());
    if (NEEDS.loop === undefined) this.#attach();
    this.#names.set("SILENT", String(freePort()));
    if (NEEDS.sshd === undefined) await this.#startSshd();
    this.#names.set("DIR", dir.path);
  }

  #attach(): void {
    const { dir } = this;
    command("mount", "-t", "tmpfs", "-o", "size=256k", "none", dir.file("full"));
    this.#stack.defer(() => command("umount", dir.file("full")));
    fs.writeFileSync(dir.file("disk"), bytes(903, MIB / 2));
    this.#names.set("LOOP", this.#stack.use(attachLoop(dir.file("disk"))).path);
    if (NEEDS.mkfs !== undefined) return;
    fs.writeFileSync(dir.file("formatted"), Buffer.alloc(4 * MIB));
    command("mkfs.ext4", "-q", "-F", dir.file("formatted"));
    const { path } = this.#stack.use(attachLoop(dir.file("formatted")));
    this.#names.set("MOUNTED", path);
    this.#stack.use(mounted(path, dir.file("mnt"), "-o", "ro"));
  }

  async #startSshd(): Promise<void> {
    const { dir } = this;
    this.#sshd = await startSshd({ lines: ["KbdInteractiveAuthentication no"] });
    const { port, configFile, user } = this.#sshd;
    command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", dir.file("other"));
    fs.writeFileSync(dir.file("changed"), `[127.0.0.1]:${port} ${fs.readFileSync(dir.file("other.pub"), "utf8")}`);
    fs.copyFileSync(join(dirname(configFile), "known_hosts"), dir.file("known"));
    const config = [
      "Host up down",
      "  HostName 127.0.0.1",
      "Host down",
      `  Port ${this.#names.get("SILENT")}`,
      "Host *",
      `  Include "${configFile}"`,
      "",
    ];
    fs.writeFileSync(dir.file("config"), config.join("\n"));
    this.#names.set("LISTENED", String(port)).set("ACCOUNT", user);
  }

  /** A row's word, or what it says. */
  fill(text: string): string {
    let filled = text;
    for (const [name, value] of this.#names) filled = filled.replaceAll(name, value);
    return filled;
  }

  /** Runs a row with what begins with "@" at `host`, "" for this machine; `words` come before its own. */
  async run(mistake: Mistake, host: string, words: readonly string[]): Promise<Result> {
    const own = mistake.words.map((word) => this.fill(word.replace(/^@/, host)));
    const command = own[0] === "compare" ? own.splice(0, 1) : [];
    const { user } = this;
    const asUser = ["setpriv", `--reuid=${user?.uid}`, `--regid=${user?.uid}`, "--clear-groups"];
    const options: RunOptions =
      mistake.asUser === true
        ? { argv0: asUser, env: { HOME: user?.home } }
        : { env: { BLOCKSYNC_REMOTE_DIR: this.dir.file("cache") } };
    return await run([...command, "-q", ...words, ...own], options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sshd?.[Symbol.asyncDispose]();
    this.#stack.dispose();
    this.dir[Symbol.dispose]();
  }
}

/** Leaves out what differs between machines: numbers of a short write, words of the resolver and of the login shell. */
function plain(stderr: string): string {
  return stderr
    .replaceAll(/Cannot write \d+ bytes at offset \d+/g, "Cannot write N bytes at offset N")
    .replaceAll(/(status 127): .*(\/nowhere\S+): .*/g, "$1: SHELL: $2")
    .replaceAll(/(Could not resolve hostname [^:]*): .*/g, "$1: WHY");
}

const bench = new Bench();
beforeAll(() => bench.prepare());
afterAll(() => bench[Symbol.asyncDispose]());

/** Standard error as a whole, with the label of `host` in place of "@". */
function expected({ says, hint }: Mistake, host: string): string {
  return bench.fill(`blocksync: ${says.replaceAll('"@', `"${host}`)}\nblocksync: hint: ${hint}\n`);
}

async function expectSaid(mistake: Mistake, host = "", words: readonly string[] = []): Promise<void> {
  const before = fs.readFileSync(bench.dir.file("s"));
  const { exitCode, stdout, stderr } = await bench.run(mistake, host, words);
  expect({ exitCode, stdout, stderr: plain(stderr) }).toEqual({
    exitCode: mistake.exitCode,
    stdout: "",
    stderr: expected(mistake, host),
  });
  expect(fs.readFileSync(bench.dir.file("s")).equals(before)).toBe(true);
  for (const name of ["d", "new", "nowhere", "full/d"]) fs.rmSync(bench.dir.file(name), { force: true });
}

describe("on the command line", () => {
  for (const mistake of USAGE) test(mistake.name, () => expectSaid(mistake));

  test("serve on a terminal says that nobody has to start it, instead of waiting", async () => {
    const { exitCode, seen } = await answering(["serve"], "never asked", "");
    expect({ exitCode, seen }).toEqual({
      exitCode: 2,
      seen:
        "blocksync: serve talks to another blocksync, not to a terminal\r\n" +
        "blocksync: hint: you need not start it: blocksync SOURCE HOST:PATH does that on HOST, over ssh\r\n",
    });
  });

  test("nothing at all prints the list of options", async () => {
    expect(await run([])).toEqual({ exitCode: 2, stdout: "", stderr: helpText(80) });
    expect(await run([], { env: { COLUMNS: "132" } })).toMatchObject({ exitCode: 2, stderr: helpText(132) });
  });
});

describe("help", () => {
  const COLUMNS = { env: { COLUMNS: "100" } };

  test("is everything, or of one command, in each of the ways it is asked for", async () => {
    for (const words of [["help"], ["--help"], ["-h"], ["help", "me"], ["-v", "--help"], ["-h", "a", "b"]])
      expect(await run(words, COLUMNS)).toEqual({ exitCode: 0, stdout: helpText(100), stderr: "" });
    for (const command of ["sync", "compare", "clean", "serve"] as const)
      for (const words of [
        ["help", command],
        [command, "--help"],
        [command, "-h"],
        ["-h", command],
        ["--help", command],
      ])
        expect(await run(words, COLUMNS)).toEqual({ exitCode: 0, stdout: commandHelp(command, 100), stderr: "" });
  });

  test("is no command where a file has its name, nor is version", async () => {
    using dir = tempDir();
    for (const name of ["help", "version"]) {
      fs.writeFileSync(dir.file(name), name);
      expect(await run(["-q", name, "./d"], { cwd: dir.path })).toEqual({ exitCode: 0, stdout: "", stderr: "" });
      expect(fs.readFileSync(dir.file("d"), "utf8").slice(0, name.length)).toBe(name);
      expect(await run([name, "d"], { cwd: dir.path })).toMatchObject({ exitCode: 0, stdout: "" });
    }
  });

  test("of the version is given in each of the ways it is asked for", async () => {
    const { stdout } = await run(["--version"]);
    expect(stdout).toStartWith(`blocksync ${VERSION} (build `);
    for (const words of [["-V"], ["version"], ["--version", "-v"], ["-v", "--version"], ["compare", "--version"]])
      expect(await run(words)).toEqual({ exitCode: 0, stdout, stderr: "" });
    expect(await run(["--version", "a", "b"])).toMatchObject({ exitCode: 2, stdout: "" });
  });

  testWith("tmux")("leaves usage and an example on a small terminal, no line cut or broken", async () => {
    using dir = tempDir();
    using tmux = await startTmux(dir.path, 80, 25);
    tmux.type(`'${BINARY}'`);
    const seen = await tmux.see("the end", (lines) => lines.length > 20 && lines.at(-1) === "$");
    expect(seen.slice(0, -1)).toEqual(
      helpText(80)
        .trimEnd()
        .split("\n")
        .slice(-seen.length + 1),
    );
    expect(seen).toContain("Usage:");
    expect(seen).toContain("Examples:");
  });
});

describe("at either end, in the same words", () => {
  for (const mistake of EITHER_END) {
    testWith(...(mistake.needs ?? []))(mistake.name, async () => {
      await expectSaid(mistake);
      await expectSaid(mistake, "far:", fakeSsh(bench.dir.file("far-ssh")));
    });
  }
});

describe("on the way to a host", () => {
  for (const mistake of LOGIN) testWith("sshd")(mistake.name, () => expectSaid(mistake));
});

describe("besides", () => {
  test("-v shows the command of the connection, and no password in it", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("sshpass"), "#!/bin/sh\necho denied >&2\nexit 5\n", { mode: 0o755 });
    const words = ["-v", "-e", "sshpass -p hunter2 ssh -p 2222", "-i", "my key", bench.dir.file("s"), "root@box:/b"];
    const result = await run(words, { env: { PATH: `${dir.path}:${process.env["PATH"]}` } });
    const command = "sshpass -p … ssh -p 2222 -i 'my key' root@box";
    expect(result).toEqual({
      exitCode: 5,
      stdout: "",
      stderr:
        `Running: ${command} (bootstrap) serve\ndenied\n` +
        'blocksync: Cannot start blocksync on "box": sshpass ended with exit status 5: denied\n' +
        `blocksync: hint: try it by hand: the --rsh command followed by the host and true; -v shows the command and its full output\n`,
    });
  });

  test("where a failure comes from in the code is shown with BLOCKSYNC_DEBUG alone", async () => {
    const plainly = await run(["a"]);
    expect(plainly.stderr.split("\n").length).toBe(3);
    const debugged = await run(["a"], { env: { BLOCKSYNC_DEBUG: "1" } });
    expect(debugged.stderr).toStartWith(plainly.stderr);
    expect(debugged.stderr).toMatch(/\n +at /);
  });
});
