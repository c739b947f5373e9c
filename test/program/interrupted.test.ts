/** A run within this process that is interrupted: its promise settles, and nothing of it is left. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { join } from "node:path";
import { runCommandLine } from "../../src/cli/cli.ts";
import { ExitCode, InterruptedError } from "../../src/errors.ts";
import { fakeSsh, processesWith, until } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const SIZE = 4 << 20;

/** Who listens to the process, and how many to `signal`. */
class Listeners {
  readonly signal: AbortSignal;
  readonly #heard = new Set<unknown>();
  readonly #before = Listeners.#ofProcess();

  constructor(signal: AbortSignal) {
    this.signal = signal;
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
    signal.addEventListener = (type: string, act: EventListener, options?: AddEventListenerOptions) => {
      this.#heard.add(act);
      add(type, act, options);
    };
    signal.removeEventListener = (type: string, act: EventListener) => {
      this.#heard.delete(act);
      remove(type, act);
    };
  }

  static #ofProcess(): Record<string, number> {
    return Object.fromEntries(process.eventNames().map((name) => [String(name), process.listenerCount(name)]));
  }

  get left(): unknown {
    return { process: Listeners.#ofProcess(), ofSignal: this.#heard.size };
  }

  get none(): unknown {
    return { process: this.#before, ofSignal: 0 };
  }
}

/** Open files of this process below `folder`. */
function openIn(folder: string): string[] {
  return fs
    .readdirSync("/proc/self/fd")
    .map((fd) => {
      try {
        return fs.readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return "";
      }
    })
    .filter((path) => path.startsWith(folder));
}

const local = (dir: TempDir) => [dir.file("s"), dir.file("d")];
/** From the sources, as this side is. */
function far(dir: TempDir): string[] {
  const main = join(import.meta.dir, "../../src/main.ts");
  fs.writeFileSync(dir.file("far"), `#!/bin/sh\nexec '${process.execPath}' '${main}' serve\n`, { mode: 0o755 });
  return [...fakeSsh(dir.file("rsh")), "-S", dir.file("far"), dir.file("s"), `far:${dir.file("d")}`];
}
/** Slow enough to be interrupted for certain: 1024 blocks, an hour. */
const SLOWLY = ["-q", "-f", "-b", "4K", "-p", "3600"];

const RUNS: Record<string, (dir: TempDir) => readonly string[]> = {
  "a sync": (dir) => [...SLOWLY, ...local(dir)],
  "a push": (dir) => [...SLOWLY, ...far(dir)],
  "a sync of two lanes that start apart": (dir) => [...SLOWLY, "-w", "2", "-l", "3600000", ...local(dir)],
  "a dry run": (dir) => [...SLOWLY, "-n", ...local(dir)],
  "a rescue with a map": (dir) => [...SLOWLY, "--on-read-error", "skip", "--mapfile", dir.file("map"), ...local(dir)],
};

function prepare(dir: TempDir): void {
  fs.writeFileSync(dir.file("s"), bytes(5, SIZE));
  fs.writeFileSync(dir.file("d"), bytes(6, SIZE));
}

for (const [name, words] of Object.entries(RUNS)) {
  test(`${name} that is interrupted settles, closes all it opened and leaves no listener`, async () => {
    using dir = tempDir();
    prepare(dir);
    const interrupt = new AbortController();
    const listeners = new Listeners(interrupt.signal);
    const before = fs.readFileSync(dir.file("d"));
    const running = runCommandLine(words(dir), interrupt.signal);
    if (name === "a dry run") await until("the run has opened its ends", () => openIn(dir.path).length === 2);
    else await until("a block was written", () => !fs.readFileSync(dir.file("d")).equals(before));
    interrupt.abort(new InterruptedError());
    const begun = performance.now();
    expect(await running).toBe(ExitCode.interrupted);
    // A moment even on a busy machine, where waiting for a block to come round takes seconds.
    expect(performance.now() - begun).toBeLessThan(3000);
    expect(openIn(dir.path)).toEqual([]);
    expect(processesWith(dir.file("rsh"))).toEqual([]);
    expect(listeners.left).toEqual(listeners.none);
  });
}

test("a run that comes to its end leaves no listener", async () => {
  using dir = tempDir();
  prepare(dir);
  const interrupt = new AbortController();
  const listeners = new Listeners(interrupt.signal);
  expect(await runCommandLine(["-q", "-f", "--verify", ...far(dir)], interrupt.signal)).toBe(ExitCode.ok);
  expect(openIn(dir.path)).toEqual([]);
  expect(listeners.left).toEqual(listeners.none);
});
