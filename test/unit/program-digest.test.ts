import { expect, test } from "bun:test";
import fs from "node:fs";
import { programDigest } from "../../src/remote/host/program-digest.ts";
import { tempDir } from "../helpers/temp.ts";

function sha256(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text).digest("hex");
}

/** Replaces the noted digest by one that shows whether the note was believed. */
function mark(note: string): string {
  const marked = "f".repeat(64);
  fs.writeFileSync(note, fs.readFileSync(note, "latin1").replace(/[0-9a-f]{64}/, marked));
  return marked;
}

test("programDigest() notes what it computed, and believes the note while the file is as it was", async () => {
  using dir = tempDir();
  const note = dir.file(".cache/blocksync/program.checked");
  fs.writeFileSync(dir.file("program"), "one");
  expect(await programDigest(dir.file("program"), dir.path)).toBe(sha256("one"));
  expect(fs.readdirSync(dir.file(".cache/blocksync"))).toEqual(["program.checked"]);
  expect(fs.statSync(note).mode & 0o777).toBe(0o600);
  const marked = mark(note);
  expect(await programDigest(dir.file("program"), dir.path)).toBe(marked);
  // Another file of the same length and times under the same name: its ctime and inode differ.
  const { atime, mtime } = fs.statSync(dir.file("program"));
  fs.writeFileSync(dir.file("program"), "two");
  fs.utimesSync(dir.file("program"), atime, mtime);
  expect(await programDigest(dir.file("program"), dir.path)).toBe(sha256("two"));
});

test("programDigest() does not believe a note that others could have written, a link, or nonsense", async () => {
  using dir = tempDir();
  const cache = dir.file(".cache/blocksync");
  const note = `${cache}/program.checked`;
  fs.writeFileSync(dir.file("program"), "one");
  const spoil: readonly (() => void)[] = [
    () => fs.chmodSync(cache, 0o777),
    () => fs.chmodSync(note, 0o666),
    () => {
      fs.renameSync(note, dir.file("moved"));
      fs.symlinkSync(dir.file("moved"), note);
    },
    () => {
      fs.renameSync(cache, dir.file("elsewhere"));
      fs.symlinkSync(dir.file("elsewhere"), cache);
    },
    () => fs.appendFileSync(note, "x"),
    () => fs.writeFileSync(note, Buffer.alloc(4096, "1")),
  ];
  for (const change of spoil) {
    fs.rmSync(dir.file(".cache"), { recursive: true, force: true });
    fs.rmSync(dir.file("elsewhere"), { recursive: true, force: true });
    await programDigest(dir.file("program"), dir.path);
    mark(note);
    change();
    expect(await programDigest(dir.file("program"), dir.path)).toBe(sha256("one"));
  }
});

test("programDigest() does without a home, and where none can be written", async () => {
  using dir = tempDir();
  fs.writeFileSync(dir.file("program"), "one");
  for (const home of [undefined, "", "/proc/nowhere", dir.file("nowhere"), dir.file("program")])
    expect(await programDigest(dir.file("program"), home)).toBe(sha256("one"));
  expect(fs.readdirSync(dir.path)).toEqual(["program"]);
});

test("programDigest() makes nothing in a home of somebody else, and none in a relative one", async () => {
  using dir = tempDir();
  fs.writeFileSync(dir.file("program"), "one");
  const elsewhere = process.geteuid?.() === 0 ? dir.file("home") : "/";
  if (elsewhere !== "/") {
    fs.mkdirSync(elsewhere);
    fs.chownSync(elsewhere, 65_534, 65_534);
  }
  for (const home of [elsewhere, "."]) {
    expect(await programDigest(dir.file("program"), home)).toBe(sha256("one"));
    expect(fs.existsSync(`${home}/.cache/blocksync/program.checked`)).toBe(false);
  }
});
