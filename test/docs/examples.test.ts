/** What scripts/examples/ gives others to use: each is run, or looked at by the program it is for. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { dirname, join } from "node:path";
import { ExitCode } from "../../src/errors.ts";
import { treeSize } from "../../src/tree/layout.ts";
import { BINARY } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { attachLoop } from "../helpers/loop.ts";
import { badDisk } from "../helpers/nbd.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";
import { serveWeb } from "../helpers/web.ts";

const MIB = 1 << 20;
const root = join(import.meta.dir, "../..");
const examples = join(root, "scripts/examples");

function example(name: string): string {
  return fs.readFileSync(join(examples, name), "utf8");
}

/** disk.img, and a copy.img that differs in one leaf. */
function images(dir: TempDir): void {
  const data = bytes(81, 8 * MIB);
  fs.writeFileSync(dir.file("disk.img"), data);
  fs.writeFileSync(dir.file("copy.img"), changeLeaves(data, [300]));
}

/** Runs words in `dir`, where programs in its folder bin come first, then this blocksync and the examples. */
function runIn(dir: TempDir, words: readonly string[], env: Record<string, string> = {}, input = "") {
  const PATH = `${dir.file("bin")}:${dirname(BINARY)}:${examples}:${process.env["PATH"]}:/usr/sbin:/sbin`;
  const result = Bun.spawnSync([...words], {
    cwd: dir.path,
    env: { ...process.env, PATH, ...env },
    stdin: Buffer.from(input),
  });
  return { exitCode: result.exitCode, stdout: result.stdout.toString(), stderr: result.stderr.toString() };
}

/** Puts a program of the test's own into the folder bin. */
function stub(dir: TempDir, name: string, ...lines: readonly string[]): void {
  fs.mkdirSync(dir.file("bin"), { recursive: true });
  fs.writeFileSync(dir.file(`bin/${name}`), ["#!/bin/sh", ...lines, ""].join("\n"), { mode: 0o755 });
}

function isEqual(dir: TempDir, one: string, other: string): boolean {
  return fs.readFileSync(dir.file(one)).equals(fs.readFileSync(dir.file(other)));
}

/** Names in `dir` that begin so, in order. */
function namesOf(dir: TempDir, beginning: string): string[] {
  return fs
    .readdirSync(dir.path)
    .filter((name) => name.startsWith(beginning))
    .toSorted();
}

