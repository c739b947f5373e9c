/**
 * Decides whether asking the destination for leaf hashes pays. It does unless nearly every leaf of the differing blocks
 * differs; then whole blocks are sent at once, and one block in PROBE_INTERVAL is still asked for, so that a change in
 * the data is noticed.
 */
const WEIGHT = 1 / 16;
const WORTHLESS = 0.9;
const PROBE_INTERVAL = 16;

export class LeafPolicy {
  #differing = 0;
  #skipped = 0;

  /** Says what to do with the next differing block. */
  pays(): boolean {
    if (this.#differing < WORTHLESS) return true;
    this.#skipped = (this.#skipped + 1) % PROBE_INTERVAL;
    return this.#skipped === 0;
  }

  /** Learns from a block that was asked for. */
  observe(touchedLeaves: number, leaves: number): void {
    this.#differing += (touchedLeaves / leaves - this.#differing) * WEIGHT;
  }
}
