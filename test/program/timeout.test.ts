/** Silence and slowness: a far side that is gone is given up, one that is busy is not. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { join } from "node:path";
import { UnreachableError } from "../../src/errors.ts";
import { createPipe } from "../../src/local/kernel/libc.ts";
import { connect } from "../../src/remote/host/connect.ts";
import { quoteWord } from "../../src/remote/host/quote.ts";
import { Watch } from "../../src/remote/wire/watch.ts";
import { BINARY, fakeSsh, processesWith, run, until } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const RELAY = join(import.meta.dir, "../helpers/relay.ts");

/** Words that make blocksync use the relay, with the program already there. */
function relayed(
  dir: TempDir,
  direction: "up" | "down",
  action: "cut" | "stall",
  position: number,
  log: string,
): string[] {
  const words = [process.execPath, RELAY, direction, action, String(position), dir.file(log)];
  return ["-e", words.map((word) => JSON.stringify(word)).join(" "), "-S", BINARY];
}

/** Writes to `path` a stand-in for ssh that runs the command here under `before`. */
function sshUnder(path: string, before: string): string[] {
  fs.writeFileSync(path, `#!/bin/sh\nshift\nexec ${before} sh -c "$*"\n`, { mode: 0o755 });
  return ["-e", JSON.stringify(path), "-S", BINARY];
}

/** What the relay noted when the far side had ended. */
async function noted(path: string): Promise<{ status: number; up: number; down: number; broken: boolean }> {
  await until("the far side has ended", () => fs.existsSync(path) && fs.readFileSync(path, "utf8").endsWith("\n"));
  const [status = Number.NaN, up = Number.NaN, down = Number.NaN, broken] = fs
    .readFileSync(path, "utf8")
    .trim()
    .split(" ")
    .map(Number);
  return { status, up, down, broken: broken === 1 };
}

/** Up: the first line and the first sign of life. Down: the marker, which ends the login, and the first line. */
const TIMEOUT_KNOWN = { up: 80, down: 100 };

describe("a connection that breaks", () => {
  const BLOCK = 65_536;
  const source = bytes(61, 4 * BLOCK);
  const before = changeLeaves(source, [0, 17, 33, 60]);
  let breaksDone = 0;

  /** Breaks at `position`; both ends must be gone soon, and no leaf be anything but the old or the new one. */
  async function broken(direction: "up" | "down", action: "cut" | "stall", position: number): Promise<void> {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), source);
    fs.writeFileSync(dir.file("d"), before);
    const begun = performance.now();
    const words = [
      "-q",
      "-b",
      "64K",
      "--timeout",
      "1",
      "--reconnect",
      "0",
      ...relayed(dir, direction, action, position, "log"),
    ];
    const result = await run([...words, dir.file("s"), `h:${dir.file("d")}`]);
    const what = `${direction} ${action} ${position}`;
    expect([what, result.exitCode]).toEqual([what, 5]);
    expect(result.stderr).toMatch(/^blocksync: (Lost the connection to|Cannot start blocksync on) "h": .*\n/);
    if (action === "stall") expect(result.stderr).toContain("was silent for 1 s");
    // Twice the timeout on an idle machine; a minute is what serve has by itself.
    expect(performance.now() - begun).toBeLessThan(55_000);
    // On a busy machine a run may give up for the silence of a far side that waits for a core: then it ends in order there.
    const { status, broken: wasBroken } = await noted(dir.file("log"));
    // A cut may be between two messages, in the first line, or before blocksync has begun there (128 + SIGPIPE).
    // What stalls on its way here serve need not notice before we hang up, and then it ends in order too.
    const ends = action === "stall" && direction === "up" && wasBroken ? [5] : [0, 5, 6, 141];
    breaksDone += Number(wasBroken);
    expect([what, ends.includes(status) ? "ended" : status]).toEqual([what, "ended"]);
    await until("no process is left", () => processesWith(dir.path).length === 0);
    const after = fs.readFileSync(dir.file("d"));
    for (let leaf = 0; leaf < 64; leaf++) {
      const [start, end] = [leaf * 4096, (leaf + 1) * 4096];
      const now = after.subarray(start, end);
      expect(now.equals(source.subarray(start, end)) || now.equals(before.subarray(start, end))).toBe(true);
    }
  }

  test("D4.17 at any byte, in either direction, cut or stalled: exit 5, and both ends are gone", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), source);
    fs.writeFileSync(dir.file("d"), before);
    const whole = await run([
      "-q",
      "-b",
      "64K",
      "--reconnect",
      "0",
      ...relayed(dir, "up", "cut", 1e9, "log"),
      dir.file("s"),
      `h:${dir.file("d")}`,
    ]);
    expect(whole).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    const total = await noted(dir.file("log"));
    expect(total.status).toBe(0);
    expect(Math.min(total.up, total.down)).toBeGreaterThan(300);
    const breaks = (["up", "down"] as const).flatMap((direction) =>
      (["cut", "stall"] as const).flatMap((action) => {
        // Until serve has got our timeout, in the second message, it has its own of a minute.
        const first = action === "stall" ? TIMEOUT_KNOWN[direction] : 0;
        // The last bytes are answers and questions that a run may do without.
        const span = total[direction] * 0.8 - first;
        return Array.from(
          { length: 12 },
          (_, i) => () => broken(direction, action, first + Math.round((span * i) / 11)),
        );
      }),
    );
    const lanes = Array.from({ length: 6 }, async () => {
      for (let next = breaks.pop(); next !== undefined; next = breaks.pop()) await next();
    });
    await Promise.all(lanes);
    expect(breaksDone).toBeGreaterThan(0);
  });

  test("D4.17 in the upload, cut or stalled: exit 5, and nothing of the program is kept", async () => {
    const upload = async (action: "cut" | "stall", position: number) => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("s"), source);
      const words = ["-q", "--timeout", "1", ...relayed(dir, "up", action, position, "log").slice(0, 2)];
      const env = { BLOCKSYNC_REMOTE_DIR: dir.file("cache") };
      const result = await run([...words, dir.file("s"), `h:${dir.file("d")}`], { env });
      expect(result.exitCode).toBe(5);
      expect(result.stderr).toContain('Cannot start blocksync on "h"');
      await until("no process is left", () => processesWith(dir.path).length === 0);
      // The folder is made once the far shell has got the digest.
      expect(fs.existsSync(dir.file("cache")) ? fs.readdirSync(dir.file("cache")) : []).toEqual([]);
      expect(fs.existsSync(dir.file("d"))).toBe(false);
    };
    // Within the digest, which goes out during the login; within the line after it, which answers the far shell; beyond.
    const [digest, line, program] = [30, 70, 3 * MIB];
    const cuts = [digest, line, program].map((position) => upload("cut", position));
    await Promise.all([...cuts, upload("stall", line), upload("stall", program)]);
  });
});

