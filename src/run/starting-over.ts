/**
 * A run whose connection is lost, and whose far side is gone, starts over: for how long that is tried, after which failures, and
 * that it goes on between the same two ends as before. Each pass compares everything anew.
 */
import { asFailure, ConnectionLost, type Failure, LoginRefused, RefusedError, UnreachableError } from "../errors.ts";
import { quote } from "../name.ts";
import { AwakeTime, rest } from "../sync/abort.ts";
import type { Description } from "../sync/endpoint.ts";
import type { Statistics } from "../sync/statistics.ts";

/** Before one attempt after another; a host that restarts takes a minute. */
const PAUSES_MS = [0, 1000, 2000, 4000, 5000];
/** What the run that was lost may still hold while its processes end. */
const PASSING_REFUSALS: ReadonlySet<string | null> = new Set(["in-use", "locked"]);

interface Ends {
  readonly source: Description;
  readonly destination: Description;
}

export class StartingOver {
  readonly #reconnectMs: number;
  readonly #signal: AbortSignal;
  readonly #once: boolean;
  #ends: Ends | undefined;
  #statistics: Statistics | undefined;
  /** What was lost first since blocks were done, and how long the run may try since then. */
  #why: ConnectionLost | undefined;
  #leftMs = 0;
  #last: Failure | undefined;
  #time: AwakeTime | undefined;
  #attempts = 0;

  /**
   * `reconnectMs` is how long a lost connection is tried again; `signal` is aborted when the run is interrupted; `once` says that
   * the source cannot be read a second time.
   */
  constructor(reconnectMs: number, signal: AbortSignal, once: boolean) {
    this.#once = once;
    this.#reconnectMs = reconnectMs;
    this.#signal = signal;
  }

  /** Of the present pass; undefined until it is through its start. */
  get statistics(): Statistics | undefined {
    return this.#statistics;
  }

  /** For the start of the next pass: aborted when the time is over, too. */
  get signal(): AbortSignal {
    return this.#time === undefined ? this.#signal : AbortSignal.any([this.#signal, this.#time.late]);
  }

  /**
   * Whether these are the ends that an earlier pass had, and its user agreed to; false in the first pass.
   * @throws {RefusedError} when they are others.
   */
  knows(source: Description, destination: Description): boolean {
    if (this.#ends === undefined) return false;
    checkEnd("source", this.#ends.source, source, source.sizeBytes === this.#ends.source.sizeBytes);
    const sizes = [this.#ends.destination.sizeBytes, source.sizeBytes];
    // A pass that was lost may have grown or cut a file; what of a stream had come nobody knows.
    const fits = destination.kind === "device" ? sizes.slice(0, 1) : sizes;
    const isGrowing = source.kind === "stream" && destination.kind === "file";
    checkEnd("destination", this.#ends.destination, destination, isGrowing || fits.includes(destination.sizeBytes));
    return true;
  }

  /** The pass is through its start: both ends are open, and agreed to. */
  begin(source: Description, destination: Description, statistics: Statistics): void {
    this.#ends = { source, destination };
    this.#statistics = statistics;
    this.#leftMs = this.#time?.leftMs ?? 0;
    this.#time?.[Symbol.dispose]();
    this.#time = undefined;
  }

  /** Returns where the run starts over after its pass has failed with `error`. @throws {Failure} what the run fails with otherwise. */
  after(error: unknown): void {
    const failure = asFailure(error);
    if (this.#signal.aborted || this.#once) throw failure;
    if (this.#time?.late.aborted === true) throw this.#tooLate();
    if (failure instanceof ConnectionLost) {
      if (this.#why === undefined || (this.#statistics?.blocksDone ?? 0) > 0) {
        this.#why = failure;
        this.#leftMs = failure.leftMs;
        this.#attempts = 0;
      }
      this.#time ??= new AwakeTime(this.#leftMs);
    } else if (this.#time === undefined || !isPassing(failure)) throw failure;
    this.#last = failure;
  }

  /** Waits before the next pass. @throws {Failure} when the time is over, or the run is interrupted. */
  async pause(): Promise<void> {
    this.#statistics = undefined;
    const pause = PAUSES_MS[Math.min(this.#attempts++, PAUSES_MS.length - 1)] ?? 0;
    await rest(pause, this.signal).catch((reason: unknown) => {
      throw this.#signal.aborted ? reason : this.#tooLate();
    });
  }

  #tooLate(): UnreachableError {
    const seconds = Math.round(this.#reconnectMs / 1000);
    const last = this.#last === this.#why ? "" : `: ${this.#last?.message}`;
    return new UnreachableError(`${this.#why?.message}; the run could not start over for ${seconds} s${last}`, {
      hint: "what was written stays written: run the same command again to continue",
    });
  }
}

/** Whether it may have gone by when the host has restarted, or the lost run has let go of what it held. */
function isPassing(failure: Failure): boolean {
  if (failure instanceof RefusedError) return PASSING_REFUSALS.has(failure.refusal);
  return failure instanceof UnreachableError && !(failure instanceof LoginRefused);
}

/** @throws {RefusedError} */
function checkEnd(end: "source" | "destination", before: Description, now: Description, fits: boolean): void {
  const isCreated = before.kind === "missing" && now.kind === "file";
  if (fits && (isCreated || isSameEnd(before, now))) return;
  throw new RefusedError(
    `Refused to start over: ${quote(now.label)} is another ${end} than before the connection was lost (other-${end})`,
    {
      hint: "a disk may have another name since its host restarted, or a file system may not be mounted yet: check it, and run again",
    },
  );
}

function isSameEnd(before: Description, now: Description): boolean {
  if (before.kind !== now.kind || placeOf(before) !== placeOf(now)) return false;
  return before.facts?.model === now.facts?.model && before.facts?.serial === now.facts?.serial;
}

/** Its identity but for the boot, which another run of the same system has (Description.identity). */
function placeOf({ identity }: Description): string {
  return identity.slice(identity.indexOf(" ") + 1);
}
