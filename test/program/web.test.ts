/** An image at a web server, with its hash tree beside it: what is fetched, and which of a server's lies is written: none. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { sha256 } from "../../src/local/work/hash.ts";
import { TreeBuilder } from "../../src/tree/builder.ts";
import { treeSize } from "../../src/tree/layout.ts";
import { encodeSuperblock } from "../../src/tree/superblock.ts";
import { type Result, run, summaryOf } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";
import { type Answer, serveWeb, type Web } from "../helpers/web.ts";

const LEAF = 4096;
const LEAVES = 600;

/** Data, with zeros in it. */
const IMAGE = bytes(5, LEAVES * LEAF);
IMAGE.fill(0, 100 * LEAF, 140 * LEAF);
/** Where the destination differs, some of it where the image is zero. */
const CHANGED = [0, 50, 51, 52, 110, 300, 302, 599];
const OLD = changeLeaves(IMAGE, CHANGED);

async function treeOf(image: Uint8Array): Promise<{ tree: Buffer; root: string }> {
  const leaves = image.length / LEAF;
  const tree = Buffer.alloc(treeSize(leaves));
  const builder = new TreeBuilder(leaves, sha256, async (piece, offset) => void tree.set(piece, offset));
  for (let at = 0; at < image.length; at += LEAF) builder.add(sha256(image.subarray(at, at + LEAF)));
  const root = await builder.end();
  tree.set(encodeSuperblock(leaves, root));
  return { tree, root: root.toHex() };
}

const { tree: TREE, root: ROOT } = await treeOf(IMAGE);

function serve(answer?: Answer): Web {
  const web = serveWeb();
  web.files.set("/image", IMAGE);
  web.files.set("/image.verity", TREE);
  web.answer = answer;
  return web;
}

function oldIn(dir: TempDir): string {
  fs.writeFileSync(dir.file("disk"), OLD);
  return dir.file("disk");
}

function said({ exitCode, stderr }: Result): string {
  return `${exitCode} ${stderr}`;
}

/** The ranges of the image that were asked for, but for the first, which only asks what there is. */
function fetched({ asked }: Web): string[] {
  const ranges = asked.filter(({ path }) => path === "/image").map(({ range }) => range ?? "all");
  expect(ranges[0]).toBe("bytes=0-0");
  return ranges.slice(1).toSorted();
}

/** How a server may ask for these leaves. */
function rangeOf(first: number, end: number): string {
  return `bytes=${first * LEAF}-${end * LEAF - 1}`;
}

const WANTED = [rangeOf(0, 1), rangeOf(50, 53), rangeOf(300, 301), rangeOf(302, 303), rangeOf(599, 600)].toSorted();