describe("slowness is no silence:", () => {
  testWith("strace")("D4.17 a flush on the far side that takes three times the timeout", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(62, MIB));
    const strace = "strace -f -o /dev/null -e trace=fsync -e inject=fsync:delay_enter=3000000:when=1";
    const words = ["-q", "--timeout", "1", ...sshUnder(dir.file("rsh"), strace)];
    const begun = performance.now();
    expect(await run([...words, dir.file("s"), `h:${dir.file("d")}`])).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    expect(performance.now() - begun).toBeGreaterThan(2900);
    expect(fs.readFileSync(dir.file("d")).equals(bytes(62, MIB))).toBe(true);
  });

  for (const where of ["here", "there"] as const) {
    testWith("strace")(`D4.17 a disk ${where} whose every write takes longer than the timeout`, async () => {
      using dir = tempDir();
      const data = bytes(63, 48 * MIB);
      fs.writeFileSync(dir.file("s"), data);
      const inject = `inject=pwrite64:delay_enter=1600000`;
      const slow = ["strace", "-f", "-o", "/dev/null", "-P", dir.file("d"), "-e", "trace=pwrite64", "-e", inject];
      fs.writeFileSync(dir.file("d"), "");
      const common = ["-q", "--timeout", "1", "-b", "16M"];
      const begun = performance.now();
      const result =
        where === "here"
          ? await run([...common, ...fakeSsh(dir.file("rsh")), "-S", BINARY, `h:${dir.file("s")}`, dir.file("d")], {
              argv0: slow,
            })
          : await run([
              ...common,
              ...sshUnder(dir.file("rsh"), slow.map(quoteWord).join(" ")),
              dir.file("s"),
              `h:${dir.file("d")}`,
            ]);
      expect(result).toEqual({ exitCode: 0, stdout: "", stderr: "" });
      expect(performance.now() - begun).toBeGreaterThan(3 * 1600);
      expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
    });
  }

  test("D4.17 --pause for longer than the timeout, in both directions", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(64, 2 * MIB));
    const words = ["-q", "--timeout", "1", "-p", "1300", ...fakeSsh(dir.file("rsh")), "-S", BINARY];
    const results = await Promise.all([
      run([...words, dir.file("s"), `h:${dir.file("pushed")}`]),
      run([...words, `h:${dir.file("s")}`, dir.file("pulled")]),
    ]);
    for (const result of results) expect(result).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    for (const name of ["pushed", "pulled"]) {
      expect(fs.readFileSync(dir.file(name)).equals(bytes(64, 2 * MIB))).toBe(true);
    }
  });
});

