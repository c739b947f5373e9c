/** blocksync index, and what compare finds out by the tree that it wrote, or another program. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { BINARY, fakeSsh, type Result, run, summaryOf } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { attachLoop } from "../helpers/loop.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";
import { serveWeb } from "../helpers/web.ts";

const LEAF = 4096;

/** Writes a file; holes where there are zeros. */
function write(dir: TempDir, name: string, data: Uint8Array): string {
  const file = fs.openSync(dir.file(name), "w");
  fs.ftruncateSync(file, data.length);
  for (let at = 0; at < data.length; at += LEAF) {
    const leaf = data.subarray(at, at + LEAF);
    if (leaf.some((byte) => byte !== 0)) fs.writeSync(file, leaf, 0, leaf.length, at);
  }
  fs.closeSync(file);
  return dir.file(name);
}

/** Data, a hole of two levels' blocks, data again, of 300 leaves. */
function image(): Buffer {
  const data = bytes(7, 300 * LEAF);
  data.fill(0, 20 * LEAF, 290 * LEAF);
  return data;
}

function said({ exitCode, stdout, stderr }: Result): string {
  return `${exitCode} ${stdout}${stderr}`;
}

/** The root hash that index prints of an image. */
async function indexed(path: string, ...words: string[]): Promise<string> {
  const result = await run(["index", "-q", path, ...words]);
  expect(said(result)).toEndWith(`  ${path}\n`);
  const root = /^0 ([0-9a-f]{64}) {2}/.exec(said(result))?.[1] ?? "";
  expect(root).toHaveLength(64);
  return root;
}

