/** A disk that dies: what is bad told from what is gone, the map at any moment, and how a second run goes on. */
import { describe, expect } from "bun:test";
import fs from "node:fs";
import { BINARY, fakeSsh, run, summaryOf } from "./helpers/binary.ts";
import { bytes } from "./helpers/bytes.ts";
import { watch } from "./helpers/meddle.ts";
import { badDisk, failingDisk } from "./helpers/nbd.ts";
import { testWith } from "./helpers/requirements.ts";
import { type TempDir, tempDir } from "./helpers/temp.ts";

const MIB = 1 << 20;
const onFaulty = testWith("nbd");

function file(dir: TempDir, name: string, data: Buffer): string {
  fs.writeFileSync(dir.file(name), data);
  return dir.file(name);
}

/** The words that make a path the far end of a connection. */
function farWords(dir: TempDir): string[] {
  return [...fakeSsh(dir.file("fake-ssh")), "-S", BINARY];
}

/** What a map says, as "OFFSET LENGTH STATUS" in MiB. */
function areasOf(map: string): string[] {
  const lines = fs.readFileSync(map, "utf8").matchAll(/^0x(\w+) {2}0x(\w+) {2}(.)$/gm);
  return [...lines].map(([, offset, length, status]) =>
    [Number(`0x${offset}`) / MIB, Number(`0x${length}`) / MIB, status].join(" "),
  );
}

for (const far of [false, true]) {
  const where = far ? "over a connection" : "here";
  describe(`a dying source ${where}`, () => {
    for (const there of ["nothing", "another image"]) {
      onFaulty(`stop stops at the first bad place, with ${there} at the destination`, async () => {
        using dir = tempDir();
        const image = file(dir, "image", bytes(401, 16 * MIB));
        fs.truncateSync(image, 1024 * MIB);
        await using disk = await badDisk(image, [{ offset: 8 * MIB + 4096, length: 4096 }]);
        if (there !== "nothing") file(dir, "d", bytes(402, 16 * MIB));
        const from = `${far ? "host:" : ""}${disk.path}`;
        const result = await run([...(far ? farWords(dir) : []), "--json", from, dir.file("d")]);
        expect(result.exitCode).toBe(4);
        expect(result.stderr).toContain(`Cannot read 4096 bytes at offset ${8 * MIB + 4096} of `);
        expect(result.stderr).toContain(
          "hint: a sync with --on-read-error skip --mapfile FILE copies what can be read",
        );
        // What was under way at that moment; it was all 1023 others of 1024.
        const { blocksMatching, blocksDiffering, bytesWritten } = summaryOf(result);
        expect(Number(blocksMatching) + Number(blocksDiffering)).toBeLessThan(500);
        expect(Number(bytesWritten)).toBeGreaterThan(0);
      });
    }

    onFaulty("a source that is gone ends the run at once, and nothing of it is called bad", async () => {
      using dir = tempDir();
      const data = bytes(403, 16 * MIB);
      await using disk = await failingDisk(file(dir, "image", data), "read", "EIO");
      const words = ["--on-read-error", "skip", "--mapfile", dir.file("map"), "-p", "50", "-t", "0.05"];
      const from = `${far ? "host:" : ""}${disk.path}`;
      const result = await watch([...(far ? farWords(dir) : []), ...words, from, dir.file("d")], "remaining)", () =>
        disk.fail(true),
      );
      expect(result.stderr).toContain("no place of it can be read, it is gone\n");
      expect(result.stderr).toContain("hint: look at its cable and at the kernel's messages (dmesg)");
      expect(result.exitCode).toBe(4);
      // Below a read of a block the kernel tries its parts; sector by sector it would be tens of thousands.
      expect(disk.failures()).toBeLessThan(2000);
      expect(fs.readFileSync(dir.file("map"), "utf8")).not.toMatch(/ [-*/]$/m);
      expect(areasOf(dir.file("map")).at(-1)).toEndWith(" ?");
      // It is plugged in again.
      disk.fail(false);
      expect((await run([...(far ? farWords(dir) : []), ...words.slice(0, 4), from, dir.file("d")])).exitCode).toBe(0);
      expect(fs.readFileSync(dir.file("d")).equals(data)).toBe(true);
      expect(areasOf(dir.file("map"))).toEqual(["0 16 +"]);
    });
  });
}

onFaulty("a disk of which nothing at all can be read is not read sector by sector", async () => {
  using dir = tempDir();
  await using disk = await failingDisk(file(dir, "image", bytes(404, 8 * MIB)), "read", "EIO");
  disk.fail(true);
  const before = bytes(405, 8 * MIB);
  const words = ["--on-read-error", "skip", "--mapfile", dir.file("map"), disk.path, file(dir, "d", before)];
  const result = await run(words);
  expect(result.stderr).toContain("no place of it can be read, it is gone\n");
  expect(result.exitCode).toBe(4);
  // Below a read of a block the kernel tries its parts; sector by sector it would be tens of thousands.
  expect(disk.failures()).toBeLessThan(2000);
  expect(areasOf(dir.file("map"))).toEqual(["0 8 ?"]);
  expect(fs.readFileSync(dir.file("d")).equals(before)).toBe(true);
});
