/** What a person sees on a terminal during a run, captured from one. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { BINARY, fakeSsh, start, until } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { attachLoop } from "../helpers/loop.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";
import { answering } from "../helpers/terminal.ts";
import { startTmux, type Tmux } from "../helpers/tmux.ts";

const BLOCK = 65_536;
const BLOCKS = 200;
/** Makes a run take so many seconds at least; what a test waits for meanwhile takes longer on a busy machine. */
function lasting(seconds: number): string[] {
  return ["-b", "64K", "-p", `${(seconds * 1000) / BLOCKS}`];
}

const SLOW = lasting(4);

/** The bar's own line; what follows the bar depends on the width. */
const BAR = /^ *(\d+)% \[=*>? *\] .*(\d+:\d\d:\d\d|-:--:--) left$/;
const COUNTS = /^ (\d:\d\d:\d\d elapsed, )?(\d+\.?\d* \w+ same, )?\d+\.?\d* \w+ differ(, |$)/;
const LANES = /^ lanes( +\d+%)+$/;

function hasBar(lines: readonly string[]): boolean {
  return lines.some((line) => line.includes("% ["));
}

function hasEnded(lines: readonly string[]): boolean {
  return lines.some((line) => line.startsWith("  verified"));
}

/** The lines that are neither the command nor what a whole bar of that width consists of. */
function torn(lines: readonly string[], columns: number): string[] {
  const whole = (line: string) =>
    line === "" ||
    line === "$ ./run" ||
    /^Opening "[sd]"\.\.\.$/.test(line) ||
    (BAR.test(line) && line.length === columns - 1) ||
    COUNTS.test(line) ||
    // A disk that is busy with others takes its time in the end.
    (line.startsWith("100% flushing to stable") && line.length < columns);
  return lines.filter((line) => !whole(line) && !LANES.test(line));
}

interface Prepared {
  /** What the run is started through: "env TERM=dumb". */
  readonly through?: string;
  readonly destination?: string;
}

/** Makes two images that differ in a few blocks, and the command `./run` that syncs them. */
function prepare(dir: TempDir, words: readonly string[], { through = "", destination = "d" }: Prepared = {}): void {
  const data = bytes(61, BLOCKS * BLOCK);
  fs.writeFileSync(dir.file("s"), data);
  for (const block of [3, 70, 140]) data[block * BLOCK] = (data[block * BLOCK] ?? 0) ^ 1;
  fs.writeFileSync(dir.file("d"), data);
  const command = `exec ${through} '${BINARY}' ${words.join(" ")} s ${destination}`;
  fs.writeFileSync(dir.file("run"), `#!/bin/sh\necho $$ >pid\n${command}\n`, { mode: 0o755 });
}

/** All looks at the terminal that were different, from the typed command to the end of the run. */
async function watch(tmux: Tmux): Promise<string[][]> {
  const looks: string[][] = [];
  await tmux.see("the summary", (lines) => {
    if (lines[0] === "$") return false;
    if (lines.join("\n") !== looks.at(-1)?.join("\n")) looks.push([...lines]);
    return hasEnded(lines);
  });
  return looks;
}

function expectEqual(dir: TempDir): void {
  expect(fs.readFileSync(dir.file("d")).equals(fs.readFileSync(dir.file("s")))).toBe(true);
}

