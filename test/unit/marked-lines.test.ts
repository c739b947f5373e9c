import { expect, test } from "bun:test";
import { MarkedLines } from "../../src/remote/host/bootstrap.ts";
import { ByteReader } from "../../src/remote/wire/streams.ts";
import { pipe } from "../helpers/pipe.ts";

test("MarkedLines gives whon the far side says without what a terminal would obey", async () => {
  const { source, sink } = pipe();
  await sink.write(Buffer.from("noise\nm failed \x1b]0;title\x07\x1b[2Jend\n"));
  expect(await new MarkedLines(new ByteReader(source), "m").next()).toBe("failed \ufffd]0;title\ufffd\ufffd[2Jend");
});
