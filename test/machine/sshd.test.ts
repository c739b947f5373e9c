/** The compiled program against a real sshd. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fs from "node:fs";
import { BINARY, binaryDigest, placeProgram, processesWith, run, start, summaryOf, until } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { NEEDS, testWith } from "../helpers/requirements.ts";
import { type Sshd, startSshd } from "../helpers/sshd.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const HOST = "127.0.0.1";
const onSshd = testWith("sshd");

let sshd: Sshd;
let cache: TempDir;

/** Runs with the copy of the program kept in the test's own directory. */
function far(words: readonly string[], env: Record<string, string> = {}) {
  return run([...words, ...sshd.words], { env: { BLOCKSYNC_REMOTE_DIR: cache.path, ...env } });
}

/** Whether it is a process of that program; false when it has ended. */
function runs(pid: number, program: string): boolean {
  try {
    return fs.readlinkSync(`/proc/${pid}/exe`) === program;
  } catch {
    return false;
  }
}

beforeAll(async () => {
  if (NEEDS.sshd === undefined) sshd = await startSshd();
  cache = tempDir();
  placeProgram(cache.path);
});
afterAll(async () => {
  cache[Symbol.dispose]();
  if (NEEDS.sshd === undefined) await sshd[Symbol.asyncDispose]();
});

