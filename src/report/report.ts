/**
 * What a person or a program sees of one run: messages, progress, and with --json one object a line on standard output.
 * The summary is always the last line, also after a failure.
 */
import { type Failure, RefusedError, stackOf } from "../errors.ts";
import { formatBytes } from "../format.ts";
import { quote } from "../name.ts";
import type { ByteRange } from "../sync/ranges.ts";
import type { TellStage } from "../sync/stage.ts";
import type { Statistics } from "../sync/statistics.ts";
import { BUILD, VERSION } from "../version.ts";
import { wantsColour } from "./display.ts";
import { jsonLine, nameFields } from "./json.ts";
import { LiveBar, type Running, type Wait, waitFor } from "./live.ts";
import type { Output } from "./output.ts";
import { type ProgressMode, progressLine, progressLines, startTicking } from "./progress.ts";
import {
  type Finished,
  type Stand,
  stoppedLine,
  summaryLines,
  type Task,
  type Undo,
  type WireBytes,
} from "./summary.ts";

export interface ReportOptions {
  readonly json: boolean;
  /** A bar becomes plain lines where the output has no screen. */
  readonly progress: ProgressMode;
  /** Between two tellings of progress; undefined for what suits where they go. */
  readonly intervalMs?: number | undefined;
}

/** What is known at the end besides the statistics; the counts are 0 for what never happened. */
export interface Outcome {
  readonly exitCode: number;
  readonly source: string;
  readonly destination: string;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly bytesBootstrapped: number;
  readonly bytesFetched: number;
  /** A root hash was demanded, and proved what was taken. */
  readonly sourceAuthenticated: boolean;
}

/** Often enough for whoever looks on, and seldom enough for a log or cron's mail. */
const INTERVAL_MS = { watched: 1000, logged: 60_000 };
/** Unreadable areas that are said one by one; a dying disk may have millions. */
const LISTED = 10;

export interface Stages extends Disposable {
  readonly tell: TellStage;
}

export class Report {
  readonly #output: Output;
  readonly #options: ReportOptions;
  readonly #bar: LiveBar | undefined;
  readonly #plain: boolean;
  /** What is waited for, first what was first. */
  readonly #waits = new Map<object, Wait>();
  #task: Task = "sync";
  /** The two sides, for a line of a log that stands alone. */
  #names = "";
  #startedAt = performance.now();
  /** Of the present pass. */
  #passStartedAt = performance.now();
  /** Of the present pass, or the last one. */
  #statistics: Statistics | undefined;
  /** How often a lost connection was made again, or the run started over. */
  #reconnects = 0;
  /** Notices that a further pass does not repeat. */
  readonly #noticed = new Set<string>();
  #undo: Undo | undefined;
  #verifyingSince: number | undefined;
  #saidFlushing = false;
  #ticking: { stop(): void } | undefined;
  #running: Running | undefined;
  /** Nobody reads standard output any more, or the summary was said, which nothing may follow. */
  #deaf = false;

  constructor(output: Output, options: ReportOptions) {
    this.#output = output;
    this.#options = options;
    const screen = options.progress === "bar" ? output.screen : undefined;
    this.#plain = options.progress !== "none" && screen === undefined;
    if (screen === undefined) return;
    this.#bar = new LiveBar(screen, wantsColour(process.env), () => ({ wait: this.#wait(), running: this.#running }));
  }

  /** Of the run that was started, if one was. */
  get statistics(): Statistics | undefined {
    return this.#statistics;
  }

  get elapsedMs(): number {
    return performance.now() - this.#startedAt;
  }

