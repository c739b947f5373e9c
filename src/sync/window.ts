/** A fixed amount (bytes, calls) handed out in the order it was asked for; the one way memory is bounded here. */
export class Window {
  readonly #limit: number;
  #taken = 0;
  readonly #waiting: { amount: number; grant: () => void; refuse: (cause: unknown) => void }[] = [];
  #failure: { readonly cause: unknown } | undefined;

  constructor(limit: number) {
    if (!(limit > 0)) throw new RangeError(`Invalid window limit ${limit}`);
    this.#limit = limit;
  }

  get taken(): number {
    return this.#taken;
  }

  /** Takes `amount`, waiting until there is room; more than the limit counts as the limit. Returns what to give back. */
  async take(amount = 1): Promise<number> {
    if (this.#failure !== undefined) throw this.#failure.cause;
    const bounded = Math.min(amount, this.#limit);
    if (this.#waiting.length === 0 && this.#taken + bounded <= this.#limit) {
      this.#taken += bounded;
      return bounded;
    }
    await new Promise<void>((grant, refuse) => this.#waiting.push({ amount: bounded, grant, refuse }));
    return bounded;
  }

  give(amount = 1): void {
    this.#taken -= amount;
    for (;;) {
      const next = this.#waiting[0];
      if (next === undefined || this.#taken + next.amount > this.#limit) return;
      this.#waiting.shift();
      this.#taken += next.amount;
      next.grant();
    }
  }

  /** Fails everyone who waits and everyone who comes. */
  fail(cause: unknown): void {
    this.#failure ??= { cause };
    for (const waiter of this.#waiting.splice(0)) waiter.refuse(cause);
  }
}
