/** What the command line says of the hash tree of an image, and of an image at a web server. */
import { UsageError } from "../errors.ts";
import { quote } from "../name.ts";
import type { Location, WebImage } from "../run/location.ts";
import type { CommonOptions } from "../run/options.ts";
import { readText } from "../run/read-text.ts";
import { DEFAULT_BLOCK_SIZE, LEAF_SIZE } from "../sync/blocks.ts";
import { TREE_HASH } from "../tree/endpoint.ts";
import { HASH_SIZE } from "../tree/layout.ts";
import { type Header, isAddress, parseAddress, parseHeaders } from "../web/address.ts";
import { text, type Values } from "./options.ts";

/** The root hash that is demanded. @throws {UsageError} */
function rootHash(values: Values): Uint8Array | undefined {
  const given = text(values, "root-hash");
  if (given === undefined) return undefined;
  if (given.length === 2 * HASH_SIZE && /^[0-9a-f]+$/i.test(given)) return Uint8Array.fromHex(given);
  throw new UsageError(`--root-hash ${quote(given)} is not ${2 * HASH_SIZE} hexadecimal digits`, {
    hint: "blocksync index prints it, and so does veritysetup format",
  });
}

/** @throws {UsageError} where a tree is compared by something else than it has. */
function checkTreeOptions({ blockSize, hash, additionalHash }: CommonOptions): void {
  if (blockSize !== DEFAULT_BLOCK_SIZE && blockSize !== LEAF_SIZE)
    throw new UsageError("--block-size does not go with a hash tree, whose blocks have 4K", { hint: "leave it out" });
  if ((hash !== "auto" && hash !== TREE_HASH) || additionalHash !== undefined)
    throw new UsageError(`Only ${TREE_HASH} goes with a hash tree`, { hint: "leave out --hash and --additional-hash" });
}

/** The hash tree in a file, which stands for an image. @throws {UsageError} */
export function treeLocation(tree: string, values: Values, options: CommonOptions): Location {
  checkTreeOptions(options);
  if (isAddress(tree))
    throw new UsageError("compare reads a hash tree from a file, or beside an image at a web server", {
      hint: "blocksync compare https://SERVER/IMAGE FILE, without --tree where the tree lies beside the image",
    });
  for (const name of WEB_OPTIONS) if (text(values, name) !== undefined) throw onlyForUrl(name);
  return { remote: undefined, path: tree, label: tree, tree: { root: rootHash(values) } };
}

const WEB_OPTIONS = ["header", "cacert"] as const;

function onlyForUrl(name: string): UsageError {
  return new UsageError(`--${name} is for a source at a web server`, { hint: "such as https://SERVER/IMAGE" });
}

/** @throws {UsageError} for what only a source at a web server has. */
export function refuseWebOptions(values: Values): void {
  for (const name of ["tree", "root-hash", ...WEB_OPTIONS])
    if (text(values, name) !== undefined) throw onlyForUrl(name);
}

/** Bytes of a file with headers or certificates. */
const MAX_TEXT = 1 << 20;

/** An image at a web server. @throws {UsageError} {IoError} for a file that cannot be read. */
export function webLocation(word: string, values: Values, options: CommonOptions): Location {
  checkTreeOptions(options);
  const address = parseAddress(word);
  const tree = text(values, "tree");
  const cacert = text(values, "cacert");
  const web: WebImage = {
    address,
    tree: tree !== undefined && isAddress(tree) ? parseAddress(tree) : tree,
    headers: headers(text(values, "header")),
    ca:
      cacert === undefined
        ? undefined
        : readText(cacert, `file with the certificates of --cacert ${quote(cacert)}`, MAX_TEXT),
  };
  return { remote: undefined, path: address.label, label: address.label, tree: { root: rootHash(values), web } };
}

function headers(given: string | undefined): Header[] {
  if (given === undefined) return [];
  if (!given.startsWith("@")) return parseHeaders(given);
  const path = given.slice(1);
  return parseHeaders(readText(path, `file with the headers of --header ${quote(path)}`, MAX_TEXT));
}
