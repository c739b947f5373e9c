/** Numbers as people read them. */

/** "0:09:23", hours without limit. */
export function formatDuration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${Math.floor(seconds / 3600)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}

/** "0.04 s", "0.4 s", "12.3 s"; from a minute on as formatDuration(). */
export function formatElapsed(milliseconds: number): string {
  if (milliseconds >= 59_950) return formatDuration(milliseconds);
  return `${(milliseconds / 1000).toFixed(milliseconds < 95 ? 2 : 1)} s`;
}

/** "2026-11-26T04:40:12+01:00": the time here, and how far that is from UTC (ISO 8601, as `date -Iseconds` gives it). */
export function formatTime(time: Date): string {
  const minutes = -time.getTimezoneOffset();
  const two = (value: number) => String(Math.floor(value)).padStart(2, "0");
  const here = new Date(time.getTime() + minutes * 60_000).toISOString().slice(0, "2026-11-26T04:40:12".length);
  return `${here}${minutes < 0 ? "-" : "+"}${two(Math.abs(minutes) / 60)}:${two(Math.abs(minutes) % 60)}`;
}

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** "512 bytes", "1.5 MiB": powers of 1024, as in the options. */
export function formatBytes(bytes: number): string {
  if (bytes === 1) return "1 byte";
  let value = bytes;
  let unit = 0;
  // 1023.95 would be printed as 1024.0.
  while (value >= (unit === 0 ? 1024 : 1023.95) && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

/** Two sizes that a person is to tell apart: in bytes where they would read alike. */
export function formatBoth(one: number, other: number): [string, string] {
  const [first, second] = [formatBytes(one), formatBytes(other)];
  return one !== other && first === second ? [`${one} bytes`, `${other} bytes`] : [first, second];
}