describe("a sync from a URL", () => {
  test("fetches the leaves that differ and are not zero, each once, and its tree", async () => {
    await using web = serve();
    using dir = tempDir();
    const disk = oldIn(dir);
    const result = await run(["-q", "--json", "--root-hash", ROOT, `${web.origin}/image`, disk]);
    expect(said(result)).toBe("0 ");
    expect(fs.readFileSync(disk).equals(IMAGE)).toBe(true);
    expect(fetched(web)).toEqual(WANTED);
    const summary = summaryOf(result);
    expect(summary).toMatchObject({
      bytesWritten: 7 * LEAF,
      leavesWritten: 8,
      blocksDiffering: 8,
      sourceAuthenticated: true,
    });
    expect(summary).toMatchObject({ bytesSent: 0, bytesReceived: 0, source: `${web.origin}/image` });
    const fromTree = web.asked.filter(({ path }) => path === "/image.verity");
    const lengths = fromTree.map(({ range = "" }) => /^bytes=(\d+)-(\d+)$/.exec(range)?.map(Number) ?? []);
    const sum = lengths.slice(1).reduce((total, [, first = 0, last = 0]) => total + last - first + 1, 0);
    expect(summary["bytesFetched"]).toBe(7 * LEAF + sum);
    expect(sum).toBeLessThan(TREE.length + 2 * LEAF);
    for (const { headers } of web.asked) expect(headers.get("accept-encoding")).toBe("identity");
    for (const { headers, range } of web.asked.filter(({ path }) => path === "/image").slice(1))
      expect({ range, state: headers.get("if-range") }).toEqual({ range, state: `"${Bun.hash(IMAGE).toString(16)}"` });
    // Once more there is nothing to fetch.
    web.asked.length = 0;
    expect((await run(["-q", `${web.origin}/image`, disk])).exitCode).toBe(0);
    expect(fetched(web)).toEqual([]);
  });

  test("of another size than --source-size says is exit 7 before anything is written, whatever its root hash", async () => {
    await using web = serve();
    using dir = tempDir();
    const disk = oldIn(dir);
    const words = ["-q", "--root-hash", ROOT, `${web.origin}/image`, disk];
    const wrong = await run(["--source-size", String(IMAGE.length - LEAF), ...words]);
    expect(said(wrong)).toStartWith(
      `7 blocksync: "${web.origin}/image" has ${IMAGE.length} bytes, where --source-size says ${IMAGE.length - LEAF}\n`,
    );
    expect(fs.readFileSync(disk).equals(OLD)).toBe(true);
    expect(fetched(web)).toEqual([]);
    // Of a file as of a URL.
    expect((await run(["-q", "--source-size", "4K", disk, dir.file("new")])).exitCode).toBe(7);
    expect(fs.existsSync(dir.file("new"))).toBe(false);
    expect(said(await run(["--source-size", String(IMAGE.length), ...words]))).toBe("0 ");
  });

  test("makes a new file sparse, by an index of RAUC, and reads nothing of the image to compare or rehearse", async () => {
    await using web = serve();
    using dir = tempDir();
    const leaves = TREE.subarray(TREE.length - Math.ceil(LEAVES / 128) * LEAF).subarray(0, LEAVES * 32);
    web.files.delete("/image.verity");
    web.files.set("/image.block-hash-index", leaves);
    const url = `${web.origin}/image`;
    expect(said(await run(["-q", "-n", url, dir.file("new")]))).toBe("1 ");
    expect(fs.readdirSync(dir.path)).toEqual([]);
    const differing = await run(["compare", "-q", url, oldIn(dir)]);
    expect(`${differing.exitCode} ${differing.stdout}`).toBe(
      `1 0 4096\n${50 * LEAF} ${3 * LEAF}\n${110 * LEAF} 4096\n${300 * LEAF} 4096\n${302 * LEAF} 4096\n${599 * LEAF} 4096\n`,
    );
    expect(fetched(web).filter((range) => range !== "bytes=0-0")).toEqual([]);
    const result = await run(["-q", "--json", "--verify", "--root-hash", ROOT, url, dir.file("new")]);
    expect(said(result)).toBe("0 ");
    expect(summaryOf(result)).toMatchObject({
      verified: true,
      bytesWritten: 560 * LEAF,
      blocksZero: 40,
      sourceAuthenticated: true,
    });
    const stat = fs.statSync(dir.file("new"));
    expect(stat.blocks * 512).toBeLessThanOrEqual(560 * LEAF);
    expect(fs.readFileSync(dir.file("new")).equals(IMAGE)).toBe(true);
  });

  test("goes on where an answer broke off, fetches nothing twice, and is not misled by a busy server", async () => {
    let count = 0;
    await using web = serve(({ path, range = "" }) => {
      if (path !== "/image" || range === "bytes=0-0") return undefined;
      count++;
      if (count === 2) return new Response("later", { status: 503 });
      return undefined;
    });
    using dir = tempDir();
    const disk = oldIn(dir);
    const result = await run(["-q", "--json", `${web.origin}/image`, disk]);
    expect(said(result)).toBe("0 ");
    expect(fs.readFileSync(disk).equals(IMAGE)).toBe(true);
    expect(fetched(web)).toHaveLength(WANTED.length + 1);
    expect(summaryOf(result)).toMatchObject({ sourceAuthenticated: false, bytesWritten: 7 * LEAF });
  });

  test("takes a whole answer where a server gives no ranges, says so, and writes only what differs", async () => {
    await using web = serve(({ path }) => {
      const bytes = web.files.get(path);
      return bytes === undefined ? undefined : new Response(bytes.slice());
    });
    using dir = tempDir();
    const disk = oldIn(dir);
    const result = await run(["--progress", "none", "--root-hash", ROOT, `${web.origin}/image`, disk]);
    expect(result.stderr).toStartWith(`The server of "${web.origin}/image" gives no ranges, so all of it is fetched\n`);
    expect(result.exitCode).toBe(0);
    expect(result.stderr).toContain("28.0 KiB written");
    expect(fs.readFileSync(disk).equals(IMAGE)).toBe(true);
    expect(web.asked.filter(({ path }) => path === "/image")).toHaveLength(2);
  });

  test("asks the first address again when the link that it led to has expired, and keeps its headers from others", async () => {
    await using store = serve();
    let links = 0;
    store.answer = ({ headers }) => {
      expect(headers.get("authorization")).toBeNull();
      return store.asked.length % 3 === 0 ? new Response("expired", { status: 403 }) : undefined;
    };
    await using web = serveWeb();
    web.answer = ({ path, headers }) => {
      links++;
      expect(headers.get("authorization")).toBe("Bearer top secret");
      return new Response(null, { status: 302, headers: { location: `${store.origin}${path}` } });
    };
    using dir = tempDir();
    const disk = oldIn(dir);
    fs.writeFileSync(dir.file("headers"), "\nAuthorization: Bearer top secret\nX-Other: 1\n");
    const words = ["--header", `@${dir.file("headers")}`, "--root-hash", ROOT, `${web.origin}/image`, disk];
    const result = await run(["-v", ...words]);
    expect(result.exitCode).toBe(0);
    expect(fs.readFileSync(disk).equals(IMAGE)).toBe(true);
    expect(links).toBeGreaterThan(3);
    expect(links).toBeLessThan(store.asked.length);
    expect(result.stderr).not.toContain("secret");
  });
});

