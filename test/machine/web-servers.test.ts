/** An image behind the web servers that people have, with what they log as the witness of what was fetched. */
import { describe, expect } from "bun:test";
import fs from "node:fs";
import net from "node:net";
import { BINARY, fakeSsh, run, summaryOf, until } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";
import { serveWeb } from "../helpers/web.ts";

const LEAF = 4096;
const MIB = 1 << 20;
const IMAGE = bytes(11, 8 * MIB);
/** A run of leaves, and one alone. */
const CHANGED = [...Array.from({ length: 61 }, (_, i) => 700 + i), 2047];

/** A port that nothing listens at. */
async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("There is no port");
  return address.port;
}

async function answers(port: number): Promise<boolean> {
  return await fetch(`http://127.0.0.1:${port}/`).then(
    () => true,
    () => false,
  );
}

interface Server extends Disposable {
  readonly url: string;
}

/** Starts a server that gives what is in the folder "www". */
async function serve(dir: TempDir, words: (port: number) => readonly string[]): Promise<Server> {
  const port = await freePort();
  const env = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin` };
  const child = Bun.spawn([...words(port)], { env, cwd: dir.path, stdio: ["ignore", "ignore", "ignore"] });
  await until("the server answers", () => answers(port));
  return { url: `http://127.0.0.1:${port}/image`, [Symbol.dispose]: () => child.kill() };
}

async function place(dir: TempDir): Promise<void> {
  fs.mkdirSync(dir.file("www"));
  fs.chmodSync(dir.path, 0o755);
  fs.writeFileSync(dir.file("www/image"), IMAGE);
  fs.writeFileSync(dir.file("disk"), changeLeaves(IMAGE, CHANGED));
  expect((await run(["index", "-q", dir.file("www/image")])).exitCode).toBe(0);
}

