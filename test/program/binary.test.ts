import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import manifest from "../../package.json" with { type: "json" };
import { buildId } from "../../scripts/build-id.ts";
import { BINARY, fakeSsh, peakMemory, run, start, summaryOf, until } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { allocated } from "../helpers/sync.ts";
import { tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;

describe("blocksync", () => {
  test("--version prints version and build id, and the binary is of these sources", async () => {
    expect(await run(["--version"])).toEqual({
      exitCode: 0,
      stdout: `blocksync ${manifest.version} (build ${buildId()})\n`,
      stderr: "",
    });
  });

  test("--help lists everything on stdout; no argument lists it on stderr and exits 2", async () => {
    const help = await run(["--help"]);
    expect(help.exitCode).toBe(0);
    expect(help.stdout).toContain("--additional-hash NAME");
    expect(help.stdout).toContain("7  verification failed");
    const none = await run([]);
    expect(none).toEqual({ exitCode: 2, stdout: "", stderr: help.stdout });
  });

  test.each([
    [["--dry-runn", "a", "b"], 'Unknown option "--dry-runn"'],
    [["a", "b", "c", "d"], "Too many arguments"],
    [["a"], "DESTINATION is missing"],
    [["--block-size", "a", "b"], "is not a size"],
    [["-b", "1000", "a", "b"], "multiple of 4K"],
    [["--block-size=", "a", "b"], "is empty"],
    [["a", "user@host"], "could be a host or a file"],
    [["a", "localhost"], "could be a host or a file"],
    [["--bwlimit", "fast", "a", "b"], "is not a size"],
    [["--verify", "-n", "a", "b"], "contradict each other"],
    [["-w", "65", "a", "b"], "whole number from 1 to 64"],
    [["--mapfile", "m", "a", "b"], "--mapfile needs --on-read-error skip"],
    [["a", "-oProxyCommand=x:b"], "DESTINATION is missing"],
    [["--", "a", "-oProxyCommand=x:b"], 'begins with "-"'],
    [["a", "x@-host:b"], 'begins with "-"'],
    [["compare", "a"], "compare needs two"],
    [["compare", "--force", "a", "b"], 'Unknown option "--force"'],
    [["serve", "x"], "serve takes no arguments"],
  ])("%p is a usage error: exit 2, nothing done", async (words, message) => {
    using dir = tempDir();
    const result = await run(words, { cwd: dir.path });
    expect(result.stderr).toContain(message);
    expect(result.exitCode).toBe(2);
    expect(result.stdout).toBe("");
    expect(fs.readdirSync(dir.path)).toEqual([]);
  });

  test.each([0, 1, 511, 4096, MIB - 1, MIB, 3 * MIB + 12345])("makes a copy of %p bytes", async (size) => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(31, size));
    const result = await run(["--progress", "none", dir.file("s"), dir.file("d")]);
    const [first, ...others] = result.stderr.trimEnd().split("\n");
    expect(first).toMatch(/^Completed in \S+ s( \(.*\/s\))?: .* equal, .* written$/);
    expect(others.map((line) => line.slice(0, 15))).toEqual([
      "  read         ",
      "  size         ",
      "  saved        ",
      "  fingerprint  ",
      "  verified     ",
    ]);
    expect(result.exitCode).toBe(0);
    expect(result.stdout).toBe("");
    expect(fs.readFileSync(dir.file("d")).equals(bytes(31, size))).toBe(true);
  });

  test("says what became of the destination's size", async () => {
    using dir = tempDir();
    const size = async (from: number, to: number | undefined, ...words: string[]) => {
      fs.writeFileSync(dir.file("s"), bytes(31, from));
      fs.rmSync(dir.file("d"), { force: true });
      if (to !== undefined) fs.writeFileSync(dir.file("d"), bytes(32, to));
      const { stderr, exitCode } = await run([...words, dir.file("s"), dir.file("d")]);
      expect(exitCode).toBe(0);
      return /^ {2}size {9}(.*)$/m.exec(stderr)?.[1];
    };
    expect(await size(5000, undefined)).toBe("the destination is new");
    expect(await size(5000, 5000)).toBe(undefined);
    expect(await size(5000, 70)).toBe("the destination grew from 70 bytes to 4.9 KiB");
    expect(await size(5000, 5070)).toBe("the destination kept its last 70 bytes");
    expect(await size(5000, 5070, "-T")).toBe("the destination was cut from 5.0 KiB to 4.9 KiB");
    expect(await size(0, 70)).toBe("the source is empty");
    expect(await size(0, 70, "-T")).toBe("the source is empty, the destination was cut from 70 bytes");
  });

  test("works beyond 4 GiB, in a sparse file, reading only its data", async () => {
    using dir = tempDir();
    const size = 6 * 2 ** 30 + 77;
    for (const [name, seed] of [
      ["s", 32],
      ["d", 33],
    ] as const) {
      const fd = fs.openSync(dir.file(name), "w");
      fs.ftruncateSync(fd, size);
      fs.writeSync(fd, bytes(seed, 9000), 0, 9000, 5 * 2 ** 30 - 100);
      fs.writeSync(fd, bytes(seed, 7), 0, 7, size - 7);
      fs.closeSync(fd);
    }
    const result = await run(["--json", dir.file("s"), dir.file("d")]);
    expect(result.exitCode).toBe(0);
    const summary = summaryOf(result);
    expect(summary).toMatchObject({ blocksDiffering: 3, leavesWritten: 5, bytesWritten: 4 * 4096 + 77 });
    expect(Number(summary["bytesRead"])).toBeLessThan(20 * MIB);
    for (const [offset, length] of [
      [5 * 2 ** 30 - 8192, 32768],
      [size - 8192, 8192],
    ] as const) {
      const [from, to] = ["s", "d"].map((name) =>
        Bun.spawnSync([
          "dd",
          `if=${dir.file(name)}`,
          "iflag=skip_bytes,count_bytes",
          `skip=${offset}`,
          `count=${length}`,
        ]),
      );
      expect(from?.stdout.length).toBe(length);
      expect(from?.stdout.equals(to?.stdout ?? Buffer.alloc(0))).toBe(true);
    }
    expect(allocated(dir.file("d"))).toBeLessThan(MIB);
  });

  test("1 TiB of sparse file is compared within 200 MB", async () => {
    using dir = tempDir();
    for (const name of ["s", "d"]) {
      const fd = fs.openSync(dir.file(name), "w");
      fs.ftruncateSync(fd, 2 ** 40);
      fs.writeSync(fd, bytes(34, 4096), 0, 4096, 2 ** 39);
      fs.closeSync(fd);
    }
    const child = start(["-q", dir.file("s"), dir.file("d")]);
    const peak = await peakMemory(child);
    expect(await child.exited).toBe(0);
    expect(peak).toBeGreaterThan(20e6);
    expect(peak).toBeLessThan(200e6);
  });

  test("--json gives one object a line, start first and summary last, and nothing else on stdout", async () => {
    using dir = tempDir();
    const data = bytes(35, 5 * MIB);
    fs.writeFileSync(dir.file("s"), data);
    fs.writeFileSync(dir.file("d"), Buffer.concat([changeLeaves(data, [300]), bytes(1, 10)]));
    const result = await run(["--json", dir.file("s"), dir.file("d")]);
    const events = result.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events.map(({ event }) => event)).toEqual(["notice", "start", "summary"]);
    expect(events.every(({ time }) => !Number.isNaN(Date.parse(time)))).toBe(true);
    expect(events.at(-1)).toMatchObject({
      exitCode: 0,
      source: dir.file("s"),
      destination: dir.file("d"),
      sizeBytes: 5 * MIB,
      blockSizeBytes: MIB,
      blocksTotal: 5,
      blocksMatching: 4,
      blocksDiffering: 1,
      blocksZero: 0,
      bytesWritten: 4096,
      bytesSent: 0,
      bytesReceived: 0,
      bytesBootstrapped: 0,
      leavesWritten: 1,
      sourceUnreadableBytes: 0,
      verified: false,
    });
    expect(result.stderr).toContain("keeps its tail");
  });

  test("--json ends with a summary after a failure too", async () => {
    using dir = tempDir();
    const result = await run(["--json", dir.file("none"), dir.file("d")]);
    expect(result.exitCode).toBe(4);
    const events = result.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events.map(({ event }) => event)).toEqual(["error", "summary"]);
    expect(events.at(-1)).toMatchObject({ exitCode: 4, bytesWritten: 0 });
    expect(result.stderr).toContain(
      `blocksync: Cannot open ${JSON.stringify(dir.file("none"))}: no such file or directory\n`,
    );
    expect(fs.existsSync(dir.file("d"))).toBe(false);
  });

  test("--dry-run writes nothing and exits 1 when something differs, 0 when nothing does", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(36, 2 * MIB));
    fs.writeFileSync(dir.file("d"), bytes(37, 2 * MIB));
    expect((await run(["-n", dir.file("s"), dir.file("d")])).exitCode).toBe(1);
    expect(fs.readFileSync(dir.file("d")).equals(bytes(37, 2 * MIB))).toBe(true);
    expect((await run(["--dryrun", "-T", dir.file("s"), dir.file("new")])).exitCode).toBe(1);
    expect(fs.existsSync(dir.file("new"))).toBe(false);
    fs.copyFileSync(dir.file("s"), dir.file("d"));
    expect((await run(["-n", dir.file("s"), dir.file("d")])).exitCode).toBe(0);
  });

  test("compare prints differing runs of leaves and a tail, exit 1; nothing when equal, exit 0", async () => {
    using dir = tempDir();
    const data = bytes(38, 3 * MIB + 100);
    fs.writeFileSync(dir.file("a"), data);
    fs.writeFileSync(dir.file("b"), Buffer.concat([changeLeaves(data, [0, 5, 6, 255, 256, 768]), bytes(1, 50)]));
    const result = await run(["compare", "--progress", "none", dir.file("a"), dir.file("b")]);
    expect(result.stdout).toBe(
      "0 4096\n20480 8192\n1044480 8192\n3145728 150\n".replace("3145728 150", `3145728 100\n${data.length} 50`),
    );
    expect(result.exitCode).toBe(1);
    expect(await run(["compare", "-q", dir.file("a"), dir.file("a")])).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  });

  test("--dry-run exits 1 when only the size would change", async () => {
    using dir = tempDir();
    const data = bytes(40, MIB + 5);
    fs.writeFileSync(dir.file("s"), data);
    fs.writeFileSync(dir.file("longer"), Buffer.concat([data, bytes(41, 50)]));
    fs.writeFileSync(dir.file("zeros"), Buffer.concat([data, Buffer.alloc(50)]));
    const exitCode = async (...words: string[]) => (await run(["-q", "-n", ...words])).exitCode;
    expect(await exitCode("-T", dir.file("s"), dir.file("longer"))).toBe(1);
    expect(await exitCode(dir.file("s"), dir.file("longer"))).toBe(0);
    expect(await exitCode(dir.file("zeros"), dir.file("s"))).toBe(1);
  });

  test("compare of one that is the other's beginning prints the rest, exit 1, whichever is longer", async () => {
    using dir = tempDir();
    const data = bytes(39, 2 * MIB + 100);
    fs.writeFileSync(dir.file("a"), data);
    fs.writeFileSync(dir.file("b"), data.subarray(0, MIB + 5));
    fs.writeFileSync(dir.file("c"), "");
    for (const [first, second, stdout] of [
      ["a", "b", `${MIB + 5} ${MIB + 95}\n`],
      ["b", "a", `${MIB + 5} ${MIB + 95}\n`],
      ["c", "a", `0 ${data.length}\n`],
    ] as const) {
      const result = await run(["compare", "-q", dir.file(first), dir.file(second)]);
      expect(result).toEqual({ exitCode: 1, stdout, stderr: "" });
      const summary = summaryOf(await run(["compare", "-q", "--json", dir.file(first), dir.file(second)]));
      expect(summary).toMatchObject({ exitCode: 1, blocksDiffering: 0, sourceFingerprint: null });
    }
  });

  test("compare --json prints each range as an event", async () => {
    using dir = tempDir();
    const data = bytes(38, MIB);
    fs.writeFileSync(dir.file("a"), data);
    fs.writeFileSync(dir.file("b"), changeLeaves(data, [3, 9]));
    const result = await run(["compare", "--json", dir.file("a"), dir.file("b")]);
    const events = result.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events.map(({ event }) => event)).toEqual(["start", "difference", "difference", "summary"]);
    expect(events[2]).toMatchObject({ offset: 9 * 4096, length: 4096 });
    expect(events[3]).toMatchObject({ exitCode: 1, blocksDiffering: 1, bytesWritten: 0 });
  });

  test("without a terminal there is no progress line a second, which would fill cron's mail, but --json has its events", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(39, 8 * MIB));
    const result = await run(["-p", "160", dir.file("s"), dir.file("d")]);
    expect(result.stderr.match(/^\[worker 0\] .*$/gm)).toEqual([expect.stringContaining("same: 0, diff: 8, 8/8, ")]);
    const { stdout } = await run(["-p", "160", "--json", dir.file("s"), dir.file("d")]);
    expect(stdout).toContain('"event":"progress"');
  });

  test("plain progress is blocksync.py's line, also without a terminal, and goes to --output with the messages", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(39, 8 * MIB));
    const result = await run(["-p", "100", "-t", "0.2", "-o", dir.file("log"), dir.file("s"), dir.file("d")]);
    expect(result).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    const log = fs.readFileSync(dir.file("log"), "utf8");
    const stamped = log.trimEnd().split("\n");
    const stamp = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d /;
    expect(stamped.filter((line) => !stamp.test(line))).toEqual([]);
    const [first, ...lines] = stamped.map((line) => line.replace(stamp, ""));
    const names = `"${dir.file("s")}" to "${dir.file("d")}"`;
    const { version } = manifest;
    expect(first).toBe(`blocksync ${version}: sync ${names}`);
    expect(lines.length).toBeGreaterThan(3);
    // On a busy machine a line may be due before the first block is done.
    const begun = lines.find((line) => !line.includes(" diff: 0,"));
    expect(begun).toMatch(/^\[worker 0\] same: 0, diff: [1-7], [1-7]\/8, +\d+\.\d MB\/s \(0:00:0\d remaining\)$/);
    const end = lines.findIndex((line) => line.startsWith("Completed in "));
    expect(lines[end - 1]).toMatch(/^\[worker 0\] same: 0, diff: 8, 8\/8, +\d+\.\d MB\/s$/);
    expect(lines[end]).toMatch(/^Completed in \S+ s \(.*\/s\): ".*" to ".*": 8\.0 MiB equal, 8\.0 MiB written$/);
    expect(lines[end]).toContain(`: ${names}: `);
    expect(lines.slice(end + 1).map((line) => line.trim().split(" ")[0])).toEqual([
      "read",
      "size",
      "saved",
      "fingerprint",
      "verified",
    ]);
  });

  test("a log has the local time, and says of a run that failed what it was and how far it came", async () => {
    using dir = tempDir();
    const data = bytes(40, MIB);
    fs.writeFileSync(dir.file("s"), data);
    const began = Math.floor(Date.now() / 1000) * 1000;
    const env = { TZ: "Asia/Kolkata" };
    const child = start(["-p", "60000", "-o", dir.file("log"), dir.file("s"), dir.file("d")], { env });
    await until(
      "it has begun to write",
      () => fs.existsSync(dir.file("d")) && fs.readFileSync(dir.file("d")).equals(data),
    );
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    const lines = fs.readFileSync(dir.file("log"), "utf8").trimEnd().split("\n");
    const times = lines.map((line) => line.split(" ")[0] ?? "");
    expect(times.filter((time) => !time.endsWith("+05:30"))).toEqual([]);
    for (const time of times) expect(Date.parse(time)).toBeWithin(began, Date.now() + 1);
    const names = `"${dir.file("s")}" to "${dir.file("d")}"`;
    expect(lines.at(-1)).toMatch(/^\S+ Stopped after \S+ s: ".*" to ".*": .* of 1\.0 MiB done, .* written$/);
    expect(lines.at(-1)).toContain(`: ${names}: `);
    const compare = await run(["compare", "-o", dir.file("compared"), dir.file("s"), dir.file("s")]);
    expect(compare.exitCode).toBe(0);
    const [first] = fs.readFileSync(dir.file("compared"), "utf8").split("\n");
    expect(first).toEndWith(`: compare "${dir.file("s")}" and "${dir.file("s")}"`);
  });

  test("a failure is said on the terminal even with --output", async () => {
    using dir = tempDir();
    const result = await run(["-o", dir.file("log"), dir.file("none"), dir.file("d")]);
    expect(result.exitCode).toBe(4);
    expect(result.stderr).toContain("Cannot open");
    const log = fs.readFileSync(dir.file("log"), "utf8");
    expect(log.replaceAll(/^\S+ (blocksync \d.*\n)?/gm, "")).toBe(result.stderr);
  });

  test.each(["xxh3-xxh64", "xxh128", "sha256", "sha512", "blake2b512", "md5", "sha1"])(
    "--hash %s finds and copies a change",
    async (hash) => {
      using dir = tempDir();
      const data = bytes(40, 2 * MIB + 5);
      fs.writeFileSync(dir.file("s"), data);
      fs.writeFileSync(dir.file("d"), changeLeaves(data, [512]));
      const words = ["--json", "-1", hash, "-2", "md5", "-b", "64K", dir.file("s"), dir.file("d")];
      expect(summaryOf(await run(words))).toMatchObject({ exitCode: 0, bytesWritten: 5, blocksDiffering: 1 });
      expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
      // Over a connection both sides hash every block, on threads where the function is slow.
      fs.writeFileSync(dir.file("d"), changeLeaves(data, [0, 512]));
      const far = [...words.slice(0, -1), ...fakeSsh(dir.file("rsh")), "-S", BINARY, `host:${dir.file("d")}`];
      expect(summaryOf(await run(far))).toMatchObject({ exitCode: 0, bytesWritten: 4101, blocksDiffering: 2 });
      expect(summaryOf(await run(far))).toMatchObject({ exitCode: 0, bytesWritten: 0, blocksMatching: 33 });
    },
  );

  test("-I of old command lines is ignored with a notice", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), "x");
    const result = await run(["-I", "python3", dir.file("s"), "localhost", dir.file("d")]);
    expect(result.exitCode).toBe(0);
    expect(result.stderr).toContain("--interpreter python3 is ignored");
    expect(fs.readFileSync(dir.file("d"), "utf8")).toBe("x");
  });

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 143],
  ] as const)("%s ends the run with %p and a summary", async (signal, exitCode) => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(41, 8 * MIB));
    const child = start(["--json", "-p", "500", dir.file("s"), dir.file("d")]);
    await until("the destination exists", () => fs.existsSync(dir.file("d")));
    child.kill(signal);
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    expect(await child.exited).toBe(exitCode);
    expect(JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "")).toMatchObject({ event: "summary", exitCode });
    expect(stderr).toContain("blocksync: Interrupted");
  });

  test("a folder with a hostile bunfig.toml, .env and package.json changes nothing", async () => {
    using dir = tempDir();
    fs.writeFileSync(
      dir.file("evil.ts"),
      `require("node:fs").writeFileSync(${JSON.stringify(dir.file("pwned"))}, "x");`,
    );
    fs.writeFileSync(dir.file("bunfig.toml"), 'preload = ["./evil.ts"]\n[run]\npreload = ["./evil.ts"]\n');
    fs.writeFileSync(
      dir.file(".env"),
      `BLOCKSYNC_ASKPASS=HOME\nBLOCKSYNC_DEBUG=1\nBUN_OPTIONS=--preload=${dir.file("evil.ts")}\n`,
    );
    fs.writeFileSync(dir.file("package.json"), '{"name":"x","main":"./evil.ts","imports":{"citty":"./evil.ts"}}');
    fs.writeFileSync(dir.file("tsconfig.json"), '{"compilerOptions":{"paths":{"citty":["./evil.ts"]}}}');
    fs.writeFileSync(dir.file("s"), "data");
    expect((await run(["s", "d"], { cwd: dir.path })).exitCode).toBe(0);
    const failing = await run(["none", "d2"], { cwd: dir.path });
    expect(failing.stderr).toStartWith('blocksync: Cannot open "none": no such file or directory\n');
    expect(fs.existsSync(dir.file("pwned"))).toBe(false);
    expect(fs.readFileSync(dir.file("d"), "utf8")).toBe("data");
  });

  test("the password that --pass names is given to ssh's question, and to no other", async () => {
    const env = { BLOCKSYNC_ASKPASS: "TEST_SECRET", TEST_SECRET: "s3cret" };
    expect(await run(["root@host's password: "], { env })).toEqual({ exitCode: 0, stdout: "s3cret\n", stderr: "" });
    expect(await run(["Are you sure you want to continue connecting (yes/no/[fingerprint])? "], { env })).toMatchObject(
      { exitCode: 1, stdout: "" },
    );
    const unset = await run(["-P", "TEST_NOT_SET", "a", "h:b"]);
    expect(unset.exitCode).toBe(2);
    expect(unset.stderr).toContain("TEST_NOT_SET");
  });

  test.each(["push", "pull"])("--bwlimit holds a %s to the rate, and the copy is equal", async (direction) => {
    using dir = tempDir();
    const rsh = fakeSsh(dir.file("rsh"));
    fs.writeFileSync(dir.file("s"), bytes(43, 3 * MIB));
    fs.writeFileSync(dir.file("none"), "");
    expect((await run([...rsh, dir.file("none"), `h:${dir.file("brings the program along")}`])).exitCode).toBe(0);
    const [from, to] =
      direction === "push" ? [dir.file("s"), `h:${dir.file("d")}`] : [`h:${dir.file("s")}`, dir.file("d")];
    const summary = summaryOf(await run(["--json", "--bwlimit", "2M", ...rsh, from, to]));
    expect(summary).toMatchObject({ exitCode: 0, bytesWritten: 3 * MIB });
    // 1.5 s at the rate; the last portion is on its way when the limit has let it through.
    expect(Number(summary["elapsedMs"])).toBeGreaterThan(900);
    expect(fs.readFileSync(dir.file("d")).equals(bytes(43, 3 * MIB))).toBe(true);
  });

  test("--sudo runs the far side through sudo, says when it needs a password, and when there is none", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), "x");
    const sudo = dir.file("sudo");
    const words = ["-s", ...fakeSsh(dir.file("rsh")), dir.file("s"), `h:${dir.file("d")}`];
    const env = { PATH: `${dir.path}:${process.env["PATH"]}` };
    fs.writeFileSync(sudo, "#!/bin/sh\necho 'sudo: a password is required' >&2; exit 1\n", { mode: 0o755 });
    const password = await run(words, { env });
    expect(password.exitCode).toBe(5);
    expect(password.stderr).toContain("sudo needs a password");
    expect(password.stderr).toContain("run blocksync on a terminal, where it can ask");
    fs.writeFileSync(
      sudo,
      `#!/bin/sh\nprintf '%s\\n' "$*" >>'${dir.file("log")}'\nshift\n[ "$1" = -- ] && shift\nexec "$@"\n`,
      {
        mode: 0o755,
      },
    );
    expect((await run(words, { env })).exitCode).toBe(0);
    expect(fs.readFileSync(dir.file("d"), "utf8")).toBe("x");
    expect(fs.readFileSync(dir.file("log"), "utf8")).toMatch(
      /^-n true\n-n -- env BLOCKSYNC_CWD=.* \.\/blocksync-[0-9a-f]{64} serve\n$/,
    );
  });

  test("leaves nothing in the temporary folder", async () => {
    using dir = tempDir();
    using scratch = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(42, MIB));
    const env = { TMPDIR: scratch.path, BUN_TMPDIR: scratch.path };
    expect((await run([dir.file("s"), dir.file("d")], { env })).exitCode).toBe(0);
    expect(fs.readdirSync(scratch.path)).toEqual([]);
  });
});
