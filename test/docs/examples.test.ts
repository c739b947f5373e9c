/** What the README and scripts/examples/ give others to use: each is run, or looked at by the program it is for. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { checkArguments } from "../../src/cli/arguments.ts";
import { syncOptions } from "../../src/cli/table.ts";
import { ExitCode } from "../../src/errors.ts";
import { BINARY } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const root = join(import.meta.dir, "../..");
const examples = join(root, "scripts/examples");
/** Where the examples have the program and what it works on. */
const [PROGRAM, SOURCE, DESTINATION] = ["/usr/local/bin/blocksync", "/dev/vg0/data", "backup:/srv/images/data.img"];

function example(name: string): string {
  return fs.readFileSync(join(examples, name), "utf8");
}

/** disk.img, and a copy.img that differs in one leaf. */
function images(dir: TempDir): void {
  const data = bytes(81, 8 * MIB);
  fs.writeFileSync(dir.file("disk.img"), data);
  fs.writeFileSync(dir.file("copy.img"), changeLeaves(data, [300]));
}

function runIn(dir: TempDir, words: readonly string[], env: Record<string, string> = {}) {
  const PATH = `${dirname(BINARY)}:${process.env["PATH"]}:/usr/sbin:/sbin`;
  const result = Bun.spawnSync([...words], { cwd: dir.path, env: { ...process.env, PATH, ...env }, stdin: "ignore" });
  return { exitCode: result.exitCode, stdout: result.stdout.toString(), stderr: result.stderr.toString() };
}

describe("jq, as the README has it:", () => {
  const lines = [...fs.readFileSync(join(root, "README.md"), "utf8").matchAll(/^ {4}(blocksync .* \| jq .*)$/gm)].map(
    ([, line = ""]) => line,
  );
  const lineWith = (text: string) => {
    const found = lines.filter((line) => line.includes(text));
    expect(found.length).toBe(1);
    return found[0] ?? "";
  };

  test("every line is run below", () => {
    expect(lines.length).toBe(4);
  });

  testWith("jq")("what was written", async () => {
    using dir = tempDir();
    images(dir);
    const line = lineWith("bytesWritten");
    expect(runIn(dir, ["sh", "-c", line])).toMatchObject({ exitCode: 0, stdout: "4096\n" });
    expect(fs.readFileSync(dir.file("copy.img")).equals(fs.readFileSync(dir.file("disk.img")))).toBe(true);
    expect(runIn(dir, ["sh", "-c", line])).toMatchObject({ exitCode: 0, stdout: "0\n" });
  });

  testWith("jq")("what went wrong", async () => {
    using dir = tempDir();
    const { stdout, stderr } = runIn(dir, ["sh", "-c", lineWith('"error"')]);
    const [message, hint] = stdout.split("\n");
    expect(message).toBe('Cannot open "disk.img": no such file or directory');
    expect(stderr).toBe(`blocksync: ${message}\nblocksync: hint: ${hint}\n`);
  });

  testWith("jq")("how far it is", async () => {
    using dir = tempDir();
    images(dir);
    // Slow enough to have something to say.
    const line = lineWith('"progress"').replace("--json", "--json -t 0.01 -p 20");
    const { exitCode, stdout } = runIn(dir, ["sh", "-c", line]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^(\d{1,3} %\n)+$/);
  });

  testWith("jq")("how much differs", async () => {
    using dir = tempDir();
    images(dir);
    const line = lineWith("compare");
    expect(runIn(dir, ["sh", "-c", line])).toEqual({ exitCode: 0, stdout: "4096\n", stderr: expect.any(String) });
    fs.copyFileSync(dir.file("disk.img"), dir.file("copy.img"));
    expect(runIn(dir, ["sh", "-c", line])).toEqual({ exitCode: 0, stdout: "0\n", stderr: expect.any(String) });
  });
});

