/** The bar as text: what it says at which width, and that its numbers settle. */
import { describe, expect, test } from "bun:test";
import { type BarState, barLines, stageLine } from "../../src/report/bar.ts";
import { Pace } from "../../src/report/pace.ts";
import { clip } from "../../src/report/screen.ts";

const MIB = 2 ** 20;

const STATE: BarState = {
  phase: "comparing",
  doneBytes: 420 * MIB,
  sizeBytes: 1000 * MIB,
  sameBytes: 400 * MIB,
  differBytes: 20 * MIB,
  writtenBytes: 80 << 10,
  badAreas: 0,
  badBytes: 0,
  retryBytes: 0,
  rate: 182.3 * MIB,
  wireRate: 1.5 * MIB,
  elapsedMs: 65_000,
  remainingMs: 192_000,
  lanes: [0.42],
};

describe("barLines()", () => {
  test("says what is bad as it becomes known, however narrow it is", () => {
    const [, line] = barLines({ ...STATE, badAreas: 2, badBytes: 1536, retryBytes: 3 * MIB }, 100, false);
    expect(line).toBe(" 0:01:05 elapsed, 20.0 MiB differ, 2 bad (1.5 KiB), 3.0 MiB to retry, 80.0 KiB written");
    const [, narrow] = barLines({ ...STATE, badAreas: 2, badBytes: 1536, retryBytes: 3 * MIB }, 40, false);
    expect(narrow).toBe(" 20.0 MiB differ, 2 bad (1.5 KiB)");
  });

  test("says all at 100 columns", () => {
    expect(barLines(STATE, 100, false)).toEqual([
      ` 42% [${"=".repeat(16)}>${" ".repeat(25)}]  420.0 MiB of 1000.0 MiB  182.3 MiB/s 0:03:12 left`,
      " 0:01:05 elapsed, 400.0 MiB same, 20.0 MiB differ, 80.0 KiB written, wire 1.5 MiB/s",
    ]);
  });

  test("of a source that does not know its size says how much came, and no share of it", () => {
    const open = { ...STATE, sizeBytes: undefined, remainingMs: undefined };
    expect(barLines(open, 100, false)[0]).toBe(" 420.0 MiB so far  182.3 MiB/s");
    expect(barLines(open, 20, false)[0]).toBe(" 420.0 MiB so far");
  });

  test("leaves out at 39 columns what is least needed, and keeps the bar, the time and what differs", () => {
    const [first, second] = barLines(STATE, 39, false);
    expect(first).toMatch(/^ 42% \[=+> +\] +182\.3 MiB\/s 0:03:12 left$/);
    expect(second).toBe(" 20.0 MiB differ, 80.0 KiB written");
  });

  const phases = ["comparing", "flushing", "verifying"] as const;
  test.each(phases)("fills its width at most, at any, %s", (phase) => {
    for (let columns = 30; columns <= 300; columns++) {
      for (const done of [0, 1, 500, 999, 1000]) {
        const lanes = Array.from({ length: 64 }, () => done / 1000);
        const state = { ...STATE, phase, doneBytes: done * MIB, lanes };
        const widths = barLines(state, columns, true).map((line) => Bun.stringWidth(line));
        expect(Math.max(...widths)).toBeLessThanOrEqual(columns);
        if (phase !== "flushing") expect(widths[0]).toBe(columns);
      }
    }
  });

  test.each(phases)("comes to an end on a terminal of any width, %s", (phase) => {
    for (let columns = 0; columns < 30; columns++) {
      for (const badAreas of [0, 1]) expect(barLines({ ...STATE, phase, badAreas }, columns, false)).toHaveLength(2);
      expect(stageLine("Copying", 1, 2, columns, false)).not.toBe("");
    }
  });

  test("is full at 100 % and not before", () => {
    const text = (done: number) => barLines({ ...STATE, doneBytes: done * MIB }, 80, false)[0] ?? "";
    expect(text(999)).toStartWith(" 99% [");
    expect(text(999)).toContain("> ");
    expect(text(1000)).toMatch(/^100% \[=+\] /);
    expect(text(0)).toMatch(/^ {2}0% \[ +\] /);
  });

  test("says 100 % of nothing", () => {
    const [first] = barLines({ ...STATE, doneBytes: 0, sizeBytes: 0 }, 80, false);
    expect(first).toStartWith("100% [=");
  });

  test("says that nothing is written yet, so that its parts stay where they are", () => {
    expect(barLines({ ...STATE, writtenBytes: 0 }, 100, false)[1]).toBe(
      " 0:01:05 elapsed, 400.0 MiB same, 20.0 MiB differ, 0 bytes written, wire 1.5 MiB/s",
    );
  });

  test("does not tell a time that nobody knows", () => {
    expect(barLines({ ...STATE, remainingMs: undefined }, 80, false)[0]).toEndWith("-:--:-- left");
  });

  test("says nothing of a wire where there is none", () => {
    expect(barLines({ ...STATE, wireRate: undefined }, 200, false)[1]).not.toContain("wire");
  });

  test("has a line for several lanes, as many as fit", () => {
    const lanes = [0.4, 0.415, 1, 0];
    expect(barLines({ ...STATE, lanes }, 80, false)[2]).toBe(" lanes  40%  41% 100%   0%");
    expect(barLines({ ...STATE, lanes }, 20, false)[2]).toBe(" lanes  40%  41%");
  });

  test("says that it flushes, for how long, and how a verification goes on", () => {
    expect(barLines({ ...STATE, phase: "flushing", doneBytes: 1000 * MIB }, 80, false)[0]).toBe(
      "100% flushing to stable storage 1000.0 MiB of 1000.0 MiB 0:01:05",
    );
    expect(barLines({ ...STATE, phase: "verifying" }, 80, false)[0]).toMatch(/^ 42% verifying \[=+> +\] .* left$/);
  });

  test("colours what is done, nothing else, and only if it may", () => {
    const [coloured = "", second = ""] = barLines(STATE, 80, true);
    const [plain = "", plainSecond = ""] = barLines(STATE, 80, false);
    expect(coloured).toContain("[\x1b[32m===");
    expect(coloured.replace("\x1b[32m", "").replace("\x1b[39m", "")).toBe(plain);
    expect(second).toBe(plainSecond);
  });
});