function nginx(dir: TempDir): (port: number) => readonly string[] {
  return (port) => {
    const config = [
      process.getuid?.() === 0 ? "user root;" : "",
      `daemon off; worker_processes 1; pid "${dir.file("pid")}"; error_log "${dir.file("errors")}"; events {}`,
      `http { log_format bodies "$uri $body_bytes_sent"; access_log "${dir.file("log")}" bodies;`,
      ...["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path "${dir.file(name)}";`),
      `server { listen 127.0.0.1:${port}; root "${dir.file("www")}"; } }`,
    ];
    fs.writeFileSync(dir.file("nginx.conf"), config.join("\n"));
    return ["nginx", "-p", dir.path, "-c", dir.file("nginx.conf")];
  };
}

function lighttpd(dir: TempDir): (port: number) => readonly string[] {
  return (port) => {
    const config = [
      `server.document-root = "${dir.file("www")}"`,
      `server.bind = "127.0.0.1"`,
      `server.port = ${port}`,
      'mimetype.assign = ("" => "application/octet-stream")',
    ];
    fs.writeFileSync(dir.file("lighttpd.conf"), config.join("\n"));
    return ["lighttpd", "-D", "-f", dir.file("lighttpd.conf")];
  };
}

describe("an image behind a web server is fetched where it differs, and nothing else of it,", () => {
  testWith("nginx")("nginx, whose log agrees", async () => {
    using dir = tempDir();
    await place(dir);
    using server = await serve(dir, nginx(dir));
    const result = await run(["-q", "--json", server.url, dir.file("disk")]);
    expect(`${result.exitCode} ${result.stderr}`).toBe("0 ");
    expect(fs.readFileSync(dir.file("disk")).equals(IMAGE)).toBe(true);
    const summary = summaryOf(result);
    const tree = fs.statSync(dir.file("www/image.verity")).size;
    const changed = CHANGED.length * LEAF;
    expect(Number(summary["bytesFetched"])).toBeLessThan(1.1 * changed + 2 * tree);
    const logged = () =>
      fs
        .readFileSync(dir.file("log"), "utf8")
        .split("\n")
        .map((line) => line.split(" "))
        .filter(([path]) => path === "/image");
    await until("the last request is logged", () => logged().length === 3);
    expect(
      logged()
        .map(([, length]) => Number(length))
        .toSorted((a, b) => a - b),
    ).toEqual([1, LEAF, 61 * LEAF]);
  });

  testWith("lighttpd")("lighttpd", async () => {
    using dir = tempDir();
    await place(dir);
    using server = await serve(dir, lighttpd(dir));
    const result = await run(["-q", "--json", server.url, dir.file("disk")]);
    expect(`${result.exitCode} ${result.stderr}`).toBe("0 ");
    expect(fs.readFileSync(dir.file("disk")).equals(IMAGE)).toBe(true);
    expect(Number(summaryOf(result)["bytesFetched"])).toBeLessThan(500_000);
  });

  testWith("python")("but for Python's, which gives no ranges, and is fetched as a whole", async () => {
    using dir = tempDir();
    await place(dir);
    const words = (port: number) => [
      "python3",
      "-m",
      "http.server",
      `${port}`,
      "-b",
      "127.0.0.1",
      "-d",
      dir.file("www"),
    ];
    using server = await serve(dir, words);
    const result = await run(["--progress", "none", "--json", server.url, dir.file("disk")]);
    expect(result.stderr).toStartWith(`The server of "${server.url}" gives no ranges, so all of it is fetched\n`);
    expect(result.exitCode).toBe(0);
    expect(fs.readFileSync(dir.file("disk")).equals(IMAGE)).toBe(true);
    expect(summaryOf(result)).toMatchObject({ bytesWritten: CHANGED.length * LEAF });
  });
});

testWith("openssl")("a certificate that nobody vouches for ends the run, unless --cacert names it", async () => {
  using dir = tempDir();
  await place(dir);
  const request = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-days",
    "2",
    "-subj",
    "/CN=localhost",
  ];
  const names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", dir.file("key"), "-out", dir.file("cert")];
  expect(Bun.spawnSync(["openssl", ...request, ...names]).exitCode).toBe(0);
  await using web = serveWeb({
    key: fs.readFileSync(dir.file("key"), "utf8"),
    cert: fs.readFileSync(dir.file("cert"), "utf8"),
  });
  for (const name of ["/image", "/image.verity"]) web.files.set(name, fs.readFileSync(dir.file(`www${name}`)));
  const url = `${web.origin}/image`;
  const refused = await run(["-q", url, dir.file("disk")]);
  expect(`${refused.exitCode} ${refused.stderr}`).toStartWith(`5 blocksync: Cannot trust "${web.origin}": `);
  expect(refused.stderr).toContain("hint: --cacert FILE names");
  expect(web.asked).toEqual([]);
  const words = ["-q", "--cacert", dir.file("cert"), url, dir.file("disk")];
  // Nobody may be led to where anyone can listen and change.
  web.answer = () => new Response(null, { status: 302, headers: { location: "http://127.0.0.1:1/image" } });
  const led = await run(words);
  expect(`${led.exitCode} ${led.stderr}`).toStartWith(
    `4 blocksync: Cannot fetch "${url}": it leads from https to http`,
  );
  web.answer = undefined;
  expect((await run(words)).exitCode).toBe(0);
  expect(fs.readFileSync(dir.file("disk")).equals(IMAGE)).toBe(true);
});

testWith("bash")(
  "the destination may be on another host, which is asked for hashes and sent what differs",
  async () => {
    using dir = tempDir();
    await place(dir);
    await using web = serveWeb();
    for (const name of ["/image", "/image.verity"]) web.files.set(name, fs.readFileSync(dir.file(`www${name}`)));
    const far = [...fakeSsh(dir.file("fake-ssh")), "-S", BINARY];
    const result = await run(["-q", "--json", ...far, `${web.origin}/image`, `host:${dir.file("disk")}`]);
    expect(`${result.exitCode} ${result.stderr}`).toBe("0 ");
    expect(fs.readFileSync(dir.file("disk")).equals(IMAGE)).toBe(true);
    expect(summaryOf(result)).toMatchObject({ bytesWritten: CHANGED.length * LEAF, blocksDiffering: CHANGED.length });
  },
);
