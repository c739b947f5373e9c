/** What an option names may be anything: none of it holds up the run, or fills the memory. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { readText } from "../../src/run/read-text.ts";
import { tempDir } from "../helpers/temp.ts";

function outcome(path: string, most = 100): string {
  try {
    return readText(path, "list", most);
  } catch (error) {
    return String(error);
  }
}

test("readText() takes as much as is allowed, of files that say they have none too, and not a byte more", () => {
  using dir = tempDir();
  const path = dir.file("text");
  for (const text of ["", "ä", "x".repeat(100)]) {
    fs.writeFileSync(path, text);
    expect(outcome(path)).toBe(text);
  }
  fs.writeFileSync(path, "x".repeat(101));
  expect(outcome(path)).toContain("The list is too large: it has more than 100 bytes");
  expect(fs.statSync("/proc/self/status").size).toBe(0);
  expect(outcome("/proc/self/status", 1 << 20)).toContain("VmPeak");
  expect(outcome("/proc/self/status")).toContain("too large");
});

test("readText() takes what comes through a pipe, as of <(command), however late, and does not wait where nobody writes", () => {
  using dir = tempDir();
  const path = dir.file("pipe");
  expect(Bun.spawnSync(["mkfifo", path]).exitCode).toBe(0);
  expect(outcome(path)).toBe("");
  // While it is open for reading, nothing in it is lost.
  const { O_RDONLY, O_NONBLOCK } = fs.constants;
  const [kept, writing] = [fs.openSync(path, O_RDONLY | O_NONBLOCK), fs.openSync(path, "w")];
  Bun.spawn(["sh", "-c", "echo one; sleep 0.1; echo two"], { stdout: writing });
  fs.closeSync(writing);
  expect(outcome(path)).toBe("one\ntwo\n");
  fs.closeSync(kept);
});

test("readText() reads no folder and no device", () => {
  using dir = tempDir();
  for (const path of [dir.file(""), "/dev/zero", "/dev/null"])
    expect(outcome(path)).toContain("The list is not a regular file");
  expect(outcome(dir.file("none"))).toContain("Cannot use the list: no such file or directory");
});
