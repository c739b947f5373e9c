/** Rates and times that settle instead of jumping. */

/** A value that follows what it is told, with most of what is older than `seconds` forgotten. */
class Smoothed {
  #weighted = 0;
  #weight = 0;

  /** Undefined before anything was told. */
  get value(): number | undefined {
    return this.#weight === 0 ? undefined : this.#weighted / this.#weight;
  }

  /** `value` held for the last `elapsed` seconds. */
  add(value: number, elapsed: number, seconds: number): void {
    const kept = Math.exp(-elapsed / seconds);
    this.#weighted = this.#weighted * kept + value * (1 - kept);
    this.#weight = this.#weight * kept + (1 - kept);
  }
}

/** What a rate looks back on, in seconds. */
const RATE_SECONDS = 3;
/** The time that remains looks back on a third of the run, so that it settles the more the longer a run is; within these. */
const REMAINING_SECONDS = { least: 3, most: 120, share: 1 / 3 };
/** Before that, in seconds, nothing can be said about what remains. */
const GUESS_AFTER_SECONDS = 1;

/** How fast something goes on towards its end. */
export class Pace {
  readonly #rate = new Smoothed();
  readonly #slow = new Smoothed();
  #done: number;
  #atMs: number;
  #seconds = 0;

  constructor(done: number, nowMs: number) {
    this.#done = done;
    this.#atMs = nowMs;
  }

  /** `done` of whatever is counted at the time `nowMs`; both only grow. */
  sample(done: number, nowMs: number): void {
    const elapsed = (nowMs - this.#atMs) / 1000;
    if (elapsed <= 0) return;
    this.#seconds += elapsed;
    const rate = (done - this.#done) / elapsed;
    const { least, most, share } = REMAINING_SECONDS;
    this.#rate.add(rate, elapsed, RATE_SECONDS);
    this.#slow.add(rate, elapsed, Math.min(most, Math.max(least, this.#seconds * share)));
    this.skip(done, nowMs);
  }

  /** The time since the last sample does not count, such as that of a stopped job. */
  skip(done: number, nowMs: number): void {
    this.#done = done;
    this.#atMs = nowMs;
  }

  /** In units a second; 0 before the first sample. */
  get perSecond(): number {
    return this.#rate.value ?? 0;
  }

  /** What `left` units will take, in milliseconds; undefined while nobody can know. */
  remainingMs(left: number): number | undefined {
    const rate = this.#slow.value ?? 0;
    return rate <= 0 || this.#seconds < GUESS_AFTER_SECONDS ? undefined : (left / rate) * 1000;
  }
}
