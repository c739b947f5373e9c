/** sudo on the far side: the real one, for users of this machine's sshd. */
import { afterAll, beforeAll, expect } from "bun:test";
import fs from "node:fs";
import { BINARY, run } from "../helpers/binary.ts";
import { NEEDS, testWith } from "../helpers/requirements.ts";
import { type Sshd, startSshd } from "../helpers/sshd.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";
import { throwawayUser, type User } from "../helpers/user.ts";

const onSudo = testWith("sshd", "users", "sudo");
const CAN = NEEDS.sshd === undefined && NEEDS.users === undefined && NEEDS.sudo === undefined;
const SECRET = `pa ss'w"o$rd\\${process.pid}%`;
const PROMPT = 'Password for sudo on "127.0.0.1": ';
const CONTENTS = "only root may write there\n".repeat(200_000);
const RULES = `/etc/sudoers.d/blocksync-test-${process.pid}`;

let sshd: Sshd;
let user: User;
let dir: TempDir;

beforeAll(async () => {
  dir = tempDir();
  if (!CAN) return;
  sshd = await startSshd();
  user = throwawayUser();
  setPassword(Buffer.from(SECRET));
  fs.writeFileSync(dir.file("s"), CONTENTS);
});
afterAll(async () => {
  fs.rmSync(RULES, { force: true });
  if (CAN) {
    user[Symbol.dispose]();
    await sshd[Symbol.asyncDispose]();
  }
  dir[Symbol.dispose]();
});

function setPassword(password: Uint8Array): void {
  const line = Buffer.concat([Buffer.from(`${user.name}:`), password, Buffer.from("\n")]);
  const set = Bun.spawnSync(["/usr/sbin/chpasswd"], { stdin: line });
  if (set.exitCode !== 0) throw new Error(set.stderr.toString());
}

/** Rules of sudo for the user; "" takes them all away. */
function allow(rule: string, defaults = ""): void {
  const lines = [defaults === "" ? "" : `Defaults:${user.name} ${defaults}`, rule === "" ? "" : `${user.name} ${rule}`];
  fs.writeFileSync(RULES, `${lines.join("\n")}\n`, { mode: 0o440 });
}

function words(...more: string[]): string[] {
  return [...sshd.words, "-s", "-v", ...more, dir.file("s"), `${user.name}@127.0.0.1:${dir.file("d")}`];
}

/** Where a secret can be seen by others: argument lists, and the environment of any process. */
function isExposed(secret: string): boolean {
  return fs
    .readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .some((pid) =>
      ["cmdline", "environ"].some((name) => {
        try {
          return fs.readFileSync(`/proc/${pid}/${name}`, "latin1").includes(secret);
        } catch {
          return false;
        }
      }),
    );
}

/** Runs on a terminal, giving the answers one after the other, each when it is asked. */
async function answer(words: readonly string[], answers: readonly (string | Uint8Array)[]) {
  let seen = "";
  let asked = 0;
  let exposed = false;
  const child = Bun.spawn([BINARY, ...words], {
    terminal: {
      cols: 400,
      rows: 50,
      data: (terminal, data) => {
        seen += new TextDecoder().decode(data);
        while (asked < seen.split(PROMPT).length - 1) {
          terminal.write(answers[asked++] ?? "surplus");
          terminal.write("\r");
        }
      },
    },
  });
  while (child.exitCode === null) {
    exposed ||= isExposed(SECRET);
    await Promise.race([child.exited, Bun.sleep(10)]);
  }
  child.terminal?.close();
  return { exitCode: child.exitCode, seen, asked, exposed };
}

onSudo("D6.33 a password is asked once on the terminal, for all lanes, and is seen nowhere", async () => {
  allow("ALL=(ALL) ALL");
  fs.rmSync(dir.file("d"), { force: true });
  const logins = () => sshd.log().match(/Accepted publickey/g)?.length ?? 0;
  const before = logins();
  const { exitCode, seen, asked, exposed } = await answer(words("-w", "2", "-l", "0"), [SECRET]);
  expect(seen).toContain("Completed in");
  expect({ exitCode, asked, exposed }).toEqual({ exitCode: 0, asked: 1, exposed: false });
  expect(logins() - before).toBe(2);
  expect(seen).not.toContain(SECRET);
  expect(sshd.log()).not.toContain(SECRET);
  expect(fs.readFileSync(dir.file("d"), "utf8")).toBe(CONTENTS);
  expect(fs.statSync(dir.file("d")).uid).toBe(0);
});

onSudo("D6.33 a wrong password is asked again as often as sudo does, then exits 5", async () => {
  allow("ALL=(ALL) ALL", "passwd_tries=2");
  fs.rmSync(dir.file("d"), { force: true });
  const wrong = await answer(words(), ["no", "wrong"]);
  expect(wrong.seen).toContain('Cannot start blocksync on "127.0.0.1": ssh ended with exit status 1');
  expect(wrong.seen).toContain("2 incorrect password attempts");
  expect({ exitCode: wrong.exitCode, asked: wrong.asked }).toEqual({ exitCode: 5, asked: 2 });
  expect(fs.existsSync(dir.file("d"))).toBe(false);
  const second = await answer(words(), ["no", SECRET]);
  expect({ exitCode: second.exitCode, asked: second.asked }).toEqual({ exitCode: 0, asked: 2 });
});

