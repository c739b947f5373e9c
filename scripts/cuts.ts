/**
 * `make cuts`: RUNS syncs (5) of MIB (2048) with 5,000 changed pages over a slow ssh, whose connections are killed KILLS times (50) a run at random
 * moments, this side's ssh or a process of the server in turns. Beside it in one table the same kills, once each, under a loop around rsync
 * and around blocksync without --reconnect, and no kills at all. In a network namespace of its own, so that what goes over the wire is
 * what the loopback device counts. As root, with sshd and rsync.
 */
import fs from "node:fs";
import { BINARY, processesWith } from "../test/helpers/binary.ts";
import { random } from "../test/helpers/bytes.ts";
import { startSshd } from "../test/helpers/sshd.ts";
import { tempDir } from "../test/helpers/temp.ts";

const PAGE = 4096;
const PAGES = 5000;
const RATE_KIB = 1500;
const MAX_PAUSE_MS = 600;

function setting(name: string, fallback: number): number {
  return Number(process.env[name] || fallback);
}

const [runs, kills, mib, seed] = [setting("RUNS", 5), setting("KILLS", 50), setting("MIB", 2048), setting("SEED", 1)];
const next = random(seed);

/** What a way of doing it was like. */
interface Outcome {
  readonly seconds: number;
  readonly killed: number;
  /** Commands that were begun. */
  readonly attempts: number;
  readonly wireBytes: number;
  readonly summary: Readonly<Record<string, unknown>> | undefined;
}

using dir = tempDir();
await using sshd = await startSshd();
const [source, before, destination] = [dir.file("source"), dir.file("before"), dir.file("destination")];

function makeImages(): void {
  const from = fs.openSync(source, "w+");
  const piece = new Uint8Array(1 << 20);
  for (let at = 0; at < mib; at++) {
    for (let part = 0; part < piece.length; part += 65_536) crypto.getRandomValues(piece.subarray(part, part + 65_536));
    fs.writeSync(from, piece);
  }
  fs.closeSync(from);
  fs.copyFileSync(source, before);
  const to = fs.openSync(before, "r+");
  const pages = new Set<number>();
  while (pages.size < PAGES) pages.add(next() % ((mib << 20) / PAGE));
  for (const page of pages) fs.writeSync(to, crypto.getRandomValues(new Uint8Array(PAGE)), 0, PAGE, page * PAGE);
  fs.closeSync(to);
}

function wire(): number {
  // Of the namespace that one is in, as /sys is not.
  const line = fs
    .readFileSync("/proc/net/dev", "utf8")
    .split("\n")
    .find((one) => one.trim().startsWith("lo:"));
  return Number(line?.trim().split(/[: ]+/)[1]);
}

/** The processes that sshd has for its connections. */
function sessions(): number[] {
  const children = fs.readFileSync(`/proc/${sshd.pid}/task/${sshd.pid}/children`, "utf8");
  return children
    .split(" ")
    .filter((pid) => pid !== "")
    .map(Number);
}

function isSsh(pid: number): boolean {
  try {
    return fs.readlinkSync(`/proc/${pid}/exe`).endsWith("/ssh");
  } catch {
    return false;
  }
}

/** Kills one end of a connection, if there is one. */
function kill(turn: number): boolean {
  const clients = processesWith(sshd.configFile).filter(isSsh);
  const victim = turn % 2 === 0 ? clients.at(-1) : sessions().at(-1);
  if (victim === undefined) return false;
  try {
    process.kill(victim, "SIGKILL");
    return true;
  } catch {
    return false;
  }
}

/** Runs the command until it succeeds, while connections are killed. */
async function play(words: readonly string[], mostKills: number): Promise<Outcome> {
  fs.copyFileSync(before, destination);
  const output = dir.file("output");
  fs.writeFileSync(output, "");
  const [begin, wireBefore] = [performance.now(), wire()];
  let [killed, attempts, ended] = [0, 0, false];
  const killing = (async () => {
    while (killed < mostKills && !ended) {
      await Bun.sleep(next() % MAX_PAUSE_MS);
      // A first login that is lost is no connection that is.
      const begins = words[0] === BINARY && !fs.readFileSync(output, "utf8").includes('"event":"start"');
      if (!ended && !begins && kill(killed)) killed++;
    }
  })();
  for (;;) {
    attempts++;
    const [out, errors] = [fs.openSync(output, "w"), fs.openSync(dir.file("errors"), "w")];
    const child = Bun.spawn([...words], { stdout: out, stderr: errors });
    for (const fd of [out, errors]) fs.closeSync(fd);
    if ((await child.exited) === 0) break;
    if (attempts > mostKills + 1) throw new Error(`no end: ${fs.readFileSync(dir.file("errors"), "utf8").slice(-500)}`);
  }
  ended = true;
  const seconds = (performance.now() - begin) / 1000;
  await killing;
  const cmp = Bun.spawnSync(["cmp", source, destination]);
  if (cmp.exitCode !== 0) throw new Error(`not equal: ${cmp.stdout}${cmp.stderr}`);
  const last = fs.readFileSync(output, "utf8").trimEnd().split("\n").at(-1) ?? "";
  const summary = last.startsWith("{") ? JSON.parse(last) : undefined;
  return { seconds, killed, attempts, wireBytes: wire() - wireBefore, summary };
}

const far = `127.0.0.1:${destination}`;
const own = (reconnect: string) => [
  ...[BINARY, "-f", "--json", "--progress", "none", "--bwlimit", `${RATE_KIB}K`, "--reconnect", reconnect],
  ...sshd.words,
  ...[source, far],
];
const rsync = ["rsync", "--inplace", "--partial", "--no-whole-file", "-I", `--bwlimit=${RATE_KIB}`];
const peers = [...rsync, "-e", `ssh -F '${sshd.configFile}'`, source, far];

function line(name: string, { seconds, killed, attempts, wireBytes, summary }: Outcome): string {
  const own =
    summary === undefined ? [] : ["bytesSent", "bytesRead", "bytesWritten", "reconnects"].map((key) => summary[key]);
  const cells = [killed, attempts, seconds.toFixed(1), (wireBytes / 1e6).toFixed(1), ...own.map(String)];
  return [name, ...cells].join(" | ");
}

makeImages();
process.stdout.write(`${runs} runs, ${kills} kills, ${mib} MiB, SEED=${seed}\n`);
process.stdout.write("way | kills | commands | s | MB on the wire | sent | read | written | reconnects\n");
const say = (text: string) => process.stdout.write(`${text}\n`);
// The program is there before anything is counted.
await play(own("0"), 0);
say(line("blocksync, no kills", await play(own("10m"), 0)));
for (let run = 1; run <= runs; run++) {
  const outcome = await play(own("10m"), kills);
  say(line(`blocksync ${run}`, outcome));
  if (outcome.attempts > 1) throw new Error("it did not go on by itself");
  if (outcome.summary?.["bytesWritten"] !== PAGES * PAGE) throw new Error("something was written twice, or not at all");
}
say(line("until blocksync --reconnect 0", await play(own("0"), kills)));
say(line("rsync, no kills", await play(peers, 0)));
say(line("until rsync --inplace --partial", await play(peers, kills)));
