/** Writes that somebody else makes for a device. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { Device } from "../../src/local/medium/device.ts";
import { tempDir } from "../helpers/temp.ts";

test("Device.writeBy() counts what was written, says whether it was tried, and fails at the place that was not", async () => {
  using dir = tempDir();
  fs.writeFileSync(dir.file("d"), "");
  const device = await Device.open(dir.file("d"), "d", "write");
  const place = { offset: 4096, length: 10_000 };
  expect(await device.writeBy(place, async () => undefined)).toBe(false);
  expect(device.bytesWritten).toBe(0);
  expect(await device.writeBy(place, async () => ({ written: 10_000, error: undefined }))).toBe(true);
  expect(device.bytesWritten).toBe(10_000);
  const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
  await expect(device.writeBy(place, async () => ({ written: 6000, error: full }))).rejects.toThrow(
    'Cannot write 4000 bytes at offset 10096 of "d"',
  );
  await expect(device.writeBy(place, async () => ({ written: 0, error: undefined }))).rejects.toThrow(
    "the kernel took no byte",
  );
  expect(device.bytesWritten).toBe(16_000);
  // Its turn is given back each time.
  await device.write(Buffer.from("x"), 0);
  await device.close();
  expect(fs.readFileSync(dir.file("d"), "utf8")).toBe("x");
});
