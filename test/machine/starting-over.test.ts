/** Runs whose far side is killed: they start over, or end, and nothing is left. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import fs from "node:fs";
import { BINARY, processesWith, run, start, summaryOf, until } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { NEEDS, testWith } from "../helpers/requirements.ts";
import { type Sshd, startSshd } from "../helpers/sshd.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const HOST = "127.0.0.1";
const SOURCE = bytes(91, 16 << 20);
/** Half of it differs. */
const BEFORE = changeLeaves(
  SOURCE,
  Array.from({ length: 2048 }, (_, i) => 2 * i),
);

let sshd: Sshd;
beforeAll(async () => {
  if (NEEDS.sshd === undefined) sshd = await startSshd();
});
afterAll(async () => {
  if (NEEDS.sshd === undefined) await sshd[Symbol.asyncDispose]();
});

type Road = "push" | "pull" | "remote to remote";

function pairIn(dir: TempDir, road: Road): string[] {
  fs.writeFileSync(dir.file("s"), SOURCE);
  fs.writeFileSync(dir.file("d"), BEFORE);
  const far = (name: string) => `${HOST}:${dir.file(name)}`;
  return [road === "push" ? dir.file("s") : far("s"), road === "pull" ? dir.file("d") : far("d")];
}

/** Far sides with an open file in that folder. */
const serving = (dir: TempDir) =>
  processesWith(`${BINARY}\0serve`).filter((pid) => {
    try {
      return fs
        .readdirSync(`/proc/${pid}/fd`)
        .some((fd) => [dir.file("s"), dir.file("d")].includes(fs.readlinkSync(`/proc/${pid}/fd/${fd}`)));
    } catch {
      return false;
    }
  });

function kill(pids: readonly number[]): void {
  for (const pid of pids) process.kill(pid, "SIGKILL");
}

/** Starts a run, and collects what it says. */
function begin(words: readonly string[]) {
  const child = start(["-S", BINARY, ...words]);
  const said = Promise.all([child.stdout.text(), child.stderr.text()]);
  return {
    child,
    async end() {
      const [stdout, stderr] = await said;
      return { exitCode: await child.exited, stdout, stderr };
    },
  };
}

const eventsOf = (stdout: string, kind: string) =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line): { readonly event: string; readonly message?: string } => JSON.parse(line))
    .filter(({ event }) => event === kind);

/**
 * A stand-in for ssh. Its first login delivers so many bytes and then no more, until the far side is killed; from the third on, which
 * comes after the second has found nobody waiting, `again` goes first.
 */
function fragileSsh(dir: TempDir, delivers: number, again = "") {
  const [path, logins, cut] = ["fake-ssh", "logins", "cut"].map((name) => dir.file(name));
  const lines = [
    "#!/bin/sh",
    "shift",
    `cd '${dir.path}' && echo >> logins`,
    `[ $(wc -l < logins) = 1 ] && { sh -c "$*" | { stdbuf -o0 head -c ${delivers}; touch cut; cat > /dev/null; }; exit 1; }`,
    `[ $(wc -l < logins) -ge 3 ] && { ${again === "" ? ":" : again}; }`,
    'exec sh -c "$*"',
    "",
  ];
  fs.writeFileSync(path ?? "", lines.join("\n"), { mode: 0o755 });
  return {
    words: ["-e", `"${path}"`],
    logins: () => fs.readFileSync(logins ?? "", "latin1").length,
    isCut: () => fs.existsSync(cut ?? ""),
  };
}

async function undisturbed(road: Road, words: readonly string[]) {
  using dir = tempDir();
  const ssh = fragileSsh(dir, 1 << 30);
  return summaryOf(await begin(["--json", ...words, ...ssh.words, ...pairIn(dir, road)]).end());
}

/** Of what comes in undisturbed, how much comes before the cut: while things are scanned, copied, verified. */
const SHARES = [0.05, 0.45, 0.95];

