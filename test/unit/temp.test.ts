import { expect, test } from "bun:test";
import fs from "node:fs";
import { tempDir } from "../helpers/temp.ts";

test("a directory of a test is removed with all that is in it", () => {
  const dir = tempDir();
  fs.mkdirSync(dir.file("a/b"), { recursive: true });
  fs.writeFileSync(dir.file("a/b/c"), "c");
  dir[Symbol.dispose]();
  expect(fs.existsSync(dir.path)).toBe(false);
});