describe("a tree that lies elsewhere", () => {
  test("is one at an address, or in a file, which leaves the server nothing to say of it", async () => {
    await using web = serve();
    web.files.delete("/image.verity");
    web.files.set("/trees/1", TREE);
    using dir = tempDir();
    fs.writeFileSync(dir.file("tree"), TREE);
    for (const tree of [`${web.origin}/trees/1`, dir.file("tree")]) {
      const disk = oldIn(dir);
      const result = await run(["-q", "--json", "--tree", tree, `${web.origin}/image`, disk]);
      expect(said(result)).toBe("0 ");
      expect(fs.readFileSync(disk).equals(IMAGE)).toBe(true);
      const alone = tree === dir.file("tree");
      expect(Number(summaryOf(result)["bytesFetched"]) === 7 * LEAF).toBe(alone);
    }
    expect(web.asked.filter(({ path }) => path.startsWith("/image."))).toEqual([]);
  });
});

test("a proxy that the environment names is asked in the server's place, unless it is excepted", async () => {
  await using proxy = serve();
  using dir = tempDir();
  const disk = oldIn(dir);
  const words = ["-q", "--root-hash", ROOT, "http://server.invalid/image", disk];
  const result = await run(words, { env: { http_proxy: proxy.origin, no_proxy: undefined } });
  expect(said(result)).toBe("0 ");
  expect(fs.readFileSync(disk).equals(IMAGE)).toBe(true);
  expect(proxy.asked[0]?.headers.get("host")).toBe("server.invalid");
  const past = await run(words, { env: { http_proxy: proxy.origin, no_proxy: "server.invalid" } });
  expect(said(past)).toStartWith('5 blocksync: Cannot reach "http://server.invalid/image": its host is not known\n');
});

