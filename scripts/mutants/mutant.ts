/** A bug that somebody could have made, as a change of one place in the sources. */
export interface Mutant {
  /** What it does, in one sentence. */
  readonly bug: string;
  /** Relative to src: "local/work/pool.ts". */
  readonly file: string;
  /** Stands exactly once in the file. */
  readonly from: string;
  readonly to: string;
  /** What should notice: files of test/, each alone or with the beginning of a test's title, as "FILE: TITLE". */
  readonly tests: readonly [string, ...string[]];
}

/** @throws {Error} unless `from` stands in the text once. */
export function mutated(text: string, { file, from, to, bug }: Mutant): string {
  const count = text.split(from).length - 1;
  if (count !== 1)
    throw new Error(`"${bug}": what it replaces stands ${count} times in src/${file}, not once:\n${from}`);
  return text.replace(from, () => to);
}

/** The file of "FILE: TITLE", and the title, "" where there is none. */
export function testOf(test: string): { readonly file: string; readonly title: string } {
  const [, file = test, title = ""] = /^(\S+?\.test\.ts)(?:: (.*))?$/.exec(test) ?? [];
  return { file, title };
}
