/** What stays of the program on a far side, and `blocksync clean`, which removes it: against a real sshd, as a user of its own. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import fs from "node:fs";
import { BINARY, binaryDigest, run } from "../helpers/binary.ts";
import { NEEDS, testWith } from "../helpers/requirements.ts";
import { type Sshd, startSshd } from "../helpers/sshd.ts";
import { tempDir } from "../helpers/temp.ts";
import { throwawayUser, type User } from "../helpers/user.ts";

const onSshd = testWith("sshd", "users");

let sshd: Sshd;
let user: User;

beforeAll(async () => {
  if (NEEDS.sshd !== undefined || NEEDS.users !== undefined) return;
  sshd = await startSshd();
  user = throwawayUser();
});
afterAll(async () => {
  if (NEEDS.sshd !== undefined || NEEDS.users !== undefined) return;
  user[Symbol.dispose]();
  await sshd[Symbol.asyncDispose]();
});

/** A file of the user's, `ageHours` old; what it holds writes down that it was run. */
function plant(directory: string, name: string, ageHours = 0): string {
  fs.mkdirSync(directory, { recursive: true });
  const path = `${directory}/${name}`;
  fs.writeFileSync(path, `#!/bin/sh\ntouch '${user.home}/pwned'\n`, { mode: 0o700 });
  for (const one of [directory, path]) fs.chownSync(one, user.uid, user.uid);
  const time = Date.now() / 1000 - ageHours * 3600;
  fs.utimesSync(path, time, time);
  return path;
}

function clean(...words: string[]) {
  return run(["clean", ...sshd.words, ...words]);
}

onSshd("an upload leaves this version and the one before, and removes all older ones", async () => {
  using dir = tempDir();
  fs.writeFileSync(dir.file("s"), "contents");
  const cache = `${user.home}/.cache/blocksync`;
  // A login's message of the day may have made it already.
  fs.mkdirSync(`${user.home}/.cache`, { mode: 0o700, recursive: true });
  fs.chownSync(`${user.home}/.cache`, user.uid, user.uid);
  const name = (digit: string) => `blocksync-${digit.repeat(64)}`;
  for (const [digit, age] of [
    ["a", 5],
    ["b", 3],
    ["c", 9],
  ] as const) {
    plant(cache, name(digit), age);
    plant(cache, `${name(digit)}.checked`, age);
  }
  fs.chmodSync(cache, 0o700);
  // What is not a copy stays, however much it looks like one; a part of one goes when it is a day old.
  for (const other of ["notes", "blocksync-short", name("G"), `${name("d")}x`]) plant(cache, other, 100);
  plant(cache, ".blocksync-7-blocksync-dead", 49);
  plant(cache, ".blocksync-8-blocksync-young", 1);
  const result = await run([...sshd.words, dir.file("s"), `${user.name}@127.0.0.1:${user.home}/d`]);
  expect(result.stderr).toContain(`Copying blocksync to 127.0.0.1, into ${cache}\n`);
  expect(result.exitCode).toBe(0);
  const current = `blocksync-${binaryDigest()}`;
  const kept = [name("b"), `${name("b")}.checked`, "notes", "blocksync-short", name("G"), `${name("d")}x`];
  expect(fs.readdirSync(cache).toSorted()).toEqual(
    [...kept, ".blocksync-8-blocksync-young", current, `${current}.checked`].toSorted(),
  );
  expect(fs.existsSync(`${user.home}/pwned`)).toBe(false);
});