describe("the bar", () => {
  for (const columns of [40, 80, 200]) {
    testWith("tmux")(`is never wrapped or torn at ${columns} columns, and gone at the end`, async () => {
      let shown = 0;
      // A busy machine is drawn on more seldom, so that it may take a longer run to see the bar move.
      for (const seconds of [2, 8, 32]) {
        using dir = tempDir();
        prepare(dir, [...lasting(seconds), "-w", "2", "-l", "0"]);
        using tmux = await startTmux(dir.path, columns, 24);
        tmux.type("./run");
        const looks = await watch(tmux);
        const during = looks.filter((lines) => !lines.some((line) => line.startsWith("Completed")));
        expect(during.flatMap((lines) => torn(lines, columns))).toEqual([]);
        const percents = during
          .flatMap((lines) => lines.map((line) => BAR.exec(line)?.[1]))
          .filter((one) => one !== undefined);
        expect(percents.map(Number)).toEqual(percents.map(Number).toSorted((a, b) => a - b));
        const end = await tmux.see("a prompt below the summary", (lines) => lines.at(-1) === "$");
        expect(hasBar(end)).toBe(false);
        expect(end.slice(0, 2).join("")).toStartWith("$ ./runCompleted in ");
        expectEqual(dir);
        shown = new Set(percents).size;
        if (shown <= 3) continue;
        expect(during.some((lines) => lines.some((line) => LANES.test(line)))).toBe(true);
        break;
      }
      expect(shown).toBeGreaterThan(3);
    });
  }

  testWith("tmux")("follows the terminal's size", async () => {
    using dir = tempDir();
    prepare(dir, SLOW);
    using tmux = await startTmux(dir.path, 80, 12);
    tmux.type("./run");
    await tmux.see("a bar", (lines) => lines.some((line) => BAR.test(line)));
    for (const [columns, rows] of [
      [41, 12],
      [120, 5],
      [70, 2],
      [80, 20],
    ] as const) {
      tmux.resize(columns, rows);
      // The terminal moves its lines before the program hears of it, so that what is there until the next drawing is nobody's.
      await tmux.see(`a bar of ${columns} columns, and nothing torn`, (seen) => {
        const bars = seen.filter((line) => BAR.test(line));
        return bars.length === 1 && bars[0]?.length === columns - 1 && torn(seen, columns).length === 0;
      });
    }
    await tmux.see("the summary", hasEnded);
    expect(hasBar(tmux.look())).toBe(false);
  });

  testWith("tmux")("leaves a stopped job's terminal to the shell, and comes back with it", async () => {
    using dir = tempDir();
    prepare(dir, SLOW);
    using tmux = await startTmux(dir.path, 80, 20);
    tmux.type("./run");
    await tmux.see("a bar", hasBar);
    tmux.press("C-z");
    const stopped = await tmux.see(
      "the shell",
      (lines) => lines.some((line) => line.includes("Stopped")) && lines.at(-1) === "$",
    );
    expect(stopped.filter((line) => line !== "")).toEqual([
      "$ ./run",
      expect.stringMatching(/^\[1\]\+ +Stopped +\.\/run$/),
      "$",
    ]);
    tmux.type("fg");
    await tmux.see("the bar again", hasBar);
    expect(hasBar((await watch(tmux)).at(-1) ?? [])).toBe(false);
    expectEqual(dir);
  });

  testWith("tmux")("is not drawn by a job in the background, which is not stopped for wanting to", async () => {
    using dir = tempDir();
    prepare(dir, SLOW);
    using tmux = await startTmux(dir.path, 80, 20);
    tmux.type("stty tostop; ./run");
    await tmux.see("a bar", hasBar);
    tmux.press("C-z");
    await tmux.see("the shell", (lines) => lines.some((line) => line.includes("Stopped")) && lines.at(-1) === "$");
    tmux.type("bg");
    const source = fs.readFileSync(dir.file("s"));
    await until("the job has copied all in the background", () => {
      expect(hasBar(tmux.look())).toBe(false);
      return fs.readFileSync(dir.file("d")).equals(source);
    });
    tmux.type("fg");
    await tmux.see("the summary", hasEnded);
  });

  testWith("tmux")("is no matter to a run whose terminal is gone", async () => {
    using dir = tempDir();
    prepare(dir, SLOW);
    {
      using tmux = await startTmux(dir.path, 80, 20);
      tmux.type("(./run; echo $? >code) & disown; touch disowned");
      // Until then the shell hands a hangup on to its jobs.
      await until("the run has begun on its own", () =>
        ["pid", "disowned"].every((name) => fs.existsSync(dir.file(name))),
      );
    }
    await until("the run has ended", () => fs.existsSync(dir.file("code")) && fs.statSync(dir.file("code")).size > 0);
    expect(fs.readFileSync(dir.file("code"), "utf8")).toBe("0\n");
    expectEqual(dir);
  });

  for (const [how, exitCode] of [
    ["C-c", 130],
    ["SIGTERM", 143],
  ] as const) {
    testWith("tmux")(`leaves a clean line after ${how}`, async () => {
      using dir = tempDir();
      prepare(dir, SLOW);
      using tmux = await startTmux(dir.path, 80, 12);
      tmux.type("./run; echo ended with $?");
      await tmux.see("a bar", hasBar);
      if (how === "C-c") tmux.press(how);
      else process.kill(Number(fs.readFileSync(dir.file("pid"), "utf8")), how);
      const lines = await tmux.see("the exit code", (seen) => seen.at(-1) === "$" && seen.length > 1);
      expect(lines).toEqual([
        "$ ./run; echo ended with $?",
        "blocksync: Interrupted",
        "blocksync: hint: run the same command again: it writes only what still differs",
        expect.stringMatching(/^Stopped after \d\.\d+ s: .* of 12\.5 MiB done, .* written$/),
        `ended with ${exitCode}`,
        "$",
      ]);
    });
  }

  testWith("tmux")("is below what is printed during a run, also when SIGUSR1 asks", async () => {
    using dir = tempDir();
    prepare(dir, SLOW);
    using tmux = await startTmux(dir.path, 80, 12);
    tmux.type("./run");
    await tmux.see("a bar that moves", (lines) => lines.some((line) => Number(BAR.exec(line)?.[1] ?? 0) > 1));
    process.kill(Number(fs.readFileSync(dir.file("pid"), "utf8")), "SIGUSR1");
    const lines = await tmux.see("an answer above the bar", (seen) =>
      seen.some((line) => line.startsWith("[worker 0]")),
    );
    expect(lines[1]).toMatch(/^\[worker 0\] same: \d+, diff: \d+, \d+\/200, +\d+\.\d MB\/s \(0:\d\d:\d\d remaining\)$/);
    expect(BAR.test(lines[2] ?? "")).toBe(true);
    await tmux.see("the summary", hasEnded);
  });

  testWith("tmux")("has a colour unless NO_COLOR is set", async () => {
    for (const [through, coloured] of [
      ["env NO_COLOR=1", false],
      ["env NO_COLOR=", true],
      ["", true],
    ] as const) {
      using dir = tempDir();
      // It ends with the terminal.
      prepare(dir, lasting(15), { through });
      using tmux = await startTmux(dir.path, 80, 12);
      tmux.type("./run");
      await until("something of the bar is filled", () => tmux.look().some((line) => line.includes("% [==")));
      const line = tmux.look(true).find((one) => one.includes("%")) ?? "";
      expect({ through, coloured: line.includes("\x1b[") }).toEqual({ through, coloured });
    }
  });

  testWith("tmux")("is blocksync.py's lines on a terminal that cannot draw, also when asked for", async () => {
    using dir = tempDir();
    prepare(dir, [...SLOW, "--progress", "bar", "-t", "0.2"], { through: "env TERM=dumb" });
    using tmux = await startTmux(dir.path, 100, 40);
    tmux.type("./run");
    const looks = await watch(tmux);
    expect(looks.some(hasBar)).toBe(false);
    expect(looks.at(-1)?.filter((line) => line.startsWith("[worker 0] same: ")).length).toBeGreaterThan(3);
  });

  testWith("tmux")("leaves a question of ssh alone, says that it logs in, and opens", async () => {
    using dir = tempDir();
    fs.writeFileSync(
      dir.file("rsh"),
      '#!/bin/sh\nshift\nprintf "Password: " >/dev/tty; read -r word </dev/tty; : >answered\nexec sh -c "$*"\n',
      { mode: 0o755 },
    );
    prepare(dir, [...SLOW, "-e", "./rsh", "-S", `'${BINARY}'`], { destination: "nas:d" });
    using tmux = await startTmux(dir.path, 80, 12);
    tmux.type("./run");
    const question = "Logging in to nas... Password:";
    await tmux.see("the question", (lines) => lines[1] === question);
    tmux.type("secret");
    const lines = await tmux.see("the bar below it", hasBar);
    expect(lines[1]).toBe(`${question} secret`);
    expect(torn(lines.slice(2), 80)).toEqual([]);
    expect((await watch(tmux)).at(-1)?.some((line) => line.startsWith("  wire "))).toBe(true);
    expectEqual(dir);
  });

  testWith("tmux")("shows how much of the program was brought along", async () => {
    using dir = tempDir();
    fakeSsh(dir.file("rsh"));
    const through = "env BLOCKSYNC_REMOTE_DIR=./cache";
    prepare(dir, ["-b", "64K", "-e", "./rsh", "--bwlimit", "12M"], { destination: "nas:d", through });
    using tmux = await startTmux(dir.path, 80, 12);
    tmux.type("./run");
    const copying = /^Copying blocksync to nas \[=*>? *\] +(\d+)% +\S+ MiB of \S+ MiB$/;
    const looks = await watch(tmux);
    const shown = looks.flatMap((lines) =>
      lines.map((line) => copying.exec(line)?.[1]).filter((one) => one !== undefined),
    );
    expect(new Set(shown).size).toBeGreaterThan(1);
    expectEqual(dir);
  });

  testWith("tmux", "strace")("says that it waits for the final flush", async () => {
    using dir = tempDir();
    const through = "strace -f -o /dev/null -e trace=fsync -e inject=fsync:delay_enter=5000000";
    prepare(dir, ["-b", "64K"], { through });
    using tmux = await startTmux(dir.path, 80, 12);
    tmux.type("./run");
    await tmux.see("that it flushes", (lines) => /^100% flushing to stable storage .* 0:00:\d\d$/.test(lines[1] ?? ""));
    await tmux.see("the summary", hasEnded);
    expect(tmux.look().some((line) => line.includes("flushing"))).toBe(false);
  });
});

