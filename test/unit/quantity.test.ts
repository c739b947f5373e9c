import { expect, test } from "bun:test";
import { parseChoice, parseInteger, parseSize } from "../../src/cli/quantity.ts";
import { ExitCode, UsageError } from "../../src/errors.ts";

/** The message of the UsageError that `run` throws, or what it returns. */
function outcome(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    if (error instanceof UsageError && error.exitCode === ExitCode.usage) return error.message;
    throw error;
  }
}

test("parseSize() reads powers of 1024 with every usual suffix", () => {
  const cases: [text: string, bytes: number][] = [
    ["0", 0],
    ["4096", 4096],
    ["4096B", 4096],
    ["4K", 4096],
    ["4k", 4096],
    ["4KB", 4096],
    ["4KiB", 4096],
    ["4kib", 4096],
    ["1M", 1 << 20],
    ["16M", 16 << 20],
    ["1G", 1 << 30],
    ["1GiB", 1 << 30],
    ["2T", 2 ** 41],
    ["1.5G", 1.5 * 2 ** 30],
    ["0.5K", 512],
    ["1.0", 1],
    [" 1 M ", 1 << 20],
    ["007", 7],
    ["9007199254740991", Number.MAX_SAFE_INTEGER],
  ];
  for (const [text, bytes] of cases) expect({ text, bytes: parseSize(text, "--x") }).toEqual({ text, bytes });
});

test("parseSize() refuses what is no size or no whole number of bytes", () => {
  const texts = ["", " ", "K", "x", "4X", "4KK", "4KiBs", "4i", "-1", "+1", "1,5M", ".5K", "1.", "1e3", "0x10", "∞"];
  texts.push("4 K B", "0.1", "0.1K", "9007199254740992", "99999999T", "1_000", "NaN", "1M 1M", "4096\0");
  for (const text of texts) {
    expect(outcome(() => parseSize(text, "--block-size"))).toBe(
      `--block-size ${JSON.stringify(text)} is not a size such as 4096, 64K or 1M`,
    );
  }
});

test("parseInteger() reads whole numbers within the limits, these included", () => {
  expect(["0", "3", "2", "003"].map((text) => parseInteger(text, "--x", 0, 3))).toEqual([0, 3, 2, 3]);
  expect(parseInteger("3600000", "--x", 0, 3_600_000)).toBe(3_600_000);
});

test("parseInteger() refuses everything else and names the limits", () => {
  for (const text of ["", " 1", "1 ", "4", "-1", "+1", "1.0", "1e0", "0x1", "one", "99999999999999999999", "١"]) {
    expect(outcome(() => parseInteger(text, "--fadvise", 0, 3))).toBe(
      `--fadvise ${JSON.stringify(text)} is not a whole number from 0 to 3`,
    );
  }
  expect(outcome(() => parseInteger("0", "--workers", 1, 64))).toBe('--workers "0" is not a whole number from 1 to 64');
});

test("parseChoice() returns the name that was given", () => {
  const names = ["stop", "skip"] as const;
  expect(names.map((name) => parseChoice(name, "--x", names))).toEqual(["stop", "skip"]);
});

test("parseChoice() refuses other names, cases and parts of names", () => {
  for (const text of ["", "STOP", "sto", "stop ", "toString"]) {
    expect(outcome(() => parseChoice(text, "--on-read-error", ["stop", "skip"]))).toBe(
      `--on-read-error ${JSON.stringify(text)} is not one of stop, skip`,
    );
  }
});
