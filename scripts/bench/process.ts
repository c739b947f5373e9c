/** Runs one command as a whole process: timed, and never left behind. */

/** The run was stopped by a signal; `exitCode` is what a shell would report for it. */
export class Interrupted extends Error {
  readonly exitCode: number;

  constructor(signalName: string, signalNumber: number) {
    super(`stopped by ${signalName}`);
    this.exitCode = 128 + signalNumber;
  }
}

export interface Command {
  readonly argv: readonly string[];
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Finished {
  readonly seconds: number;
  /** undefined when it exited with 0, otherwise what went wrong in one line. */
  readonly failure: string | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** How long a command may take to end after SIGTERM. */
const TERM_WAIT_MS = 3000;

/** Signals the whole group, since a shell's children do not end with the shell. */
function signalGroup(pid: number, name: "SIGTERM" | "SIGKILL"): void {
  try {
    process.kill(-pid, name);
  } catch {
    // Already gone, which is what was wanted.
  }
}

/** Ends the group when `signal` fires; the returned function calls that off. */
function endOnAbort(pid: number, signal: AbortSignal): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const end = () => {
    signalGroup(pid, "SIGTERM");
    timer = setTimeout(() => signalGroup(pid, "SIGKILL"), TERM_WAIT_MS);
  };
  signal.addEventListener("abort", end, { once: true });
  return () => {
    signal.removeEventListener("abort", end);
    clearTimeout(timer);
  };
}

/** The last line of what it complained of is the one that says why it ended. */
function describeFailure(exitCode: number, stderr: string): string | undefined {
  if (exitCode === 0) return undefined;
  const line = stderr.trimEnd().split("\n").at(-1) ?? "";
  return line === "" ? `exit ${exitCode}` : `exit ${exitCode}: ${line}`;
}

/** A program that cannot be started is a failure as any other; Bun throws for it. */
function notStarted(error: unknown): Finished {
  const failure = error instanceof Error ? error.message : "could not be started";
  return { seconds: 0, failure, stdout: "", stderr: "" };
}

/**
 * Runs to the end. The clock covers start to exit, not the reading of what is left in the pipes.
 * `onStart` is told the process id.
 */
export async function run(command: Command, signal: AbortSignal, onStart?: (id: number) => void): Promise<Finished> {
  signal.throwIfAborted();
  const startedAt = performance.now();
  let child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  try {
    child = Bun.spawn([...command.argv], {
      env: { ...process.env, ...command.env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      // A group of its own, so that it can be ended as a whole; and Ctrl-C reaches only us, who end it in order.
      detached: true,
    });
  } catch (error) {
    return notStarted(error);
  }
  const settle = endOnAbort(child.pid, signal);
  onStart?.(child.pid);
  const texts = Promise.all([child.stdout.text(), child.stderr.text()]);
  const exitCode = await child.exited;
  const seconds = (performance.now() - startedAt) / 1000;
  const [stdout, stderr] = await texts;
  settle();
  signal.throwIfAborted();
  return { seconds, failure: describeFailure(exitCode, stderr), stdout, stderr };
}

/** Runs something the benchmark itself depends on. @throws {Error} unless it exits with 0. */
export async function must(argv: readonly string[], signal: AbortSignal, env: Command["env"] = {}): Promise<Finished> {
  const finished = await run({ argv, env }, signal);
  if (finished.failure !== undefined) throw new Error(`${argv.join(" ")} failed: ${finished.failure}`);
  return finished;
}
