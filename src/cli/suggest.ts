/** What a mistyped word was probably meant to be. Pure. */
import type { ArgsDef } from "citty";

/** Changed, left out, added or swapped letters that a slip has at most; short words are too alike for two. */
function slips(word: string): number {
  return word.length < 5 ? 1 : 2;
}

/** How many letters have to be changed, left out, added or swapped with their neighbour to get from `a` to `b`. */
function distance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  const at = (i: number, j: number) => rows[i]?.[j] ?? Number.POSITIVE_INFINITY;
  for (let i = 1; i <= a.length; i++) {
    rows[i] = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = isSwap ? at(i - 2, j - 2) + 1 : change;
      rows[i]?.push(Math.min(change, swap, at(i - 1, j) + 1, at(i, j - 1) + 1));
    }
  }
  return at(a.length, b.length);
}

/** The name nearest to a word, or the only one that begins with it; undefined for none. */
export function nearest(word: string, names: readonly string[]): string | undefined {
  const near = names
    .map((name) => ({ name, far: distance(word, name) }))
    .filter(({ far }) => far <= slips(word))
    .sort((one, other) => one.far - other.far);
  const begun = word.length < 3 ? [] : names.filter((name) => name.startsWith(word));
  return near[0]?.name ?? (begun.length === 1 ? begun[0] : undefined);
}

/** The long name of the option that `spelling` (without dashes) may stand for. */
export function suggestion(spelling: string, table: ArgsDef): string | undefined {
  const names = Object.entries(table).flatMap(([name, option]) => {
    const aliases = "alias" in option ? [option.alias ?? []].flat() : [];
    const negation = option.default === true ? [`no-${name}`] : [];
    return [name, ...negation, ...aliases.filter((alias) => alias.length > 1)];
  });
  return nearest(spelling, names);
}
