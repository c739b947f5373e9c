/** Hash trees as they are made, read and proved, at the sizes where a level begins. */
import { describe, expect, test } from "bun:test";
import { saltedSha256, sha256 } from "../../src/local/work/hash.ts";
import { equalBytes } from "../../src/sync/blocks.ts";
import { TreeBuilder } from "../../src/tree/builder.ts";
import { HashTree, type TreeBytes } from "../../src/tree/hash-tree.ts";
import { treeSize } from "../../src/tree/layout.ts";
import { encodeSuperblock } from "../../src/tree/superblock.ts";

const LEAF = 4096;

/** Different for each leaf. */
function hashOf(leaf: number): Uint8Array {
  return sha256(Uint8Array.from(new Uint32Array([leaf])));
}

interface Made {
  readonly file: Buffer;
  readonly root: Uint8Array;
}

/** The dm-verity file over so many leaves. */
async function made(leaves: number): Promise<Made> {
  const file = Buffer.alloc(treeSize(leaves));
  const builder = new TreeBuilder(leaves, sha256, async (bytes, offset) => {
    expect(offset + bytes.length).toBeLessThanOrEqual(file.length);
    file.set(bytes, offset);
  });
  for (let leaf = 0; leaf < leaves; leaf++) {
    builder.add(hashOf(leaf));
    if (leaf % 1000 === 0) await builder.written();
  }
  const root = await builder.end();
  file.set(encodeSuperblock(leaves, root));
  return { file, root };
}

class Reading implements TreeBytes {
  readonly label = "image.verity";
  readonly #file: Uint8Array;
  count = 0;

  constructor(file: Uint8Array) {
    this.#file = file;
  }

  get sizeBytes(): number {
    return this.#file.length;
  }