/** A server's answers that are wrong, and what they end a run with. */
const LIES: readonly (readonly [what: string, answer: Answer, expected: RegExp])[] = [
  [
    "another byte in the image",
    ({ path, range }, right) =>
      path === "/image" && range === rangeOf(50, 53) ? flipped(right(), LEAF + 1) : undefined,
    /^7 blocksync: Cannot verify 4096 bytes at offset 208896 of "http.*image": they are not what its hash tree says$/m,
  ],
  [
    "another range than asked for",
    ({ path, range }, right) => (path === "/image" && range === rangeOf(0, 1) ? shifted(right()) : undefined),
    /^4 blocksync: Cannot fetch ".*": the server gives another range than it was asked for$/m,
  ],
  [
    "more than asked for",
    ({ path, range }, right) => (path === "/image" && range === rangeOf(0, 1) ? longer(right()) : undefined),
    /^4 blocksync: Cannot fetch ".*": the server gives more than it was asked for$/m,
  ],
  [
    "an image that was replaced",
    ({ path, range }, right) =>
      path === "/image" && range !== "bytes=0-0" ? withHeader(right(), "etag", '"other"') : undefined,
    /^7 blocksync: The source ".*" changed during the run: the server has another one under that name now$/m,
  ],
  [
    "an image that became longer",
    ({ path, range }, right) =>
      path === "/image" && range === rangeOf(0, 1)
        ? withHeader(right(), "content-range", "bytes 0-4095/2457601")
        : undefined,
    /^7 blocksync: The source ".*" changed during the run/m,
  ],
  [
    "the whole, after an If-Range",
    ({ path, range }) => (path === "/image" && range !== "bytes=0-0" ? new Response(IMAGE.slice()) : undefined),
    /^7 blocksync: The source ".*" changed during the run/m,
  ],
  [
    "a compressed answer",
    ({ path, range }, right) =>
      path === "/image" && range !== "bytes=0-0" ? withHeader(right(), "content-encoding", "gzip") : undefined,
    /^4 blocksync: Cannot fetch ".*": the server sends it compressed, though it was asked not to$/m,
  ],
  [
    "no more of the image",
    ({ path, range }) =>
      path === "/image" && range !== "bytes=0-0" ? new Response("gone", { status: 404 }) : undefined,
    /^4 blocksync: Cannot fetch ".*": the server answered 404$/m,
  ],
  [
    "redirects without end",
    ({ path }) =>
      path === "/image" ? new Response(null, { status: 302, headers: { location: "/image" } }) : undefined,
    /^4 blocksync: Cannot fetch ".*": it leads on and on \(10 redirects\)$/m,
  ],
  [
    "a tree with another root",
    ({ path }, right) => (path === "/image.verity" ? flippedAt(right(), TREE.length - LEAF * 5 + 7) : undefined),
    /^7 blocksync: Cannot verify 4096 bytes at offset \d+ of the hash tree/m,
  ],
  [
    "a tree over another size",
    ({ path }, right) => (path === "/image" ? withHeader(right(), "content-range", "bytes 0-0/4096") : undefined),
    /^7 blocksync: Cannot use ".*verity" as a hash tree: it is over 2457600 bytes, and ".*image" has 4096$/m,
  ],
];

async function flipped(right: Response, at: number): Promise<Response> {
  const body = await right.bytes();
  body[at] = (body[at] ?? 0) ^ 1;
  return new Response(body, { status: right.status, headers: right.headers });
}

/** The byte at an offset of the whole is another one, in whatever range it is. */
async function flippedAt(right: Response, at: number): Promise<Response> {
  const first = Number(/^bytes (\d+)-/.exec(right.headers.get("content-range") ?? "")?.[1]);
  return await flipped(right, at - first);
}

