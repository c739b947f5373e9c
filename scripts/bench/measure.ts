/** Runs one case: its contenders in turn, so that whatever else the machine does strikes all of them alike. */
import type { Case, Contender } from "./cases.ts";
import { type Finished, must, run } from "./process.ts";
import type { Workspace } from "./workspace.ts";

/** The counts of blocksync's own summary. */
export interface Summary {
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly bytesWritten: number;
  readonly blocksDiffering: number;
}

export interface Result {
  readonly contender: Contender;
  /** One for every timed run. */
  readonly seconds: readonly number[];
  /** Set when any run failed, also the one that was not timed; then no time counts. */
  readonly failure: string | undefined;
  readonly maxRssBytes: number;
  readonly maxRssIsBound: boolean;
  /** Of blocksync's last run. */
  readonly summary: Summary | undefined;
  /** What the destination took on the disk afterwards, where the case asks for it. */
  readonly allocatedBytes: number | undefined;
}

export interface CaseResult {
  readonly case: Case;
  readonly results: readonly Result[];
  /** Contenders whose program is not here. */
  readonly absent: readonly string[];
}

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

/** One contender's runs of one case. */
class Entry {
  readonly #case: Case;
  readonly #contender: Contender;
  readonly #workspace: Workspace;
  readonly #signal: AbortSignal;
  readonly #seconds: number[] = [];
  #failure: string | undefined;
  #largest: Finished | undefined;
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
    await this.#case.prepare();
    // What earlier runs and prepare() left to be written would otherwise be written during this one.
    await must(["sync"], this.#signal);
    const finished = await run(this.#contender, this.#signal);
    this.#failure = finished.failure ?? this.#takeSummary(finished);
    if (!timed) this.#failure ??= await this.#check();
    if (this.#failure !== undefined) return `failed: ${this.#failure}`;
    if (timed) this.#count(finished);
    return `${finished.seconds.toFixed(3)} s`;
  }

  /** Not for the warm-up, whose memory may include packing the program for a far end that does not have it yet. */
  #count(finished: Finished): void {
    this.#seconds.push(finished.seconds);
    if (finished.maxRssBytes >= (this.#largest?.maxRssBytes ?? 0)) this.#largest = finished;
  }

  /** Keeps blocksync's own counts. Returns what is wrong with them. */
  #takeSummary(finished: Finished): string | undefined {
    if (this.#contender.name !== "blocksync") return undefined;
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
    if (expected === undefined) return undefined;
    if (reportSparseness) this.#allocatedBytes = this.#workspace.allocatedBytes();
    const compared = await run({ argv: ["cmp", "-s", expected, this.#workspace.destination] }, this.#signal);
    return compared.failure === undefined ? undefined : "the destination is not equal to the source";
  }

  get result(): Result {
    return {
      contender: this.#contender,
      seconds: this.#seconds,
      failure: this.#failure,
      maxRssBytes: this.#largest?.maxRssBytes ?? 0,
      maxRssIsBound: this.#largest?.maxRssIsBound ?? true,
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
