/** Runs one case: its contenders in turn, so that whatever else the machine does strikes all of them alike. */
import type { Case, Contender } from "./case.ts";
import { MemoryWatch, type Peaks } from "./memory.ts";
import { type Finished, must, run } from "./process.ts";
import type { CaseResult, Result, Summary } from "./results.ts";
import type { Workspace } from "./workspace.ts";

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** @throws {Error} when it is no summary. */
function readSummary(stdout: string): Summary {
  const value: unknown = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "");
  if (!isRecord(value) || value["event"] !== "summary") throw new Error("the last line is no summary");
  const count = (name: string): number => {
    const number = value[name];
    if (typeof number !== "number") throw new Error(`the summary has no ${name}`);
    return number;
  };
  return {
    bytesSent: count("bytesSent"),
    bytesReceived: count("bytesReceived"),
    bytesWritten: count("bytesWritten"),
    blocksDiffering: count("blocksDiffering"),
  };
}

function largest(first: Peaks, second: Peaks): Peaks {
  return {
    hereBytes: Math.max(first.hereBytes, second.hereBytes),
    thereBytes: Math.max(first.thereBytes, second.thereBytes),
    thereProcesses: Math.max(first.thereProcesses, second.thereProcesses),
  };
}

/** One contender's runs of one case. */
class Entry {
  readonly #case: Case;
  readonly #contender: Contender;
  readonly #workspace: Workspace;
  readonly #signal: AbortSignal;
  readonly #seconds: number[] = [];
  #failure: string | undefined;
  #peaks: Peaks | undefined;
  #summary: Summary | undefined;
  #allocatedBytes: number | undefined;

  constructor(one: Case, contender: Contender, workspace: Workspace, signal: AbortSignal) {
    this.#case = one;
    this.#contender = contender;
    this.#workspace = workspace;
    this.#signal = signal;
  }

  /** Runs once and returns how it went, in words; a contender that failed once does not run again. */
  async once(timed: boolean): Promise<string | undefined> {
    if (this.#failure !== undefined) return undefined;
    await this.#case.prepare?.();
    // What earlier runs and prepare() left to be written would otherwise be written during this one.
    await must(["sync"], this.#signal);
    // For every contender, so that what little the watching costs strikes all of them alike.
    const memory = new MemoryWatch(this.#workspace.remoteDirectory);
    const finished = await run(this.#contender, this.#signal, (id) => memory.start(id));
    const peaks = memory.stop();
    this.#failure = finished.failure ?? this.#takeSummary(finished);
    if (!timed) this.#failure ??= await this.#check();
    if (this.#failure !== undefined) return `failed: ${this.#failure}`;
    if (timed) this.#count(finished, peaks);
    return `${finished.seconds.toFixed(3)} s`;
  }

  /** Not for the warm-up, whose memory may include packing the program for a far side that does not have it yet. */
  #count(finished: Finished, peaks: Peaks): void {
    this.#seconds.push(finished.seconds);
    if (this.#contender.isBlocksync) this.#peaks = largest(this.#peaks ?? peaks, peaks);
  }

  /** Keeps blocksync's own counts. Returns what is wrong with them. */
  #takeSummary(finished: Finished): string | undefined {
    if (!this.#contender.isBlocksync) return undefined;
    try {
      this.#summary = readSummary(finished.stdout);
    } catch (error) {
      return error instanceof Error ? error.message : "there is no summary";
    }
    return undefined;
  }

  /** Looks at the destination. Returns what is wrong with it; a contender that does not do the work is not fast. */
  async #check(): Promise<string | undefined> {
    const { expected, reportSparseness } = this.#case;
    if (reportSparseness) this.#allocatedBytes = this.#workspace.allocatedBytes();
    if (this.#contender.check !== undefined) return await this.#contender.check();
    if (expected === undefined) return undefined;
    const compared = await run({ argv: ["cmp", "-s", expected, this.#workspace.destination] }, this.#signal);
    return compared.failure === undefined ? undefined : "the destination is not equal to the source";
  }

  get result(): Result {
    return {
      contender: this.#contender,
      seconds: this.#seconds,
      failure: this.#failure,
      peaks: this.#peaks,
      summary: this.#summary,
      allocatedBytes: this.#allocatedBytes,
    };
  }
}

function isPresent(contender: Contender): boolean {
  return Bun.which(contender.needs ?? contender.argv[0] ?? "") !== null;
}

/** Runs every contender once untimed, then `runs` times timed in turn. `onRun` hears of each run. */
export async function measure(
  one: Case,
  runs: number,
  workspace: Workspace,
  signal: AbortSignal,
  onRun: (text: string) => void,
): Promise<CaseResult> {
  const present = one.contenders.filter(isPresent);
  const absent = one.contenders.filter((contender) => !isPresent(contender)).map(({ name }) => name);
  await one.setup();
  const records = present.map((contender) => ({ contender, record: new Entry(one, contender, workspace, signal) }));
  for (let index = 0; index <= runs; index++) {
    const label = index === 0 ? "warm-up" : `run ${index}/${runs}`;
    for (const { contender, record } of records) {
      const outcome = await record.once(index > 0);
      if (outcome !== undefined) onRun(`${one.name}, ${label}: ${contender.name} ${outcome}`);
    }
  }
  workspace.removeDestination();
  return { case: one, results: records.map(({ record }) => record.result), absent };
}
