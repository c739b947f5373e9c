/** Runs whose connection is lost, once and again, against a real sshd: they go on, or end, and nothing is left. */
import { afterAll, beforeAll, expect } from "bun:test";
import fs from "node:fs";
import net from "node:net";
import { BINARY, processesWith, run, start, summaryOf, until } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { NEEDS, testWith } from "../helpers/requirements.ts";
import { freePort, type Sshd, startSshd } from "../helpers/sshd.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";
import { throwawayUser } from "../helpers/user.ts";

const onSshd = testWith("sshd");
const HOST = "127.0.0.1";
const SOURCE = bytes(81, 64 << 20);
/** Half of it differs. */
const BEFORE = changeLeaves(
  SOURCE,
  Array.from({ length: 8000 }, (_, i) => 2 * i),
);

let sshd: Sshd;
beforeAll(async () => {
  if (NEEDS.sshd === undefined) sshd = await startSshd();
});
afterAll(async () => {
  if (NEEDS.sshd === undefined) await sshd[Symbol.asyncDispose]();
});

function pairIn(dir: TempDir, road: "push" | "pull"): string[] {
  fs.writeFileSync(dir.file("s"), SOURCE);
  fs.writeFileSync(dir.file("d"), BEFORE);
  return road === "push" ? [dir.file("s"), `${HOST}:${dir.file("d")}`] : [`${HOST}:${dir.file("s")}`, dir.file("d")];
}

function isProgram(pid: number, name: string): boolean {
  try {
    return fs.readlinkSync(`/proc/${pid}/exe`).endsWith(`/${name}`);
  } catch {
    return false;
  }
}

/** Of the runs with these words, and no others on this machine. */
const sshOf = (config: string) => processesWith(config).filter((pid) => isProgram(pid, "ssh"));
/** Processes with an open file in that folder. */
const holding = (dir: TempDir, name: string) =>
  processesWith(`${BINARY}\0serve`).filter((pid) => {
    try {
      return fs
        .readdirSync(`/proc/${pid}/fd`)
        .some((fd) => fs.readlinkSync(`/proc/${pid}/fd/${fd}`) === dir.file(name));
    } catch {
      return false;
    }
  });

/** Waits until the destination was written to since the last look. */
function writes(path: string): () => Promise<void> {
  let before = fs.statSync(path).mtimeMs;
  return async () => {
    await until("the destination is written to", () => fs.statSync(path).mtimeMs > before);
    before = fs.statSync(path).mtimeMs;
  };
}

for (const road of ["push", "pull"] as const) {
  onSshd(`a push and a pull go on when ssh is killed again and again: ${road}`, async () => {
    using dir = tempDir();
    const words = ["--json", "--bwlimit", "16M", ...sshd.words, "-S", BINARY];
    const undisturbed = summaryOf(await run([...words, ...pairIn(dir, road)]));
    const child = start([...words, ...pairIn(dir, road)]);
    const said = Promise.all([child.stdout.text(), child.stderr.text()]);
    const written = writes(dir.file("d"));
    for (let kills = 0; kills < 5; kills++) {
      await written();
      for (const pid of sshOf(sshd.configFile)) process.kill(pid, "SIGKILL");
    }
    const [stdout, stderr] = await said;
    expect([await child.exited, stderr.includes("hint")]).toEqual([0, false]);
    expect(fs.readFileSync(dir.file("d")).equals(SOURCE)).toBe(true);
    const summary = summaryOf({ exitCode: 0, stdout, stderr });
    expect(summary["bytesWritten"]).toBe(undisturbed["bytesWritten"]);
    // Each side to be compared; a block that differs for its leaf hashes, to be sent and to be proved, if it is not known what it holds.
    const mostRead = 2 * SOURCE.length + 3 * Number(summary["blocksDiffering"]) * Number(summary["blockSizeBytes"]);
    expect(Number(summary["bytesRead"])).toBeLessThanOrEqual(mostRead);
    for (const way of ["bytesSent", "bytesReceived"])
      expect(Number(summary[way])).toBeLessThan(1.1 * Number(undisturbed[way]) + 5 * (8 << 20));
    await until("nothing is left", () => sshOf(sshd.configFile).length === 0 && holding(dir, "d").length === 0);
  });
}