describe("over ssh", () => {
  onSshd(
    "the first run brings the program along, checked and named by its digest; the next sends nothing of it",
    async () => {
      using dir = tempDir();
      using fresh = tempDir();
      fs.writeFileSync(dir.file("s"), bytes(51, 3 * MIB));
      const env = { BLOCKSYNC_REMOTE_DIR: fresh.path };
      const first = await run([...sshd.words, "--json", dir.file("s"), `${HOST}:${dir.file("d")}`], { env });
      expect(first.exitCode).toBe(0);
      expect(Number(summaryOf(first)["bytesBootstrapped"])).toBeGreaterThan(20 * MIB);
      expect(Number(summaryOf(first)["bytesBootstrapped"])).toBeLessThan(60 * MIB);
      const digest = binaryDigest();
      expect(fs.readdirSync(fresh.path).sort()).toEqual([`blocksync-${digest}`, `blocksync-${digest}.checked`]);
      expect(fs.statSync(fresh.file(`blocksync-${digest}`)).mode & 0o777).toBe(0o700);
      const second = await run([...sshd.words, "--json", dir.file("s"), `${HOST}:${dir.file("d")}`], { env });
      expect(summaryOf(second)).toMatchObject({ exitCode: 0, bytesBootstrapped: 0, bytesWritten: 0 });
      expect(fs.readdirSync(fresh.path).sort()).toEqual([`blocksync-${digest}`, `blocksync-${digest}.checked`]);
      // One login a run, whatever has to be done.
      expect(sshd.log().match(/Accepted publickey/g)?.length).toBe(2);
    },
  );

  onSshd("a copy with the right name and wrong contents is never run, but replaced", async () => {
    using dir = tempDir();
    using fresh = tempDir();
    const digest = binaryDigest();
    const planted = fresh.file(`blocksync-${digest}`);
    fs.writeFileSync(planted, `#!/bin/sh\ntouch '${dir.file("pwned")}'\n`, { mode: 0o755 });
    fs.writeFileSync(dir.file("s"), "x");
    const result = await run([...sshd.words, dir.file("s"), `${HOST}:${dir.file("d")}`], {
      env: { BLOCKSYNC_REMOTE_DIR: fresh.path },
    });
    expect(result.exitCode).toBe(0);
    expect(fs.existsSync(dir.file("pwned"))).toBe(false);
    expect(new Bun.CryptoHasher("sha256").update(fs.readFileSync(planted)).digest("hex")).toBe(digest);
  });

  onSshd("a copy that was changed after it was checked is checked again", async () => {
    using dir = tempDir();
    using fresh = tempDir();
    fs.writeFileSync(dir.file("s"), "x");
    const env = { BLOCKSYNC_REMOTE_DIR: fresh.path };
    const words = [...sshd.words, "--json", dir.file("s"), `${HOST}:${dir.file("d")}`];
    placeProgram(fresh.path);
    expect(summaryOf(await run(words, { env }))).toMatchObject({ exitCode: 0, bytesBootstrapped: 0 });
    const [copy = "", note] = fs.readdirSync(fresh.path).toSorted();
    expect(note).toBe(`${copy}.checked`);
    const { atime, mtime, size } = fs.statSync(fresh.file(copy));
    const evil = Buffer.alloc(size, `#!/bin/sh\ntouch '${dir.file("pwned")}'\n`);
    fs.writeFileSync(fresh.file(copy), evil);
    fs.utimesSync(fresh.file(copy), atime, mtime);
    expect(Number(summaryOf(await run(words, { env }))["bytesBootstrapped"])).toBeGreaterThan(0);
    expect(fs.existsSync(dir.file("pwned"))).toBe(false);
  });

  onSshd("in a directory that others may write to, a private one within it is used", async () => {
    using dir = tempDir();
    using shared = tempDir();
    fs.writeFileSync(dir.file("s"), "x");
    fs.chmodSync(shared.path, 0o1777);
    const result = await run([...sshd.words, dir.file("s"), `${HOST}:${dir.file("d")}`], {
      env: { BLOCKSYNC_REMOTE_DIR: shared.path },
    });
    expect(result.exitCode).toBe(0);
    expect(fs.readdirSync(shared.path)).toEqual([`blocksync-${process.getuid?.()}`]);
    expect(fs.statSync(shared.file(`blocksync-${process.getuid?.()}`)).mode & 0o777).toBe(0o700);
  });

  onSshd("push, pull and remote to remote make equal copies and write only what differs", async () => {
    using dir = tempDir();
    const data = bytes(52, 5 * MIB + 999);
    fs.writeFileSync(dir.file("s"), data);
    for (const [from, to] of [
      [dir.file("s"), `${HOST}:${dir.file("pushed")}`],
      [`${HOST}:${dir.file("s")}`, dir.file("pulled")],
      [`ssh://${HOST}:${sshd.port}${dir.file("s")}`, `${sshd.user}@${HOST}:${dir.file("relayed")}`],
    ] as const) {
      const path = to.replace(/^.*:/, "");
      expect(await far(["-q", from, to])).toEqual({ exitCode: 0, stdout: "", stderr: "" });
      expect(fs.readFileSync(path).equals(data)).toBe(true);
      fs.writeFileSync(path, changeLeaves(data, [7, 600]));
      const again = await far(["--json", from, to]);
      expect(summaryOf(again)).toMatchObject({ exitCode: 0, bytesWritten: 8192, leavesWritten: 2, blocksDiffering: 2 });
      expect(Number(summaryOf(again)["bytesSent"]) + Number(summaryOf(again)["bytesReceived"])).toBeLessThan(40_000);
      expect(fs.readFileSync(path).equals(data)).toBe(true);
    }
  });

  onSshd("compare and --dry-run work over ssh and write nothing", async () => {
    using dir = tempDir();
    const data = bytes(53, 2 * MIB);
    fs.writeFileSync(dir.file("a"), data);
    fs.writeFileSync(dir.file("b"), changeLeaves(data, [300]));
    const compared = await far(["compare", dir.file("a"), `${HOST}:${dir.file("b")}`]);
    expect(compared.stdout).toBe(`${300 * 4096} 4096\n`);
    expect(compared.exitCode).toBe(1);
    expect((await far(["-n", `${HOST}:${dir.file("a")}`, dir.file("b")])).exitCode).toBe(1);
    expect((await far(["-n", dir.file("a"), `${HOST}:${dir.file("new")}`])).exitCode).toBe(1);
    expect(fs.existsSync(dir.file("new"))).toBe(false);
    expect(fs.readFileSync(dir.file("b")).equals(changeLeaves(data, [300]))).toBe(true);
  });

  onSshd("paths with spaces, quotes, newlines, $, ; and UTF-8 arrive as they are", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), "payload");
    for (const name of [
      "a b",
      "it's",
      'say "x"',
      "$HOME `id` $(id)",
      "new\nline",
      "ü–漢字🙂",
      "; rm -rf x",
      "-n",
      "*",
      "back\\slash",
      "tab\t",
    ]) {
      expect((await far([dir.file("s"), `${HOST}:${dir.file(name)}`])).exitCode).toBe(0);
      expect(fs.readFileSync(dir.file(name), "utf8")).toBe("payload");
    }
    expect(fs.readdirSync(dir.path).length).toBe(12);
  });

  onSshd("HOST: takes the source's path, a relative path starts at the remote home, so does ~", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), "one");
    const same = await far([dir.file("s"), `${HOST}:`]);
    expect(same.exitCode).toBe(3);
    expect(same.stderr).toContain("(same-file)");
    const home = process.env["HOME"] ?? "";
    const name = `blocksync-test-${process.pid}`;
    try {
      expect((await far([dir.file("s"), HOST, name])).exitCode).toBe(0);
      expect(fs.readFileSync(`${home}/${name}`, "utf8")).toBe("one");
      fs.writeFileSync(dir.file("s"), "two");
      expect((await far([dir.file("s"), `${HOST}:~/${name}`])).exitCode).toBe(0);
      expect(fs.readFileSync(`${home}/${name}`, "utf8")).toBe("two");
    } finally {
      fs.rmSync(`${home}/${name}`, { force: true });
    }
  });

  onSshd("a failure on the far side is said in the same sentence as here, with the same exit code", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), "x");
    for (const [path, message, exitCode] of [
      [dir.file("no/such/dir"), "no such file or directory", 4],
      [dir.path, "it is a directory (not-a-disk)", 3],
      ["/dev/blocksync-none", "there is no such device (missing-device)", 3],
    ] as const) {
      const here = await run([dir.file("s"), path]);
      const there = await far([dir.file("s"), `${HOST}:${path}`]);
      expect(here.stderr).toContain(message);
      expect(there.stderr).toBe(here.stderr.replaceAll(JSON.stringify(path), JSON.stringify(`${HOST}:${path}`)));
      expect([here.exitCode, there.exitCode]).toEqual([exitCode, exitCode]);
    }
  });

  onSshd("noise from login files and banners does no harm", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(54, MIB));
    fs.writeFileSync(
      dir.file("banner"),
      `${"noise \0\u0007 blocksync-0 ready\n".repeat(2000)}no newline at the end: password?`,
    );
    await using noisy = await startSshd({
      lines: [`Banner "${dir.file("banner")}"`],
      keyOptions: `command="cat '${dir.file("banner")}'; cat '${dir.file("banner")}' >&2; eval \\"$SSH_ORIGINAL_COMMAND\\""`,
    });
    const result = await run([...noisy.words, "--progress", "none", dir.file("s"), `${HOST}:${dir.file("d")}`], {
      env: { BLOCKSYNC_REMOTE_DIR: cache.path },
    });
    expect(result.stderr).toMatch(/^Completed in /);
    expect(result.exitCode).toBe(0);
    expect(fs.readFileSync(dir.file("d")).equals(bytes(54, MIB))).toBe(true);
  });

  for (const config of [
    "RemoteCommand tmux attach\nRequestTTY yes",
    "StdinNull yes",
    "SessionType none",
    "SessionType subsystem",
    "ForkAfterAuthentication yes",
    "IgnoreUnknown UseKeychain\nUseKeychain yes",
  ]) {
    onSshd(`in the user's ssh_config these do no harm: ${config.split("\n").join(", ")}`, async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("s"), "x");
      fs.writeFileSync(dir.file("config"), `${config}\n${fs.readFileSync(sshd.configFile, "utf8")}`);
      const result = await run(["-q", "-x", `-F "${dir.file("config")}"`, dir.file("s"), `${HOST}:${dir.file("d")}`], {
        env: { BLOCKSYNC_REMOTE_DIR: cache.path },
      });
      expect(result).toEqual({ exitCode: 0, stdout: "", stderr: "" });
      expect(fs.readFileSync(dir.file("d"), "utf8")).toBe("x");
    });
  }

  onSshd("-e, -i and -c reach ssh", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), "x");
    const env = { BLOCKSYNC_REMOTE_DIR: cache.path };
    const good = await run(
      ["-e", `ssh -F "${sshd.configFile}"`, "-c", "aes128-ctr", dir.file("s"), `${HOST}:${dir.file("d")}`],
      { env },
    );
    expect(good.exitCode).toBe(0);
    const cipher = await far(["-c", "blowfish", dir.file("s"), `${HOST}:${dir.file("d")}`]);
    expect(cipher.exitCode).toBe(5);
    expect(cipher.stderr).toContain("Unknown cipher type 'blowfish'");
    const key = await run(["-v", "-i", dir.file("s"), ...sshd.words, dir.file("s"), `${HOST}:${dir.file("d")}`], {
      env,
    });
    expect(key.stderr).toContain(`Running: ssh -i '${dir.file("s")}' -F`);
  });

  onSshd("-S runs the program at that path and copies nothing; a wrong one is named", async () => {
    using dir = tempDir();
    using empty = tempDir();
    fs.writeFileSync(dir.file("s"), "x");
    fs.copyFileSync(BINARY, dir.file("it's blocksync"));
    const env = { BLOCKSYNC_REMOTE_DIR: empty.path };
    const good = await run(
      [...sshd.words, "-S", dir.file("it's blocksync"), dir.file("s"), `${HOST}:${dir.file("d")}`],
      { env },
    );
    expect(good.exitCode).toBe(0);
    expect(fs.readdirSync(empty.path)).toEqual([]);
    const missing = await far(["-S", dir.file("none"), dir.file("s"), `${HOST}:${dir.file("d")}`]);
    expect(missing.exitCode).toBe(5);
    expect(missing.stderr).toContain("exit status 127");
    const wrong = await far(["-S", "/bin/cat", dir.file("s"), `${HOST}:${dir.file("d")}`]);
    expect(wrong.exitCode).toBe(5);
    fs.writeFileSync(dir.file("other"), "#!/bin/sh\necho blocksync 1 9.9.9 abcdef\ncat >/dev/null\n", { mode: 0o755 });
    const other = await far(["-S", dir.file("other"), dir.file("s"), `${HOST}:${dir.file("d")}`]);
    expect(other.exitCode).toBe(6);
    expect(other.stderr).toContain("it is blocksync 9.9.9 (build abcdef, protocol 1), this is");
  });

  onSshd("an unreachable host and a refused key exit 5 and quote ssh", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), "x");
    const refused = await run(["-x", `-F "${sshd.configFile}" -p 1`, dir.file("s"), `${HOST}:${dir.file("d")}`]);
    expect(refused.exitCode).toBe(5);
    expect(refused.stderr).toContain("ssh ended with exit status 255");
    expect(refused.stderr).toContain("Connection refused");
    const user = await run([...sshd.words, dir.file("s"), `nobody@${HOST}:${dir.file("d")}`]);
    expect(user.exitCode).toBe(5);
    const missing = await run(["-e", "/no/such/ssh", dir.file("s"), `${HOST}:${dir.file("d")}`]);
    expect(missing.exitCode).toBe(5);
    expect(missing.stderr).toContain('Cannot start "/no/such/ssh"');
  });

  onSshd("Ctrl-C, and a killed ssh, leave no process and no temporary file at either end", async () => {
    using dir = tempDir();
    const unique = `unique${process.pid}`;
    const digest = binaryDigest();
    fs.writeFileSync(dir.file("s"), bytes(55, 16 * MIB));
    for (const end of ["SIGINT", "kill ssh", "SIGKILL"] as const) {
      const path = dir.file(`${unique} ${end}`);
      // Otherwise the run would go on over another ssh.
      const words = end === "kill ssh" ? ["--reconnect", "0"] : [];
      const child = start([...sshd.words, ...words, "--json", "-p", "1000", dir.file("s"), `${HOST}:${path}`], {
        env: { BLOCKSYNC_REMOTE_DIR: cache.path },
      });
      await until("the far side has created the file", () => fs.existsSync(path));
      const ssh = processesWith(sshd.configFile).filter((pid) => fs.readlinkSync(`/proc/${pid}/exe`).endsWith("/ssh"));
      expect(ssh.length).toBe(1);
      if (end === "kill ssh") for (const pid of ssh) process.kill(pid, "SIGKILL");
      else child.kill(end);
      const stderr = await child.stderr.text();
      expect(await child.exited).toBe({ SIGINT: 130, "kill ssh": 5, SIGKILL: 137 }[end]);
      if (end === "kill ssh") expect(stderr).toContain("ssh ended with signal SIGKILL");
      // Others on this machine may have far sides of their own.
      const copy = fs.realpathSync(`${cache.path}/blocksync-${digest}`);
      await until("no far side is left", () => !processesWith(`./blocksync-${digest}`).some((pid) => runs(pid, copy)));
      await until("no ssh is left", () => ssh.every((pid) => !fs.existsSync(`/proc/${pid}/exe`)));
    }
    expect(fs.readdirSync(cache.path).filter((name) => name.startsWith("."))).toEqual([]);
  });

  onSshd("an upload that is cut leaves nothing behind, and nothing is run", async () => {
    using dir = tempDir();
    using fresh = tempDir();
    fs.writeFileSync(dir.file("s"), "x");
    fs.writeFileSync(dir.file("cut"), `#!/bin/sh\nstdbuf -o0 head -c 5000000 | ssh -F "${sshd.configFile}" "$@"\n`, {
      mode: 0o755,
    });
    const result = await run(["-e", JSON.stringify(dir.file("cut")), dir.file("s"), `${HOST}:${dir.file("d")}`], {
      env: { BLOCKSYNC_REMOTE_DIR: fresh.path },
    });
    expect(result.exitCode).toBe(5);
    await until("the partial copy is removed", () => fs.readdirSync(fresh.path).length === 0);
    expect(fs.existsSync(dir.file("d"))).toBe(false);
  });
});

test("hosts that look like options never reach a command", async () => {
  const result = await run(["-e", "/bin/echo", "x", "--", "-oProxyCommand=touch pwned:y"]);
  expect(result.exitCode).toBe(2);
  expect(result.stderr).toContain('begins with "-"');
});