function withHeader(right: Response, name: string, value: string): Response {
  right.headers.set(name, value);
  return right;
}

function shifted(right: Response): Response {
  return withHeader(right, "content-range", `bytes 4096-8191/${IMAGE.length}`);
}

async function longer(right: Response): Promise<Response> {
  return new Response(Buffer.concat([await right.bytes(), Buffer.alloc(9)]), { status: 206, headers: right.headers });
}

describe("nothing is written of what a server says wrongly:", () => {
  for (const [what, answer, expected] of LIES) {
    test(what, async () => {
      await using web = serve(answer);
      using dir = tempDir();
      const disk = oldIn(dir);
      const result = await run(["-q", "--root-hash", ROOT, `${web.origin}/image`, disk]);
      expect(said(result)).toMatch(expected);
      const now = fs.readFileSync(disk);
      // Each leaf is the old one or the right one.
      for (let at = 0; at < now.length; at += LEAF) {
        const leaf = now.subarray(at, at + LEAF);
        expect(leaf.equals(OLD.subarray(at, at + LEAF)) || leaf.equals(IMAGE.subarray(at, at + LEAF))).toBe(true);
      }
      expect(now.length).toBe(OLD.length);
    });
  }

  test("another image with its own tree, under the root of the first", async () => {
    const { tree, root } = await treeOf(OLD);
    await using web = serve();
    web.files.set("/image", OLD);
    web.files.set("/image.verity", tree);
    using dir = tempDir();
    fs.writeFileSync(dir.file("disk"), IMAGE);
    const result = await run(["-q", "--json", "--root-hash", ROOT, `${web.origin}/image`, dir.file("disk")]);
    expect(said(result)).toStartWith(
      `7 blocksync: The hash tree "${web.origin}/image.verity" does not have the root hash`,
    );
    expect(said(result)).toContain(root);
    expect(summaryOf(result)).toMatchObject({ sourceAuthenticated: false, bytesWritten: 0 });
    expect(fs.readFileSync(dir.file("disk")).equals(IMAGE)).toBe(true);
  });
});

describe("an image without a hash tree beside it", () => {
  /** A server that ends each answer after `length` bytes. */
  const breaksOff =
    (length: number): Answer =>
    ({ path, range }, right) => {
      if (path !== "/image" || range === "bytes=0-0") return undefined;
      const whole = right();
      let left = length;
      const cut = new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          const piece = chunk.subarray(0, left);
          left -= piece.length;
          controller.enqueue(piece);
          if (left === 0) controller.terminate();
        },
      });
      return new Response(whole.body?.pipeThrough(cut) ?? null, { status: whole.status, headers: whole.headers });
    };

  test("is fetched once, from where it broke off, and only what differs is written", async () => {
    await using web = serve(breaksOff(1_000_000));
    web.files.delete("/image.verity");
    using dir = tempDir();
    const to = oldIn(dir);
    const result = await run(["--json", `${web.origin}/image`, to]);
    expect(summaryOf(result)).toMatchObject({
      exitCode: 0,
      leavesWritten: CHANGED.length,
      bytesFetched: IMAGE.length,
      sourceAuthenticated: false,
    });
    expect(result.stdout).toContain("has no hash tree beside it, so all of it is fetched");
    expect(fs.readFileSync(to).equals(IMAGE)).toBe(true);
  });

  test("is unpacked where that is asked for, also by a server that gives no ranges", async () => {
    await using web = serve(({ path, range }, right) =>
      path === "/image" && range !== undefined ? new Response(web.files.get("/image")?.slice()) : right(),
    );
    web.files.delete("/image.verity");
    web.files.set("/image", Bun.zstdCompressSync(IMAGE));
    using dir = tempDir();
    expect(said(await run(["-q", "--decompress", "always", `${web.origin}/image`, dir.file("new")]))).toBe("0 ");
    expect(fs.readFileSync(dir.file("new")).equals(IMAGE)).toBe(true);
  });

  test("that is replaced meanwhile is exit 7, with how far the destination was made equal", async () => {
    const cut = breaksOff(1_000_000);
    await using web = serve((asked, right) => {
      const answer = cut(asked, right);
      if (answer !== undefined) web.files.set("/image", changeLeaves(IMAGE, [1]));
      return answer;
    });
    web.files.delete("/image.verity");
    using dir = tempDir();
    const result = await run(["-q", `${web.origin}/image`, dir.file("new")]);
    expect(result.exitCode).toBe(7);
    expect(result.stderr).toContain("changed");
  });

  test("is needed where a root hash is demanded, and to compare", async () => {
    await using web = serve();
    web.files.delete("/image.verity");
    using dir = tempDir();
    const to = oldIn(dir);
    for (const words of [
      ["--root-hash", ROOT, `${web.origin}/image`, to],
      ["compare", `${web.origin}/image`, to],
    ])
      expect(said(await run(words))).toStartWith(`2 blocksync: There is no hash tree for "${web.origin}/image": `);
    expect(fs.readFileSync(to).equals(OLD)).toBe(true);
  });
});