/** A relay to sshd that can swallow all that comes, and the words for blocksync to go by it. */
async function relayTo({ port, configFile }: Sshd, dir: TempDir) {
  let swallows = false;
  const sockets = new Set<net.Socket>();
  const server = net.createServer((near) => {
    const far = net.connect(port, HOST);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      // What it once swallowed is lost for that connection, as behind a router that was replaced.
      let broken = false;
      from.on("data", (data) => {
        broken ||= swallows;
        if (!broken) to.write(data);
      });
      from.on("error", () => undefined);
      from.on("close", () => broken || to.destroy());
    }
  });
  const own = freePort();
  await new Promise<void>((resolve) => server.listen(own, HOST, resolve));
  const config = fs
    .readFileSync(configFile, "utf8")
    .replace(/Port \d+/, `Port ${own}\n  HostKeyAlias [${HOST}]:${port}`);
  fs.writeFileSync(dir.file("config"), config);
  return {
    words: ["-x", `-F "${dir.file("config")}"`],
    swallow(yes: boolean) {
      swallows = yes;
    },
    [Symbol.dispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

onSshd("a link that is down for longer than the timeout, and then comes back, is no end", async () => {
  using dir = tempDir();
  using relay = await relayTo(sshd, dir);
  const words = ["--json", "--bwlimit", "16M", "--timeout", "3", ...relay.words, "-S", BINARY];
  const child = start([...words, ...pairIn(dir, "push")]);
  const said = Promise.all([child.stdout.text(), child.stderr.text()]);
  await writes(dir.file("d"))();
  relay.swallow(true);
  const [first] = sshOf(dir.file("config"));
  await until("another ssh tries", () => sshOf(dir.file("config")).some((pid) => pid !== first));
  relay.swallow(false);
  expect([await child.exited, (await said)[1].includes("hint")]).toEqual([0, false]);
  expect(fs.readFileSync(dir.file("d")).equals(SOURCE)).toBe(true);
  await until("nothing is left", () => holding(dir, "d").length === 0);
});

onSshd("a link that stays down for longer than --reconnect is exit 5, and both ends are gone", async () => {
  using dir = tempDir();
  using relay = await relayTo(sshd, dir);
  const words = ["-q", "--bwlimit", "16M", "--timeout", "3", "--reconnect", "2", ...relay.words, "-S", BINARY];
  const child = start([...words, ...pairIn(dir, "push")]);
  const said = child.stderr.text();
  await writes(dir.file("d"))();
  relay.swallow(true);
  expect(await child.exited).toBe(5);
  expect(await said).toMatch(/was silent for 3 s; it could not be reached again for 2 s: .*\n.*hint: /);
  await until("the far side is gone", () => holding(dir, "d").length === 0);
  expect(sshOf(dir.file("config"))).toEqual([]);
});

testWith("sshd", "users")("`blocksync clean` ends who waits for a run that was killed", async () => {
  using dir = tempDir();
  using user = throwawayUser();
  fs.chmodSync(dir.path, 0o711);
  fs.writeFileSync(dir.file("s"), SOURCE);
  const there = `${user.home}/d`;
  fs.writeFileSync(there, BEFORE);
  fs.chownSync(there, user.uid, user.uid);
  const words = ["-q", "--bwlimit", "8M", ...sshd.words];
  const child = start([...words, dir.file("s"), `${user.name}@${HOST}:${there}`]);
  await writes(there)();
  // Where nobody could come back any more.
  child.kill("SIGSTOP");
  for (const pid of sshOf(sshd.configFile)) process.kill(pid, "SIGKILL");
  const sessions = `${user.home}/.cache/blocksync/sessions`;
  const [number = ""] = fs.readdirSync(sessions);
  const waiting = () => processesWith("./blocksync-").filter((pid) => isProgramOf(pid, user.uid));
  await until("it has let go of its login", () => waiting().some((pid) => leadsNowhere(pid)));
  child.kill("SIGKILL");
  expect(number).toMatch(/^[0-9a-f]{32}$/);
  expect((await run(["clean", ...sshd.words, `${user.name}@${HOST}`])).exitCode).toBe(0);
  await until("it has ended", () => waiting().length === 0);
  expect(fs.existsSync(`${user.home}/.cache/blocksync`)).toBe(false);
});

function isProgramOf(pid: number, uid: number): boolean {
  try {
    return fs.statSync(`/proc/${pid}`).uid === uid;
  } catch {
    return false;
  }
}

function leadsNowhere(pid: number): boolean {
  try {
    return fs.readlinkSync(`/proc/${pid}/fd/1`) === "/dev/null";
  } catch {
    return false;
  }
}
