/** make install and make uninstall, into a directory of the test's own. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { join } from "node:path";
import { manPage } from "../../scripts/man.ts";
import { VERSION } from "../../src/version.ts";
import { BINARY } from "../helpers/binary.ts";
import { tempDir } from "../helpers/temp.ts";

const root = join(import.meta.dir, "../..");

/** Runs make on what is built: the packages and the program are taken as they are. */
function make(...words: string[]): { exitCode: number; stderr: string } {
  const asTheyAre = ["-o", "node_modules/.installed", "-o", "dist/blocksync"];
  const env = { ...process.env, MAKEFLAGS: undefined };
  const { exitCode, stderr } = Bun.spawnSync(["make", "-s", ...asTheyAre, ...words], { cwd: root, env });
  return { exitCode, stderr: stderr.toString() };
}

/** Path below a directory → permissions, of all files. */
function filesBelow(directory: string): Record<string, string> {
  const entries = fs
    .readdirSync(directory, { recursive: true, encoding: "utf8" })
    .map((path) => ({ path, stat: fs.statSync(join(directory, path)) }));
  return Object.fromEntries(
    entries.filter(({ stat }) => stat.isFile()).map(({ path, stat }) => [path, (stat.mode & 0o777).toString(8)]),
  );
}

/** As filesBelow() has them in `folder`: what begins with #! can be run there. */
function installedExamples(folder: string): Record<string, string> {
  const names = fs.readdirSync(join(root, "scripts/examples"));
  expect(names.length).toBeGreaterThan(10);
  const isScript = (name: string) => fs.readFileSync(join(root, "scripts/examples", name), "utf8").startsWith("#!");
  return Object.fromEntries(names.map((name) => [`${folder}/${name}`, isScript(name) ? "755" : "644"]));
}

test("make install puts everything in its place under DESTDIR and PREFIX, make uninstall removes that alone", () => {
  using directory = tempDir();
  const words = [`DESTDIR=${directory.path}`, "PREFIX=/opt/block sync"];
  // Twice: what is installed already, and may be running, is replaced.
  expect(make("install", ...words)).toEqual({ exitCode: 0, stderr: "" });
  expect(make("install", ...words)).toEqual({ exitCode: 0, stderr: "" });
  expect(filesBelow(directory.path)).toEqual({
    "opt/block sync/bin/blocksync": "755",
    "opt/block sync/share/man/man1/blocksync.1": "644",
    "opt/block sync/share/bash-completion/completions/blocksync": "644",
    "opt/block sync/share/zsh/site-functions/_blocksync": "644",
    "opt/block sync/share/fish/vendor_completions.d/blocksync.fish": "644",
    "opt/block sync/share/blocksync/events.schema.json": "644",
    "opt/block sync/share/blocksync/map.schema.json": "644",
    ...installedExamples("opt/block sync/share/blocksync/examples"),
  });
  const prefix = directory.file("opt/block sync");
  const version = Bun.spawnSync([join(prefix, "bin/blocksync"), "--version"]).stdout.toString();
  expect(version).toStartWith(`blocksync ${VERSION} `);
  expect(fs.readFileSync(join(prefix, "bin/blocksync")).equals(fs.readFileSync(BINARY))).toBe(true);
  const text = (path: string) => fs.readFileSync(join(prefix, "share", path), "utf8");
  expect(text("man/man1/blocksync.1")).toBe(manPage());
  expect(text("bash-completion/completions/blocksync")).toContain("complete -o bashdefault");
  expect(text("zsh/site-functions/_blocksync")).toStartWith("#compdef blocksync\n");
  expect(text("blocksync/events.schema.json")).toBe(fs.readFileSync(join(root, "scripts/events.schema.json"), "utf8"));
  expect(text("blocksync/map.schema.json")).toBe(fs.readFileSync(join(root, "scripts/map.schema.json"), "utf8"));
  const example = fs.readFileSync(join(root, "scripts/examples/blocksync-pull"), "utf8");
  expect(text("blocksync/examples/blocksync-pull")).toBe(example);
  expect(text("fish/vendor_completions.d/blocksync.fish")).toContain("complete -c blocksync");

  fs.writeFileSync(join(prefix, "bin/other"), "", { mode: 0o644 });
  expect(make("uninstall", ...words)).toEqual({ exitCode: 0, stderr: "" });
  expect(filesBelow(directory.path)).toEqual({ "opt/block sync/bin/other": "644" });
  expect(make("uninstall", ...words)).toEqual({ exitCode: 0, stderr: "" });
});

test("make install goes to /usr/local unless told otherwise", () => {
  using directory = tempDir();
  expect(make("install", `DESTDIR=${directory.path}`)).toEqual({ exitCode: 0, stderr: "" });
  expect(Object.keys(filesBelow(directory.path))).toContain("usr/local/bin/blocksync");
});

test("make install fails where it cannot write", () => {
  using directory = tempDir();
  fs.writeFileSync(directory.file("usr"), "in the way");
  const { exitCode, stderr } = make("install", `DESTDIR=${directory.path}`);
  expect(exitCode).not.toBe(0);
  expect(stderr).toContain("install: ");
  expect(filesBelow(directory.path)).toEqual({ usr: "644" });
});
