/** What make offers to a person: its list of targets, and how one test is run. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");
const makefile = fs.readFileSync(join(root, "Makefile"), "utf8");

/** Runs make on what is built: the packages and the program are taken as they are. */
function make(...words: string[]): { exitCode: number; stdout: string; stderr: string } {
  const asTheyAre = ["-o", "node_modules/.installed", "-o", "dist/blocksync"];
  const env = { ...process.env, MAKEFLAGS: undefined, TEST: undefined };
  const result = Bun.spawnSync(["make", "-s", ...asTheyAre, ...words], { cwd: root, env });
  return { exitCode: result.exitCode, stdout: result.stdout.toString(), stderr: result.stderr.toString() };
}

test("make help has a line for every target that is no file", () => {
  const { exitCode, stdout, stderr } = make("help");
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  const lines = stdout.trimEnd().split("\n");
  const phony = [...makefile.matchAll(/^\.PHONY: (.*)$/gm)].flatMap(([, names = ""]) => names.split(" "));
  expect(lines.map((line) => /^make ([a-z-]+) +[A-Z]/.exec(line)?.[1] ?? line).toSorted()).toEqual(phony.toSorted());
  expect(lines.filter((line) => line.length > 120)).toEqual([]);
});

test("make without a target builds the program", () => {
  expect(makefile.match(/^[a-z].*:.*$/m)?.[0]).toBe("all: dist/blocksync");
});

test("make test TEST= runs the files whose paths have one of the words, and of these the titles behind a colon", () => {
  const run = (names: string) => {
    const { exitCode, stdout } = make("test", `TEST=${names}`);
    return { exitCode, last: stdout.trimEnd().split("\n").at(-1) };
  };
  expect(run("unit/quantity docs/makefile:make without a target")).toEqual({ exitCode: 0, last: "1 passed, 0 failed" });
  const count = fs.readFileSync(join(root, "test/unit/quantity.test.ts"), "utf8").match(/^ *test\(/gm)?.length;
  expect(run("unit/quantity")).toEqual({ exitCode: 0, last: `${count} passed, 0 failed` });
  // What a title has in it is no pattern, and nothing that was run is no success.
  expect(run("unit/quantity:.*")).toEqual({ exitCode: 2, last: "0 passed, 0 failed" });
  expect(run("no-such-file")).toEqual({ exitCode: 2, last: "0 passed, 0 failed" });
  // Whoever loses the name on its way does not start all tests within a test.
  const all = Bun.spawnSync([process.execPath, "scripts/test.ts"], {
    cwd: root,
    env: { ...process.env, BLOCKSYNC_TESTS_RUN: "1" },
  });
  expect({ exitCode: all.exitCode, stdout: all.stdout.toString() }).toEqual({ exitCode: 1, stdout: "" });
});
