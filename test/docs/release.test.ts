/** The version stands in one place; make release refuses what must not be released, and tags what may be. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { join } from "node:path";
import { VERSION } from "../../src/version.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const root = join(import.meta.dir, "../..");

function read(path: string): string {
  return fs.readFileSync(join(root, path), "utf8");
}

test("the version stands in package.json, at the top of the changelog and nowhere else", () => {
  const files = ["src", "scripts", ".ci"].flatMap((room) =>
    fs
      .readdirSync(join(root, room), { recursive: true, encoding: "utf8" })
      .map((name) => join(room, name))
      .filter((path) => fs.statSync(join(root, path)).isFile()),
  );
  expect(files.length).toBeGreaterThan(70);
  const pages = ["README.md", "SECURITY.md", "CONTRIBUTING.md"].filter((name) => fs.existsSync(join(root, name)));
  // What a page shows of real runs says which version ran.
  const own = (path: string) => read(path).replaceAll(/<!-- (\w+) -->[\s\S]*?<!-- \/\1 -->/g, "");
  expect(["Makefile", ...pages, ...files].filter((path) => own(path).includes(VERSION))).toEqual([]);
  expect(JSON.parse(read("package.json"))).toMatchObject({ version: VERSION });
  const headings = [...read("CHANGELOG.md").matchAll(/^## (\S+)/gm)].map(([, version]) => version);
  expect(headings[0]).toBe(VERSION);
  expect(new Set(headings).size).toBe(headings.length);
});

const NOTES = "- It copies.\n\n# not a comment\n- It compares.";

function changelog(heading: string, notes: string): string {
  return `# Changelog\n\n## ${heading}\n\n${notes}\n\n## 1.2.2 (2026-01-02)\n\n- Older.\n`;
}

interface Output {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A repository with what a release looks at, on main, everything committed, of version 1.2.3. */
class Repository {
  readonly #directory: TempDir;

  constructor(directory: TempDir) {
    this.#directory = directory;
    fs.cpSync(join(root, "scripts"), directory.file("scripts"), { recursive: true });
    this.write(".gitignore", read(".gitignore"));
    this.write("src/main.ts", "");
    this.write("bun.lock", "");
    // Whether there is a target called dist is each test's own decision.
    this.write("Makefile", read("Makefile").replace(/^dist:.*\n(\t.*\n)*/m, ""));
    this.write("package.json", JSON.stringify({ version: "1.2.3" }));
    this.write("CHANGELOG.md", changelog("1.2.3 (2026-03-04)", NOTES));
    this.git("init", "--quiet", "--initial-branch=main");
    this.commit();
  }