/** The run's standard error so far. */
function collect(child: Bun.Subprocess<"ignore", "pipe", "pipe">): { text: string; ended: Promise<void> } {
  const said = { text: "", ended: Promise.resolve() };
  said.ended = (async () => {
    for await (const chunk of child.stderr) said.text += new TextDecoder().decode(chunk);
  })();
  return said;
}

describe("without a terminal", () => {
  test("--progress bar writes lines and no control characters", async () => {
    using dir = tempDir();
    prepare(dir, []);
    const child = start([...SLOW, "--progress", "bar", "-t", "0.2", dir.file("s"), dir.file("d")]);
    const said = collect(child);
    expect(await child.exited).toBe(0);
    await said.ended;
    expect(said.text).not.toMatch(/[^\P{Cc}\n]/u);
    expect(
      said.text.match(/^\[worker 0\] same: \d+, diff: \d+, \d+\/200, +\d+\.\d MB\/s \(/gm)?.length,
    ).toBeGreaterThan(3);
  });

  test.each(["--progress=none", "-q", "--json", "--interval=1000"])(
    "SIGUSR1 makes a run with %s say how far it is",
    async (word) => {
      using dir = tempDir();
      prepare(dir, []);
      fs.rmSync(dir.file("d"));
      const child = start([...SLOW, word, dir.file("s"), dir.file("d")]);
      const said = collect(child);
      await until("the run has begun", () => fs.existsSync(dir.file("d")));
      child.kill("SIGUSR1");
      await until("it answers", () => said.text.includes("\n"));
      expect(said.text).toMatch(
        /^\[worker 0\] same: 0, diff: \d+, \d+\/200, +\d+\.\d MB\/s( \(\d:\d\d:\d\d remaining\))?\n$/,
      );
      expect(await child.exited).toBe(0);
    },
  );

  test("SIGUSR1 before the blocks says what is waited for", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(62, BLOCK));
    fs.writeFileSync(dir.file("rsh"), `#!/bin/sh\n: >'${dir.file("login")}'\nexec cat\n`, { mode: 0o755 });
    const child = start(["-q", "-e", JSON.stringify(dir.file("rsh")), "-S", BINARY, dir.file("s"), "nas:/nowhere"]);
    const said = collect(child);
    await until("it logs in", () => fs.existsSync(dir.file("login")));
    child.kill("SIGUSR1");
    await until("it answers", () => said.text.includes("\n"));
    expect(said.text).toBe("Logging in to nas\n");
    child.kill("SIGTERM");
    expect(await child.exited).toBe(143);
  });
});

