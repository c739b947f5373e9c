/** What an ended run leaves on the far side, in each stage: nothing. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fs from "node:fs";
import { BINARY, run, start, until } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { MARK, marked } from "../helpers/kill.ts";
import { NEEDS, testWith } from "../helpers/requirements.ts";
import { type Sshd, startSshd } from "../helpers/sshd.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const HOST = "127.0.0.1";

let sshd: Sshd;
/** Where the far side keeps its copy of the program. */
let cache: TempDir;

beforeAll(async () => {
  cache = tempDir();
  if (NEEDS.sshd === undefined) sshd = await startSshd();
});
afterAll(async () => {
  cache[Symbol.dispose]();
  if (NEEDS.sshd === undefined) await sshd[Symbol.asyncDispose]();
});

interface Stage {
  readonly name: string;
  readonly signals: readonly (typeof SIGNALS)[number][];
  readonly words: (dir: TempDir) => readonly string[];
  /** Whether the run has come this far. */
  readonly reached: (dir: TempDir) => boolean;
}

/** Names of unfinished copies of the program. */
function partialCopies(): string[] {
  return fs.readdirSync(cache.path).filter((name) => name.startsWith("."));
}

function clearCache(): void {
  for (const name of fs.readdirSync(cache.path)) fs.rmSync(cache.file(name));
}

const SIGNALS = [
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 143],
  ["SIGKILL", 137],
] as const;

const STAGES: readonly Stage[] = [
  {
    name: "while ssh logs in",
    // ssh does not look at its input before it has logged in, so it outlives a SIGKILL until the login ends or fails.
    signals: SIGNALS.filter(([signal]) => signal !== "SIGKILL"),
    words: (dir) => {
      // A proxy that never answers and, as proxies do, ends with its input.
      const script = `#!/bin/sh\n: >"${dir.file("login")}"\ncat >/dev/null\n`;
      fs.writeFileSync(dir.file("hang"), script, { mode: 0o755 });
      return ["-x", `-F "${sshd.configFile}" -o "ProxyCommand='${dir.file("hang")}'"`];
    },
    reached: (dir) => fs.existsSync(dir.file("login")),
  },
  {
    name: "while the program is brought along",
    signals: SIGNALS,
    words: () => {
      clearCache();
      return [...sshd.words, "--bwlimit", "5M"];
    },
    reached: () =>
      partialCopies().some((name) => (fs.statSync(cache.file(name), { throwIfNoEntry: false })?.size ?? 0) > 0),
  },
  {
    name: "while blocks are copied",
    signals: SIGNALS,
    words: () => [...sshd.words, "-p", "1000"],
    reached: (dir) => fs.existsSync(dir.file("d")),
  },
];

const INTERRUPTED =
  "blocksync: Interrupted\nblocksync: hint: run the same command again: it writes only what still differs\n";

describe("D6.34", () => {
  for (const { name, signals, words, reached } of STAGES) {
    for (const [signal, exitCode] of signals) {
      testWith("sshd")(`${signal} ${name} leaves no process and no partial copy at either end`, async () => {
        using dir = tempDir();
        fs.writeFileSync(dir.file("s"), bytes(1, 8 * MIB));
        const mark = `${process.pid}-${signal}-${name.length}`;
        const env = { BLOCKSYNC_REMOTE_DIR: cache.path, [MARK]: mark };
        if (name === "while blocks are copied") {
          expect(
            (await run(["-q", "-n", ...sshd.words, dir.file("s"), `${HOST}:${dir.file("d")}`], { env })).exitCode,
          ).toBe(1);
        }
        const child = start(["-q", ...words(dir), dir.file("s"), `${HOST}:${dir.file("d")}`], { env });
        const said = child.stderr.text();
        await until("the run has come so far", () => child.exitCode !== null || reached(dir));
        expect(child.exitCode).toBe(null);
        expect(marked(mark).length).toBeGreaterThan(1);
        child.kill(signal);
        expect(await child.exited).toBe(exitCode);
        expect(await said).toBe(signal === "SIGKILL" ? "" : INTERRUPTED);
        await until("no process of the run is left", () => marked(mark).length === 0);
        expect(partialCopies()).toEqual([]);
      });
    }
  }
});

test("a second signal ends the run at once, whatever the first one waits for", async () => {
  using dir = tempDir();
  fs.writeFileSync(dir.file("s"), bytes(72, 4 * MIB));
  // An ssh that goes on when its line is down, and does not listen.
  const lines = ["shift", "trap '' TERM", 'sh -c "$*"', `echo $$ >"${dir.file("pid")}"`, "exec sleep 100"];
  fs.writeFileSync(dir.file("line"), `#!/bin/sh\n${lines.join("\n")}\n`, { mode: 0o755 });
  const ssh = ["-S", BINARY, "-e", JSON.stringify(dir.file("line"))];
  const child = start(["-q", "-p", "100000", ...ssh, dir.file("s"), `host:${dir.file("d")}`]);
  await until("the run has begun", () => fs.existsSync(dir.file("d")));
  child.kill("SIGINT");
  const pid = () => Number(fs.existsSync(dir.file("pid")) ? fs.readFileSync(dir.file("pid"), "utf8") : "0");
  await until("the run ends its connection", () => pid() > 0);
  await until("the run has ended", () => {
    child.kill("SIGINT");
    return child.exitCode !== null;
  });
  expect(child.exitCode).toBe(130);
  // Without the second one it would have been waited for, and killed.
  expect(process.kill(pid(), "SIGKILL")).toBe(true);
});

describe("a signal that is ignored from the beginning", () => {
  test("stays ignored, as under nohup", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(71, MIB));
    const child = start(["-q", "-o", dir.file("log"), "-p", "100000", dir.file("s"), dir.file("d")], {
      argv0: ["sh", "-c", 'trap "" HUP INT; exec "$@"', "sh"],
    });
    await until("the run has begun", () => fs.existsSync(dir.file("d")));
    child.kill("SIGHUP");
    child.kill("SIGINT");
    child.kill("SIGUSR1");
    await until("it says how far it is", () => fs.readFileSync(dir.file("log"), "utf8").includes("[worker 0]"));
    expect(child.exitCode).toBeNull();
    child.kill("SIGTERM");
    expect(await child.exited).toBe(143);
    expect(await child.stderr.text()).toContain("Interrupted");
  });
});
