/** serve --only as a forced command: what a key can do with it, and what it cannot, against a real sshd. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fs from "node:fs";
import { BINARY, fakeSsh, run, start, summaryOf, until } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { attachLoop } from "../helpers/loop.ts";
import { MuteClient } from "../helpers/mute.ts";
import { ask, Type } from "../helpers/peer.ts";
import { NEEDS, testWith } from "../helpers/requirements.ts";
import { type Sshd, startSshd } from "../helpers/sshd.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const HOST = "127.0.0.1";
const onSshd = testWith("sshd");

/** The beginning of a line of authorized_keys as the README shows it. */
function forced(words: string): string {
  return `command="'${BINARY}' serve ${words}",restrict`;
}

let dir: TempDir;
let writing: Sshd;
let reading: Sshd;
let allowed: string;

beforeAll(async () => {
  dir = tempDir();
  allowed = dir.file("allowed");
  if (NEEDS.sshd !== undefined) return;
  // With what a stolen key might find there.
  const lines = ["Subsystem sftp internal-sftp", "AllowTcpForwarding yes"];
  writing = await startSshd({ lines, keyOptions: forced(`--only '${allowed}'`) });
  reading = await startSshd({ lines, keyOptions: forced(`--only '${allowed}' --read-only`) });
});
afterAll(async () => {
  dir[Symbol.dispose]();
  if (NEEDS.sshd !== undefined) return;
  await writing[Symbol.asyncDispose]();
  await reading[Symbol.asyncDispose]();
});

/** ssh or scp with the server's configuration, as somebody would who has the key. */
function withKey(program: string, sshd: Sshd, ...words: string[]): { exitCode: number; stdout: string } {
  const result = Bun.spawnSync([program, "-F", sshd.configFile, ...words], { stdin: "ignore", timeout: 20_000 });
  return { exitCode: result.exitCode, stdout: result.stdout.toString() };
}