describe("the Ansible playbook", () => {
  const playbook = join(examples, "blocksync-image.yml");
  const play = (dir: TempDir, ...words: string[]) => {
    const variables = {
      blocksync_program: BINARY,
      blocksync_source: dir.file("disk.img"),
      blocksync_destination: dir.file("image.img"),
    };
    const { exitCode, stdout, stderr } = runIn(
      dir,
      ["ansible-playbook", "-i", "localhost,", "-c", "local", "-e", JSON.stringify(variables), ...words, playbook],
      {
        ANSIBLE_HOME: dir.file("ansible"),
        ANSIBLE_LOCAL_TEMP: dir.file("ansible"),
        ANSIBLE_NOCOLOR: "1",
        LC_ALL: "C.UTF-8",
      },
    );
    const [, changed, failed] = /^localhost .* changed=(\d+) .* failed=(\d+) /m.exec(stdout) ?? [];
    return { exitCode, changed: Number(changed), failed: Number(failed), said: stdout + stderr };
  };

  testWith("ansible")("passes ansible's own check", async () => {
    using dir = tempDir();
    expect(play(dir, "--syntax-check")).toMatchObject({ exitCode: 0 });
  });

  testWith("ansible")("changes something once, and in check mode says so without doing it", async () => {
    using dir = tempDir();
    images(dir);
    fs.writeFileSync(dir.file("image.img"), "");
    const changed = { exitCode: 0, changed: 1, failed: 0 };
    expect(play(dir, "--check")).toMatchObject(changed);
    expect(fs.statSync(dir.file("image.img")).size).toBe(0);
    expect(play(dir)).toMatchObject(changed);
    expect(fs.readFileSync(dir.file("image.img")).equals(fs.readFileSync(dir.file("disk.img")))).toBe(true);
    expect(play(dir)).toMatchObject({ ...changed, changed: 0 });
    expect(play(dir, "--check")).toMatchObject({ ...changed, changed: 0 });
  });

  testWith("ansible")("fails with what blocksync says", async () => {
    using dir = tempDir();
    const failing = play(dir);
    expect(failing).toMatchObject({ exitCode: 2, changed: 0, failed: 1 });
    expect(failing.said).toContain("no such file or directory");
    expect(play(dir, "-e", "blocksync_program=/no/such/program")).toMatchObject({ exitCode: 2, changed: 0, failed: 1 });
  });
});

/** Runs a command line of an example on the images; it has to make them equal. */
function expectCopies(line: string): { stdout: string; stderr: string } {
  using dir = tempDir();
  images(dir);
  expect(line).toStartWith(`${PROGRAM} `);
  expect(line).toEndWith(` ${SOURCE} ${DESTINATION}`);
  const words = line.split(" ").slice(1, -2);
  expect(() => checkArguments(words, syncOptions)).not.toThrow();
  const { exitCode, stdout, stderr } = runIn(dir, [BINARY, ...words, "disk.img", "copy.img"]);
  expect(exitCode).toBe(0);
  expect(fs.readFileSync(dir.file("copy.img")).equals(fs.readFileSync(dir.file("disk.img")))).toBe(true);
  return { stdout, stderr };
}

describe("the systemd units", () => {
  const service = example("blocksync-image.service");
  const setting = (name: string) => new RegExp(`^${name}=(.*)$`, "m").exec(service)?.[1] ?? "";

  testWith("systemd")("pass systemd's own check", async () => {
    using dir = tempDir();
    const paths = ["blocksync-image.service", "blocksync-image.timer"].map((name) => {
      fs.writeFileSync(dir.file(name), example(name).replace(PROGRAM, BINARY));
      return dir.file(name);
    });
    expect(runIn(dir, ["systemd-analyze", "verify", "--man=no", ...paths])).toEqual({
      exitCode: 0,
      stdout: "",
      stderr: "",
    });
  });

  test("the service does what it says", () => {
    expectCopies(setting("ExecStart"));
  });

  test("the service knows every exit code: well, to be tried again, or failed for good", () => {
    const codes = (name: string) => setting(name).split(" ").map(Number);
    const again = [ExitCode.differs, ExitCode.unreachable, ExitCode.interrupted];
    const all = [0, 70, ...codes("SuccessExitStatus"), ...codes("RestartPreventExitStatus"), ...again];
    expect([...new Set(all)].toSorted((a, b) => a - b)).toEqual(
      [...Object.values(ExitCode), 70].toSorted((a, b) => a - b),
    );
    expect(codes("SuccessExitStatus")).toEqual([ExitCode.terminated]);
  });
});

test("the line for cron says nothing when all is well", () => {
  const jobs = example("blocksync-image.cron")
    .trimEnd()
    .split("\n")
    .filter((line) => !/^(#|[A-Z]+=)/.test(line));
  expect(jobs.length).toBe(1);
  // Minute, hour, day, month, weekday, user, command (crontab(5)); a percent sign would end the command.
  const [, fields, line = ""] = /^((?:[\d*/,-]+ +){5})root +([^%]+)$/.exec(jobs[0] ?? "") ?? [];
  expect(fields).toBeDefined();
  expect(expectCopies(line)).toEqual({ stdout: "", stderr: "" });
});

test("every example is looked at above", () => {
  expect(
    fs
      .readdirSync(examples)
      .map((name) => basename(name))
      .toSorted(),
  ).toEqual(["blocksync-image.cron", "blocksync-image.service", "blocksync-image.timer", "blocksync-image.yml"]);
});
