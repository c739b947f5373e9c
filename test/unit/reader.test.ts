/** Reads that somebody else makes for a reader. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { Device } from "../../src/local/medium/device.ts";
import { tempDir } from "../helpers/temp.ts";

test("Reader.readBy() tries no plain read again once one has failed, whatever those under way still come to", async () => {
  using dir = tempDir();
  fs.writeFileSync(dir.file("s"), Buffer.alloc(8192));
  const device = await Device.open(dir.file("s"), "s", "read");
  const place = { offset: 0, length: 4096 };
  const later = Promise.withResolvers<string | undefined>();
  const underWay = device.reader.readBy(place, () => later.promise);
  expect(await device.reader.readBy(place, async () => undefined)).toBeUndefined();
  later.resolve("read");
  expect(await underWay).toBe("read");
  expect(device.reader.bytesRead).toBe(4096);
  let tried = 0;
  expect(await device.reader.readBy(place, async () => ++tried)).toBeUndefined();
  expect(tried).toBe(0);
  await device.close();
});

test("Reader.readBy() does not try what lies beyond the end, and goes on with what does not", async () => {
  using dir = tempDir();
  fs.writeFileSync(dir.file("s"), Buffer.alloc(8192));
  const device = await Device.open(dir.file("s"), "s", "read");
  expect(await device.reader.readBy({ offset: 4096, length: 4097 }, async () => "read")).toBeUndefined();
  expect(await device.reader.readBy({ offset: 4096, length: 4096 }, async () => "read")).toBe("read");
  await device.close();
});
