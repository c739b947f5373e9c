/** Opens what a hash tree stands for: the tree in a file alone, or an image at a web server with the tree beside it. */
import { UsageError, VerificationError } from "../errors.ts";
import { quote } from "../name.ts";
import { TreeEndpoint, type TreeOptions, type TreeSource } from "../tree/endpoint.ts";
import { openTreeFile } from "../tree/file.ts";
import type { TreeBytes } from "../tree/hash-tree.ts";
import { type Address, beside } from "../web/address.ts";
import { WebObject } from "../web/object.ts";
import { RangesOfOne } from "../web/once.ts";
import { JoinedRanges } from "../web/ranges.ts";
import type { WebOptions } from "../web/request.ts";
import type { TreeOrigin, WebImage } from "./location.ts";

/** What is appended to the name of an image: cryptsetup's custom, and RAUC's. */
const ENDINGS = [".verity", ".block-hash-index"] as const;
/** A tree that comes only as a whole is kept in memory: of an image of 8 GiB. */
const MAX_WHOLE_TREE = 72 << 20;

export interface OpenedTree {
  readonly endpoint: TreeEndpoint;
  /** From the web, tree and image. */
  bytesFetched(): number;
}

/**
 * The image alone, where nothing was said of a tree, none is found, and the image may be `readOnce`.
 * @throws {UsageError} where there is no tree. {Failure}
 */
export async function openTree(
  path: string,
  { root, web }: TreeOrigin,
  options: Omit<TreeOptions, "root"> & Omit<WebOptions, "headers" | "ca"> & { readonly readOnce: boolean },
  onNotice: (text: string) => void,
): Promise<OpenedTree | WebObject> {
  if (web === undefined)
    return { endpoint: await TreeEndpoint.open(await openTreeFile(path), { ...options, root }), bytesFetched: () => 0 };
  const webOptions = { ...options, headers: web.headers, ca: web.ca };
  const image = await WebObject.find(web.address, webOptions);
  if (image === undefined)
    throw new UsageError(`There is nothing at ${quote(web.address.label)}: the server answered 404`, {
      hint: "check the address",
    });
  const objects = [image];
  const tree = await openBytes(web, webOptions, objects);
  if (tree === undefined) {
    if (options.readOnce && root === undefined && web.tree === undefined) return image;
    throw noTreeOf(web);
  }
  if (!image.ranged) onNotice(`The server of ${quote(image.label)} gives no ranges, so all of it is fetched`);
  const once = image.ranged
    ? undefined
    : new RangesOfOne((offset) => image.pieces({ offset, length: image.sizeBytes - offset }));
  const ranges = once ?? new JoinedRanges((range) => image.read(range));
  const source: TreeSource = {
    ...tree,
    label: image.label,
    identity: "",
    image: { sizeBytes: image.sizeBytes, read: (range) => ranges.read(range) },
    close: async () => {
      await once?.close();
      await tree.close();
    },
  };
  return {
    endpoint: await TreeEndpoint.open(source, { ...options, root }),
    bytesFetched: () => objects.reduce((sum, { bytesFetched }) => sum + bytesFetched, 0),
  };
}

type TreeOfWeb = Pick<TreeSource, "bytes" | "bytesRead" | "confirmUnchanged" | "close">;

/** The tree where the user says, or beside the image; what is asked of the web is added to `objects`. */
async function openBytes(image: WebImage, options: WebOptions, objects: WebObject[]): Promise<TreeOfWeb | undefined> {
  const { tree } = image;
  if (typeof tree === "string") return await openTreeFile(tree);
  for (const place of placesOf(image)) {
    const object = await WebObject.find(place, options);
    if (object === undefined) continue;
    objects.push(object);
    return {
      bytes: await bytesOf(object),
      bytesRead: () => 0,
      confirmUnchanged: async () => undefined,
      close: async () => undefined,
    };
  }
  return undefined;
}

function placesOf({ address, tree }: WebImage): Address[] {
  return tree === undefined || typeof tree === "string" ? ENDINGS.map((ending) => beside(address, ending)) : [tree];
}

function noTreeOf(image: WebImage): UsageError {
  const { address } = image;
  const names = placesOf(image).map(({ label }) => quote(label));
  const where = names.length > 1 ? `neither ${names.join(" nor ")} is there` : `nothing is at ${names[0]}`;
  return new UsageError(`There is no hash tree for ${quote(address.label)}: ${where}`, {
    hint: "make one with blocksync index and put it beside the image, or name it with --tree",
  });
}

/** @throws {VerificationError} for a tree that is too long to come as a whole. */
async function bytesOf(object: WebObject): Promise<TreeBytes> {
  if (object.ranged) return object;
  const { label, sizeBytes } = object;
  if (sizeBytes > MAX_WHOLE_TREE)
    throw new VerificationError(
      `Cannot use ${quote(label)} as a hash tree: it has ${sizeBytes} bytes, and its server gives no ranges`,
      {
        hint: "download it, and name the file with --tree",
      },
    );
  const whole = await object.read({ offset: 0, length: sizeBytes });
  return { label, sizeBytes, read: ({ offset, length }) => Promise.resolve(whole.slice(offset, offset + length)) };
}