test("stageLine() shows how much of something is done, within the width", () => {
  const line = (columns: number) => stageLine("Copying blocksync to [::1]", 10 * MIB, 40 * MIB, columns, false);
  expect(line(80)).toMatch(/^Copying blocksync to \[::1\] \[=+> +\] {2}25% {3}10\.0 MiB of 40\.0 MiB$/);
  expect(line(80)).toHaveLength(80);
  expect(line(39)).toMatch(/^Copying blocksync to \[::1\] \[=* *>? *\]$|25%$/);
});

describe("clip()", () => {
  test("leaves alone what fits, colours too", () => {
    expect(clip("abc", 3)).toBe("abc");
    expect(clip("\x1b[32mabc\x1b[39m", 3)).toBe("\x1b[32mabc\x1b[39m");
  });

  test("counts columns, not characters", () => {
    expect(clip("abcdef", 4)).toBe("abcd");
    expect(clip("日本語", 5)).toBe("日本");
    expect(clip("e\u0301e\u0301e\u0301", 2)).toBe("e\u0301e\u0301");
    expect(clip("\x1b[32mabcdef\x1b[39m", 4)).toBe("abcd");
  });
});

describe("Pace", () => {
  /** A run at `rate(second)` units a second, looked at five times a second. */
  function follow(seconds: number, rate: (second: number) => number, each: (pace: Pace, second: number) => void): void {
    const pace = new Pace(0, 0);
    let done = 0;
    for (let frame = 1; frame <= seconds * 5; frame++) {
      done += rate(frame / 5) / 5;
      pace.sample(done, frame * 200);
      each(pace, frame / 5);
    }
  }

  test("gives a steady rate from the first sample on", () => {
    follow(
      10,
      () => 100,
      (pace) => expect(pace.perSecond).toBeCloseTo(100, 6),
    );
  });

  test("follows a change within some seconds", () => {
    follow(
      60,
      (second) => (second < 30 ? 100 : 10),
      (pace, second) => {
        if (second >= 45) expect(pace.perSecond).toBeLessThan(12);
      },
    );
  });

  test("gives a time that settles: bursts move it less than a tenth after a minute", () => {
    // Nothing for 0.8 s, then five times as much, as a run does that writes between its reads.
    const rate = (second: number) => (Math.round(second * 5) % 5 === 0 ? 500 : 0);
    follow(120, rate, (pace, second) => {
      if (second < 60) return;
      const remaining = pace.remainingMs(100_000) ?? 0;
      expect(Math.abs(remaining - 1_000_000)).toBeLessThan(100_000);
    });
  });

  test("does not guess in the first second, nor while nothing goes on", () => {
    follow(
      0.8,
      () => 100,
      (pace) => expect(pace.remainingMs(100)).toBeUndefined(),
    );
    follow(
      5,
      () => 0,
      (pace) => expect(pace.remainingMs(100)).toBeUndefined(),
    );
  });

  test("leaves out the time for which a job was stopped", () => {
    const pace = new Pace(0, 0);
    pace.sample(100, 1000);
    pace.skip(100, 3_601_000);
    pace.sample(200, 3_602_000);
    expect(pace.perSecond).toBeCloseTo(100, 6);
  });
});