testWith("veritysetup")(
  "index writes what veritysetup writes, byte for byte, and prints the same root hash",
  async () => {
    using dir = tempDir();
    for (const leaves of [1, 2, 129, 300]) {
      const path = write(dir, "image", image().subarray(0, leaves * LEAF));
      const root = await indexed(path);
      const own = fs.readFileSync(`${path}.verity`);
      const uuid = own.toString("hex", 16, 32).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
      const words = ["format", "--salt=-", `--uuid=${uuid}`, path, dir.file("theirs")];
      const theirs = Bun.spawnSync(["veritysetup", ...words], {
        env: { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin` },
      });
      expect(theirs.stdout.toString()).toContain(root);
      expect(own.equals(fs.readFileSync(dir.file("theirs")))).toBe(true);
      fs.rmSync(dir.file("theirs"));
    }
  },
);

testWith("veritysetup")(
  "a tree that veritysetup salts, as it does unasked, is a tree like any other, here, at a far side and at a URL",
  async () => {
    using dir = tempDir();
    const path = write(dir, "image", image());
    const { stdout } = Bun.spawnSync(["veritysetup", "format", path, `${path}.verity`], {
      env: { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin` },
    });
    const root = /Root hash:\s+([0-9a-f]{64})/.exec(stdout.toString())?.[1] ?? "";
    expect(/Salt:\s+([0-9a-f]{64})/.exec(stdout.toString())?.[1]).toHaveLength(64);
    const tree = ["--tree", `${path}.verity`, "--root-hash", root];
    expect(said(await run(["compare", "-q", ...tree, path]))).toBe("0 ");
    const rotten = write(dir, "rotten", changeLeaves(image(), [2]));
    expect(said(await run(["compare", "-q", ...tree, rotten]))).toBe("1 8192 4096\n");
    const far = [...fakeSsh(dir.file("rsh")), "-S", BINARY];
    expect(said(await run(["compare", "-q", ...far, ...tree, `h:${rotten}`]))).toBe("1 8192 4096\n");
    await using web = serveWeb();
    for (const name of ["image", "image.verity"]) web.files.set(`/${name}`, fs.readFileSync(dir.file(name)));
    for (const road of ["here", "far"] as const) {
      fs.copyFileSync(rotten, dir.file("to"));
      const to = road === "far" ? `h:${dir.file("to")}` : dir.file("to");
      const words = ["-f", "--json", "--progress", "none", "-w", "2", ...(road === "far" ? far : [])];
      const result = await run([...words, "--root-hash", root, `${web.origin}/image`, to]);
      expect(result.exitCode).toBe(0);
      expect(summaryOf(result)).toMatchObject({ bytesWritten: LEAF, sourceAuthenticated: true });
      expect(fs.readFileSync(dir.file("to")).equals(image())).toBe(true);
    }
    // The salt is a part of what is proved.
    const changed = fs.readFileSync(`${path}.verity`);
    changed[90] = (changed[90] ?? 0) ^ 1;
    write(dir, "changed", changed);
    const wrong = await run(["compare", "-q", "--tree", dir.file("changed"), "--root-hash", root, path]);
    expect(wrong.stderr).toContain("does not have the root hash that was demanded");
    expect(wrong.exitCode).toBe(7);
    // Nor is one written over by index, which salts nothing.
    const index = await run(["index", path]);
    expect(index.stderr).toContain("it exists and is no hash tree that blocksync writes (no-tree)");
  },
);

describe("index", () => {
  test("puts a whole tree in the place of one, without a trace of what went before, and says so", async () => {
    using dir = tempDir();
    const path = write(dir, "image", image());
    const first = await indexed(path);
    fs.chmodSync(`${path}.verity`, 0o640);
    write(dir, "image", changeLeaves(image(), [3]));
    const second = await run(["index", path]);
    expect(second.stdout).toMatch(/^[0-9a-f]{64} {2}/);
    expect(second.stdout).not.toContain(first);
    expect(second.stderr).toBe(`"${path}.verity" has the hash tree (20.0 KiB); its root hash:\n`);
    expect(fs.readdirSync(dir.path).toSorted()).toEqual(["image", "image.verity"]);
    expect(fs.statSync(`${path}.verity`).mode & 0o777).toBe(0o640);
    const read = fs.readFileSync(`${path}.verity`);
    expect(read.length).toBe(5 * LEAF);
    expect(Bun.SHA256.hash(read.subarray(LEAF, 2 * LEAF), "hex")).toBe(second.stdout.slice(0, 64));
  });

  test("refuses what a tree cannot cover, and what it would overwrite, and leaves everything as it was", async () => {
    using dir = tempDir();
    const path = write(dir, "image", image());
    const odd = write(dir, "odd", image().subarray(0, 3 * LEAF + 512));
    const empty = write(dir, "empty", new Uint8Array());
    const other = write(dir, "other", bytes(1, LEAF));
    const salted = Buffer.alloc(LEAF);
    salted.set(Buffer.from("verity\0\0\x01\0\0\0\x01", "latin1"));
    const salt = write(dir, "salt", salted);
    fs.mkdirSync(dir.file("folder"));
    fs.symlinkSync(dir.file("nothing"), dir.file("link"));
    const names = fs.readdirSync(dir.path).toSorted();
    const cases: [string[], string][] = [
      [[odd], `3 blocksync: Refused to index "${odd}": its 12800 bytes are no multiple of 4096 (odd-size)\n`],
      [[empty], `3 blocksync: Refused to index "${empty}": it is empty (odd-size)\n`],
      [
        [path, "--tree", other],
        `3 blocksync: Refused to write to "${other}": it exists and is no hash tree that blocksync writes (no-tree)\n`,
      ],
      [[path, "--tree", salt], `3 blocksync: Refused to write to "${salt}": it exists and is no`],
      [
        [path, "--tree", dir.file("link")],
        `3 blocksync: Refused to write to "${dir.file("link")}": it is a symbolic link to`,
      ],
      [[path, "--tree", path], `2 blocksync: The hash tree "${path}" is the image itself\n`],
      [
        [path, "--tree", dir.file("folder")],
        `2 blocksync: The hash tree "${dir.file("folder")}" is not a regular file\n`,
      ],
      [
        [path, "--tree", "/dev/new.verity"],
        '2 blocksync: The hash tree "/dev/new.verity" does not exist, and blocksync creates nothing under /dev\n',
      ],
      [[path, "--tree", dir.file("no/tree")], "4 blocksync: Cannot use the hash tree"],
      [[dir.file("missing")], `4 blocksync: Cannot open "${dir.file("missing")}": no such file or directory\n`],
      [["host:image"], '2 blocksync: Cannot index "host:image": it is on another host\n'],
      [[], "2 blocksync: index needs an image\n"],
      [[path, "b"], '2 blocksync: Too many arguments: "b"\n'],
    ];
    for (const [words, expected] of cases) expect(said(await run(["index", ...words]))).toStartWith(expected);
    expect(fs.readdirSync(dir.path).toSorted()).toEqual(names);
    expect(fs.readFileSync(other).equals(bytes(1, LEAF))).toBe(true);
  });

  test("leaves the old tree and nothing else when the new one does not fit, and says why", async () => {
    using dir = tempDir();
    const path = write(dir, "image", image());
    const before = `${await indexed(path)}`;
    const old = fs.readFileSync(`${path}.verity`);
    write(dir, "image", changeLeaves(image(), [3]));
    const result = await run(["index", path], { argv0: ["bash", "-c", 'ulimit -f 8; exec "$@"', "bash"] });
    const why = "the file size limit (ulimit -f) does not allow it";
    expect(said(result)).toStartWith(`4 blocksync: Cannot write the hash tree "${path}.verity": ${why}\n`);
    expect(before).toHaveLength(64);
    expect(fs.readFileSync(`${path}.verity`).equals(old)).toBe(true);
    expect(fs.readdirSync(dir.path).toSorted()).toEqual(["image", "image.verity"]);
  });
});

describe("compare --tree", () => {
  test("finds every leaf that rotted, here and on another host, and nothing in what is as it was", async () => {
    using dir = tempDir();
    const path = write(dir, "image", image());
    const root = await indexed(path, "--tree", dir.file("tree"));
    const words = ["compare", "-q", "--tree", dir.file("tree"), "--root-hash", root.toUpperCase()];
    expect(said(await run([...words, path]))).toBe("0 ");
    fs.writeFileSync(path, changeLeaves(image(), [0, 19, 20, 299]));
    const found = `1 0 ${LEAF}\n${19 * LEAF} ${2 * LEAF}\n${299 * LEAF} ${LEAF}\n`;
    expect(said(await run([...words, path]))).toBe(found);
    const far = [...fakeSsh(dir.file("fake-ssh")), "-S", BINARY];
    const result = await run([...words, ...far, "--json", `host:${path}`]);
    expect({ ...summaryOf(result), elapsedMs: 0 }).toMatchObject({
      blocksDiffering: 4,
      blocksMatching: 296,
      blocksZero: 269,
    });
    expect(result.stdout.match(/"offset":\d+,"length":\d+/g)).toEqual([
      `"offset":0,"length":${LEAF}`,
      `"offset":${19 * LEAF},"length":${2 * LEAF}`,
      `"offset":${299 * LEAF},"length":${LEAF}`,
    ]);
  });

  test("tells what is missing or more at the end of a file, and lets a device be larger", async () => {
    using dir = tempDir();
    const path = write(dir, "image", image());
    await indexed(path);
    const words = ["compare", "-q", "--tree", `${path}.verity`, path];
    fs.truncateSync(path, 301 * LEAF);
    expect(said(await run(words))).toBe(`1 ${300 * LEAF} ${LEAF}\n`);
    fs.truncateSync(path, 299 * LEAF);
    expect(said(await run(words))).toBe(`1 ${299 * LEAF} ${LEAF}\n`);
  });

  testWith("loop")("compares a device up to the end of its tree", async () => {
    using dir = tempDir();
    await indexed(write(dir, "image", image()));
    using loop = attachLoop(write(dir, "disk", Buffer.concat([image(), bytes(2, 20 * LEAF)])));
    const result = await run(["compare", "--tree", dir.file("image.verity"), loop.path]);
    expect(said(result)).toStartWith("0 ");
    expect(result.stderr).toContain(`"${loop.path}" is 80.0 KiB larger; what lies beyond was not compared\n`);
  });

  test("believes no tree that is damaged, has another root, or is none", async () => {
    using dir = tempDir();
    const path = write(dir, "image", image());
    const root = await indexed(path);
    const tree = `${path}.verity`;
    const other = root.replace(/^./, (digit) => (digit === "0" ? "1" : "0"));
    const compare = async (...words: string[]) => said(await run(["compare", "-q", "--tree", ...words]));
    expect(await compare(tree, "--root-hash", other, path)).toStartWith(
      `7 blocksync: The hash tree "${tree}" does not have the root hash that was demanded: its own is ${root}\n`,
    );
    const damaged = fs.readFileSync(tree);
    damaged[2 * LEAF + 5] = (damaged[2 * LEAF + 5] ?? 0) ^ 1;
    fs.writeFileSync(tree, damaged);
    expect(await compare(tree, path)).toStartWith(
      `7 blocksync: Cannot verify 4096 bytes at offset 8192 of the hash tree "${tree}": they are not what its root hash says\n`,
    );
    // Its size could be that of an index of RAUC, over 150 MiB.
    expect(await compare(path, path)).toStartWith(
      `7 blocksync: Cannot use "${path}" as a hash tree: it is an index of RAUC over 157286400 bytes, and the image has 1228800\n`,
    );
    expect(await compare(tree, "--root-hash", "12", path)).toStartWith(
      '2 blocksync: --root-hash "12" is not 64 hexadecimal digits\n',
    );
    expect(await compare(tree, "--hash", "md5", path)).toStartWith("2 blocksync: Only sha256 goes with a hash tree\n");
    expect(await compare(tree, "-b", "64K", path)).toStartWith(
      "2 blocksync: --block-size does not go with a hash tree",
    );
    expect(await compare(tree, path, path)).toStartWith("2 blocksync: With --tree compare needs one image\n");
    expect(said(await run(["compare", "--root-hash", root, path, path]))).toStartWith(
      "2 blocksync: --root-hash needs a hash tree\n",
    );
  });
});
