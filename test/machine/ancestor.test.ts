/** blocksync.py's six defects, each as a test that would be red on it. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { run } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { testWith } from "../helpers/requirements.ts";
import { startSshd } from "../helpers/sshd.ts";
import { tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;

describe("blocksync.py's defects", () => {
  test("1: a partial last block lands where it belongs in a larger destination, and nothing beyond it changes", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(1, 1.5 * MIB));
    fs.writeFileSync(dir.file("d"), bytes(2, 4 * MIB));
    expect((await run([dir.file("s"), dir.file("d")])).exitCode).toBe(0);
    const expected = Buffer.concat([bytes(1, 1.5 * MIB), bytes(2, 4 * MIB).subarray(1.5 * MIB)]);
    expect(fs.readFileSync(dir.file("d")).equals(expected)).toBe(true);
  });

  test("2: output that is no terminal, or that nobody reads, does not end the run", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(3, 2 * MIB));
    expect((await run([dir.file("s"), dir.file("d")])).exitCode).toBe(0);
    const closed = await run(["-p", "50", "-t", "0.05", dir.file("s"), dir.file("e")], {
      argv0: ["sh", "-c", '"$@" 2>&1 >/dev/null | true; exit 0', "sh"],
    });
    expect(closed.exitCode).toBe(0);
    expect(fs.readFileSync(dir.file("e")).equals(bytes(3, 2 * MIB))).toBe(true);
  });

  testWith("sshd")("3: no cipher is asked for unless the user does, so today's ssh connects", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), "x");
    await using sshd = await startSshd();
    const result = await run(["-v", ...sshd.words, dir.file("s"), "127.0.0.1", dir.file("d")]);
    expect(result.exitCode).toBe(0);
    expect(result.stderr).toContain("Running: ssh -F");
    expect(result.stderr).not.toContain(" -c ");
  });

  testWith("sshd")("4: a destination path with a space works, and no part of it reaches a shell", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), "x");
    await using sshd = await startSshd();
    expect((await run([...sshd.words, dir.file("s"), "127.0.0.1", dir.file("a b; touch c")])).exitCode).toBe(0);
    expect(fs.readdirSync(dir.path).sort()).toEqual(["a b; touch c", "s"]);
  });

  testWith("sshd")(
    "5: no password in an argument list, no litter after a failure, no truncation in a dry run with -T",
    async () => {
      using dir = tempDir();
      using cache = tempDir();
      fs.writeFileSync(dir.file("s"), bytes(4, 1000));
      fs.writeFileSync(dir.file("d"), bytes(5, 5000));
      await using sshd = await startSshd();
      // Stands in for ssh: keeps the argument list and environment, then is ssh.
      fs.writeFileSync(
        dir.file("spy"),
        `#!/bin/sh\necho "$@" >'${dir.file("argv")}'\nexec ssh -F "${sshd.configFile}" "$@"\n`,
        { mode: 0o755 },
      );
      const env = { TEST_SECRET: "hunter2", BLOCKSYNC_REMOTE_DIR: cache.path };
      const result = await run(
        ["-v", "-P", "TEST_SECRET", "-e", JSON.stringify(dir.file("spy")), dir.file("s"), `127.0.0.1:${dir.path}`],
        { env },
      );
      expect(result.exitCode).toBe(3);
      expect(fs.readFileSync(dir.file("argv"), "utf8")).not.toContain("hunter2");
      expect(result.stderr).not.toContain("hunter2");
      expect(fs.readdirSync(cache.path).filter((name) => !/^blocksync-[0-9a-f]{64}(\.checked)?$/.test(name))).toEqual(
        [],
      );
      const dry = await run(["-n", "-T", ...sshd.words, dir.file("s"), `127.0.0.1:${dir.file("d")}`], { env });
      expect(dry.exitCode).toBe(1);
      expect(fs.readFileSync(dir.file("d")).equals(bytes(5, 5000))).toBe(true);
    },
  );

  test("6: -T works, with -I naming any interpreter", async () => {
    using dir = tempDir();
    const data = bytes(6, MIB + 7);
    fs.writeFileSync(dir.file("s"), data);
    fs.writeFileSync(dir.file("d"), Buffer.concat([changeLeaves(data, [1]), bytes(7, 99)]));
    expect((await run(["-T", "-I", "python2", dir.file("s"), "localhost", dir.file("d")])).exitCode).toBe(0);
    expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
  });
});