  async read({ offset, length }: { readonly offset: number; readonly length: number }): Promise<Uint8Array> {
    expect(offset + length).toBeLessThanOrEqual(this.#file.length);
    this.count += length;
    return this.#file.slice(offset, offset + length);
  }
}

/** What opening it and reading all its hashes fails with; "" where it does not. */
async function problemOf(file: Uint8Array, root?: Uint8Array): Promise<string> {
  try {
    const tree = await HashTree.open(new Reading(file), root, saltedSha256);
    const hashes = await tree.hashes({ first: 0, count: tree.leaves });
    for (let leaf = 0; leaf < tree.leaves; leaf++)
      expect(equalBytes(hashes.subarray(leaf * 32, leaf * 32 + 32), hashOf(leaf))).toBe(true);
    return "";
  } catch (error) {
    if (error instanceof Error && "exitCode" in error) return `${error.exitCode} ${error.message}`;
    throw error;
  }
}

/** Sizes around those at which a level or a piece that is written together begins. */
const SIZES = [1, 2, 127, 128, 129, 2048, 2049, 8193, 128 * 128, 128 * 128 + 1];

describe("a tree that was made is read as it was made,", () => {
  for (const leaves of SIZES) {
    test(`over ${leaves} leaves`, async () => {
      const { file, root } = await made(leaves);
      expect(await problemOf(file, root)).toBe("");
      const index = file.subarray(file.length - Math.ceil(leaves / 128) * LEAF).subarray(0, leaves * 32);
      if (leaves === 1) return;
      expect(await problemOf(file)).toBe("");
      // The last level alone is an index of RAUC.
      expect(await problemOf(index)).toBe("");
      expect(await problemOf(index, root)).toBe("");
      expect(await problemOf(index, hashOf(7))).toContain(`its own is ${root.toHex()}`);
    });
  }
});

test("an index over a single leaf has the leaf's hash as its root", async () => {
  expect(await problemOf(hashOf(0), hashOf(0))).toBe("");
  expect(await problemOf(hashOf(0), hashOf(1))).toStartWith("7 ");
});

test("a tree over one leaf is worth nothing without its root", async () => {
  const { file } = await made(1);
  expect(await problemOf(file)).toStartWith("2 ");
});

test("the superblock of a tree is that of veritysetup, with a UUID of version 8 out of the root", () => {
  const block = Buffer.from(encodeSuperblock(16_385, new Uint8Array(32).fill(0xff)));
  expect(block.subarray(0, 16).toString("hex")).toBe("76657269747900000100000001000000");
  expect(block.subarray(16, 32).toString("hex")).toBe("ffffffffffff8fffbfffffffffffffff");
  expect(block.subarray(32, 64).toString("latin1")).toBe(`sha256${"\0".repeat(26)}`);
  expect(block.subarray(64, 96).toString("hex")).toBe(`00100000001000000140000000000000${"0".repeat(32)}`);
  expect(block.length).toBe(512);
});

describe("no bit of a tree that was changed is believed:", () => {
  test("under the root that was demanded, each makes the run fail with exit code 7, but those of the UUID", async () => {
    const { file, root } = await made(300);
    for (let at = 0; at < file.length; at += at < 512 ? 1 : 97) {
      const isUuid = at >= 16 && at < 32;
      const isUnread = at >= 512 && at < LEAF;
      const changed = Buffer.from(file);
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      const problem = await problemOf(changed, root);
      expect({ at, isCaught: problem.startsWith("7 ") }).toEqual({ at, isCaught: !isUuid && !isUnread });
    }
  });

  test("without one, the place is said", async () => {
    const { file, root } = await made(20_000);
    const changed = Buffer.from(file);
    const at = file.length - 2 * LEAF + 33;
    changed[at] = 1 - (changed[at] ?? 0);
    const said = `Cannot verify 4096 bytes at offset ${file.length - 2 * LEAF} of the hash tree "image.verity"`;
    expect(await problemOf(changed)).toStartWith(`7 ${said}: they are not what its root hash says`);
    expect(await problemOf(changed, root)).toStartWith(`7 ${said}`);
  });

  test("an index of RAUC that changes after its root was found is not believed", async () => {
    const { file, root } = await made(300_000);
    const index = Buffer.from(
      file.subarray(file.length - 300_000 * 32 - 32 * ((128 - (300_000 % 128)) % 128)).subarray(0, 300_000 * 32),
    );
    const tree = await HashTree.open(new Reading(index), root, saltedSha256);
    index.fill(0, 0, 32);
    // Long read over, so that it is read again.
    const first = tree.hashes({ first: 0, count: 1 }).then(
      () => "believed",
      (error: unknown) => String(error),
    );
    expect(await first).toContain("Cannot verify 4096 bytes at offset 0");
  });
});

test("what is no tree that can be used is said, whatever sizes it claims", async () => {
  const { file, root } = await made(300);
  const with32 = (at: number, value: number) => {
    const changed = Buffer.from(file);
    changed.writeUInt32LE(value, at);
    return changed;
  };
  const with64 = (at: number, value: bigint) => {
    const changed = Buffer.from(file);
    changed.writeBigUInt64LE(value, at);
    return changed;
  };
  // Of the first two blocks of hashes alone, under the same top.
  const cut = Buffer.concat([encodeSuperblock(256, root), file.subarray(512, file.length - LEAF)]);
  const cases: [Uint8Array, string][] = [
    [new Uint8Array(), "neither a dm-verity file nor an index of RAUC (0 bytes)"],
    [new Uint8Array(33), "neither a dm-verity file nor an index of RAUC (33 bytes)"],
    [with32(8, 2), "has version 2, not 1"],
    [with32(12, 0), "has hash type 0, not 1"],
    [with32(36, 0x3231_35), "was not made with SHA-256"],
    [with32(64, 512), "has blocks of 512 and 4096 bytes, not 4096"],
    [with32(68, 0xffff_ffff), "has blocks of 4096 and 4294967295 bytes, not 4096"],
    [with32(80, 257), "claims to have a salt of 257 bytes"],
    [with32(84, 1), "has something where its superblock is empty"],
    [with32(88, 1), "has something where its superblock is empty"],
    [with64(72, 0n), "claims to be over 0 blocks"],
    [with64(72, 2n ** 64n - 1n), `claims to be over ${2n ** 64n - 1n} blocks`],
    [with64(72, 2n ** 40n), `has ${file.length} bytes, and one over`],
    [with64(72, 301n), "is not over the 301 blocks that it claims"],
    [with64(72, 299n), "is not over the 299 blocks that it claims"],
    [cut, "is not over the 256 blocks that it claims"],
    [file.subarray(0, -1), `has ${file.length - 1} bytes, and one over 300 blocks has ${file.length}`],
    [Buffer.concat([file, Buffer.alloc(1)]), `has ${file.length + 1} bytes`],
  ];
  for (const [bytes, words] of cases) {
    const problem = await problemOf(bytes, root);
    expect(problem).toContain(`7 Cannot use "image.verity" as a hash tree: it `);
    expect(problem).toContain(words);
  }
});

test("hashes are read with what proves them alone, a little of a large tree", async () => {
  const { file, root } = await made(200_000);
  const reading = new Reading(file);
  const tree = await HashTree.open(reading, root, saltedSha256);
  await tree.hashes({ first: 150_000, count: 10 });
  expect(reading.count).toBeLessThan(600_000);
  await tree.hashes({ first: 150_000, count: 1000 });
  expect(reading.count).toBeLessThan(600_000);
});

test("a tree is given as many leaves as it is over, no more and no less", async () => {
  const builder = new TreeBuilder(2, sha256, async () => undefined);
  builder.add(hashOf(0));
  expect(() => builder.end()).toThrow("Leaves of the tree are missing");
  const full = new TreeBuilder(1, sha256, async () => undefined);
  full.add(hashOf(0));
  expect(() => full.add(hashOf(1))).toThrow("The tree has all its leaves");
});
