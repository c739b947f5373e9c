/** Killed syncs; `make kill` does the same many more times. */
import { expect } from "bun:test";
import { describeRound, Killer, type Outcome, roundOf } from "../helpers/kill.ts";
import { testWith } from "../helpers/requirements.ts";

const ROUNDS = 20;

testWith(
  "sshd",
  "loop",
  "strace",
  "qemuImg",
)(
  "D3.12 SIGKILL of either side at any moment and at an exact write: nothing else is touched, a second run converges",
  async () => {
    const seed = Math.floor(Math.random() * 1e9);
    await using killer = await Killer.start();
    const outcomes: Outcome[] = [];
    for (let number = 0; number < ROUNDS; number++) {
      const round = roundOf(number, seed);
      try {
        outcomes.push(await killer.play(round));
      } catch (cause) {
        throw new Error(`${describeRound(round)}: ${cause instanceof Error ? cause.message : String(cause)}`, {
          cause,
        });
      }
    }
    expect(outcomes.length).toBe(ROUNDS);
    // Half of the rounds are killed at a write that is sure to come; those at any moment may be too late.
    expect(outcomes.filter(({ killed }) => killed).length).toBeGreaterThan(ROUNDS / 4);
  },
);
