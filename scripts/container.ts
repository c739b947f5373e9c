/**
 * `make container`: builds an image from nothing but dist/blocksync and the libraries it needs, with what there is of
 * buildah, podman and docker. IMAGE is its name (blocksync), BUILDER the one to use. Nothing is pulled.
 */
import { join } from "node:path";
import { makeTree } from "./container/tree.ts";

const BUILDERS = ["buildah", "podman", "docker"];

const root = join(import.meta.dir, "..");
const folder = join(root, "dist/container");

/** The builder's words; it is told which file, since docker looks for another name. */
export function buildWords(builder: string, image: string, context: string): string[] {
  return [builder, "build", "-t", image, "-f", join(context, "Containerfile"), context];
}

async function main(): Promise<number> {
  makeTree(join(root, "dist/blocksync"), folder);
  const image = process.env["IMAGE"] || "blocksync";
  const wanted = process.env["BUILDER"];
  const builder = wanted || BUILDERS.find((name) => Bun.which(name) !== null);
  if (builder === undefined) {
    process.stderr.write(
      `The image's contents are in ${folder}; to build it, install one of ${BUILDERS.join(", ")} and run this again\n`,
    );
    return 1;
  }
  const child = Bun.spawn(buildWords(builder, image, folder), {
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
  });
  return await child.exited;
}

if (import.meta.main) process.exit(await main());
