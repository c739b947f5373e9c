/** Files that are replaced as a whole: the old one or the new one is there, whatever happens, and nothing beside it. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { ReplacedFile } from "../../src/run/replaced-file.ts";
import { run } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { testWith } from "../helpers/requirements.ts";
import { tempDir } from "../helpers/temp.ts";

/** Ends in the middle, after more than is written at once. */
function* broken(): Generator<string> {
  yield "x".repeat(100_000);
  throw new Error("there is no more room");
}

describe("what cannot be written as a whole leaves the old file and nothing else,", () => {
  for (const [way, replace] of [
    ["at the end of a run", async (file: ReplacedFile) => file.replace(broken())],
    ["during one", (file: ReplacedFile) => file.replaceMeanwhile(broken())],
  ] as const) {
    test(way, async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("map"), "old");
      const file = ReplacedFile.open(dir.file("map"), "map", []);
      await expect(replace(file)).rejects.toThrow(
        `Cannot write the map ${JSON.stringify(dir.file("map"))}: there is no more room`,
      );
      expect(fs.readdirSync(dir.path)).toEqual(["map"]);
      expect(fs.readFileSync(dir.file("map"), "utf8")).toBe("old");
    });
  }
});

testWith("strace")("a map takes the old one's place when it is on the disk, and its name gets there too", async () => {
  using dir = tempDir();
  fs.mkdirSync(dir.file("maps"));
  fs.writeFileSync(dir.file("s"), bytes(1, 100_000));
  const [trace, rescue, changes] = [dir.file("trace"), dir.file("maps/rescue"), dir.file("maps/changes.json")];
  const argv0 = ["strace", "-f", "-y", "-o", trace, "-e", "trace=fsync,rename,renameat,renameat2"];
  const words = ["--on-read-error", "skip", "--mapfile", rescue, "--map", changes, dir.file("s"), dir.file("d")];
  expect((await run(words, { argv0 })).exitCode).toBe(0);
  const calls = fs.readFileSync(trace, "utf8").split("\n");
  const at = (pattern: RegExp, from = 0) => calls.findIndex((line, i) => i >= from && pattern.test(line));
  for (const path of [rescue, changes]) {
    const flushed = at(new RegExp(`fsync\\(\\d+<${path}\\.\\d+\\.part>`));
    const renamed = at(new RegExp(`rename.*"${path}\\.\\d+\\.part", .*"${path}"`));
    expect(flushed).toBeGreaterThanOrEqual(0);
    expect(renamed).toBeGreaterThan(flushed);
    expect(at(new RegExp(`fsync\\(\\d+<${dir.file("maps")}>`), renamed)).toBeGreaterThan(renamed);
  }
});
