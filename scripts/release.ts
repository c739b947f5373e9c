/**
 * `make release`, in two steps: `bun scripts/release.ts check` refuses what must not become a release, before anything is
 * built; `bun scripts/release.ts tag` checks again, sees to dist/SHA256SUMS and makes the annotated tag. Nothing is
 * pushed. A refusal is one line on standard error and exit code 1. Needs git, and no package.
 */
import fs from "node:fs";
import { join } from "node:path";
import manifest from "../package.json" with { type: "json" };
import { buildId } from "./build-id.ts";

const root = join(import.meta.dir, "..");
const dist = join(root, "dist");
const VERSION = manifest.version;
const TAG = `v${VERSION}`;
const BRANCH = "main";
const SUMS = "SHA256SUMS";

class Refusal extends Error {}

interface Output {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(words: readonly string[], input = ""): Output {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...words], { cwd: root, stdin: Buffer.from(input) });
  return { exitCode, stdout: stdout.toString().trimEnd(), stderr: stderr.toString().trimEnd() };
}

/** What git prints. @throws {Refusal} when it fails, with its own words. */
function git(words: readonly string[], input?: string): string {
  const { exitCode, stdout, stderr } = run(["git", ...words], input);
  if (exitCode !== 0) throw new Refusal(`git ${words[0]} failed: ${stderr}`);
  return stdout;
}

/** What CHANGELOG.md says of this version, without the heading. @throws {Refusal} */
function notes(): string {
  const [, top = ""] = fs.readFileSync(join(root, "CHANGELOG.md"), "utf8").split(/^## /m);
  const heading = top.split("\n", 1)[0] ?? "";
  const text = top.slice(heading.length).trim();
  const version = heading.split(" ")[0];
  if (version !== VERSION) {
    throw new Refusal(
      `the newest heading of CHANGELOG.md is ${JSON.stringify(heading)}, package.json says ${VERSION}; they must agree`,
    );
  }
  const date = heading.slice(VERSION.length);
  if (!/^ \(\d{4}-\d{2}-\d{2}\)$/.test(date)) {
    throw new Refusal(`CHANGELOG.md has "## ${heading}"; a release is "## ${VERSION} (YYYY-MM-DD)"`);
  }
  if (text === "") throw new Refusal(`CHANGELOG.md says nothing about ${VERSION}`);
  return text;
}

/** Returns what is new in this version. @throws {Refusal} */
function check(): string {
  if (!/^\d+\.\d+\.\d+$/.test(VERSION)) throw new Refusal(`package.json has the version ${JSON.stringify(VERSION)}`);
  const changes = git(["status", "--porcelain", "--untracked-files=normal"]);
  if (changes !== "") throw new Refusal(`the tree has changes that are not committed:\n${changes}`);
  const branch = run(["git", "symbolic-ref", "--quiet", "--short", "HEAD"]).stdout;
  if (branch !== BRANCH) {
    throw new Refusal(
      `this is ${branch === "" ? "no branch" : `the branch ${branch}`}; releases are made on ${BRANCH}`,
    );
  }
  if (run(["git", "rev-parse", "--quiet", "--verify", `refs/tags/${TAG}`]).exitCode === 0) {
    throw new Refusal(`the tag ${TAG} exists; a new release needs a new version in package.json`);
  }
  return notes();
}

/** The program that was built is made of these sources. @throws {Refusal} */
function checkProgram(): void {
  const path = join(dist, "blocksync");
  const said = fs.existsSync(path) ? run([path, "--version"]).stdout : "nothing: there is no such file";
  const expected = `blocksync ${VERSION} (build ${buildId()})`;
  if (said !== expected) throw new Refusal(`dist/blocksync --version says ${said}; expected was ${expected}`);
}

/** Hexadecimal SHA-256 of a file in dist. */
async function sumOf(name: string): Promise<string> {
  const hasher = new Bun.CryptoHasher("sha256");
  for await (const chunk of Bun.file(join(dist, name)).stream()) hasher.update(chunk);
  return hasher.digest("hex");
}

/** Writes the sums of all that was built; where the build has written them, checks them. Returns the files' names. */
async function checkSums(): Promise<string[]> {
  const path = join(dist, SUMS);
  if (!fs.existsSync(path)) {
    const names = fs
      .readdirSync(dist, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => entry.name)
      .sort();
    const lines: string[] = [];
    for (const name of names) lines.push(`${await sumOf(name)}  ${name}\n`);
    fs.writeFileSync(path, lines.join(""));
    return names;
  }
  const names: string[] = [];
  for (const line of fs.readFileSync(path, "utf8").trimEnd().split("\n")) {
    const [, sum, name] = /^([0-9a-f]{64}) [ *](\S+)$/.exec(line) ?? [];
    if (sum === undefined || name === undefined) throw new Refusal(`dist/${SUMS} has a line that is no sum: ${line}`);
    const exists = fs.existsSync(join(dist, name));
    if (!exists || (await sumOf(name)) !== sum) {
      throw new Refusal(`dist/${SUMS} is not about the file dist/${name} that is there; remove dist, then again`);
    }
    names.push(name);
  }
  return names;
}

async function tag(): Promise<void> {
  const text = check();
  checkProgram();
  const files = await checkSums();
  // Lines of the notes that begin with # are no comments.
  git(["tag", "--annotate", "--cleanup=whitespace", "--file=-", TAG], `blocksync ${VERSION}\n\n${text}\n`);
  const commit = git(["rev-parse", "--short", "HEAD"]);
  process.stdout.write(
    `Tagged ${commit} as ${TAG}. Nothing was pushed. What is left to do:\n` +
      `    git push origin ${BRANCH} ${TAG}\n` +
      `    publish from dist, with the notes of the tag: ${[...files, SUMS].join(" ")}\n`,
  );
}

const STEPS: Readonly<Record<string, () => unknown>> = { check, tag };
try {
  const step = STEPS[process.argv[2] ?? ""];
  if (step === undefined) throw new Refusal("say check or tag; make release does both");
  await step();
} catch (error) {
  if (!(error instanceof Refusal)) throw error;
  process.stderr.write(`release: ${error.message}\n`);
  process.exitCode = 1;
}
