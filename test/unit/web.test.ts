/** What is asked of web servers, and what becomes of answers that break off. */
import { describe, expect, test } from "bun:test";
import net from "node:net";
import type { ByteRange } from "../../src/sync/ranges.ts";
import { beside, parseAddress, parseHeaders } from "../../src/web/address.ts";
import { WebObject } from "../../src/web/object.ts";
import { RangesOfOne } from "../../src/web/once.ts";
import { JoinedRanges } from "../../src/web/ranges.ts";
import type { WebOptions } from "../../src/web/request.ts";
import { bytes } from "../helpers/bytes.ts";

const BODY = bytes(3, 100_000);

function options(more: Partial<WebOptions> = {}): WebOptions {
  const signal = new AbortController().signal;
  return {
    headers: [],
    ca: undefined,
    idleMs: 60_000,
    patienceMs: 60_000,
    pass: async () => undefined,
    signal,
    ...more,
  };
}

/**
 * A server that gives ranges of BODY, of the numbered answer only as many bytes as `lengthOf` says, all for undefined; after none it
 * closes the connection, after some it says nothing more.
 */
async function brittle(lengthOf: (answer: number) => number | undefined) {
  const asked: string[] = [];
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("data", (request) => {
      const range = /^range: (.*)$/im.exec(request.toString("latin1"))?.[1] ?? "";
      const [, first = 0, last = 0] = /^bytes=(\d+)-(\d+)$/.exec(range)?.map(Number) ?? [];
      asked.push(range);
      const body = BODY.subarray(first, last + 1);
      const head = `HTTP/1.1 206 Partial Content\r\nContent-Length: ${body.length}\r\nContent-Range: bytes ${first}-${last}/${BODY.length}\r\n\r\n`;
      const length = lengthOf(asked.length);
      socket.write(head);
      if (length === undefined) socket.write(body);
      else if (length === 0) socket.end();
      else socket.write(body.subarray(0, length));
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("The server has no port");
  return {
    asked,
    /** Closes what is open. */
    cut: () => {
      for (const socket of sockets) socket.destroy();
    },
    address: parseAddress(`http://127.0.0.1:${address.port}/image`),
    [Symbol.dispose]: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

async function found(place: Awaited<ReturnType<typeof brittle>>, given: WebOptions): Promise<WebObject> {
  const object = await WebObject.find(place.address, given);
  if (object === undefined) throw new Error("There is nothing");
  expect(object.sizeBytes).toBe(BODY.length);
  return object;
}

describe("an answer that breaks off", () => {
  test("is gone on with where it broke off, again and again", async () => {
    using server = await brittle((answer) => (answer === 2 ? 10_000 : answer === 3 ? 0 : answer === 4 ? 1 : undefined));
    const object = await found(server, options());
    const read: Uint8Array[] = [];
    let length = 0;
    for await (const piece of object.pieces({ offset: 20_000, length: 50_000 })) {
      read.push(piece);
      length += piece.length;
      if (length === 10_000 || length === 10_001) server.cut();
    }
    expect(BODY.subarray(20_000, 70_000).equals(Buffer.concat(read))).toBe(true);
    expect(server.asked).toEqual([
      "bytes=0-0",
      "bytes=20000-69999",
      "bytes=30000-69999",
      "bytes=30000-69999",
      "bytes=30001-69999",
    ]);
    expect(object.bytesFetched).toBe(50_000);
  });

  test("is a failure at once where nothing is to be tried again, and after silence", async () => {
    using server = await brittle((answer) => (answer === 2 ? 0 : answer === 3 ? 10 : undefined));
    const object = await found(server, options({ patienceMs: 0, idleMs: 300 }));
    for (const why of ["the connection was closed", "nothing came for 0.3 s"]) {
      const reading = object.read({ offset: 0, length: 50_000 });
      await Promise.allSettled([reading]);
      expect(reading).rejects.toMatchObject({ exitCode: 5, message: `Cannot reach "${server.address.label}": ${why}` });
    }
  });

  test("ends with the run, with its reason", async () => {
    const interrupt = new AbortController();
    using server = await brittle((answer) => {
      if (answer === 1) return undefined;
      interrupt.abort(new Error("interrupted"));
      return 10;
    });
    const object = await found(server, options({ signal: interrupt.signal }));
    const reading = object.read({ offset: 0, length: 50_000 });
    await Promise.allSettled([reading]);
    expect(reading).rejects.toThrow("interrupted");
  });
});

test("nothing is read before what was read may pass, byte for byte (--bwlimit)", async () => {
  using server = await brittle(() => undefined);
  const passed: number[] = [];
  const object = await found(server, options({ pass: async (bytes) => void passed.push(bytes) }));
  await object.read({ offset: 0, length: 100_000 });
  expect(passed.reduce((sum, bytes) => sum + bytes, 0)).toBe(100_000);
});

describe("ranges that are joined", () => {
  async function requests(ranges: readonly ByteRange[]): Promise<ByteRange[]> {
    const asked: ByteRange[] = [];
    const joined = new JoinedRanges(async (range) => {
      asked.push(range);
      return Uint8Array.from({ length: range.length }, (_, i) => (range.offset + i) % 251);
    });
    const read = await Promise.all(ranges.map((range) => joined.read(range)));
    for (const [i, { offset, length }] of ranges.entries()) {
      expect(read[i]?.length).toBe(length);
      expect(read[i]?.[0]).toBe(offset % 251);
      expect(read[i]?.[length - 1]).toBe((offset + length - 1) % 251);
    }
    return asked;
  }

  test("are neighbours, in whatever order they were asked for, and those with little between them", async () => {
    expect(
      await requests([
        { offset: 8192, length: 4096 },
        { offset: 4096, length: 4096 },
        { offset: 0, length: 4096 },
      ]),
    ).toEqual([{ offset: 0, length: 12_288 }]);
    const gap = { offset: 65_536 + 4096, length: 65_536 };
    expect(await requests([gap, { offset: 0, length: 65_536 }])).toEqual([{ offset: 0, length: 135_168 }]);
  });

  test("are never so far apart that more than a sixteenth is fetched for nothing, nor longer than 1 MiB", async () => {
    const far = [0, 8192, 16_384].map((offset) => ({ offset, length: 4096 }));
    expect(await requests(far)).toEqual(far);
    const long = Array.from({ length: 9 }, (_, i) => ({ offset: i << 19, length: 1 << 19 }));
    expect((await requests(long)).map(({ length }) => length)).toEqual([1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 19]);
  });

  test("are given back though some of them overlap", async () => {
    await requests([
      { offset: 0, length: 10_000 },
      { offset: 100, length: 50 },
      { offset: 5000, length: 10_000 },
    ]);
  });

  test("fail together, and those after them do not", async () => {
    let count = 0;
    const joined = new JoinedRanges(async ({ length }) => {
      if (count++ === 0) throw new Error("no");
      return new Uint8Array(length);
    });
    const first = [joined.read({ offset: 0, length: 1 }), joined.read({ offset: 1, length: 1 })];
    expect((await Promise.allSettled(first)).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(await joined.read({ offset: 9, length: 3 })).toHaveLength(3);
  });
});

test("ranges of a body that comes as a whole are taken as it comes by, and it comes again only for what is gone", async () => {
  const opened: number[] = [];
  const ranges = new RangesOfOne(async function* (offset) {
    opened.push(offset);
    for (let at = offset; at < BODY.length; at += 777) yield BODY.subarray(at, at + 777);
  });
  const check = async (...wanted: ByteRange[]) => {
    const read = await Promise.all(wanted.map((range) => ranges.read(range)));
    for (const [i, { offset, length }] of wanted.entries())
      expect(BODY.subarray(offset, offset + length).equals(read[i] ?? new Uint8Array())).toBe(true);
  };
  await check({ offset: 5000, length: 3000 }, { offset: 100, length: 10 }, { offset: 110, length: 1 });
  await check({ offset: 8000, length: 1 }, { offset: 90_000, length: 10_000 });
  expect(opened).toEqual([100]);
  await check({ offset: 0, length: 1000 });
  expect(opened).toEqual([100, 0]);
  const beyond = ranges.read({ offset: 99_999, length: 2 });
  await Promise.allSettled([beyond]);
  expect(beyond).rejects.toThrow("The body ends at 100000");
  await check({ offset: 50, length: 10 });
});

test("an address is named without what a signed link has, and what lies beside it keeps that", () => {
  const address = parseAddress("HTTPS://Example.org/a/im age.img?sig=secret#part");
  expect(address.label).toBe("https://example.org/a/im%20age.img?…");
  const tree = beside(address, ".verity");
  expect(tree.url.href).toBe("https://example.org/a/im%20age.img.verity?sig=secret");
  expect(tree.label).not.toContain("secret");
  for (const text of ["http://", "http://u@h/", "http://u:p@h/"]) expect(() => parseAddress(text)).toThrow();
});

test("headers are lines with a name and a value, without a trick in them", () => {
  expect(parseHeaders("A: 1\r\n\nX-B:2 \n")).toEqual([
    ["A", "1"],
    ["X-B", "2"],
  ]);
  for (const line of ["A", ": 1", "A B: 1", "A: \u0001", "A: ä", "host: x", "If-Range: x", "Accept-Encoding: gzip"]) {
    expect(() => parseHeaders(line)).toThrow();
  }
});
