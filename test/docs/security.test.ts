/** SECURITY.md proves each guarantee by tests that exist. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");
const page = fs.readFileSync(join(root, "SECURITY.md"), "utf8");

function section(title: string): string {
  return page.split(`## ${title}\n`)[1]?.split(/\n## /)[0] ?? "";
}

/** The items of a list, each on one line. */
function items(text: string): string[] {
  return text
    .split(/^- /m)
    .slice(1)
    .map((item) => (item.split(/\n\n/)[0] ?? "").replaceAll(/\s+/g, " "));
}

test("every guarantee names tests, and each is the beginning of a test's title in that file", () => {
  const guarantees = items(section("What blocksync guarantees"));
  expect(guarantees.length).toBeGreaterThan(15);
  const wrong: string[] = [];
  for (const guarantee of guarantees) {
    let file = "";
    let named = 0;
    for (const [, path, title] of guarantee.matchAll(/`(test\/[^`]+)`|"([^"]+)"/g)) {
      if (path !== undefined) {
        file = fs.readFileSync(join(root, path), "utf8");
        continue;
      }
      named++;
      if (!['"', "`"].some((quote) => file.includes(`${quote}${title}`))) wrong.push(title ?? "");
    }
    if (named === 0) wrong.push(guarantee);
  }
  expect(wrong).toEqual([]);
});

test("what is assumed and what is not guaranteed is said as well", () => {
  expect(items(section("What blocksync assumes")).length).toBeGreaterThan(3);
  expect(items(section("What blocksync does not guarantee")).length).toBeGreaterThan(5);
});