describe("a key with serve --only", () => {
  onSshd(
    "writes and reads that path, new or old, with several lanes too, and no program is brought along",
    async () => {
      fs.writeFileSync(dir.file("s"), bytes(1, 3 * MIB + 5));
      fs.rmSync(allowed, { force: true });
      const push = [...writing.words, "--json", dir.file("s"), `${HOST}:${allowed}`];
      expect(summaryOf(await run(push))).toMatchObject({ exitCode: 0, bytesBootstrapped: 0, blocksDiffering: 4 });
      expect(fs.readFileSync(allowed).equals(bytes(1, 3 * MIB + 5))).toBe(true);
      fs.writeFileSync(dir.file("s"), changeLeaves(bytes(1, 3 * MIB + 5), [9, 700]));
      expect(summaryOf(await run([...push, "-w", "2"]))).toMatchObject({ exitCode: 0, bytesWritten: 8192 });
      expect((await run(["-q", ...writing.words, `${HOST}:${allowed}`, dir.file("back")])).exitCode).toBe(0);
      expect(fs.readFileSync(dir.file("back")).equals(fs.readFileSync(dir.file("s")))).toBe(true);
      const compared = await run(["compare", "-q", ...writing.words, dir.file("s"), `${HOST}:${allowed}`]);
      expect(compared).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    },
  );

  onSshd("works with --script too, which the forced command replaces as it does all commands", async () => {
    fs.writeFileSync(dir.file("s"), bytes(2, 4096));
    const result = await run([
      "-q",
      "-T",
      ...writing.words,
      "-S",
      "/no/such/program",
      dir.file("s"),
      `${HOST}:${allowed}`,
    ]);
    expect(result).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    expect(fs.readFileSync(allowed).equals(bytes(2, 4096))).toBe(true);
  });

  onSshd("goes by what a path leads to: .. and links are followed", async () => {
    fs.writeFileSync(dir.file("s"), "new");
    fs.writeFileSync(allowed, "old");
    fs.mkdirSync(dir.file("folder"), { recursive: true });
    fs.symlinkSync(allowed, dir.file("link"));
    fs.symlinkSync(dir.path, dir.file("folder/up"));
    for (const path of [`${dir.path}/folder/../allowed`, dir.file("link"), dir.file("folder/up/./allowed")]) {
      expect((await run(["-q", ...writing.words, dir.file("s"), `${HOST}:${path}`])).exitCode).toBe(0);
      expect(fs.readFileSync(allowed, "utf8")).toBe("new");
      fs.writeFileSync(allowed, "old");
    }
    expect(fs.lstatSync(dir.file("link")).isSymbolicLink()).toBe(true);
  });

  onSshd(
    "opens no other path: exit 3, the same words whether it exists or not, nothing created or changed",
    async () => {
      fs.writeFileSync(dir.file("s"), "new");
      fs.writeFileSync(dir.file("other"), "other");
      fs.linkSync(dir.file("other"), dir.file("hard link"));
      fs.symlinkSync(dir.file("other"), dir.file("link to other"));
      const names = ["other", "hard link", "link to other", "missing", "no/such/folder", "allowed.bak", "."];
      for (const path of [...names.map((name) => dir.file(name)), "/etc/passwd", "allowed", "~/allowed", "~"]) {
        const push = [dir.file("s"), `${HOST}:${path}`];
        const pull = [`${HOST}:${path}`, dir.file("got")];
        for (const pair of path === dir.file("other") ? [push, pull] : [push]) {
          const result = await run([...writing.words, "-f", ...pair]);
          expect(result.stderr).toBe(
            `blocksync: Refused to open ${JSON.stringify(`${HOST}:${path}`)}: the far side may open only ${JSON.stringify(allowed)} (only)\n` +
              "blocksync: hint: name that path, or use another key: authorized_keys on the far side gives this one a forced command\n",
          );
          expect(result.exitCode).toBe(3);
        }
      }
      expect(fs.existsSync(dir.file("got"))).toBe(false);
      expect(fs.existsSync(dir.file("missing"))).toBe(false);
      expect(fs.readFileSync(dir.file("other"), "utf8")).toBe("other");
    },
  );

  onSshd("--read-only reads and compares; as a destination it is refused, in a dry run too", async () => {
    fs.writeFileSync(dir.file("s"), bytes(3, MIB));
    fs.writeFileSync(allowed, bytes(4, MIB));
    expect((await run(["-q", ...reading.words, `${HOST}:${allowed}`, dir.file("pulled")])).exitCode).toBe(0);
    expect(fs.readFileSync(dir.file("pulled")).equals(bytes(4, MIB))).toBe(true);
    const compared = await run(["compare", "-q", ...reading.words, dir.file("s"), `${HOST}:${allowed}`]);
    expect(compared).toEqual({ exitCode: 1, stdout: `0 ${MIB}\n`, stderr: "" });
    for (const words of [[], ["-n"], ["-T"]]) {
      const result = await run([...reading.words, ...words, dir.file("s"), `${HOST}:${allowed}`]);
      expect(result.stderr).toContain(
        `Refused to write to ${JSON.stringify(`${HOST}:${allowed}`)}: the far side may only read it (only)`,
      );
      expect(result.exitCode).toBe(3);
    }
    expect(fs.readFileSync(allowed).equals(bytes(4, MIB))).toBe(true);
  });

  onSshd("gives no shell, no command, no scp, no sftp and no forwarding", async () => {
    fs.writeFileSync(dir.file("s"), "x");
    for (const sshd of [writing, reading]) {
      for (const words of [[HOST], [HOST, `touch '${dir.file("touched")}'`], ["-s", HOST, "sftp"]]) {
        const result = withKey("ssh", sshd, ...words);
        expect(result.exitCode).toBe(6);
        expect(result.stdout).toMatch(/^blocksync 1 \S+ \S+( aes)?\n$/);
      }
      expect(withKey("ssh", sshd, "-tt", HOST, "id")).toEqual({ exitCode: 255, stdout: "" });
      for (const mode of [[], ["-O"]]) {
        expect(withKey("scp", sshd, ...mode, dir.file("s"), `${HOST}:${dir.file("copied")}`).exitCode).not.toBe(0);
        expect(withKey("scp", sshd, ...mode, `${HOST}:/etc/passwd`, dir.file("copied")).exitCode).not.toBe(0);
      }
      expect(withKey("ssh", sshd, "-W", `127.0.0.1:${sshd.port}`, HOST).stdout).not.toContain("SSH-2.0");
    }
    expect(fs.existsSync(dir.file("touched"))).toBe(false);
    expect(fs.existsSync(dir.file("copied"))).toBe(false);
  });

  onSshd("takes a relative path and ~ from the login's home, whatever the client's environment says", async () => {
    const home = process.env["HOME"] ?? "";
    const name = `blocksync-only-${process.pid}`;
    fs.writeFileSync(dir.file("s"), "x");
    try {
      for (const only of [name, `~/${name}`, `'~/${name}'`]) {
        await using sshd = await startSshd({ keyOptions: forced(`--only ${only}`) });
        for (const path of [name, `~/${name}`, `${home}/${name}`]) {
          const result = await run(["-q", ...sshd.words, dir.file("s"), `${HOST}:${path}`], {
            env: { BLOCKSYNC_CWD: dir.path },
          });
          expect(result).toEqual({ exitCode: 0, stdout: "", stderr: "" });
          expect(fs.readFileSync(`${home}/${name}`, "utf8")).toBe("x");
          fs.rmSync(`${home}/${name}`);
        }
      }
    } finally {
      fs.rmSync(`${home}/${name}`, { force: true });
    }
    expect(fs.existsSync(dir.file(name))).toBe(false);
  });

  testWith("sshd", "loop")("is a device by any of its names", async () => {
    fs.writeFileSync(dir.file("disk"), bytes(5, MIB));
    fs.writeFileSync(dir.file("s"), bytes(6, MIB));
    using loop = attachLoop(dir.file("disk"));
    fs.rmSync(dir.file("by-id"), { force: true });
    fs.symlinkSync(loop.path, dir.file("by-id"));
    await using sshd = await startSshd({ keyOptions: forced(`--only '${dir.file("by-id")}'`) });
    for (const path of [dir.file("by-id"), loop.path]) {
      expect((await run(["-q", "-f", ...sshd.words, dir.file("s"), `${HOST}:${path}`])).exitCode).toBe(0);
      expect(fs.readFileSync(dir.file("disk")).equals(bytes(6, MIB))).toBe(true);
      fs.writeFileSync(dir.file("s"), bytes(6, MIB));
    }
    expect((await run(["-q", "-f", ...sshd.words, dir.file("s"), `${HOST}:${dir.file("disk")}`])).exitCode).toBe(3);
  });

  onSshd("of another build is named with both versions, exit 6", async () => {
    fs.writeFileSync(dir.file("s"), "x");
    fs.writeFileSync(dir.file("older"), "#!/bin/sh\necho blocksync 1 9.9.9 abcdef\ncat >/dev/null\n", { mode: 0o755 });
    await using sshd = await startSshd({ keyOptions: `command="'${dir.file("older")}' serve --only x",restrict` });
    const result = await run([...sshd.words, dir.file("s"), `${HOST}:x`]);
    expect(result.stderr).toContain("it is blocksync 9.9.9 (build abcdef, protocol 1), this is ");
    expect(result.stderr).toContain(
      "hint: install the same build there, or leave out --script and any forced command: ",
    );
    expect(result.exitCode).toBe(6);
  });
});

