/** Runs the compiled program as a user would. */
import fs from "node:fs";
import { join } from "node:path";

export const BINARY = join(import.meta.dir, "../../dist/blocksync");

let digest: string | undefined;

/** The program's SHA-256, in hexadecimal. */
export function binaryDigest(): string {
  digest ??= new Bun.CryptoHasher("sha256").update(fs.readFileSync(BINARY)).digest("hex");
  return digest;
}

/** Puts the program where a run that keeps its copies in `directory` finds it, which spares an upload. Returns its path. */
export function placeProgram(directory: string): string {
  const path = join(directory, `blocksync-${binaryDigest()}`);
  fs.copyFileSync(BINARY, path);
  fs.chmodSync(path, 0o700);
  return path;
}

export interface Result {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Record<string, string | undefined>;
  readonly cwd?: string;
  readonly argv0?: readonly string[];
  /** Another copy of the program. */
  readonly binary?: string;
}

/** The environment of a user: no CI variables, no terminal. */
function environment(extra: Record<string, string | undefined> = {}): Record<string, string | undefined> {
  return { ...process.env, BLOCKSYNC_DEBUG: undefined, ...extra };
}

/** Runs a command to its end; `argv0` goes before it (strace, unshare …). */
export async function run(words: readonly string[], options: RunOptions = {}): Promise<Result> {
  const child = Bun.spawn([...(options.argv0 ?? []), options.binary ?? BINARY, ...words], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: environment(options.env),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { exitCode, stdout, stderr };
}

/** Starts it and leaves it running, for tests that interrupt it. */
export function start(words: readonly string[], options: RunOptions = {}): Bun.Subprocess<"ignore", "pipe", "pipe"> {
  return Bun.spawn([...(options.argv0 ?? []), BINARY, ...words], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: environment(options.env),
  });
}

/** What scripts/test.ts has set for the programs that tests start, and blocksync keeps from those that it starts. */
function settings(): string {
  const names = Object.keys(process.env).filter((name) => /^BUN_JSC_\w+$/.test(name));
  return names.map((name) => `export ${name}=${Number(process.env[name])}\n`).join("");
}

/** Writes to `path` a stand-in for ssh that runs the command here; returns the words that make blocksync use it. */
export function fakeSsh(path: string): string[] {
  fs.writeFileSync(path, `#!/bin/sh\n${settings()}shift\nexec sh -c "$*"\n`, { mode: 0o755 });
  return ["-e", JSON.stringify(path)];
}

export interface Summary {
  readonly [name: string]: number | string | boolean;
}

/** The last JSON line on stdout, which is always the summary. */
export function summaryOf(result: Result): Summary {
  const last = result.stdout.trimEnd().split("\n").at(-1) ?? "";
  const parsed: Summary = JSON.parse(last);
  return parsed;
}

/** Ids of other processes in whose command line, or environment, `text` stands; zombies have neither. */
export function processesWith(text: string, where: "cmdline" | "environ" = "cmdline"): number[] {
  return fs
    .readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        return fs.readFileSync(`/proc/${pid}/${where}`).includes(text);
      } catch {
        return false;
      }
    })
    .map(Number);
}

/**
 * The most memory a process had resident, in bytes, watched until it ends. Not from its resource usage: the kernel
 * counts there what the process that started it had.
 */
export async function peakMemory(child: Bun.Subprocess): Promise<number> {
  let peak = 0;
  while (child.exitCode === null && child.signalCode === null) {
    try {
      const status = fs.readFileSync(`/proc/${child.pid}/status`, "utf8");
      const name = /^Name:\s*(.*)$/m.exec(status)?.[1];
      if (name === "blocksync") peak = Math.max(peak, Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024);
    } catch {
      // It ended between the two looks.
    }
    await Bun.sleep(2);
  }
  return peak;
}

/**
 * Waits until `condition` holds; fails after five minutes: nothing but a busy machine takes more than a moment. It looks every few milliseconds, and
 * less often where a look takes long (all of /proc, a screen of tmux), so that waiting leaves the cores to what is waited for.
 */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 300_000;
  for (;;) {
    const begun = performance.now();
    if (await condition()) return;
    const now = performance.now();
    if (now > deadline) throw new Error(`Waited in vain until ${what}`);
    await Bun.sleep(Math.min(100, Math.max(2, 8 * (now - begun))));
  }
}
