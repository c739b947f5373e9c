/** Passwords of ssh itself: --pass, by this program as ssh's askpass, against a real sshd. */
import { afterAll, beforeAll, expect } from "bun:test";
import fs from "node:fs";
import { dirname } from "node:path";
import { run } from "../helpers/binary.ts";
import { NEEDS, testWith } from "../helpers/requirements.ts";
import { type Sshd, startSshd } from "../helpers/sshd.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";
import { throwawayUser, type User } from "../helpers/user.ts";

const onSshd = testWith("sshd", "users");
const CAN = NEEDS.sshd === undefined && NEEDS.users === undefined;
const SECRET = 'it\'s a "secret" $HOME';

let sshd: Sshd;
let user: User;
let dir: TempDir;

beforeAll(async () => {
  dir = tempDir();
  fs.writeFileSync(dir.file("s"), "contents");
  if (!CAN) return;
  user = throwawayUser();
  const set = Bun.spawnSync(["/usr/sbin/chpasswd"], { stdin: Buffer.from(`${user.name}:${SECRET}\n`) });
  if (set.exitCode !== 0) throw new Error(set.stderr.toString());
  sshd = await startSshd({
    lines: [`Match User ${user.name}`, "PasswordAuthentication yes", "AuthenticationMethods password"],
  });
});
afterAll(async () => {
  if (CAN) {
    await sshd[Symbol.asyncDispose]();
    user[Symbol.dispose]();
  }
  dir[Symbol.dispose]();
});

onSshd("--pass answers ssh's question for a password, without an argument that shows it", async () => {
  const words = [...sshd.words, "-v", "-P", "TEST_SECRET", dir.file("s"), `${user.name}@127.0.0.1:${user.home}/d`];
  const result = await run(words, { env: { TEST_SECRET: SECRET } });
  expect(result.exitCode).toBe(0);
  expect(result.stderr).not.toContain(SECRET);
  expect(fs.readFileSync(`${user.home}/d`, "utf8")).toBe("contents");
  expect(sshd.log()).toContain(`Accepted password for ${user.name}`);
});

onSshd("a wrong password of --pass is tried once, and exits 5", async () => {
  const words = [...sshd.words, "-P", "TEST_SECRET", dir.file("s"), `${user.name}@127.0.0.1:${user.home}/never`];
  const result = await run(words, { env: { TEST_SECRET: "wrong" } });
  expect(result.stderr).toContain("Permission denied");
  expect(result.exitCode).toBe(5);
  expect(sshd.log().match(/Failed password/g)?.length).toBe(1);
});

/** ssh hands -F on to the ssh of a jump without quotes, so it must be a path without spaces. */
function config(): string {
  const path = `${user.home}/config`;
  fs.copyFileSync(sshd.configFile, path);
  return path;
}

for (const [way, option] of [
  ["ProxyJump", () => `-J ${user.name}@127.0.0.1`],
  ["ProxyCommand", () => `-o "ProxyCommand=sh -c 'exec ssh -F ${config()} -W %h:%p ${user.name}@127.0.0.1'"`],
] as const) {
  onSshd(`--pass tells no host on the way (${way}) the password of the host behind it`, async () => {
    const before = sshd.log().length;
    const to = `${user.name}@127.0.0.1:${user.home}/never`;
    const words = ["-q", "-x", `-F ${config()} ${option()}`, "-P", "TEST_SECRET", dir.file("s"), to];
    const result = await run(words, { env: { TEST_SECRET: SECRET } });
    expect(result.stderr).toContain(
      `blocksync: --pass is for the host itself, not for "${user.name}@127.0.0.1's password: " of a host on the way`,
    );
    expect(result.stderr).toContain("\nblocksync: hint: use a key or an agent for that host");
    expect(result.exitCode).toBe(5);
    expect(sshd.log().slice(before)).not.toContain("Accepted password");
    expect(fs.existsSync(`${user.home}/never`)).toBe(false);
  });
}

onSshd("--pass answers behind a host on the way that has a key, and behind a wrapper of ssh", async () => {
  fs.writeFileSync(dir.file("wrapper"), '#!/bin/sh\nssh "$@"\nexit $?\n', { mode: 0o755 });
  const to = `${user.name}@127.0.0.1:${user.home}/behind`;
  for (const more of [
    ["-x", `-F ${config()} -J ${sshd.user}@127.0.0.1`],
    ["-e", JSON.stringify(dir.file("wrapper")), "-x", `-F ${config()} -o NumberOfPasswordPrompts=1`],
  ]) {
    const result = await run(["-q", ...more, "-P", "TEST_SECRET", dir.file("s"), to], { env: { TEST_SECRET: SECRET } });
    expect({ exitCode: result.exitCode, stderr: result.stderr }).toEqual({
      exitCode: 0,
      stderr: expect.stringMatching(/^(Copying .*\n)?$/),
    });
    expect(fs.readFileSync(`${user.home}/behind`, "utf8")).toBe("contents");
    fs.rmSync(`${user.home}/behind`);
  }
});

onSshd("--pass answers where blocksync itself was started by something called ssh", async () => {
  fs.writeFileSync(dir.file("ssh"), '#!/bin/sh\n"$@"\nexit $?\n', { mode: 0o755 });
  const words = [...sshd.words, "-P", "TEST_SECRET", dir.file("s"), `${user.name}@127.0.0.1:${user.home}/under`];
  const result = await run(["-q", ...words], { env: { TEST_SECRET: SECRET }, argv0: [dir.file("ssh")] });
  expect({ exitCode: result.exitCode, stderr: result.stderr }).toEqual({ exitCode: 0, stderr: "" });
});

onSshd("--pass opens a key file with a passphrase; a wrong one exits 5", async () => {
  const key = dir.file("id");
  const plain = `${dirname(sshd.configFile)}/id`;
  fs.copyFileSync(plain, key);
  fs.chmodSync(key, 0o600);
  expect(Bun.spawnSync(["ssh-keygen", "-q", "-p", "-P", "", "-N", SECRET, "-f", key]).exitCode).toBe(0);
  // The usual configuration names the key without a passphrase, which would do as well.
  const config = fs.readFileSync(sshd.configFile, "utf8").replace(plain, key);
  fs.writeFileSync(dir.file("config"), config);
  const words = ["-x", `-F "${dir.file("config")}"`, "-P", "TEST_SECRET", dir.file("s"), `127.0.0.1:${dir.file("d")}`];
  const env = { BLOCKSYNC_REMOTE_DIR: `${dir.path}/cache`, SSH_AUTH_SOCK: undefined };
  expect((await run(words, { env: { ...env, TEST_SECRET: SECRET } })).exitCode).toBe(0);
  expect(fs.readFileSync(dir.file("d"), "utf8")).toBe("contents");
  const wrong = await run(words, { env: { ...env, TEST_SECRET: "wrong" } });
  expect(wrong.stderr).toContain("Permission denied");
  expect(wrong.exitCode).toBe(5);
});