for (const road of ["push", "pull"] as const) {
  test(`a run starts over when its far side is killed while things are scanned, copied or verified: ${road}`, async () => {
    const words = ["-b", "4K", "--verify"];
    const plain = await undisturbed(road, words);
    for (const share of SHARES) {
      using dir = tempDir();
      const ssh = fragileSsh(dir, Math.floor(share * Number(plain["bytesReceived"])));
      const { end } = begin(["--json", ...words, ...ssh.words, ...pairIn(dir, road)]);
      await until("enough has come", ssh.isCut);
      kill(serving(dir));
      const result = await end();
      expect([result.exitCode, result.stderr.includes("hint")]).toEqual([0, false]);
      expect(fs.readFileSync(dir.file("d")).equals(SOURCE)).toBe(true);
      const summary = summaryOf(result);
      expect(summary).toMatchObject({ verified: true, sourceFingerprint: plain["sourceFingerprint"] });
      expect(Number(summary["reconnects"])).toBeGreaterThanOrEqual(1);
      expect(Number(summary["bytesRead"])).toBeGreaterThanOrEqual(Number(plain["bytesRead"]));
      expect(Number(summary["bytesReceived"])).toBeGreaterThan(Number(plain["bytesReceived"]) / 2);
      expect(eventsOf(result.stdout, "start")).toHaveLength(1);
      const notices = eventsOf(result.stdout, "notice").map(({ message = "" }) => message);
      expect(notices.filter((text) => text.endsWith("is gone: starting over, comparing everything anew"))).toHaveLength(
        1,
      );
      expect(new Set(notices).size).toBe(notices.length);
      await until("nothing is left", () => serving(dir).length === 0);
    }
  });
}

testWith("sshd")("a push goes on when the far side is killed ten times", async () => {
  using dir = tempDir();
  const { end } = begin(["--json", "-b", "256K", "-p", "50", ...sshd.words, ...pairIn(dir, "push")]);
  const killed = new Set<number>();
  for (let writtenMs = 0; killed.size < 10; writtenMs = fs.statSync(dir.file("d")).mtimeMs) {
    await until("another one serves", () => serving(dir).some((pid) => !killed.has(pid)));
    await until("it writes", () => fs.statSync(dir.file("d")).mtimeMs > writtenMs);
    const pids = serving(dir);
    for (const pid of pids) killed.add(pid);
    kill(pids);
  }
  const result = await end();
  expect([result.exitCode, result.stderr.includes("hint")]).toEqual([0, false]);
  expect(fs.readFileSync(dir.file("d")).equals(SOURCE)).toBe(true);
  expect(Number(summaryOf(result)["reconnects"])).toBeGreaterThanOrEqual(10);
  await until("nothing is left", () => serving(dir).length === 0);
});

/** In milliseconds that a run rests after a block: long enough for it to be caught before its end. */
const REST = ["-p", "100"];

for (const [what, road, words] of [
  ["one of its two lanes", "push", ["-w", "2", "-l", "0"]],
  ["one of its two hosts", "remote to remote", []],
] as const) {
  test(`a run starts over when ${what} is lost`, async () => {
    using dir = tempDir();
    const ssh = fragileSsh(dir, 1 << 30);
    const { end } = begin(["--json", "-t", "0.05", ...REST, ...words, ...ssh.words, ...pairIn(dir, road)]);
    const before = fs.statSync(dir.file("d")).mtimeMs;
    await until("it writes, by both", () => fs.statSync(dir.file("d")).mtimeMs > before && serving(dir).length === 2);
    kill(serving(dir).slice(0, 1));
    const result = await end();
    expect([result.exitCode, summaryOf(result)["reconnects"]]).toEqual([0, 1]);
    expect(fs.readFileSync(dir.file("d")).equals(SOURCE)).toBe(true);
    await until("nothing is left", () => serving(dir).length === 0);
  });
}

