/** CONTRIBUTING.md leads through the sources as they are. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");
const page = fs.readFileSync(join(root, "CONTRIBUTING.md"), "utf8");

/** The text under the heading that begins so. */
function section(title: string): string {
  return page.split(`\n## ${title}`)[1]?.split("\n## ")[0] ?? "";
}

/** The folders below a folder that have files of TypeScript, relative to it; "" for itself is left out. */
function rooms(folder: string): string[] {
  const files = fs.readdirSync(join(root, folder), { recursive: true, encoding: "utf8" });
  const folders = files.filter((name) => name.endsWith(".ts")).map((name) => name.split("/").slice(0, -1).join("/"));
  return [...new Set(folders)].filter((room) => room !== "");
}

test("the walk through a run names a file of every room of src", () => {
  const tour = section("How it works").split("\nNow ")[1] ?? "";
  const named = [...tour.matchAll(/`src\/([\w/.-]+)`/g)].map(([, name = ""]) => name);
  expect(rooms("src").filter((room) => !named.some((name) => name.startsWith(`${room}/`)))).toEqual([]);
});

test("it says what each room of src and of the tests is for", () => {
  const table = section("How it works");
  const first = (folder: string) => [...new Set(rooms(folder).map((room) => room.split("/")[0] ?? ""))];
  expect(first("src").filter((room) => !table.includes(`| \`src/${room}/\` |`))).toEqual([]);
  const tests = first("test").filter((room) => room !== "helpers");
  expect(tests.filter((room) => !section("Build and test").includes(`\`test/${room}/\``))).toEqual([]);
});

test("the way of an option leads through every file of src that has its example, and no other", () => {
  const way = section("How to add an option");
  const named = [...way.matchAll(/`(src\/[\w/.-]+)`/g)].map(([, path = ""]) => path);
  const [example = ""] = /(?<=`--)[a-z]+(?=`)/.exec(way) ?? [];
  const has = (path: string) => new RegExp(`\\b${example}\\b`).test(fs.readFileSync(join(root, path), "utf8"));
  expect(example).toBe("discard");
  expect(named.filter((path) => !has(path))).toEqual([]);
  // The device discards; and what other programs call so is explained in a hint.
  const beyond = ["src/cli/foreign.ts", "src/local/medium/device.ts"];
  const files = fs.readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" }).map((name) => `src/${name}`);
  const all = files.filter((name) => name.endsWith(".ts") && has(name));
  expect(all.filter((path) => !named.includes(path) && !beyond.includes(path))).toEqual([]);
});