  /** A log is told what begins, and later lines say what they are about. */
  begin(task: Task, source: string, destination: string): void {
    this.#task = task;
    if (!this.#output.isLog) return;
    const joint = task === "compare" ? "and" : "to";
    this.#names = `${quote(source)} ${joint} ${quote(destination)}: `;
    this.#output.log.info(`blocksync ${VERSION}: ${task} ${quote(source)} ${joint} ${quote(destination)}`);
  }

  #wait(): Wait | undefined {
    const waits = [...this.#waits.values()];
    return waits.find(({ asks }) => asks) ?? waits[0];
  }

  /** Shows what one endpoint after another comes to before its blocks: the last stage, until it is disposed of. */
  stages(): Stages {
    const key = {};
    const tell: TellStage = (stage) => {
      if (stage.kind === "notice" || stage.kind === "detail") return this[stage.kind](stage.text);
      if (stage.kind === "resumed") {
        this.#reconnects++;
        this.#waits.delete(key);
        return;
      }
      const wait = waitFor(stage);
      this.#waits.set(key, wait);
      // Before another program asks, and not after.
      if (wait.asks) this.#bar?.refresh();
    };
    return { tell, [Symbol.dispose]: () => void this.#waits.delete(key) };
  }

  /** Nothing is drawn while `ask` has the terminal. */
  async whileAsking<T>(ask: () => Promise<T>): Promise<T> {
    return this.#bar === undefined ? await ask() : await this.#bar.whileAsking(ask);
  }

  /** Says at once how far things are, however little was to be said of it. */
  tell(): void {
    const wait = this.#wait();
    if (this.#running !== undefined) this.#sayProgress(this.#running.statistics);
    else this.#output.line(wait === undefined ? "Starting" : wait.text);
  }

  #event(event: string, fields: Readonly<Record<string, unknown>>): void {
    if (!this.#options.json || this.#deaf) return;
    try {
      this.#output.data(jsonLine({ event, time: new Date().toISOString(), ...fields }));
    } catch (error) {
      // Whoever read the events is gone; the run and its exit code are worth more than they.
      this.#deaf = true;
      this.#output.log.warn(error instanceof Error ? error.message : String(error));
    }
  }

  /** Something worth knowing that stops nothing; `asked`: a question on the terminal has it. */
  notice(text: string, { asked = false } = {}): void {
    if (this.#noticed.has(text)) return;
    this.#noticed.add(text);
    this.#say(text, asked);
  }

  #say(text: string, asked = false): void {
    if (!asked) this.#output.log.info(text);
    this.#event("notice", { message: text });
  }

  /** Something only -v shows. */
  detail(text: string): void {
    this.#output.log.debug(text);
  }

  error(failure: Failure): void {
    this.#output.log.error(failure.message);
    for (const hint of failure.hint?.split("\n") ?? []) this.#output.log.error(`hint: ${hint}`);
    const { exitCode, message, hint = null } = failure;
    const refusal = failure instanceof RefusedError ? failure.refusal : null;
    this.#event("error", { exitCode, message, hint, refusal });
  }

  /** Where a failure comes from in the code, for whoever looks for a bug. */
  stack(failure: Failure): void {
    this.#output.log.error(stackOf(failure));
  }

  /**
   * A pass has failed, and everything is compared anew. Until the next one starts there is nothing to be seen of blocks; what waits
   * for its connection waits no more.
   */
  startOver({ message }: Failure): void {
    this.#running = undefined;
    this.#waits.clear();
    this.#reconnects++;
    this.#say(`${message}: starting over, comparing everything anew`);
  }

  /** Both ends are open and the work begins, anew when the run starts over; `traffic` gives what crossed all connections so far. */
  start(source: string, destination: string, statistics: Statistics, hash: string, traffic: () => WireBytes): void {
    const isAgain = this.#statistics !== undefined;
    this.#statistics = statistics;
    this.#passStartedAt = performance.now();
    this.#running = { statistics, traffic, elapsedMs: () => performance.now() - this.#passStartedAt };
    this.#verifyingSince = undefined;
    this.#saidFlushing = false;
    if (isAgain) return;
    this.#startedAt = this.#passStartedAt;
    const { expectedBytes: sizeBytes = null, blockSize, blocksExpected: blocksTotal = null } = statistics;
    this.#output.log.debug(`Block size ${formatBytes(blockSize)}, hash ${hash}`);
    this.#event("start", {
      version: VERSION,
      build: BUILD,
      ...nameFields("source", source),
      ...nameFields("destination", destination),
      sizeBytes,
      blockSizeBytes: blockSize,
      blocksTotal,
      lanes: statistics.lanes.length,
      hash,
    });
    const { json, intervalMs } = this.#options;
    if (!json && !this.#plain) return;
    const usual = json || this.#output.isTerminal ? INTERVAL_MS.watched : INTERVAL_MS.logged;
    this.#ticking = startTicking(intervalMs ?? usual, () => this.#tick());
  }

  /** What the run overwrites is saved from here on. */
  keeps(undo: Undo): void {
    this.#undo = undo;
  }

  #tick(): void {
    if (this.#running === undefined) return;
    const { statistics } = this.#running;
    const { phase, blocksDone, blocksMatching, blocksDiffering, blocksVerified, bytesWritten } = statistics;
    // Nothing is known of how a flush goes on, so that it does is said once.
    if (this.#plain && !(phase === "flushing" && this.#saidFlushing)) this.#sayProgress(statistics);
    this.#saidFlushing ||= phase === "flushing";
    const elapsedMs = Math.round(this.elapsedMs);
    this.#event("progress", {
      phase,
      blocksDone,
      blocksTotal: statistics.blocksExpected ?? null,
      blocksMatching,
      blocksDiffering,
      blocksVerified,
      bytesWritten,
      blocksDeferred: statistics.blocksDeferred,
      unreadableAreas: statistics.unreadableAreas,
      sourceUnreadableBytes: statistics.sourceUnreadableBytes,
      elapsedMs,
    });
  }

  #sayProgress(statistics: Statistics): void {
    const passMs = performance.now() - this.#passStartedAt;
    const verifyingMs = performance.now() - (this.#verifyingSince ?? performance.now());
    for (const line of progressLines(statistics, passMs, verifyingMs)) this.#output.line(line);
  }

  /** Both sides are read again. */
  verifying(): void {
    this.#verifyingSince = performance.now();
    this.notice(`Verifying: reading ${this.#statistics?.isStream === true ? "the destination" : "both sides"} again`);
  }

  /** A range in which two sides differ, found by compare. @throws {IoError} when standard output is gone. */
  difference(offset: number, length: number): void {
    if (this.#options.json) this.#event("difference", { offset, length });
    else this.#output.data(`${offset} ${length}`);
  }

  /** Areas of the source that could not be read, under which the destination was left alone. */
  unreadable(): void {
    const { unreadable = [], kept = [] } = this.#statistics ?? {};
    this.#listUnreadable(unreadable, false, "the destination was left as it was");
    this.#listUnreadable(kept, true, "the destination keeps what an earlier run read there");
  }

  #listUnreadable(areas: readonly ByteRange[], rescued: boolean, there: string): void {
    for (const [i, { offset, length }] of areas.entries()) {
      if (i < LISTED)
        this.#output.log.warn(`Unreadable: ${formatBytes(length)} at offset ${offset} of the source; ${there}`);
      this.#event("unreadable", { offset, length, rescued });
    }
    if (areas.length > LISTED)
      this.#output.log.warn(`Unreadable: ${areas.length - LISTED} more areas; --mapfile FILE lists them all`);
  }

  /** The work is over, well or not. */
  stop(): void {
    this.#ticking?.stop();
    this.#bar?.stop();
    const { statistics } = this;
    if (this.#plain && this.#ticking !== undefined && statistics !== undefined) {
      for (const [number, lane] of statistics.lanes.entries())
        this.#output.line(progressLine(number, lane, statistics.blockSize, this.elapsedMs, false));
    }
    this.#ticking = undefined;
  }

  /** Closing words of a run that came to its end. */
  completed(options: Pick<Finished, "sizes" | "isLonger" | "bytesDiffering" | "next">): void {
    if (this.#running === undefined) return;
    const { statistics, traffic } = this.#running;
    const lines = summaryLines({ ...this.#stand(statistics), traffic: traffic(), ...options });
    this.#output.log.info(lines.join("\n"));
  }

  #stand(statistics: Statistics): Stand {
    return { statistics, elapsedMs: this.elapsedMs, task: this.#task, names: this.#names, undo: this.#undo };
  }

  /** Closing words of a run that failed. */
  stopped(): void {
    if (this.statistics !== undefined) this.#output.log.info(stoppedLine(this.#stand(this.statistics)));
  }

  /** The lines of the change map. */
  changeMap(lines: readonly string[]): void {
    for (const line of lines) this.#output.line(line);
  }

  summary(outcome: Outcome): void {
    const { statistics } = this;
    const { exitCode, source, destination, bytesSent, bytesReceived, bytesBootstrapped, bytesFetched } = outcome;
    this.#event("summary", {
      exitCode,
      ...nameFields("source", source),
      ...nameFields("destination", destination),
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
      bytesFetched,
      leavesWritten: statistics?.leavesWritten ?? 0,
      sourceUnreadableBytes: statistics?.sourceUnreadableBytes ?? 0,
      bytesKept: statistics?.bytesKept ?? 0,
      bytesBelieved: statistics?.bytesBelieved ?? 0,
      sourceFingerprint: statistics?.sourceFingerprint ?? null,
      destinationFingerprint: statistics?.destinationFingerprint ?? null,
      verified: statistics?.verified !== undefined,
      sourceAuthenticated: outcome.sourceAuthenticated,
      ...(this.#undo === undefined ? { undo: null } : nameFields("undo", this.#undo.path)),
      reconnects: this.#reconnects,
      elapsedMs: Math.round(this.elapsedMs),
    });
    this.#deaf = true;
  }
}