test("what a URL cannot be asked for is said before anything is done", async () => {
  await using web = serveWeb();
  web.files.set("/alone", IMAGE);
  using dir = tempDir();
  const disk = oldIn(dir);
  const url = `${web.origin}/alone`;
  const cases: [string[], string][] = [
    [
      ["compare", url, disk],
      `2 blocksync: There is no hash tree for "${url}": neither "${url}.verity" nor "${url}.block-hash-index" is there\n`,
    ],
    [
      [url, disk, "--tree", `${web.origin}/no`],
      `2 blocksync: There is no hash tree for "${url}": nothing is at "${web.origin}/no"\n`,
    ],
    [
      [`${web.origin}/no?token=secret`, disk],
      `2 blocksync: There is nothing at "${web.origin}/no?…": the server answered 404\n`,
    ],
    [
      ["http://127.0.0.1:1/image", disk],
      '5 blocksync: Cannot reach "http://127.0.0.1:1/image": nothing answers at its port\n',
    ],
    [
      [web.origin.replace("//", "//me:secret@"), disk],
      "2 blocksync: A name and a password do not belong into the address",
    ],
    [[url, disk, "--header", "secret"], "2 blocksync: A header of --header is not NAME: VALUE\n"],
    [[url, disk, "--header", "Range: secret"], "2 blocksync: blocksync sends the header Range itself\n"],
    [[url, disk, "--header", `@${dir.file("no")}`], "4 blocksync: Cannot use the file with the headers of --header"],
    [[url, disk, "--cacert", dir.file("no")], "4 blocksync: Cannot use the file with the certificates of --cacert"],
    [[url, disk, "--root-hash", "abc"], '2 blocksync: --root-hash "abc" is not 64 hexadecimal digits\n'],
    [[url, disk, "--on-read-error", "skip"], "2 blocksync: --on-read-error skip does not go with a URL"],
    [[url, "host:"], '2 blocksync: "host:" names no path\n'],
    [[url], "2 blocksync: A URL needs one destination\n"],
    [[disk, url], `2 blocksync: Cannot read "${url}" as PATH or HOST:PATH\n`],
    [[disk, dir.file("new"), "--tree", "x"], "2 blocksync: --tree is for a source at a web server\n"],
    [[disk, dir.file("new"), "--header", "A: secret"], "2 blocksync: --header is for a source at a web server\n"],
  ];
  for (const [words, expected] of cases) {
    const [first = "", ...others] = words;
    const result = await run(first === "compare" ? [first, "-q", ...others] : ["-q", ...words]);
    expect(said(result)).toStartWith(expected);
    expect(said(result)).not.toContain("secret");
  }
  expect(fs.readdirSync(dir.path)).toEqual(["disk"]);
  expect(fs.readFileSync(disk).equals(OLD)).toBe(true);
});