onSshd("clean removes every copy, note and part, says which, and touches nothing else", async () => {
  const cache = `${user.home}/.cache/blocksync`;
  fs.rmSync(cache, { recursive: true, force: true });
  const name = `blocksync-${"a".repeat(64)}`;
  const gone = [
    plant(cache, name),
    plant(cache, `blocksync-${"b".repeat(64)}`),
    plant(cache, ".blocksync-8-blocksync-young"),
    plant(`/var/tmp/blocksync-${user.uid}`, name),
  ];
  for (const note of [`${name}.checked`, "program.checked", "program-linux-arm64.checked"]) plant(cache, note);
  // The last of these in the cache somebody put there, for far sides of another platform.
  const others = ["notes", "blocksync-short", "blocksync-linux-arm64"].map((other) => plant(cache, other));
  const kept = [...others, plant(user.home, name)];
  fs.chmodSync(cache, 0o700);
  fs.chmodSync(`/var/tmp/blocksync-${user.uid}`, 0o700);
  // Others may write to this one, so nothing in it can be known to be ours.
  const open = plant(`/tmp/blocksync-${user.uid}`, name);
  fs.chmodSync(`/tmp/blocksync-${user.uid}`, 0o777);
  // A planted link must not lead to a directory that was never used.
  const elsewhere = plant(`${user.home}/elsewhere`, name);
  fs.chmodSync(`${user.home}/elsewhere`, 0o700);
  fs.symlinkSync(`${user.home}/elsewhere`, `/dev/shm/blocksync-${user.uid}`);
  try {
    const result = await clean(`${user.name}@127.0.0.1`);
    const length = fs.statSync(open).size;
    expect(result.stderr.trimEnd().split("\n").toSorted()).toEqual(
      gone.map((path) => `Removed ${JSON.stringify(path)} (${length} bytes) on "127.0.0.1"`).toSorted(),
    );
    expect([result.exitCode, result.stdout]).toEqual([0, ""]);
    expect(gone.filter((path) => fs.existsSync(path))).toEqual([]);
    expect(fs.readdirSync(cache).toSorted()).toEqual(["blocksync-linux-arm64", "blocksync-short", "notes"]);
    expect([...kept, open, elsewhere].filter((path) => !fs.existsSync(path))).toEqual([]);
    expect(fs.existsSync(`/var/tmp/blocksync-${user.uid}`)).toBe(false);
    expect(fs.existsSync(`${user.home}/pwned`)).toBe(false);
    for (const path of others) fs.rmSync(path);
    const again = await clean(`ssh://${user.name}@127.0.0.1:${sshd.port}`);
    expect(again).toEqual({ exitCode: 0, stdout: "", stderr: 'No copy of blocksync was found on "127.0.0.1"\n' });
    // Empty, and only ever ours.
    expect(fs.existsSync(cache)).toBe(false);
  } finally {
    fs.rmSync(`/dev/shm/blocksync-${user.uid}`, { force: true });
  }
});

onSshd("clean goes on after a host that cannot be reached, and exits 5", async () => {
  const result = await clean(`nobody-such@127.0.0.1`, `${user.name}@127.0.0.1:`);
  expect(result.stderr).toContain('Cannot start blocksync on "127.0.0.1": ssh ended with exit status 255');
  expect(result.stderr).toEndWith('No copy of blocksync was found on "127.0.0.1"\n');
  expect(result.exitCode).toBe(5);
});

onSshd("clean says so where a key starts blocksync instead of a shell", async () => {
  await using only = await startSshd({ keyOptions: `command="'${BINARY}' serve --only /dev/null"` });
  const result = await run(["clean", ...only.words, "127.0.0.1"]);
  expect(result.stderr).toContain(
    `Cannot clean "127.0.0.1": this key's forced command starts blocksync instead of a shell`,
  );
  expect(result.exitCode).toBe(5);
});

test("clean without a host, with a path or an unknown option is a usage error", async () => {
  for (const [words, message] of [
    [[], "clean needs at least one host"],
    [["host:/dev/sda"], 'Cannot read "host:/dev/sda" as [USER@]HOST'],
    [["ssh://host/dev/sda"], 'Cannot read "ssh://host/dev/sda" as [USER@]HOST'],
    [["-f", "host"], 'Unknown option "-f"'],
    [["--", "-oProxyCommand=x"], 'begins with "-"'],
  ] as const) {
    const result = await run(["clean", ...words]);
    expect(result.stderr).toContain(message);
    expect(result.exitCode).toBe(2);
  }
});