describe("the login", () => {
  const options = (script: string | undefined, loginLimitMs: number | undefined, rsh: readonly string[]) => ({
    shell: { rsh, identityFile: undefined, cipher: undefined, extraParameters: [], password: false },
    sudo: false,
    askPassword: undefined,
    script,
    directory: "",
    env: process.env,
    own: { version: "1", build: "1", hasAes: false },
    compress: false,
    target: "linux-x64",
    createPipe,
    limits: undefined,
    timeoutSeconds: 1,
    connectSeconds: undefined,
    loginLimitMs,
    reconnectMs: 0,
    signal: new AbortController().signal,
    tell: () => undefined,
  });
  const host = { user: undefined, host: "h", port: undefined };

  test("D4.17 a command that never says anything ends with exit code 5 and a sentence", async () => {
    using dir = tempDir();
    const mute = dir.file("mute");
    fs.writeFileSync(mute, "#!/bin/sh\nread -r line\nread -r line\n", { mode: 0o755 });
    const failure = connect(host, options(BINARY, 1000, [mute]));
    await expect(failure).rejects.toMatchObject({
      exitCode: 5,
      message: `Cannot start blocksync on "h": ${mute} was silent for 1 s`,
    });
    await until("it is gone", () => processesWith(mute).length === 0);
  });

  test("D4.17 a command that has begun has the timeout and no more, whatever the login was allowed", async () => {
    using dir = tempDir();
    const mute = dir.file("mute");
    // What follows the marker would be the line of a blocksync.
    fs.writeFileSync(
      mute,
      '#!/bin/sh\nset -- $2\nfor m; do case $m in blocksync-*) break;; esac; done\necho "$m ready"; read -r line; read -r line; read -r line\n',
      {
        mode: 0o755,
      },
    );
    const connection = await connect(host, options(BINARY, undefined, [mute]));
    const opened = connection.channel.request({ type: 8, head: new Uint8Array(0), body: new Uint8Array(0) }, 37);
    await expect(opened).rejects.toMatchObject({
      exitCode: 5,
      message: `Cannot start blocksync on "h": ${mute} was silent for 1 s`,
    });
    await connection.close();
    await until("it is gone", () => processesWith(mute).length === 0);
  });

  test.each([
    ["the program's own line", 'echo "$m ready"'],
    ["a banner", ":"],
  ])("one that sends %s byte by byte, and never all of it, has the same time", async (_, beginning) => {
    using dir = tempDir();
    const trickle = dir.file("trickle");
    const find = "set -- $2\nfor m; do case $m in blocksync-*) break;; esac; done";
    const drip = "while printf b; do sleep 0.1; done & d=$!; cat >/dev/null; kill $d";
    fs.writeFileSync(trickle, `#!/bin/sh\n${find}\n${beginning}\n${drip}\n`, { mode: 0o755 });
    const failure = connect(host, options(BINARY, 1000, [trickle])).then(async ({ channel, close }) => {
      const request = channel.request({ type: 8, head: new Uint8Array(0), body: new Uint8Array(0) }, 37);
      return await request.finally(close);
    });
    await expect(failure).rejects.toMatchObject({
      exitCode: 5,
      message: `Cannot start blocksync on "h": ${trickle} did not finish its answer within 1 s`,
    });
    await until("it is gone", () => processesWith(trickle).length === 0);
  });
});

describe("Watch", () => {
  const silence = () => new UnreachableError("silent");
  const never = () => new Promise<undefined>(() => undefined);

  test("fails a read that gets nothing, and what comes after it", async () => {
    const watch = new Watch();
    watch.expect(20, silence);
    const source = watch.source({ read: never });
    await expect(source.read()).rejects.toThrow("silent");
    await expect(source.read()).rejects.toThrow("silent");
  });

  test("takes no write for a sign of life while it reads, nor an idle time of our own for silence", async () => {
    const watch = new Watch();
    watch.expect(40, silence);
    const sink = watch.sink({ write: () => Promise.resolve(), end: () => Promise.resolve() });
    // Nothing is waited for: no time is counted, however long it takes.
    await new Promise((resolve) => setTimeout(resolve, 120));
    await sink.write(new Uint8Array(1));
    let failed = false;
    const reading = watch
      .source({ read: never })
      .read()
      .catch(() => {
        failed = true;
      });
    const begun = performance.now();
    while (!failed) {
      await Promise.race([reading, sink.write(new Uint8Array(1)).catch(() => undefined)]);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(performance.now() - begun).toBeGreaterThan(35);
  });

  test("fails a write that is stuck when nothing is read either", async () => {
    const watch = new Watch();
    watch.expect(20, silence);
    const sink = watch.sink({ write: () => new Promise<void>(() => undefined), end: () => Promise.resolve() });
    await expect(sink.write(new Uint8Array(1))).rejects.toThrow("silent");
  });
});
