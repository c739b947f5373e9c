/** Bugs of hash trees, and of what is fetched by them. */
import type { Mutant } from "./mutant.ts";

export const TREE: readonly Mutant[] = [
  {
    bug: "the blocks are hashed without the tree's salt",
    file: "tree/endpoint.ts",
    from: "return salt.length === 0 ? {} : { salt };",
    to: "return salt.length === 0 || salt.length > 0 ? {} : { salt };",
    tests: ["program/hash-tree.test.ts: a tree that veritysetup salts"],
  },
  {
    bug: "the other side does not wait for what a tree is salted with",
    file: "run/hash-agreement.ts",
    from: "if (!isSalted) this.#salt",
    to: "this.#salt",
    tests: ["program/hash-tree.test.ts: a tree that veritysetup salts"],
  },
  {
    bug: "a leaf that was fetched is not proved",
    file: "tree/endpoint.ts",
    from: "if (!equalBytes(digest, hashes.subarray(leaf * HASH_SIZE, (leaf + 1) * HASH_SIZE)))",
    to: "if (digest.length === 0)",
    tests: ["program/web.test.ts: another byte in the image"],
  },
  {
    bug: "a block of hashes is not proved",
    file: "tree/hash-tree.ts",
    from: "if (wanted !== undefined && !equalBytes(",
    to: "if (wanted === chunk && !equalBytes(",
    tests: ["unit/hash-tree.test.ts"],
  },
  {
    bug: "the root that was demanded is not looked at",
    file: "tree/hash-tree.ts",
    from: "if (root !== undefined && !equalBytes(own, root)) throw otherRoot(label, own);",
    to: "",
    tests: ["unit/hash-tree.test.ts", "program/hash-tree.test.ts: believes no tree"],
  },
  {
    bug: "where a level ends is not checked",
    file: "tree/hash-tree.ts",
    from: "    this.#checkEnd(height, chunk, start);\n",
    to: "",
    tests: ["unit/hash-tree.test.ts: what is no tree that can be used"],
  },
  {
    bug: "an answer about another range is taken",
    file: "web/object.ts",
    from: "if (found?.range.offset !== range.offset || found.range.length !== range.length)",
    to: "if (found === undefined)",
    tests: ["program/web.test.ts: another range than asked for"],
  },
  {
    bug: "an image that was replaced is fetched on",
    file: "web/object.ts",
    from: "isOther(this.#state.etag, now.etag) ||",
    to: "",
    tests: ["program/web.test.ts: an image that was replaced"],
  },
  {
    bug: "headers go along to wherever a redirect leads",
    file: "web/request.ts",
    from: "url.origin === this.address.url.origin ? this.options.headers : []",
    to: "this.options.headers",
    tests: ["program/web.test.ts: asks the first address again"],
  },
  {
    bug: "what broke off is fetched from its beginning",
    file: "web/object.ts",
    from: "{ offset: range.offset + done, length: range.length - done }",
    to: "range",
    tests: ["unit/web.test.ts: is gone on with where it broke off"],
  },
];