  write(path: string, text: string, mode = 0o644): void {
    fs.mkdirSync(join(this.#directory.path, path, ".."), { recursive: true });
    fs.writeFileSync(this.#directory.file(path), text, { mode });
  }

  /** What scripts/build-id.ts says of the sources as they are now. */
  buildId(): string {
    const script = 'import { buildId } from "./scripts/build-id.ts"; process.stdout.write(buildId());';
    return this.run([process.execPath, "-e", script]).stdout;
  }

  /** A program in dist that says it is this version and build. */
  program(version = "1.2.3", build = this.buildId()): void {
    this.write("dist/blocksync", `#!/bin/sh\necho "blocksync ${version} (build ${build})"\n`, 0o755);
  }

  run(words: readonly string[]): Output {
    const { exitCode, stdout, stderr } = Bun.spawnSync([...words], {
      cwd: this.#directory.path,
      env: {
        PATH: process.env["PATH"],
        HOME: this.#directory.path,
        GIT_CONFIG_NOSYSTEM: "1",
        GIT_AUTHOR_NAME: "A",
        GIT_AUTHOR_EMAIL: "a@example.org",
        GIT_COMMITTER_NAME: "A",
        GIT_COMMITTER_EMAIL: "a@example.org",
      },
    });
    return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
  }

  git(...words: string[]): string {
    const { exitCode, stdout, stderr } = this.run(["git", ...words]);
    expect({ words, exitCode, stderr }).toEqual({ words, exitCode: 0, stderr: "" });
    return stdout.trim();
  }

  commit(): void {
    this.git("add", ".");
    this.git("commit", "--quiet", "--allow-empty", "--message=All");
  }

  release(step: "check" | "tag"): Output {
    return this.run([process.execPath, "scripts/release.ts", step]);
  }

  /** Both steps refuse with this sentence, and make no tag. */
  expectRefusal(sentence: string): void {
    const tags = this.git("tag", "--list");
    for (const step of ["check", "tag"] as const) {
      expect(this.release(step)).toEqual({ exitCode: 1, stdout: "", stderr: `release: ${sentence}\n` });
    }
    expect(this.git("tag", "--list")).toBe(tags);
  }

  expectTagRefusal(sentence: string): void {
    expect(this.release("check")).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    expect(this.release("tag")).toEqual({ exitCode: 1, stdout: "", stderr: `release: ${sentence}\n` });
    expect(this.git("tag", "--list")).toBe("");
  }
}

testWith("git")("a release is an annotated tag with the changelog's section, and nothing is pushed", async () => {
  using directory = tempDir();
  const repository = new Repository(directory);
  repository.program();
  expect(repository.release("check")).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  const { exitCode, stdout, stderr } = repository.release("tag");
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(stdout).toBe(
    `Tagged ${repository.git("rev-parse", "--short", "HEAD")} as v1.2.3. Nothing was pushed. What is left to do:\n` +
      "    git push origin main v1.2.3\n" +
      "    publish from dist, with the notes of the tag: blocksync SHA256SUMS\n",
  );
  expect(repository.git("cat-file", "-t", "v1.2.3")).toBe("tag");
  expect(repository.git("rev-parse", "v1.2.3^{commit}")).toBe(repository.git("rev-parse", "HEAD"));
  expect(repository.git("tag", "--list", "--format=%(contents)", "v1.2.3")).toBe(`blocksync 1.2.3\n\n${NOTES}`);
  expect(repository.git("status", "--porcelain")).toBe("");
  const sum = new Bun.CryptoHasher("sha256").update(fs.readFileSync(directory.file("dist/blocksync"))).digest("hex");
  expect(fs.readFileSync(directory.file("dist/SHA256SUMS"), "utf8")).toBe(`${sum}  blocksync\n`);
  repository.expectRefusal("the tag v1.2.3 exists; a new release needs a new version in package.json");
});

testWith("git")("no release of a tree with changes, of another branch, of no branch, or outside git", async () => {
  using directory = tempDir();
  const repository = new Repository(directory);
  repository.program();
  repository.write("new.ts", "");
  repository.expectRefusal("the tree has changes that are not committed:\n?? new.ts");
  repository.commit();
  repository.write("new.ts", "changed");
  repository.expectRefusal("the tree has changes that are not committed:\n M new.ts");
  repository.git("checkout", "--quiet", "--", "new.ts");
  repository.git("checkout", "--quiet", "-b", "topic");
  repository.expectRefusal("this is the branch topic; releases are made on main");
  repository.git("checkout", "--quiet", "--detach");
  repository.expectRefusal("this is no branch; releases are made on main");
  fs.rmSync(directory.file(".git"), { recursive: true });
  const { exitCode, stderr } = repository.release("check");
  expect(exitCode).toBe(1);
  expect(stderr).toStartWith("release: git status failed: fatal: not a git repository");
});

testWith("git")("no release without its own notes at the top of the changelog", async () => {
  using directory = tempDir();
  const repository = new Repository(directory);
  repository.program();
  const rows: readonly (readonly [heading: string, notes: string, refusal: string])[] = [
    [
      "1.2.4 (2026-03-04)",
      NOTES,
      'the newest heading of CHANGELOG.md is "1.2.4 (2026-03-04)", package.json says 1.2.3; they must agree',
    ],
    ["1.2.3 (unreleased)", NOTES, 'CHANGELOG.md has "## 1.2.3 (unreleased)"; a release is "## 1.2.3 (YYYY-MM-DD)"'],
    ["1.2.3", NOTES, 'CHANGELOG.md has "## 1.2.3"; a release is "## 1.2.3 (YYYY-MM-DD)"'],
    ["1.2.3 (2026-03-04)", "", "CHANGELOG.md says nothing about 1.2.3"],
  ];
  for (const [heading, notes, refusal] of rows) {
    repository.write("CHANGELOG.md", changelog(heading, notes));
    repository.commit();
    repository.expectRefusal(refusal);
  }
  repository.write("CHANGELOG.md", "# Changelog\n");
  repository.commit();
  repository.expectRefusal('the newest heading of CHANGELOG.md is "", package.json says 1.2.3; they must agree');
  repository.write("package.json", JSON.stringify({ version: "1.2.3-rc1" }));
  repository.commit();
  repository.expectRefusal('package.json has the version "1.2.3-rc1"');
});

testWith("git")("no release of another program than the one that was checked", async () => {
  using directory = tempDir();
  const repository = new Repository(directory);
  const expected = `expected was blocksync 1.2.3 (build ${repository.buildId()})`;
  repository.expectTagRefusal(`dist/blocksync --version says nothing: there is no such file; ${expected}`);
  repository.program("1.2.2", "0123");
  repository.expectTagRefusal(`dist/blocksync --version says blocksync 1.2.2 (build 0123); ${expected}`);
  repository.program("1.2.3", "0123");
  repository.expectTagRefusal(`dist/blocksync --version says blocksync 1.2.3 (build 0123); ${expected}`);
  repository.program();
  const notAbout = "dist/SHA256SUMS is not about the file dist/blocksync that is there; remove dist, then again";
  repository.write("dist/SHA256SUMS", `${"0".repeat(64)}  blocksync\n`);
  repository.expectTagRefusal(notAbout);
  repository.write("dist/SHA256SUMS", "something else\n");
  repository.expectTagRefusal("dist/SHA256SUMS has a line that is no sum: something else");
});

testWith("git")("make release checks before it builds, builds all there is, then tags", async () => {
  for (const dist of ["", "\n.PHONY: dist\ndist:\n\t@$(BUN) scripts/dist.ts\n"]) {
    using directory = tempDir();
    const repository = new Repository(directory);
    repository.write("Makefile", `${fs.readFileSync(directory.file("Makefile"), "utf8")}${dist}`);
    repository.commit();
    repository.write("node_modules/.installed", "");
    // In the place of Bun: notes what it is asked to do, and builds a program that only knows its version and build.
    const stub = `#!/bin/sh
echo "$*" >>dist/log
case $1 in
  scripts/release.ts) exec "${process.execPath}" "$@" ;;
  scripts/build.ts) printf '#!/bin/sh\\necho "blocksync 1.2.3 (build ${repository.buildId()})"\\n' >dist/blocksync; chmod 755 dist/blocksync ;;
esac
`;
    repository.write("dist/bun", stub, 0o755);
    const make = ["make", "-s", "BUN=dist/bun", "SOURCES="];
    const log = () => fs.readFileSync(directory.file("dist/log"), "utf8").trimEnd().split("\n");

    repository.write("new.ts", "");
    expect(repository.run([...make, "release"])).toMatchObject({ exitCode: 2, stdout: "" });
    expect(log()).toEqual(["scripts/release.ts check"]);
    fs.rmSync(directory.file("new.ts"));
    fs.rmSync(directory.file("dist/log"));

    const { exitCode, stderr } = repository.run([...make, "release"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(log()).toEqual([
      "scripts/release.ts check",
      "scripts/build.ts",
      "scripts/man.ts",
      "scripts/completions.ts",
      ...(dist === "" ? [] : ["scripts/dist.ts"]),
      "scripts/release.ts tag",
    ]);
    expect(repository.git("tag", "--list")).toBe("v1.2.3");
  }
});