describe("jq, as the page of examples has it:", () => {
  const lines = [...example("README.md").matchAll(/^ {4}(blocksync .* \| jq .*)$/gm)].map(([, line = ""]) => line);
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
  /** Runs it once, or twice in a row (a start of Ansible takes a second of a core); `changed` has a number for each. */
  const play = (dir: TempDir, words: readonly string[] = [], times: 1 | 2 = 1) => {
    stub(dir, "lvcreate", `cp "${dir.path}/$6" "${dir.path}/$5"`);
    stub(dir, "lvremove", `rm "${dir.path}/$2"`);
    const variables = {
      blocksync_program: BINARY,
      blocksync_devices: dir.path,
      blocksync_volume: "disk.img",
      blocksync_destination: dir.file("image.img"),
    };
    const { exitCode, stdout, stderr } = runIn(
      dir,
      [
        ...["ansible-playbook", "-i", "localhost,", "-c", "local", "-e", JSON.stringify(variables), ...words],
        ...Array<string>(times).fill(playbook),
      ],
      {
        // Neither looked for by a module of its own nor started through more shells and files than it takes.
        ANSIBLE_PYTHON_INTERPRETER: fs.existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "auto",
        ANSIBLE_PIPELINING: "1",
        ANSIBLE_HOME: dir.file("ansible"),
        ANSIBLE_LOCAL_TEMP: dir.file("ansible"),
        ANSIBLE_NOCOLOR: "1",
        LC_ALL: "C.UTF-8",
      },
    );
    const changed = stdout
      .split(/^PLAY \[/m)
      .slice(1)
      .map((said) => said.match(/^changed: \[localhost\]/gm)?.length ?? 0);
    const [, all, failed] = /^localhost .* changed=(\d+) .* failed=(\d+) /m.exec(stdout) ?? [];
    expect(Number(all ?? 0)).toBe(changed.reduce((sum, one) => sum + one, 0));
    return { exitCode, changed, failed: Number(failed), said: stdout + stderr };
  };

  testWith("ansible")("passes ansible's own check", async () => {
    using dir = tempDir();
    expect(play(dir, ["--syntax-check"])).toMatchObject({ exitCode: 0 });
  });

  testWith("ansible")("changes something once, and in check mode says so without doing it", async () => {
    using dir = tempDir();
    images(dir);
    fs.writeFileSync(dir.file("image.img"), "");
    expect(play(dir, ["--check"])).toMatchObject({ exitCode: 0, changed: [1], failed: 0 });
    expect(fs.statSync(dir.file("image.img")).size).toBe(0);
    expect(play(dir, [], 2)).toMatchObject({ exitCode: 0, changed: [1, 0], failed: 0 });
    expect(fs.readFileSync(dir.file("image.img")).equals(fs.readFileSync(dir.file("disk.img")))).toBe(true);
    expect(play(dir, ["--check"])).toMatchObject({ exitCode: 0, changed: [0], failed: 0 });
    expect(namesOf(dir, "disk.img")).toEqual(["disk.img"]);
  });

  testWith("ansible")("fails with what blocksync says", async () => {
    using dir = tempDir();
    images(dir);
    fs.mkdirSync(dir.file("image.img"));
    const failing = play(dir);
    expect(failing).toMatchObject({ exitCode: 2, changed: [0], failed: 1 });
    expect(failing.said).toContain("it is a directory");
    const without = play(dir, ["-e", "blocksync_program=/no/such/program"]);
    expect(without).toMatchObject({ exitCode: 2, changed: [0], failed: 1 });
    expect(namesOf(dir, "disk.img")).toEqual(["disk.img"]);
  });
});

describe("the pull service", () => {
  const service = example("blocksync-pull@.service");
  const setting = (text: string, name: string) => new RegExp(`^${name}=(.*)$`, "m").exec(text)?.[1] ?? "";

  /** A host "db1" that is this machine, where the volume vg0/data is a file, and snapshots of it are copies. */
  const host = (dir: TempDir, more: Readonly<Record<string, string>> = {}) => {
    images(dir);
    fs.mkdirSync(dir.file("vg0"));
    fs.renameSync(dir.file("disk.img"), dir.file("vg0/data"));
    const conf = { HOST: "root@db1", VOLUME: "vg0/data", SNAPSHOT_SIZE: "5G", KEEP: "2" };
    const lines = { ...conf, IMAGE: dir.file("copy.img"), DEVICES: dir.path, ...more };
    fs.writeFileSync(
      dir.file("db1.conf"),
      Object.entries(lines)
        .map(([name, value]) => `${name}='${value}'\n`)
        .join(""),
    );
    stub(
      dir,
      "ssh",
      `cd '${dir.path}'`,
      "for last; do :; done",
      'case "$*" in',
      '"root@db1 lvcreate --snapshot --size 5G --name vg0/data-blocksync vg0/data") [ ! -e vg0/data-blocksync ] || exit 5; cp vg0/data vg0/data-blocksync ;;',
      '"root@db1 lvremove --yes vg0/data-blocksync") rm vg0/data-blocksync ;;',
      '*) exec sh -c "$last" ;;',
      "esac",
    );
    const env = { BLOCKSYNC_CONF: dir.path, REFLINK: "auto" };
    return (...words: string[]) => runIn(dir, ["blocksync-pull", "db1", "--script", BINARY, ...words], env);
  };

  test("pulls by way of a snapshot, which is gone afterwards, and makes a generation", () => {
    using dir = tempDir();
    const pull = host(dir);
    // What an earlier run has left that was killed.
    fs.writeFileSync(dir.file("vg0/data-blocksync"), "old");
    expect(pull("--quiet")).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    expect(isEqual(dir, "copy.img", "vg0/data")).toBe(true);
    expect(fs.readdirSync(dir.file("vg0"))).toEqual(["data"]);
    expect(namesOf(dir, "copy.img.2").length).toBe(1);
  });

  test("keeps days instead where the configuration names a directory for them, the newest alone", () => {
    using dir = tempDir();
    fs.mkdirSync(dir.file("days"));
    const pull = host(dir, { UNDO: dir.file("days") });
    const states: Buffer[] = [];
    // The first finds nothing to undo.
    for (let night = 0; night < 4; night++) {
      if (night > 0) states.push(fs.readFileSync(dir.file("copy.img")));
      const volume = fs.openSync(dir.file("vg0/data"), "r+");
      fs.writeSync(volume, `night ${night}`, 4096 * night);
      fs.closeSync(volume);
      expect(pull("--quiet")).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    }
    expect(namesOf(dir, "copy.img")).toEqual(["copy.img", "copy.img.lock"]);
    const days = fs.readdirSync(dir.file("days")).toSorted();
    expect(days.length).toBe(2);
    for (const [i, day] of days.entries()) {
      expect(runIn(dir, [BINARY, "-q", `days/${day}`, `day${i}`])).toMatchObject({ exitCode: 0 });
      expect(fs.readFileSync(dir.file(`day${i}`)).equals(states[i + 1] ?? Buffer.alloc(0))).toBe(true);
    }
    const keep = (number: string) => runIn(dir, ["blocksync-days", dir.file("days"), number]).exitCode;
    for (const wrong of ["0", "many"]) expect(keep(wrong)).not.toBe(0);
    expect(fs.readdirSync(dir.file("days")).length).toBe(2);
    // The clock was set back between the two: the oldest has the later name, and what it needs stays.
    const [oldest = "", newest = ""] = days;
    const later = newest.replace(/^\d{4}/, "9999");
    fs.renameSync(dir.file(`days/${oldest}`), dir.file(`days/${later}`));
    expect(keep("2")).toBe(0);
    expect(fs.readdirSync(dir.file("days")).toSorted()).toEqual([newest, later]);
    expect(keep("1")).toBe(0);
    expect(fs.readdirSync(dir.file("days"))).toEqual([newest]);
  });

  test("deletes no day where one is not whole", () => {
    using dir = tempDir();
    fs.mkdirSync(dir.file("days"));
    const pull = host(dir, { UNDO: dir.file("days"), KEEP: "9" });
    for (let night = 0; night < 4; night++) {
      const volume = fs.openSync(dir.file("vg0/data"), "r+");
      fs.writeSync(volume, `night ${night}`, 4096 * night);
      fs.closeSync(volume);
      expect(pull("--quiet").exitCode).toBe(0);
    }
    const days = fs.readdirSync(dir.file("days")).toSorted();
    expect(days.length).toBe(4);
    fs.rmSync(dir.file(`days/${days[1]}`));
    expect(runIn(dir, ["blocksync-days", dir.file("days"), "1"]).exitCode).toBe(ExitCode.verification);
    expect(fs.readdirSync(dir.file("days")).length).toBe(3);
  });

  test("exits as blocksync does, makes no generation of a run that failed, and removes the snapshot", () => {
    using dir = tempDir();
    const pull = host(dir);
    expect(pull("--expect-size", "1G").exitCode).toBe(ExitCode.refused);
    expect(namesOf(dir, "copy.img.2")).toEqual([]);
    expect(fs.readdirSync(dir.file("vg0"))).toEqual(["data"]);
    fs.rmSync(dir.file("vg0/data"));
    expect(pull().exitCode).toBe(1);
    expect(namesOf(dir, "copy.img.2")).toEqual([]);
  });

  test("leaves a run alone that goes on already", async () => {
    using dir = tempDir();
    const pull = host(dir);
    const waits = ["flock", dir.file("copy.img.lock"), "sh", "-c", "echo; read x"];
    const busy = Bun.spawn(waits, { stdin: "pipe", stdout: "pipe" });
    await busy.stdout.getReader().read();
    const { exitCode, stderr } = pull();
    busy.stdin.end();
    await busy.exited;
    expect({ exitCode, stderr }).toEqual({ exitCode: 3, stderr: "blocksync-pull: db1 is being pulled already\n" });
  });

  testWith("systemd")("passes systemd's own check", async () => {
    using dir = tempDir();
    const paths = ["blocksync-pull@.service", "blocksync-pull@.timer", "blocksync-mail@.service"].map((name) => {
      fs.writeFileSync(
        dir.file(name),
        example(name).replace("/usr/local/bin/blocksync-pull", join(examples, "blocksync-pull")),
      );
      return dir.file(name);
    });
    expect(runIn(dir, ["systemd-analyze", "verify", "--man=no", ...paths])).toEqual({
      exitCode: 0,
      stdout: "",
      stderr: "",
    });
  });

  test("knows every exit code: well, to be tried again, or failed for good", () => {
    const codes = (name: string) => setting(service, name).split(" ").map(Number);
    const again = [ExitCode.differs, ExitCode.unreachable, ExitCode.interrupted];
    const all = [0, 70, ...codes("SuccessExitStatus"), ...codes("RestartPreventExitStatus"), ...again];
    expect([...new Set(all)].toSorted((a, b) => a - b)).toEqual(
      [...Object.values(ExitCode), 70].toSorted((a, b) => a - b),
    );
    expect(codes("SuccessExitStatus")).toEqual([ExitCode.terminated]);
    // It has failed, and is mailed, once the limit of starts is reached (systemd.unit(5), OnFailure=).
    const [tries, hours, minutes] = ["StartLimitBurst", "StartLimitIntervalSec", "RestartSec"].map((name) =>
      Number.parseInt(setting(service, name), 10),
    );
    expect((tries ?? 0) * (minutes ?? 60)).toBeLessThan((hours ?? 0) * 60);
    expect(setting(service, "ExecStart")).toBe("/usr/local/bin/blocksync-pull %i");
  });

  test("mails what the journal says about a unit that failed", () => {
    using dir = tempDir();
    expect(setting(service, "OnFailure")).toBe("blocksync-mail@%n.service");
    stub(dir, "systemctl", 'echo "journal of $4"; exit 3');
    stub(dir, "mail", 'echo "$1 $2 to $3:"; cat');
    const [, line = "", unit] =
      /^\/bin\/sh -c '(.*)' mail (%i)$/.exec(setting(example("blocksync-mail@.service"), "ExecStart")) ?? [];
    expect(unit).toBe("%i");
    expect(runIn(dir, ["sh", "-c", line.replace("%H", "backup"), "mail", "blocksync-pull@db1.service"])).toEqual({
      exitCode: 0,
      stdout: "-s blocksync-pull@db1.service failed on backup to root:\njournal of blocksync-pull@db1.service\n",
      stderr: "",
    });
  });

  test("has a line for cron that says nothing when all is well", () => {
    using dir = tempDir();
    const pull = host(dir);
    const jobs = example("blocksync-pull.cron")
      .trimEnd()
      .split("\n")
      .filter((line) => !/^(#|[A-Z]+=)/.test(line));
    // Minute, hour, day, month, weekday, user, command (crontab(5)); a percent sign would end the command.
    const [, fields, words = ""] = /^((?:[\d*/,-]+ +){5})root +blocksync-pull db1 ([^%]+)$/.exec(jobs.join("\n")) ?? [];
    expect(fields).toBeDefined();
    expect(pull(...words.split(" "))).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  });
});

describe("a fleet behind one web server", () => {
  const LEAF = 4096;

  /** An image of whole leaves at a server of this process, and a disk of this machine that differs in some of them. */
  const published = async (dir: TempDir) => {
    const image = bytes(83, 2 * MIB);
    const web = serveWeb();
    fs.writeFileSync(dir.file("kiosk.img"), image);
    const root = runIn(dir, [BINARY, "index", "-q", "kiosk.img"]).stdout.split(" ")[0] ?? "";
    for (const name of ["kiosk.img", "kiosk.img.verity"]) web.files.set(`/${name}`, fs.readFileSync(dir.file(name)));
    fs.writeFileSync(dir.file("disk"), changeLeaves(image, [3, 4, 200]));
    return { web, image, root, url: `${web.origin}/kiosk.img` };
  };

  /** As runIn(), while this process serves. */
  const runServed = async (dir: TempDir, words: readonly string[], env: Record<string, string> = {}) => {
    const PATH = `${dirname(BINARY)}:${examples}:${process.env["PATH"]}:/usr/sbin:/sbin`;
    const child = Bun.spawn([...words], {
      cwd: dir.path,
      env: { ...process.env, PATH, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { exitCode, stdout, stderr };
  };

  test("blocksync-image fetches what differs, leaves the summary, and exits as blocksync does", async () => {
    using dir = tempDir();
    const { web, image, root, url } = await published(dir);
    await using _ = web;
    const conf = (hash: string) => {
      const known = example("kiosk.conf").matchAll(/^([A-Z_]+)=/gm);
      const values = {
        URL: url,
        ROOT_HASH: hash,
        SIZE: "2M",
        DEVICE: dir.file("disk"),
        RATE: "8M",
        REPORT: dir.file("report"),
      };
      expect([...known].map(([, name]) => name ?? "").toSorted()).toEqual(Object.keys(values).toSorted());
      const lines = Object.entries(values).map(([name, value]) => `${name}='${value}'\n`);
      fs.writeFileSync(dir.file("kiosk.conf"), lines.join(""));
    };
    const bring = () => runServed(dir, ["blocksync-image", "kiosk"], { BLOCKSYNC_CONF: dir.path });
    conf("0".repeat(64));
    const lied = await bring();
    expect([lied.exitCode, lied.stderr.includes("does not have the root hash")]).toEqual([ExitCode.verification, true]);
    expect(fs.readFileSync(dir.file("disk")).equals(changeLeaves(image, [3, 4, 200]))).toBe(true);
    conf(root);
    const brought = await bring();
    expect([brought.exitCode, brought.stderr]).toEqual([0, ""]);
    expect(JSON.parse(brought.stdout)).toMatchObject({
      event: "summary",
      exitCode: 0,
      bytesWritten: 3 * LEAF,
      sourceAuthenticated: true,
    });
    expect(fs.readFileSync(dir.file("report"), "utf8")).toBe(brought.stdout);
    expect(fs.readFileSync(dir.file("disk")).equals(image)).toBe(true);
    expect(namesOf(dir, "report")).toEqual(["report"]);
  });

  testWith("systemd")("its units pass systemd's own check, and know every exit code", async () => {
    using dir = tempDir();
    const paths = ["blocksync-image@.service", "blocksync-image@.timer", "blocksync-mail@.service"].map((name) => {
      const unit = example(name).replace("/usr/local/bin/blocksync-image", join(examples, "blocksync-image"));
      fs.writeFileSync(dir.file(name), unit);
      return dir.file(name);
    });
    const silent = { exitCode: 0, stdout: "", stderr: "" };
    expect(runIn(dir, ["systemd-analyze", "verify", "--man=no", ...paths])).toEqual(silent);
    const unit = example("blocksync-image@.service");
    const codes = (name: string) => (new RegExp(`^${name}=(.*)$`, "m").exec(unit)?.[1] ?? "").split(" ").map(Number);
    const again = [ExitCode.differs, ExitCode.io, ExitCode.unreachable, ExitCode.interrupted];
    const all = [0, 70, ...codes("SuccessExitStatus"), ...codes("RestartPreventExitStatus"), ...again];
    expect([...new Set(all)].toSorted((a, b) => a - b)).toEqual(
      [...Object.values(ExitCode), 70].toSorted((a, b) => a - b),
    );
  });

  testWith("ansible")(
    "the playbook brings a machine to the image once, says what it fetched, and in check mode writes nothing",
    async () => {
      using dir = tempDir();
      const { web, image, root, url } = await published(dir);
      await using _ = web;
      const variables = {
        fleet_program: BINARY,
        fleet_url: url,
        fleet_device: dir.file("disk"),
        fleet_root_hash: root,
        fleet_size: image.length,
      };
      const play = async (...words: string[]) => {
        const ansible = [
          "ansible-playbook",
          "-i",
          "localhost,",
          "-c",
          "local",
          "-e",
          JSON.stringify(variables),
          ...words,
        ];
        const { exitCode, stdout } = await runServed(dir, [...ansible, join(examples, "blocksync-fleet.yml")], {
          ANSIBLE_PYTHON_INTERPRETER: fs.existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "auto",
          ANSIBLE_PIPELINING: "1",
          ANSIBLE_HOME: dir.file("ansible"),
          ANSIBLE_LOCAL_TEMP: dir.file("ansible"),
          ANSIBLE_NOCOLOR: "1",
          LC_ALL: "C.UTF-8",
        });
        const [, changed] = /^localhost .* changed=(\d+) /m.exec(stdout) ?? [];
        const [, fetched] = /localhost fetched (\d+) bytes/.exec(stdout) ?? [];
        return { exitCode, changed: Number(changed), fetched: Number(fetched) };
      };
      const tree = web.files.get("/kiosk.img.verity")?.length ?? 0;
      expect(await play("--check")).toMatchObject({ exitCode: 0, changed: 1 });
      expect(fs.readFileSync(dir.file("disk")).equals(image)).toBe(false);
      const first = await play();
      expect(first).toMatchObject({ exitCode: 0, changed: 1 });
      expect(first.fetched).toBeLessThan(tree + 5 * LEAF);
      expect(fs.readFileSync(dir.file("disk")).equals(image)).toBe(true);
      expect(await play()).toMatchObject({ exitCode: 0, changed: 0 });
    },
  );

  test("the arithmetic of the page is right", () => {
    const [leaves, machines] = [2 ** 20, 10_000];
    const tree = treeSize(leaves);
    const differing = 0.03 * leaves * LEAF;
    const row = (name: string) =>
      new RegExp(`^\\| ${name} +\\| ([^|]*?) *\\| ([^|]*?) *\\|$`, "m").exec(example("README.md"))?.slice(1);
    const [mib, gib, tib] = [2 ** 20, 2 ** 30, 2 ** 40];
    expect(row("the hash tree, all of it")).toEqual([
      `${(tree / mib).toFixed(1)} MiB`,
      `${Math.floor((tree * machines) / gib)} GiB`,
    ]);
    expect(row("the leaves that differ")).toEqual([
      `${(differing / mib).toFixed(0)} MiB`,
      `${((differing * machines) / tib).toFixed(2)} TiB`,
    ]);
    const all = tree + differing;
    expect(row("together")).toEqual([`${(all / mib).toFixed(0)} MiB`, `${((all * machines) / tib).toFixed(2)} TiB`]);
    expect(row("the whole image instead")).toEqual(["4 GiB", `${((4 * machines) / 1024).toFixed(0)} TiB`]);
    const requests = Math.ceil((0.03 * leaves) / 16 / 1000) * 1000;
    expect(row("requests, at most")).toEqual([requests.toLocaleString("en"), `${(requests * machines) / 1e6} million`]);
    const seconds = 8 * 3600;
    const [bytesEach, requestsEach] = [(all * machines) / seconds / 1e6, (requests * machines) / seconds];
    expect(row("over 8 hours: bytes and requests a second")?.[1]).toBe(
      `${bytesEach.toFixed(0)} MB, ${Math.floor(requestsEach / 10) * 10}`,
    );
  });
});

describe("blocksync-generations", () => {
  const run = (dir: TempDir, keep: string) => {
    // A clock that goes on a day with each call.
    stub(
      dir,
      "date",
      `n=$(cat '${dir.file("day")}' 2>/dev/null || echo 10)`,
      `echo $((n + 1)) >'${dir.file("day")}'`,
      'echo "2026-11-$(printf %s "$n")T023000"',
    );
    return runIn(dir, ["blocksync-generations", dir.file("disk.img"), keep], { REFLINK: "auto" });
  };

  test("keeps the image as it is and the newest of its generations", () => {
    using dir = tempDir();
    images(dir);
    fs.writeFileSync(dir.file("disk.img.txt"), "");
    for (let day = 0; day < 4; day++) expect(run(dir, "3")).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    const kept = ["11", "12", "13"].map((day) => `disk.img.2026-11-${day}T023000`);
    expect(namesOf(dir, "disk.img")).toEqual(["disk.img", ...kept, "disk.img.txt"]);
    expect(isEqual(dir, "disk.img", kept[2] ?? "")).toBe(true);
  });

  test("removes nothing when it cannot make one, and never all", () => {
    using dir = tempDir();
    images(dir);
    run(dir, "1");
    const before = namesOf(dir, "disk.img");
    expect(run(dir, "0").exitCode).not.toBe(0);
    expect(run(dir, "many").exitCode).not.toBe(0);
    stub(dir, "cp", "exit 1");
    expect(run(dir, "1").exitCode).toBe(1);
    expect(namesOf(dir, "disk.img")).toEqual(before);
  });

  testWith(
    "btrfs",
    "loop",
    "mounts",
  )("shares its blocks with the image where the file system can", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("btrfs.img"), "");
    fs.truncateSync(dir.file("btrfs.img"), 256 * MIB);
    expect(runIn(dir, ["mkfs.btrfs", "-q", dir.file("btrfs.img")]).exitCode).toBe(0);
    fs.mkdirSync(dir.file("mnt"));
    expect(runIn(dir, ["mount", "-o", "loop", "btrfs.img", "mnt"])).toMatchObject({ exitCode: 0 });
    try {
      fs.writeFileSync(dir.file("mnt/a.img"), bytes(82, 4 * MIB));
      expect(runIn(dir, ["blocksync-generations", "mnt/a.img", "2"])).toEqual({ exitCode: 0, stdout: "", stderr: "" });
      expect(fs.readdirSync(dir.file("mnt")).length).toBe(2);
    } finally {
      runIn(dir, ["umount", "mnt"]);
    }
  });
});

testWith(
  "loop",
  "mkfs",
  "mounts",
)("blocksync-restore-test looks for files in what it restored, and leaves nothing", async () => {
  using dir = tempDir();
  fs.mkdirSync(dir.file("tree/etc"), { recursive: true });
  fs.writeFileSync(dir.file("tree/etc/fstab"), "/dev/sda1 / ext4\n");
  fs.writeFileSync(dir.file("tree/empty"), "");
  expect(runIn(dir, ["mkfs.ext4", "-q", "-d", "tree", "root.img", "16M"]).exitCode).toBe(0);
  const before = fs.readFileSync(dir.file("root.img"));
  const run = (...files: string[]) => runIn(dir, ["blocksync-restore-test", "root.img", ...files]);
  expect(run("etc/fstab")).toEqual({ exitCode: 0, stdout: "root.img can be restored\n", stderr: "" });
  for (const lost of ["empty", "etc/passwd"]) {
    const stderr = `blocksync-restore-test: ${lost} is missing or empty in root.img\n`;
    expect(run("etc/fstab", lost)).toEqual({ exitCode: 1, stdout: "", stderr });
  }
  fs.writeFileSync(dir.file("broken.img"), bytes(83, MIB));
  expect(runIn(dir, ["blocksync-restore-test", "broken.img", "x"]).exitCode).not.toBe(0);
  expect(namesOf(dir, "root.img")).toEqual(["root.img"]);
  expect(namesOf(dir, "broken.img")).toEqual(["broken.img"]);
  expect(fs.readFileSync(dir.file("root.img")).equals(before)).toBe(true);
});

describe("blocksync-rescue", () => {
  testWith("nbd")("saves all but what cannot be read, and says that something is missing", async () => {
    using dir = tempDir();
    images(dir);
    await using disk = await badDisk(dir.file("disk.img"), [{ offset: 3 * MIB, length: 4096 }]);
    const { exitCode } = runIn(dir, ["blocksync-rescue", disk.path, "saved.img", "saved.map"]);
    expect(exitCode).toBe(ExitCode.unreadable);
    const expected = fs.readFileSync(dir.file("disk.img")).fill(0, 3 * MIB, 3 * MIB + 4096);
    expect(fs.readFileSync(dir.file("saved.img")).equals(expected)).toBe(true);
    expect(fs.readFileSync(dir.file("saved.map"), "utf8")).toMatch(/^0x0*300000 .* -$/m);
  });

  test("goes on when the line was cut, and tries bad places again in the end", () => {
    using dir = tempDir();
    const calls = dir.file("calls");
    stub(
      dir,
      "blocksync",
      `echo "$*" >>'${calls}'`,
      `case $(wc -l <'${calls}') in 1) exit 5;; 2) exit 8;; *) exit 0;; esac`,
    );
    fs.mkdirSync(dir.file("real"));
    const { exitCode } = runIn(dir, ["blocksync-rescue", "a", "b:c", "m"], { WAIT: "0" });
    const same = "--on-read-error skip --mapfile m";
    expect(fs.readFileSync(calls, "utf8").split("\n")).toEqual([
      `${same} a b:c`,
      `${same} a b:c`,
      `${same} --retries 3 a b:c`,
      "",
    ]);
    expect(exitCode).toBe(0);
  });

  testWith(
    "loop",
    "mkfs",
    "mounts",
  )("does not read a disk that is mounted", async () => {
    using dir = tempDir();
    fs.mkdirSync(dir.file("mnt"));
    expect(runIn(dir, ["mkfs.ext4", "-q", "root.img", "16M"]).exitCode).toBe(0);
    using loop = attachLoop(dir.file("root.img"));
    expect(runIn(dir, ["mount", loop.path, "mnt"]).exitCode).toBe(0);
    try {
      expect(runIn(dir, ["blocksync-rescue", loop.path, "saved.img", "saved.map"])).toEqual({
        exitCode: 3,
        stdout: "",
        stderr: `blocksync-rescue: ${loop.path} is mounted: unmount it first, so that nothing writes to a dying disk\n`,
      });
      expect(namesOf(dir, "saved")).toEqual([]);
    } finally {
      runIn(dir, ["umount", "mnt"]);
    }
  });
});

testWith("loop")("blocksync-cards writes to all cards after one yes, and names the one that failed", async () => {
  using dir = tempDir();
  images(dir);
  for (const name of ["one", "two"]) fs.writeFileSync(dir.file(name), bytes(84, 9 * MIB));
  fs.writeFileSync(dir.file("small"), bytes(85, 4 * MIB));
  using one = attachLoop(dir.file("one"));
  using two = attachLoop(dir.file("two"));
  using small = attachLoop(dir.file("small"));
  const run = (answer: string, ...cards: string[]) =>
    runIn(dir, ["blocksync-cards", "disk.img", ...cards], {}, `${answer}\n`);
  const begins = (name: string) =>
    fs
      .readFileSync(dir.file(name))
      .subarray(0, 8 * MIB)
      .equals(fs.readFileSync(dir.file("disk.img")));
  expect(run("no", one.path, two.path).exitCode).toBe(3);
  expect(begins("one")).toBe(false);
  const { exitCode, stdout } = run("yes", one.path, two.path);
  expect({ exitCode, equal: [begins("one"), begins("two")] }).toEqual({ exitCode: 0, equal: [true, true] });
  expect(stdout).toContain(`${one.path}: written and verified\n${two.path}: written and verified\n`);
  const failed = run("yes", one.path, small.path);
  expect(failed.exitCode).toBe(1);
  expect(failed.stdout).toContain(`${one.path}: written and verified\n${small.path}: FAILED\n`);
  expect(failed.stdout).toContain("(too-small)");
});

testWith("jq")("blocksync-metrics leaves what Prometheus reads, and exits as blocksync does", async () => {
  using dir = tempDir();
  images(dir);
  const run = (source: string) => runIn(dir, ["blocksync-metrics", "out.prom", source, "copy.img"]);
  const metrics = () =>
    Object.fromEntries(
      fs
        .readFileSync(dir.file("out.prom"), "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => line.split(" ")),
    );
  expect(run("disk.img")).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  expect(metrics()).toMatchObject({
    blocksync_exit_code: "0",
    blocksync_size_bytes: `${8 * MIB}`,
    blocksync_written_bytes: "4096",
  });
  const age = Date.now() / 1000 - Number(metrics()["blocksync_end_time_seconds"]);
  expect(Math.abs(age)).toBeLessThan(60);
  expect(run("nothing.img").exitCode).toBe(ExitCode.io);
  expect(metrics()).toMatchObject({ blocksync_exit_code: "4", blocksync_written_bytes: "0" });
  expect(namesOf(dir, "out.prom")).toEqual(["out.prom"]);
});

testWith("shellcheck")("shellcheck has nothing to say about the scripts", async () => {
  using dir = tempDir();
  const scripts = fs.readdirSync(examples).filter((name) => name.endsWith(".conf") || example(name).startsWith("#!"));
  expect(scripts.length).toBeGreaterThan(5);
  expect(
    runIn(dir, ["shellcheck", "-x", "--source-path", root, ...scripts.map((name) => join(examples, name))]),
  ).toEqual({
    exitCode: 0,
    stdout: "",
    stderr: "",
  });
});

test("the page of examples names every file, and every file is looked at above", () => {
  const names = fs.readdirSync(examples).filter((name) => name !== "README.md");
  const page = example("README.md");
  expect(names.filter((name) => !page.includes(`](${name})`))).toEqual([]);
  const tests = fs.readFileSync(import.meta.path, "utf8");
  expect(names.filter((name) => !tests.includes(name) && name !== "db1.conf")).toEqual([]);
});
