/**
 * What a person or a program sees of one run: messages, progress, and with --json one object a line on standard output.
 * The summary is always the last line, also after a failure.
 */
import type { Failure } from "../errors.ts";
import type { Statistics } from "../sync/statistics.ts";
import { formatBytes, formatDuration } from "./format.ts";
import type { Output } from "./output.ts";
import { progressLine, startTicking } from "./progress.ts";

export interface ReportOptions {
  readonly json: boolean;
  /** Print plain progress lines. */
  readonly progress: boolean;
  readonly intervalMs: number;
}

/** What is known at the end besides the statistics; the counts are 0 for what never happened. */
export interface Outcome {
  readonly exitCode: number;
  readonly source: string;
  readonly destination: string;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly bytesBootstrapped: number;
}

export class Report {
  readonly #output: Output;
  readonly #options: ReportOptions;
  #startedAt = performance.now();
  #ticking: { stop(): void } | undefined;
  #statistics: Statistics | undefined;
  /** Nobody reads standard output any more, or the summary was said, which nothing may follow. */
  #deaf = false;

  constructor(output: Output, options: ReportOptions) {
    this.#output = output;
    this.#options = options;
  }

  /** Of the run that was started, if one was. */
  get statistics(): Statistics | undefined {
    return this.#statistics;
  }

  get elapsedMs(): number {
    return performance.now() - this.#startedAt;
  }

  #event(event: string, fields: Readonly<Record<string, unknown>>): void {
    if (!this.#options.json || this.#deaf) return;
    try {
      this.#output.data(JSON.stringify({ event, time: new Date().toISOString(), ...fields }));
    } catch (error) {
      // Whoever read the events is gone; the run and its exit code are worth more than they.
      this.#deaf = true;
      this.#output.log.warn(error instanceof Error ? error.message : String(error));
    }
  }

  /** Something worth knowing that stops nothing. */
  notice(text: string): void {
    this.#output.log.info(text);
    this.#event("notice", { message: text });
  }

  /** Something only -v shows. */
  detail(text: string): void {
    this.#output.log.debug(text);
  }

  error(failure: Failure): void {
    this.#output.log.error(failure.message);
    if (failure.hint !== undefined) this.#output.log.error(`hint: ${failure.hint}`);
    this.#event("error", { exitCode: failure.exitCode, message: failure.message, hint: failure.hint ?? null });
  }

  /** Where a failure comes from in the code, for whoever looks for a bug. */
  stack(failure: Failure): void {
    this.#output.log.error(failure.stack ?? "", failure.cause ?? "");
  }

  /** Both ends are open and the work begins. */
  start(source: string, destination: string, statistics: Statistics, hash: string): void {
    this.#statistics = statistics;
    this.#startedAt = performance.now();
    const { sizeBytes, blockSize, blocksTotal } = statistics;
    this.#output.log.debug(`Block size ${formatBytes(blockSize)}, hash ${hash}`);
    this.#event("start", {
      source,
      destination,
      sizeBytes,
      blockSizeBytes: blockSize,
      blocksTotal,
      lanes: statistics.lanes.length,
      hash,
    });
    if (!this.#options.json && !this.#options.progress) return;
    this.#ticking = startTicking(this.#options.intervalMs, () => this.#progress(statistics));
  }

  #progress(statistics: Statistics): void {
    this.#printLanes(statistics, true);
    const { blocksDone, blocksTotal, blocksMatching, blocksDiffering, bytesWritten } = statistics;
    const elapsedMs = Math.round(this.elapsedMs);
    this.#event("progress", { blocksDone, blocksTotal, blocksMatching, blocksDiffering, bytesWritten, elapsedMs });
  }

  #printLanes({ lanes, blockSize }: Statistics, remaining: boolean): void {
    if (!this.#options.progress) return;
    for (const [number, lane] of lanes.entries()) {
      this.#output.line(progressLine(number, lane, blockSize, this.elapsedMs, remaining));
    }
  }

  /** A range in which two sides differ, found by compare. @throws {IoError} when standard output is gone. */
  difference(offset: number, length: number): void {
    if (this.#options.json) this.#event("difference", { offset, length });
    else this.#output.data(`${offset} ${length}`);
  }

  /** An area of the source that could not be read, under which the destination was left alone. */
  unreadable(offset: number, length: number): void {
    this.#output.log.warn(
      `Unreadable: ${length} bytes at offset ${offset} of the source; the destination was left as it was`,
    );
    this.#event("unreadable", { offset, length });
  }

  /** The work is over, well or not. */
  stop(): void {
    this.#ticking?.stop();
    if (this.#ticking !== undefined && this.#statistics !== undefined) {
      this.#printLanes(this.#statistics, false);
    }
    this.#ticking = undefined;
  }

  /** Closing words of a run that succeeded; `sentence` says what it came to. */
  completed(sentence: string): void {
    this.#output.log.info(`Completed in ${formatDuration(this.elapsedMs)}: ${sentence}`);
  }

  /** The lines of the change map. */
  map(lines: readonly string[]): void {
    for (const line of lines) this.#output.line(line);
  }

  summary(outcome: Outcome): void {
    const statistics = this.#statistics;
    const { exitCode, source, destination, bytesSent, bytesReceived, bytesBootstrapped } = outcome;
    this.#event("summary", {
      exitCode,
      source,
      destination,
      sizeBytes: statistics?.sizeBytes ?? 0,
      blockSizeBytes: statistics?.blockSize ?? 0,
      blocksTotal: statistics?.blocksTotal ?? 0,
      blocksMatching: statistics?.blocksMatching ?? 0,
      blocksDiffering: statistics?.blocksDiffering ?? 0,
      blocksZero: statistics?.blocksZero ?? 0,
      bytesRead: statistics?.bytesRead ?? 0,
      bytesWritten: statistics?.bytesWritten ?? 0,
      bytesSent,
      bytesReceived,
      bytesBootstrapped,
      leavesWritten: statistics?.leavesWritten ?? 0,
      sourceUnreadableBytes: statistics?.sourceUnreadableBytes ?? 0,
      verified: statistics?.verified !== undefined,
      elapsedMs: Math.round(this.elapsedMs),
    });
    this.#deaf = true;
  }
}