onSudo("D6.33 with NOPASSWD, and with a ticket, nothing is asked and no byte of the protocol is lost", async () => {
  for (const [rule, defaults] of [
    ["ALL=(ALL) NOPASSWD: ALL", ""],
    ["ALL=(ALL) NOPASSWD: ALL", "use_pty"],
    ["ALL=(ALL) ALL", "timestamp_type=global"],
  ] as const) {
    allow(rule, defaults);
    if (!rule.includes("NOPASSWD")) {
      const ticket = Bun.spawnSync(["runuser", "-u", user.name, "--", "sudo", "-S", "-v"], {
        stdin: Buffer.from(`${SECRET}\n`),
      });
      expect(ticket.exitCode).toBe(0);
    }
    fs.rmSync(dir.file("d"), { force: true });
    const { exitCode, asked } = await answer(words(), []);
    expect({ exitCode, asked }).toEqual({ exitCode: 0, asked: 0 });
    fs.rmSync(dir.file("d"), { force: true });
    expect((await run(words())).exitCode).toBe(0);
    expect(fs.readFileSync(dir.file("d"), "utf8")).toBe(CONTENTS);
  }
  Bun.spawnSync(["runuser", "-u", user.name, "--", "sudo", "-K"]);
});

onSudo("D6.33 a sudo that asks in a pseudo terminal of its own and logs what is printed works", async () => {
  allow("ALL=(ALL) ALL", `use_pty,log_output,pwfeedback,iolog_dir="${dir.file("log")}"`);
  fs.rmSync(dir.file("d"), { force: true });
  const { exitCode, asked, exposed } = await answer(words(), [SECRET]);
  expect({ exitCode, asked, exposed }).toEqual({ exitCode: 0, asked: 1, exposed: false });
  expect(fs.readFileSync(dir.file("d"), "utf8")).toBe(CONTENTS);
  expect(Bun.spawnSync(["grep", "-rqF", SECRET, dir.file("log")]).exitCode).toBe(1);
});

onSudo("D6.33 without a terminal a password is not asked: exit 5, with what to do", async () => {
  allow("ALL=(ALL) ALL");
  const result = await run(words());
  expect(result.stderr).toContain('Cannot start blocksync on "127.0.0.1": sudo needs a password');
  expect(result.stderr).toContain("run blocksync on a terminal, where it can ask");
  expect(result.exitCode).toBe(5);
});

onSudo("D6.33 a sudo that wants a terminal, or does not know the user, is named", async () => {
  allow("ALL=(ALL) ALL", "requiretty");
  const tty = await answer(words(), [SECRET]);
  expect(tty.seen).toContain("you must have a tty to run sudo");
  expect(tty.seen).toContain("requiretty");
  expect(tty.exitCode).toBe(5);
  allow("");
  const unknown = await answer(words(), [SECRET]);
  expect(unknown.seen).toContain("is not in the sudoers file");
  expect(unknown.exitCode).toBe(5);
});

onSudo("D6.33 with -S the password is asked too, and the program there is run", async () => {
  allow(`ALL=(ALL) ${BINARY} serve`);
  fs.rmSync(dir.file("d"), { force: true });
  const { exitCode, asked } = await answer(words("-S", BINARY), [SECRET]);
  expect({ exitCode, asked }).toEqual({ exitCode: 0, asked: 1 });
});

onSudo("D6.33 the environment handed through has no BUN_ and no LD_ variable", async () => {
  allow("ALL=(ALL) NOPASSWD: ALL", "!env_reset");
  await using noisy = await startSshd({
    keyOptions: `command="export BUN_OPTIONS=--bad BUN_X_Y=1 LD_AUDIT_X=2; eval \\"$SSH_ORIGINAL_COMMAND\\""`,
  });
  const child = Bun.spawn(
    [BINARY, ...noisy.words, "-s", "-p", "100", dir.file("s"), `${user.name}@127.0.0.1:${dir.file("d")}`],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  const environments = new Set<string>();
  while (child.exitCode === null) {
    for (const pid of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      try {
        if (!/^\.\/blocksync-[0-9a-f]{64}\0serve/.test(fs.readFileSync(`/proc/${pid}/cmdline`, "latin1"))) continue;
        environments.add(fs.readFileSync(`/proc/${pid}/environ`, "latin1"));
      } catch {
        // It ended between the two looks.
      }
    }
    await Promise.race([child.exited, Bun.sleep(10)]);
  }
  expect(child.exitCode).toBe(0);
  expect(environments.size).toBeGreaterThan(0);
  for (const environment of environments) expect(environment).not.toMatch(/(^|\0)(BUN|LD)_/);
});

onSudo("D6.33 a password is what the terminal sends, byte for byte, also where that is not UTF-8", async () => {
  allow("ALL=(ALL) ALL");
  fs.rmSync(dir.file("d"), { force: true });
  const latin1 = Buffer.from("sch\xf6nes Pa\xdfwort", "latin1");
  setPassword(latin1);
  try {
    const { exitCode, asked } = await answer(words("-S", BINARY), [latin1]);
    expect({ exitCode, asked }).toEqual({ exitCode: 0, asked: 1 });
  } finally {
    setPassword(Buffer.from(SECRET));
  }
});