test("compare starts over too, and tells of no difference twice", async () => {
  using dir = tempDir();
  const pair = pairIn(dir, "push");
  const plain = await run(["compare", "-b", "4K", dir.file("s"), dir.file("d")]);
  const ssh = fragileSsh(dir, 30_000);
  const child = start(["compare", "-S", BINARY, "-b", "4K", ...ssh.words, ...pair]);
  const stdout = child.stdout.text();
  await until("enough has come", ssh.isCut);
  kill(serving(dir));
  expect(await child.exited).toBe(1);
  expect(await stdout).toBe(plain.stdout);
});

/** A run whose far side is killed after 20,000 bytes, for what comes of it when `again` goes before the next logins. */
function killed(dir: TempDir, again: string, words: readonly string[] = [], road: Road = "push") {
  const ssh = fragileSsh(dir, 20_000, again);
  const { child, end } = begin(["-b", "4K", ...words, ...ssh.words, ...pairIn(dir, road)]);
  const killing = until("enough has come", ssh.isCut).then(() => kill(serving(dir)));
  return {
    child,
    ssh,
    async end() {
      await killing;
      return await end();
    },
  };
}

const DOWN = "echo 'ssh: connect to host 127.0.0.1 port 22: Connection refused' >&2; exit 255";

test("with --reconnect 0 nothing starts over", async () => {
  using dir = tempDir();
  const { ssh, end } = killed(dir, "", ["--reconnect", "0"]);
  const { exitCode, stderr } = await end();
  expect([exitCode, ssh.logins()]).toEqual([5, 1]);
  expect(stderr).toContain("Lost the connection");
});

test("a host that is down for longer than --reconnect is exit 5, with what was lost first and for how long it was tried", async () => {
  using dir = tempDir();
  const { exitCode, stderr } = await killed(dir, DOWN, ["--reconnect", "2"]).end();
  expect(exitCode).toBe(5);
  expect(stderr).toMatch(
    /Lost the connection to "127.0.0.1": .*(is gone; the run could not start over|could not be reached again) for 2 s: Cannot start .*: Connection refused/s,
  );
  expect(serving(dir)).toEqual([]);
});

test("a login that is refused meanwhile is not tried again", async () => {
  using dir = tempDir();
  const { ssh, end } = killed(dir, "echo 'me@127.0.0.1: Permission denied (publickey).' >&2; exit 255");
  const { exitCode, stderr } = await end();
  expect([exitCode, ssh.logins()]).toEqual([5, 3]);
  expect(stderr).toContain("Permission denied (publickey)");
});

test("a destination, and a source, that is another one then is refused", async () => {
  for (const [end, road, again] of [
    ["destination", "push", "cp d other; mv other d"],
    ["destination", "push", "rm d"],
    ["source", "pull", "cp s other; mv other s"],
  ] as const) {
    using dir = tempDir();
    const { exitCode, stderr } = await killed(dir, again, [], road).end();
    expect(exitCode).toBe(3);
    expect(stderr).toContain(`is another ${end} than before the connection was lost (other-${end})`);
    expect(fs.existsSync(dir.file("d"))).toBe(again !== "rm d");
  }
});

test("a destination that the lost run still holds is waited for", async () => {
  using dir = tempDir();
  const held =
    "[ -e release ] || flock d -c 'while [ ! -e release ]; do sleep 0.05; done' < /dev/null > /dev/null 2>&1 & sleep 0.1";
  const { ssh, end } = killed(dir, held);
  await until("it was tried twice", () => ssh.isCut() && ssh.logins() >= 4);
  fs.writeFileSync(dir.file("release"), "");
  expect((await end()).exitCode).toBe(0);
  expect(fs.readFileSync(dir.file("d")).equals(SOURCE)).toBe(true);
});

test("SIGUSR1 tells of it, and Ctrl-C ends it", async () => {
  using dir = tempDir();
  const { child, ssh, end } = killed(dir, DOWN, ["--json"]);
  await until("it is tried again", () => ssh.isCut() && ssh.logins() >= 4);
  child.kill("SIGUSR1");
  child.kill("SIGINT");
  const result = await end();
  expect([result.exitCode, summaryOf(result)["exitCode"]]).toEqual([130, 130]);
  expect(serving(dir)).toEqual([]);
});
