/** Sizes and numbers of the command line. Pure. */

import { UsageError } from "../errors.ts";
import { quote } from "../name.ts";
import { nearest } from "./suggest.ts";

const FACTORS: Readonly<Record<string, number>> = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** Reads "4096", "4K", "1M", "1.5G", "1GiB"; powers of 1024. @throws {UsageError} */
export function parseSize(text: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([KMGT])(?:i?B)?|B)?$/i.exec(text.trim());
  const factor = FACTORS[(match?.[2] ?? "").toUpperCase()];
  const value = Number(match?.[1]) * (factor ?? Number.NaN);
  if (!Number.isSafeInteger(value))
    throw new UsageError(`${option} ${quote(text)} is not a size such as 4096, 64K or 1M`, {
      hint: "units are K, M, G and T, powers of 1024 bytes; a number alone means bytes",
    });
  return value;
}

/** Reads a whole number from `least` to `most`. @throws {UsageError} */
export function parseInteger(text: string, option: string, least: number, most: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) {
    throw new UsageError(`${option} ${quote(text)} is not a whole number from ${least} to ${most}`);
  }
  return value;
}

const SECONDS: Readonly<Record<string, number>> = { "": 1, s: 1, m: 60, h: 3600, d: 86_400 };

/** Reads "90", "90s", "10m", "1.5h", "2d"; returns milliseconds, up to `mostMs`. @throws {UsageError} */
export function parseTime(text: string, option: string, mostMs: number): number {
  const match = /^(\d+(?:\.\d+)?)\s*([smhd]?)$/i.exec(text.trim());
  const value = Math.round(Number(match?.[1]) * (SECONDS[(match?.[2] ?? "").toLowerCase()] ?? 0) * 1000);
  if (match !== null && value <= mostMs) return value;
  throw new UsageError(
    `${option} ${quote(text)} is not a time up to ${mostMs / 86_400_000} days, such as 90s, 10m or 2h`,
    {
      hint: "units are s, m, h and d; a number alone means seconds",
    },
  );
}

/** Reads one of the names; `otherwise` is the hint where none of them may have been meant. @throws {UsageError} */
export function parseChoice<Name extends string>(
  text: string,
  option: string,
  names: readonly Name[],
  otherwise?: string,
): Name {
  const found = names.find((name) => name === text);
  if (found === undefined) {
    const meant = nearest(text.toLowerCase(), names);
    throw new UsageError(`${option} ${quote(text)} is not one of ${names.join(", ")}`, {
      hint: meant === undefined ? otherwise : `did you mean ${meant}?`,
    });
  }
  return found;
}
