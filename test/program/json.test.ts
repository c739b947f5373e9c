/**
 * --json as programs rely on it: every line of every kind of run is what scripts/events.schema.json says, start comes
 * first, and the last line is a summary with the exit code of the process, whatever happened.
 */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { join } from "node:path";
import { BUG_EXIT_CODE, ExitCode } from "../../src/errors.ts";
import { BINARY, fakeSsh, run, start, until } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { badDisk } from "../helpers/nbd.ts";
import { NEEDS, testWith } from "../helpers/requirements.ts";
import { checkerOf, schemaText } from "../helpers/schema.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const SIZE = 4 * MIB;
const root = join(import.meta.dir, "../..");
const schema = schemaText("events");
const problemsOf = checkerOf(schema);

interface Event {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** Kinds of events that some run of this file had. */
const seen = new Set<string>();

/** The events of a run that ended with `exitCode`, after a look at each and at their order. */
function checked(stdout: string, exitCode: number): Event[] {
  expect(stdout).toEndWith("\n");
  const events = stdout
    .trimEnd()
    .split("\n")
    .map((line): Event => JSON.parse(line));
  expect(events.flatMap((event) => problemsOf(event))).toEqual([]);
  for (const { event } of events) seen.add(event);
  expect(events.findIndex(({ event }) => event === "summary")).toBe(events.length - 1);
  expect(events.at(-1)?.["exitCode"]).toBe(exitCode);
  const started = events.findIndex(({ event }) => event === "start");
  for (const [i, { event }] of events.entries()) {
    if (["progress", "difference", "unreadable"].includes(event)) expect(i).toBeGreaterThan(started);
    if (event === "start") expect(i).toBe(started);
  }
  const errors = events.filter(({ event }) => event === "error");
  expect(errors.map((error) => error["exitCode"])).toEqual([0, 1, 8].includes(exitCode) ? [] : [exitCode]);
  for (const error of errors) expect(error["refusal"] !== null).toBe(exitCode === ExitCode.refused);
  return events;
}

function kinds(events: readonly Event[]): string[] {
  return [...new Set(events.map(({ event }) => event))];
}

/** A source, and a destination that differs in one leaf. */
function pair(dir: TempDir): [source: string, destination: string] {
  const data = bytes(71, SIZE);
  fs.writeFileSync(dir.file("s"), data);
  fs.writeFileSync(dir.file("d"), changeLeaves(data, [300]));
  return [dir.file("s"), dir.file("d")];
}

interface Kind {
  readonly name: string;
  readonly words: (dir: TempDir) => readonly string[];
  readonly exitCode: number;
  readonly events: readonly string[];
}

function far(dir: TempDir): string[] {
  return [...fakeSsh(dir.file("rsh")), "-S", BINARY];
}

const KINDS: readonly Kind[] = [
  { name: "a sync", words: (dir) => pair(dir), exitCode: 0, events: ["start", "summary"] },
  {
    name: "a sync that brings the program along",
    words: (dir) => {
      const [source, destination] = pair(dir);
      return [...fakeSsh(dir.file("rsh")), source, `far:${destination}`];
    },
    exitCode: 0,
    events: ["notice", "start", "summary"],
  },
  {
    name: "a sync with lanes, two hashes and a verification",
    words: (dir) => {
      const [source, destination] = pair(dir);
      return ["-w", "3", "-l", "0", "-2", "md5", "--verify", ...far(dir), source, `far:${destination}`];
    },
    exitCode: 0,
    events: ["start", "notice", "summary"],
  },
  {
    name: "a sync of nothing",
    words: (dir) => {
      fs.writeFileSync(dir.file("s"), "");
      return [dir.file("s"), dir.file("d")];
    },
    exitCode: 0,
    events: ["start", "summary"],
  },
  { name: "a dry run", words: (dir) => ["-n", ...pair(dir)], exitCode: 1, events: ["start", "summary"] },
  {
    name: "a comparison",
    words: (dir) => ["compare", ...pair(dir)],
    exitCode: 1,
    events: ["start", "difference", "summary"],
  },
  {
    name: "a comparison with a far side",
    words: (dir) => {
      const [source, destination] = pair(dir);
      return ["compare", ...far(dir), source, `far:${destination}`];
    },
    exitCode: 1,
    events: ["start", "difference", "summary"],
  },
  {
    name: "a comparison of a file with itself, of which it is told",
    words: (dir) => ["compare", pair(dir)[0], dir.file("s")],
    exitCode: 0,
    events: ["notice", "start", "summary"],
  },
  { name: "an unknown option", words: () => ["--dry-runn", "a", "b"], exitCode: 2, events: ["error", "summary"] },
  { name: "no argument", words: () => [], exitCode: 2, events: ["error", "summary"] },
  { name: "an argument too many", words: () => ["a", "b", "c", "d"], exitCode: 2, events: ["error", "summary"] },
  { name: "compare of one", words: () => ["compare", "a"], exitCode: 2, events: ["error", "summary"] },
  { name: "a command without --json", words: () => ["clean", "host"], exitCode: 2, events: ["error", "summary"] },
  {
    name: "a refusal",
    words: (dir) => [pair(dir)[0], dir.file("s")],
    exitCode: 3,
    events: ["error", "summary"],
  },
  {
    name: "a source that is not there",
    words: (dir) => [dir.file("none"), dir.file("d")],
    exitCode: 4,
    events: ["error", "summary"],
  },
  {
    name: "a log that cannot be written",
    words: (dir) => ["-o", dir.file("none/log"), ...pair(dir)],
    exitCode: 4,
    events: ["error", "summary"],
  },
  {
    name: "a far side that cannot be reached",
    words: (dir) => ["-e", "/bin/false", pair(dir)[0], "far:/d"],
    exitCode: 5,
    events: ["error", "summary"],
  },
  {
    name: "a far side that is another build",
    words: (dir) => {
      const other = dir.file("other");
      fs.writeFileSync(other, "#!/bin/sh\necho blocksync 1 9.9.9 abcdef\ncat >/dev/null\n", { mode: 0o755 });
      return [...fakeSsh(dir.file("rsh")), "-S", other, pair(dir)[0], "far:/d"];
    },
    exitCode: 6,
    events: ["error", "summary"],
  },
];

/** Runs, and does something once the first progress event has come. */
async function meddled(words: readonly string[], action: (child: Bun.Subprocess) => void): Promise<Event[]> {
  const child = start(["--json", "-t", "0.01", ...words]);
  const decoder = new TextDecoder();
  let [stdout, done] = ["", false];
  for await (const piece of child.stdout) {
    stdout += decoder.decode(piece, { stream: true });
    if (!done && stdout.includes('"progress"')) action(child);
    done ||= stdout.includes('"progress"');
  }
  const events = checked(stdout, await child.exited);
  expect(done).toBe(true);
  return events;
}

/** Runs the program from its sources, with `crash` as soon as it has begun. */
async function runWith(dir: TempDir, crash: string, words: readonly string[]) {
  const code = `const timer = setInterval(() => {
    if (process.listenerCount("SIGHUP") === 0) return;
    clearInterval(timer);
    ${crash};
  }, 1);`;
  fs.writeFileSync(dir.file("crash.ts"), code);
  const argv = [process.execPath, "--preload", dir.file("crash.ts"), join(root, "src/main.ts"), ...words];
  const env = { ...process.env, BLOCKSYNC_DEBUG: undefined };
  const child = Bun.spawn(argv, { stdin: "ignore", stdout: "pipe", stderr: "pipe", env });
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { exitCode, stdout, stderr };
}

/** --json goes after the name of a command. */
function withJson(words: readonly string[]): string[] {
  const count = words[0] === "compare" || words[0] === "clean" ? 1 : 0;
  return [...words.slice(0, count), "--json", ...words.slice(count)];
}

describe("every line is as the schema says, the last is the summary: after", () => {
  for (const { name, words, exitCode, events } of KINDS) {
    test(name, async () => {
      using dir = tempDir();
      const env = { BLOCKSYNC_REMOTE_DIR: dir.file("cache") };
      const result = await run(withJson(words(dir)), { env });
      // On a busy machine even a short run has progress to tell.
      const told = kinds(checked(result.stdout, result.exitCode)).filter((kind) => kind !== "progress");
      expect({ exitCode: result.exitCode, events: told }).toEqual({ exitCode, events: [...events] });
    });
  }

  test("a source that changes meanwhile", async () => {
    using dir = tempDir();
    const [source, destination] = pair(dir);
    const words = ["-b", "4M", "-p", "3000", source, destination];
    const events = await meddled(words, () => fs.appendFileSync(source, "x"));
    expect(events.at(-1)).toMatchObject({ exitCode: 7, blocksTotal: 1 });
    expect(kinds(events)).toEqual(["start", "progress", "error", "summary"]);
  });

  for (const [signal, exitCode] of [
    ["SIGINT", ExitCode.interrupted],
    ["SIGTERM", ExitCode.terminated],
    ["SIGHUP", ExitCode.terminated],
  ] as const) {
    test(`${signal}, here and with a far side`, async () => {
      using dir = tempDir();
      const [source, destination] = pair(dir);
      for (const words of [
        [source, destination],
        [...far(dir), source, `far:${destination}`],
        ["-w", "2", ...far(dir), source, `far:${destination}`],
      ]) {
        const events = await meddled(["-p", "60000", ...words], (child) => child.kill(signal));
        expect(events.at(-1)).toMatchObject({ exitCode, source, blocksTotal: 4 });
        expect(events.at(-2)).toMatchObject({ event: "error", exitCode, message: "Interrupted" });
      }
    });

    test(`${signal} during the login`, async () => {
      using dir = tempDir();
      const script = `#!/bin/sh\n: >"${dir.file("login")}"\nexec cat >/dev/null\n`;
      fs.writeFileSync(dir.file("hang"), script, { mode: 0o755 });
      const child = start(["--json", "-e", `"${dir.file("hang")}"`, pair(dir)[0], "far:/d"]);
      const stdout = child.stdout.text();
      await until("the login has begun", () => fs.existsSync(dir.file("login")));
      child.kill(signal);
      expect(await child.exited).toBe(exitCode);
      expect(kinds(checked(await stdout, exitCode))).toEqual(["error", "summary"]);
    });
  }

  testWith("nbd")("a source with bad sectors", async () => {
    using dir = tempDir();
    const [source] = pair(dir);
    await using disk = await badDisk(source, [{ offset: MIB, length: 4096 }]);
    const result = await run(["--json", "--on-read-error", "skip", disk.path, dir.file("copy")]);
    const events = checked(result.stdout, 8);
    const told = kinds(events).filter((kind) => kind !== "progress");
    expect(told).toEqual(["start", "unreadable", "summary"]);
    expect(events.at(-1)).toMatchObject({ exitCode: 8, sourceUnreadableBytes: 4096 });
  });

  for (const [name, crash] of [
    ["an error that nobody caught", 'throw new Error("boom")'],
    ["a promise that nobody waited for", 'Promise.reject(new Error("boom"))'],
  ] as const) {
    test(`${name}, in words and without a stack`, async () => {
      using dir = tempDir();
      const { exitCode, stdout, stderr } = await runWith(dir, crash, ["--json", "-p", "60000", ...pair(dir)]);
      expect({ exitCode, stderr: stderr.replace(/^Stopped after .*\n/m, "") }).toEqual({
        exitCode: 70,
        stderr:
          "blocksync: Internal error: boom\n" +
          "blocksync: hint: this is a bug in blocksync: run it again with BLOCKSYNC_DEBUG=1 and report the output where you got blocksync\n",
      });
      expect(kinds(checked(stdout, 70))).toContain("error");
    });
  }

  test("a note that nobody reads any more, which is no failure", async () => {
    using dir = tempDir();
    const crash = 'Promise.reject(Object.assign(new Error("EPIPE: broken pipe, write"), { code: "EPIPE" }))';
    const { exitCode, stdout } = await runWith(dir, crash, ["--json", ...pair(dir)]);
    expect({ exitCode, events: kinds(checked(stdout, 0)) }).toEqual({ exitCode: 0, events: ["start", "summary"] });
  });
});

test("an error names the refusal, here and at a far side, and start the version and build of the program", async () => {
  using dir = tempDir();
  const [source, destination] = pair(dir);
  const refusal = async (...words: string[]) => {
    const { stdout } = await run(["--json", ...words]);
    return checked(stdout, 3).find(({ event }) => event === "error")?.["refusal"];
  };
  expect(await refusal(source, source)).toBe("same-file");
  expect(await refusal("--expect-size", "1", source, destination)).toBe("unexpected");
  expect(await refusal(...far(dir), source, "far:/dev/none")).toBe("missing-device");
  const { stdout } = await run(["--json", source, destination]);
  const [begun] = checked(stdout, 0);
  const version = await run(["--version"]);
  expect(version.stdout).toBe(`blocksync ${begun?.["version"]} (build ${begun?.["build"]})\n`);
});

test("progress tells what the run is at, and counts what is read again", async () => {
  using dir = tempDir();
  const size = 256 * MIB;
  fs.writeFileSync(dir.file("s"), bytes(73, size));
  const { stdout, exitCode } = await run(["--json", "--verify", "-t", "0.01", dir.file("s"), dir.file("d")]);
  const steps = checked(stdout, exitCode).filter(({ event }) => event === "progress");
  expect(exitCode).toBe(0);
  const phases = ["comparing", "flushing", "verifying"];
  const places = steps.map((step) => phases.indexOf(String(step["phase"])));
  expect(places).toEqual(places.toSorted());
  expect(places).toContain(0);
  expect(places).toContain(2);
  const verified = steps.map((step) => Number(step["blocksVerified"]));
  expect(verified).toEqual(verified.toSorted((a, b) => a - b));
  expect(verified.filter((_, i) => places[i] !== 2).every((count) => count === 0)).toBe(true);
  expect(verified.some((count) => count > 0)).toBe(true);
  expect(Math.max(...verified)).toBeLessThanOrEqual(256);
});

describe("the schema", () => {
  test("has no kind of event that no run above had", () => {
    const events = Object.keys(schema["$defs"]).filter(
      (name) => !["count", "size", "time", "exitCode", "fingerprint", "base64"].includes(name),
    );
    const unseen = NEEDS.nbd === undefined ? [] : ["unreadable"];
    expect([...seen, ...unseen].toSorted()).toEqual(events.toSorted());
  });

  test("knows every exit code, and that of a bug", () => {
    const codes = Array.from({ length: 256 }, (_, code) => code).filter(
      (code) =>
        problemsOf({
          event: "error",
          time: "2026-01-02T03:04:05.678Z",
          exitCode: code,
          message: "",
          hint: null,
          refusal: null,
        }).length === 0,
    );
    expect(codes).toEqual([...Object.values(ExitCode), BUG_EXIT_CODE].toSorted((a, b) => a - b));
  });

  test("refuses a field that is missing, unknown or of another type", () => {
    const good = { event: "difference", time: "2026-01-02T03:04:05.678Z", offset: 0, length: 1 };
    expect(problemsOf(good)).toEqual([]);
    const { offset: _offset, ...missing } = good;
    for (const bad of [
      missing,
      { ...good, more: 1 },
      { ...good, length: 0 },
      { ...good, length: 1.5 },
      { ...good, offset: "0" },
      { ...good, time: "yesterday" },
      { ...good, event: "other" },
      null,
      [],
    ])
      expect(problemsOf(bad)).not.toEqual([]);
    expect(() => checkerOf({ type: "integer", minLength: 1 })).toThrow("minLength");
    expect(() => checkerOf({ most: 1 })).toThrow("most");
  });
});
