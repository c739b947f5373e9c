/** Passwords of ssh itself: --pass, by this program as ssh's askpass, against a real sshd. */
import { afterAll, beforeAll, expect } from "bun:test";
import fs from "node:fs";
import { dirname } from "node:path";
import { run } from "./helpers/binary.ts";
import { NEEDS, testWith } from "./helpers/requirements.ts";
import { type Sshd, startSshd } from "./helpers/sshd.ts";
import { type TempDir, tempDir } from "./helpers/temp.ts";
import { throwawayUser, type User } from "./helpers/user.ts";

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
