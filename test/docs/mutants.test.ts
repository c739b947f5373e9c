/** The bugs of `make mutants` can still be put into the sources, and the tests that should notice them are there. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { join } from "node:path";
import { ALL } from "../../scripts/mutants/all.ts";
import { mutated, testOf } from "../../scripts/mutants/mutant.ts";

const root = join(import.meta.dir, "../..");

test("every bug changes one place of a source file, and no two are the same", () => {
  const stale = ALL.flatMap((mutant) => {
    const path = join(root, "src", mutant.file);
    try {
      const text = fs.readFileSync(path, "utf8");
      return mutated(text, mutant) === text ? [`"${mutant.bug}" changes nothing`] : [];
    } catch (error) {
      return [error instanceof Error ? error.message : String(error)];
    }
  });
  expect(stale).toEqual([]);
  expect(new Set(ALL.map(({ bug }) => bug)).size).toBe(ALL.length);
  expect(new Set(ALL.map(({ file, from, to }) => JSON.stringify([file, from, to]))).size).toBe(ALL.length);
});

test("a bug whose place is gone, or stands twice, is named", () => {
  const mutant = { bug: "b", file: "x.ts", from: "a", to: "c", tests: ["x.test.ts"] } as const;
  expect(mutated("-a-", mutant)).toBe("-c-");
  expect(() => mutated("-b-", mutant)).toThrow('"b": what it replaces stands 0 times in src/x.ts, not once:\na');
  expect(() => mutated("-a-a-", mutant)).toThrow("stands 2 times");
});

test("every bug names tests that exist, by a title or the beginning of one", () => {
  const wrong = ALL.flatMap(({ tests }) => tests).filter((one) => {
    const { file, title } = testOf(one);
    const path = join(root, "test", file);
    if (!fs.existsSync(path)) return true;
    // What one runs may stand in a table or a suite beside it.
    const texts = [path, ...["contract/endpoint-suite.ts", "helpers/cells.ts"].map((also) => join(root, "test", also))];
    const text = texts.map((one) => fs.readFileSync(one, "utf8"));
    return title !== "" && !text.some((part) => part.includes(title));
  });
  expect(wrong).toEqual([]);
});
