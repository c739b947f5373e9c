import { expect, test } from "bun:test";
import { formatBoth, formatBytes, formatDuration, formatElapsed } from "../../src/format.ts";

test("formatDuration() gives hours, minutes and seconds", () => {
  const cases: [milliseconds: number, text: string][] = [
    [0, "0:00:00"],
    [999, "0:00:01"],
    [1000, "0:00:01"],
    [59_000, "0:00:59"],
    [60_000, "0:01:00"],
    [563_000, "0:09:23"],
    [3_599_000, "0:59:59"],
    [3_600_000, "1:00:00"],
    [86_399_000, "23:59:59"],
    [100 * 3_600_000 + 61_000, "100:01:01"],
  ];
  for (const [milliseconds, text] of cases) expect(formatDuration(milliseconds)).toBe(text);
});

test("formatDuration() rounds to the nearest second and carries over", () => {
  expect([499, 500, 1499, 1500].map(formatDuration)).toEqual(["0:00:00", "0:00:01", "0:00:01", "0:00:02"]);
  expect(formatDuration(59_999)).toBe("0:01:00");
  expect(formatDuration(3_599_500)).toBe("1:00:00");
});

test("formatBytes() uses powers of 1024 and the largest unit that fits", () => {
  const cases: [bytes: number, text: string][] = [
    [0, "0 bytes"],
    [1, "1 byte"],
    [512, "512 bytes"],
    [1023, "1023 bytes"],
    [1024, "1.0 KiB"],
    [1536, "1.5 KiB"],
    [1 << 20, "1.0 MiB"],
    [1.5 * 2 ** 20, "1.5 MiB"],
    [1 << 30, "1.0 GiB"],
    [2 ** 40, "1.0 TiB"],
    [2 ** 50, "1.0 PiB"],
    [5000 * 2 ** 50, "5000.0 PiB"],
  ];
  for (const [bytes, text] of cases) expect(formatBytes(bytes)).toBe(text);
});

test("formatBytes() rounds to one digit", () => {
  expect(formatBytes(1024 + 51)).toBe("1.0 KiB");
  expect(formatBytes(1024 + 52)).toBe("1.1 KiB");
  expect(formatBytes(1_000_000)).toBe("976.6 KiB");
});

test("formatElapsed() has parts of a second where they tell something", () => {
  const cases: [milliseconds: number, text: string][] = [
    [0, "0.00 s"],
    [4, "0.00 s"],
    [5, "0.01 s"],
    [94, "0.09 s"],
    [95, "0.1 s"],
    [400, "0.4 s"],
    [12_340, "12.3 s"],
    [59_949, "59.9 s"],
    [59_950, "0:01:00"],
    [563_000, "0:09:23"],
  ];
  for (const [milliseconds, text] of cases) expect(formatElapsed(milliseconds)).toBe(text);
});

test("formatBoth() gives bytes where two sizes would read alike, and only there", () => {
  expect(formatBoth(2 ** 30, 2 ** 31)).toEqual(["1.0 GiB", "2.0 GiB"]);
  expect(formatBoth(2 ** 30, 2 ** 30 + 512)).toEqual(["1073741824 bytes", "1073742336 bytes"]);
  expect(formatBoth(2 ** 30, 2 ** 30)).toEqual(["1.0 GiB", "1.0 GiB"]);
});
