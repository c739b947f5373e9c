/** Accounts that sshd lets in to nothing, or not at all: what it says is shown, and what to do fits. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import fs from "node:fs";
import { run } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { NEEDS, testWith } from "../helpers/requirements.ts";
import { type Sshd, startSshd } from "../helpers/sshd.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";
import { throwawayUser, type User } from "../helpers/user.ts";

const onSshd = testWith("sshd", "users");
const CAN = NEEDS.sshd === undefined && NEEDS.users === undefined;

let dir: TempDir;
let user: User;

beforeAll(() => {
  dir = tempDir();
  fs.writeFileSync(dir.file("s"), bytes(3, 18 << 20));
  if (CAN) user = throwawayUser();
});
afterAll(() => {
  if (CAN) user[Symbol.dispose]();
  dir[Symbol.dispose]();
});

async function refusal(sshd: Sshd, ...words: string[]): Promise<{ said: string; hint: string }> {
  const result = await run(["-q", ...sshd.words, ...words, dir.file("s"), `${user.name}@127.0.0.1:${user.home}/never`]);
  expect(result.exitCode).toBe(5);
  const [, said = "", hint = ""] =
    /^blocksync: Cannot start blocksync on "127.0.0.1": ssh ended with (.*)\nblocksync: hint: (.*)\n$/.exec(
      result.stderr,
    ) ?? [];
  return { said, hint };
}

const NO_COMMANDS =
  "this account seems unable to run commands (sftp only, a login shell such as /bin/false, or a forced command): use another account";

interface Account {
  readonly name: string;
  readonly shell?: string;
  readonly lines?: readonly string[];
  /** Unless the shell that says it is this one. */
  readonly needs?: string;
  readonly said: string | RegExp;
  readonly hint: string | RegExp;
}

const ACCOUNTS: readonly Account[] = [
  {
    name: "for sftp only",
    lines: ["ForceCommand internal-sftp"],
    said: "exit status 1: This service allows sftp connections only.",
    hint: "this account may only use sftp: blocksync needs an account that may run commands, or serve --only as its forced command",
  },
  {
    name: "whose forced command is sftp-server",
    lines: ["ForceCommand /usr/lib/openssh/sftp-server"],
    needs: "/usr/lib/openssh/sftp-server",
    said: "exit status 11",
    hint: NO_COMMANDS,
  },
  {
    name: "with nologin as its shell",
    shell: "/usr/sbin/nologin",
    needs: "/usr/sbin/nologin",
    said: "exit status 1: This account is currently not available.",
    hint: "this account's login shell allows no logins (nologin): blocksync needs an account that may run commands",
  },
  { name: "with /bin/false as its shell", shell: "/bin/false", said: "exit status 1", hint: NO_COMMANDS },
  {
    name: "whose forced command says something else",
    lines: ["ForceCommand echo Backups by appointment only"],
    said: "exit status 0: Backups by appointment only",
    hint: /^try it by hand: /,
  },
  {
    name: "that sshd denies",
    lines: ["DenyUsers *"],
    said: /^exit status 255: .*: Permission denied \(/,
    hint: /^sshd accepted no key or password for this user, or refuses the account \(AllowUsers, expired\)/,
  },
  {
    name: "that may open no session",
    lines: ["MaxSessions 0"],
    said: "exit status 255: channel 0: open failed: connect failed: open failed",
    hint: /^sshd lets this account run no commands \(MaxSessions/,
  },
];

for (const { name, shell = "/bin/sh", lines = [], needs = "/", said, hint } of ACCOUNTS) {
  onSshd(`an account ${name} is told as such`, async () => {
    if (!fs.existsSync(needs)) return;
    user.useShell(shell);
    await using sshd = await startSshd({ lines: ["X11Forwarding no", `Match User ${user.name}`, ...lines] });
    const matching = (text: string | RegExp) => (typeof text === "string" ? text : expect.stringMatching(text));
    expect(await refusal(sshd)).toEqual({ said: matching(said), hint: matching(hint) });
    expect(fs.readdirSync(user.home)).toEqual([]);
  });
}

for (const words of [
  "exec request failed on channel 0",
  "Hi me! You've successfully authenticated, but GitHub does not provide shell access.",
  "This account is restricted by rssh.",
  "fatal: unrecognized command 'sh -c ...'",
  "Command not found. Use 'help' to get a list of available commands.",
]) {
  test(`an account that may run no command of ours is told as such: ${words}`, async () => {
    fs.writeFileSync(dir.file("rsh"), `#!/bin/sh\necho "${words}" >&2\nexit 1\n`, { mode: 0o755 });
    const result = await run(["-q", "-e", JSON.stringify(dir.file("rsh")), dir.file("s"), "h:/x"]);
    expect(result.stderr).toEndWith(`ended with exit status 1: ${words}\nblocksync: hint: ${NO_COMMANDS}\n`);
    expect(result.exitCode).toBe(5);
  });
}

onSshd("more logins at a time than sshd takes are told as such, with the options that help", async () => {
  user.useShell("/bin/sh");
  await using sshd = await startSshd({ lines: ["MaxStartups 1"] });
  const { said, hint } = await refusal(sshd, "-w", "16", "-l", "0");
  expect(said).toMatch(/^exit status 255: kex_exchange_identification: /);
  expect(hint).toStartWith("sshd limits logins at a time (MaxStartups, 10 by default)");
  expect(hint).toContain("fewer --workers or a longer --splay");
});
