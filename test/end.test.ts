/** The end of a run says what is true: what is refused as empty, gone, changed, lost or not read. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { BINARY, fakeSsh, run } from "./helpers/binary.ts";
import { bytes } from "./helpers/bytes.ts";
import { attachLoop } from "./helpers/loop.ts";
import { testWith } from "./helpers/requirements.ts";
import { type TempDir, tempDir } from "./helpers/temp.ts";

const onLoop = testWith("loop");

function file(dir: TempDir, name: string, data: Buffer): string {
  fs.writeFileSync(dir.file(name), data);
  return dir.file(name);
}

/** The words that make a path the far end of a connection. */
function farWords(dir: TempDir): string[] {
  return [...fakeSsh(dir.file("fake-ssh")), "-S", BINARY];
}

describe("nothing is no source", () => {
  for (const far of [false, true]) {
    const where = far ? "over a connection" : "here";
    onLoop(`a block device of 0 bytes is refused ${where}, and nothing is cut to it`, async () => {
      using dir = tempDir();
      const backup = bytes(1, 5000);
      const to = file(dir, "backup", backup);
      using empty = attachLoop(file(dir, "empty", Buffer.alloc(0)));
      const device = `${far ? "host:" : ""}${empty.path}`;
      const words = far ? farWords(dir) : [];
      for (const command of [
        ["-T", device, to],
        ["-n", device, to],
        ["-f", to, device],
        ["-n", to, device],
        ["compare", device, to],
        ["compare", to, device],
      ]) {
        const [first = "", ...rest] = command;
        const result = await run(first === "compare" ? [first, ...words, ...rest] : [...words, ...command]);
        expect(result.stderr).toContain(`Refused to use "${device}": the device has a size of 0 bytes (no-medium)\n`);
        expect({ command, exitCode: result.exitCode }).toEqual({ command, exitCode: 3 });
      }
      expect(fs.readFileSync(to).equals(backup)).toBe(true);
    });
  }

  test("a file that hides its size is refused, one that is empty is not", async () => {
    using dir = tempDir();
    const backup = bytes(2, 5000);
    const to = file(dir, "backup", backup);
    const hidden = await run(["-T", "/proc/self/status", to]);
    expect(hidden.stderr).toContain("it says that it has 0 bytes, and more can be read (no-size)");
    expect(hidden.exitCode).toBe(3);
    expect(fs.readFileSync(to).equals(backup)).toBe(true);
    expect((await run(["-T", file(dir, "nothing", Buffer.alloc(0)), to])).exitCode).toBe(0);
    expect(fs.statSync(to).size).toBe(0);
  });
});