describe("serve --only", () => {
  /** What serve says to these lines: its exit code and standard error. */
  async function answer(words: readonly string[], ...lines: string[]): Promise<{ exitCode: number; stderr: string }> {
    const child = Bun.spawn([BINARY, "serve", ...words], {
      stdin: Buffer.from(lines.map((line) => `${line}\n`).join("")),
      stdout: "pipe",
      stderr: "pipe",
    });
    return { stderr: await child.stderr.text(), exitCode: await child.exited };
  }

  test("leaves out one line of 64 hexadecimal digits before the preamble, and only that, and only with --only", async () => {
    const { stdout } = await run(["--version"]);
    const [, version = "", build = ""] = /^blocksync (\S+) \(build (\S+)\)/.exec(stdout) ?? [];
    const own = `blocksync 1 ${version} ${build}`;
    const digest = "0123456789abcdef".repeat(4);
    const only = ["--only", allowed];
    expect((await answer(only, own)).exitCode).toBe(0);
    expect((await answer(only, digest, own)).exitCode).toBe(0);
    for (const lines of [
      [digest, digest, own],
      [digest.slice(1), own],
      [`${digest}0`, own],
      [digest.toUpperCase(), own],
      ["", own],
    ]) {
      const result = await answer(only, ...lines);
      expect(result.stderr).toContain("it does not answer like blocksync");
      expect(result.exitCode).toBe(6);
    }
    expect((await answer([], digest, own)).exitCode).toBe(6);
    expect((await answer([], own)).exitCode).toBe(0);
  });

  test("says which build is where when the controller is another one", async () => {
    const result = await answer(["--only", allowed], "blocksync 1 9.9.9 abcdef");
    expect(result.stderr).toContain("it is blocksync 9.9.9 (build abcdef, protocol 1), this is ");
    expect(result.exitCode).toBe(6);
  });

  test("of a path that cannot be opened says why, as it is said here", async () => {
    fs.writeFileSync(dir.file("s"), "x");
    const [option = "", rsh = ""] = fakeSsh(dir.file("rsh"));
    for (const [path, message, exitCode] of [
      [dir.file("no/such/folder"), "no such file or directory", 4],
      [dir.path, "it is a directory (not-a-disk)", 3],
      ["/dev/blocksync-none", "there is no such device (missing-device)", 3],
    ] as const) {
      fs.writeFileSync(JSON.parse(rsh), `#!/bin/sh\nexec '${BINARY}' serve --only '${path}'\n`);
      const result = await run([option, rsh, dir.file("s"), `h:${path}`]);
      expect(result.stderr).toContain(message);
      expect(result.exitCode).toBe(exitCode);
    }
  });

  /** A client that says what it likes of itself. */
  const opening = { access: "write", blockSize: 4096 } as const;
  const leaf = { leaves: Buffer.from([1]), zeros: Buffer.from([0]) };

  test("lets no client join a lane that has claimed nothing", async () => {
    fs.writeFileSync(allowed, bytes(8, 4096));
    const joining = {
      opening: { ...opening, path: allowed, access: "join" as const },
      size: 4096,
      words: ["--only", allowed],
    };
    const refusal = "no other lane of this run has claimed it on the far side (only)";
    await expect(MuteClient.open(joining)).rejects.toThrow(refusal);
    // Nor the lane of another run, which may have another seed or another file.
    const first = { ...joining, opening: { ...joining.opening, access: "write" as const } };
    const owner = await MuteClient.open(first);
    const seed = Buffer.alloc(28, 8);
    await expect(MuteClient.open({ ...joining, opening: { ...joining.opening, seed } })).rejects.toThrow(refusal);
    fs.copyFileSync(allowed, dir.file("another"));
    const another = { ...joining.opening, path: dir.file("another") };
    await expect(
      MuteClient.open({ ...joining, opening: another, words: ["--only", dir.file("another")] }),
    ).rejects.toThrow(refusal);
    const lane = await MuteClient.open(joining);
    expect((await lane.answer(ask.write(3, 0, leaf))).type).toBe(Type.written);
    expect(fs.readFileSync(allowed).equals(Buffer.alloc(4096, 1))).toBe(true);
    // The claim ends with the one that has it, and what others may do then is theirs.
    await owner.leave();
    const late = { ...leaf, body: Buffer.alloc(4096, 2) };
    const gone = async () => {
      const outcome = await lane.answer(ask.write(4, 0, late)).catch((error: unknown) => String(error));
      return String(outcome).includes("the lane that claimed the destination is gone");
    };
    await until("the other lane's end is noticed", gone);
    await lane.leave();
  });

  test("overrides for a client what its owner allows, and only that", async () => {
    fs.writeFileSync(dir.file("s"), "new");
    fs.writeFileSync(allowed, "old");
    const [option = "", rsh = ""] = fakeSsh(dir.file("rsh"));
    const holder = Bun.spawn(["flock", allowed, "sh", "-c", "echo locked; cat"], { stdin: "pipe", stdout: "pipe" });
    await holder.stdout.getReader().read();
    const push = async (serve: string, ...words: string[]) => {
      fs.writeFileSync(JSON.parse(rsh), `#!/bin/sh\nexec '${BINARY}' serve --only '${allowed}' ${serve}\n`);
      return await run(["-q", option, rsh, ...words, dir.file("s"), `h:${allowed}`]);
    };
    const denied = await push("", "--allow", "locked");
    expect(denied.stderr).toContain("the far side does not permit --allow locked (only)");
    expect(denied.exitCode).toBe(3);
    expect((await push("--allow mounted,held", "--allow", "mounted,locked")).exitCode).toBe(3);
    expect((await push("--allow locked")).stderr).toContain("(locked)");
    expect(fs.readFileSync(allowed, "utf8")).toBe("old");
    expect(await push("--allow locked", "--allow", "locked")).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    expect(fs.readFileSync(allowed, "utf8")).toBe("new");
    // What is read from has nothing to override.
    const pull = ["-q", option, rsh, "--allow", "mounted", `h:${allowed}`, dir.file("pulled")];
    expect((await run(pull)).exitCode).toBe(0);
    holder.stdin.end();
    await holder.exited;
  });

  test("flushes nothing for who may not write", async () => {
    fs.writeFileSync(allowed, bytes(8, 4096));
    const reader = { opening: { access: "read", path: allowed } as const, size: 4096 };
    const client = await MuteClient.open({ ...reader, words: ["--only", allowed, "--read-only"] });
    await expect(client.answer(ask.flush(3))).rejects.toThrow("Received a flush for a side that may not be written");
    expect(await client.leave()).toBe(6);
  });

  test.each([
    [["--read-only"], "--read-only needs --only PATH"],
    [["--only"], "The option --only needs a value"],
    [["--allow", "mounted"], "--allow needs --only PATH"],
    [["--only", "a", "--allow", "everything"], "--allow"],
    [["--only="], "The value of the option --only is empty"],
    [["--only", "a", "b"], 'serve takes no arguments, but was given "b"'],
  ])("%p is a usage error", async (words, message) => {
    const result = await run(["serve", ...words]);
    expect(result.stderr).toContain(message);
    expect(result).toMatchObject({ exitCode: 2, stdout: "" });
  });

  test("is found behind whatever a stand-in for ssh prints before it", async () => {
    fs.writeFileSync(dir.file("s"), "x");
    fs.rmSync(allowed, { force: true });
    const [option = "", rsh = ""] = fakeSsh(dir.file("rsh"));
    fs.writeFileSync(JSON.parse(rsh), `#!/bin/sh\necho Welcome; echo; exec '${BINARY}' serve --only '${allowed}'\n`);
    const child = start(["-q", option, rsh, dir.file("s"), `h:${allowed}`]);
    expect(await child.stderr.text()).toBe("");
    expect(await child.exited).toBe(0);
    expect(fs.readFileSync(allowed, "utf8")).toBe("x");
  });
});
