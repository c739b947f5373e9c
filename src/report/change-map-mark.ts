/** What one cell of the change map shows, on a terminal and in a picture alike. */
import type { Cell } from "../sync/changes.ts";

/**
 * "equal"; "unreadable" as soon as any byte is; "zero" when most of what differs is zero in the source; otherwise how much
 * of the cell differs: 1 up to a quarter, however little, 2 up to a half, 3 up to three quarters, 4 more.
 */
export type Mark = "equal" | "unreadable" | "zero" | 1 | 2 | 3 | 4;

export const SHADES = [1, 2, 3, 4] as const;

export function markOf({ length, differ, zero, unreadable }: Cell): Mark {
  if (unreadable > 0) return "unreadable";
  if (differ + zero === 0) return "equal";
  if (zero > differ) return "zero";
  const quarters = Math.ceil(((differ + zero) / length) * 4);
  return SHADES.find((shade) => shade >= quarters) ?? 4;
}