testWith("tmux", "loop")("the confirmation takes its answer after Ctrl-Z and fg, too", async () => {
  using dir = tempDir();
  fs.writeFileSync(dir.file("s"), bytes(91, 1 << 20));
  fs.writeFileSync(dir.file("disk"), bytes(92, 1 << 20));
  using loop = attachLoop(dir.file("disk"));
  using tmux = await startTmux(dir.path, 100, 24);
  tmux.type(`${BINARY} s ${loop.path}`);
  await tmux.see("the question", (lines) => lines.some((line) => line.includes("to go on:")));
  tmux.press("C-z");
  await tmux.see("a prompt", (lines) => lines.at(-1) === "$");
  tmux.type("fg");
  await tmux.see("the question again", (lines) => lines.at(-1)?.includes("to go on:") === true);
  tmux.type("yes");
  await tmux.see("the summary", (lines) => lines.some((line) => line.startsWith("Completed in ")));
  expect(fs.readFileSync(loop.path).equals(bytes(91, 1 << 20))).toBe(true);
});

testWith("tmux")(
  "a question in the background says what it waits for, and ends by a signal and with timeout",
  async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("s"), bytes(91, 1 << 20));
    using tmux = await startTmux(dir.path, 150, 24);
    const waits = "blocksync: A question waits for the foreground: type fg (for timeout: timeout --foreground)";
    const question = (lines: readonly string[]) => lines.at(-1) === 'Type "yes" to create it:';
    tmux.type(`${BINARY} s vmhost`);
    await tmux.see("the question", question);
    tmux.press("C-z");
    await tmux.see("a prompt", (lines) => lines.at(-1) === "$");
    tmux.type("kill %1");
    await tmux.see("its words", (lines) => lines.includes("blocksync: Interrupted"));
    // The shell says at its next prompt how a job has ended.
    await tmux.see("its end", (lines) => {
      if (lines.at(-1) !== "$") tmux.type("");
      return lines.some((line) => /Exit 143 /.test(line));
    });
    tmux.type("clear");
    await tmux.see("an empty screen", (lines) => lines.length === 1);
    tmux.type(`sh -c 'timeout 1 ${BINARY} s vmhost; echo ended $?'`);
    expect(await tmux.see("its end", (lines) => lines.includes("ended 124"))).toContain(waits);
    tmux.type(`${BINARY} s vmhost &`);
    await tmux.see("what it waits for", (lines) => lines.filter((line) => line.endsWith(waits)).length === 2);
    tmux.type("fg");
    await tmux.see("the question", question);
    tmux.press("C-c");
    // The terminal's keys do what they always do, and what is said next begins a line.
    const lines = await tmux.see("its end", (shown) => shown.at(-1) === "$");
    expect(lines.slice(-4, -2)).toEqual(['Type "yes" to create it: ^C', "blocksync: Interrupted"]);
    expect(fs.existsSync(dir.file("vmhost"))).toBe(false);
  },
);

testWith("loop")("the confirmation takes the whole answer: neither nothing nor a part of it will do", async () => {
  using dir = tempDir();
  fs.writeFileSync(dir.file("s"), bytes(93, 1 << 20));
  fs.writeFileSync(dir.file("disk"), bytes(94, 1 << 20));
  using loop = attachLoop(dir.file("disk"));
  for (const answer of ["", "y", "ye", "yess", "no", "YES"]) {
    const { exitCode, seen } = await answering([dir.file("s"), loop.path], "to go on:", `${answer}\r`);
    expect([answer, exitCode]).toEqual([answer, 3]);
    expect(seen).toContain("not confirmed (unconfirmed)");
  }
  expect(fs.readFileSync(loop.path).equals(bytes(94, 1 << 20))).toBe(true);
});
