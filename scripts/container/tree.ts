/** What an image is built from: a folder with the Containerfile and, in root, the program and its libraries. */
import fs from "node:fs";
import { dirname, join } from "node:path";
import { copyInto, librariesOf } from "./libraries.ts";

const PROGRAM = "/usr/local/bin/blocksync";

/** The library that the program unpacks and loads for --hash xxh128, as it is installed for this machine. */
function addons(): string[] {
  const scope = join(import.meta.dir, "../../node_modules/@node-rs");
  const names = fs.readdirSync(scope).filter((name) => name.startsWith(`xxhash-linux-${process.arch}-`));
  return names.map((name) => join(scope, name, `${name.replace(/^xxhash-/, "xxhash.")}.node`));
}

/** Fills `folder` anew. @throws {Error} when a library is not on this machine. */
export function makeTree(binary: string, folder: string): void {
  fs.rmSync(folder, { recursive: true, force: true });
  const root = join(folder, "root");
  fs.mkdirSync(join(root, dirname(PROGRAM)), { recursive: true });
  fs.copyFileSync(binary, join(root, PROGRAM));
  fs.chmodSync(join(root, PROGRAM), 0o755);
  copyInto(root, librariesOf([binary, ...addons()]));
  // Where the program unpacks that library.
  fs.mkdirSync(join(root, "tmp"));
  fs.chmodSync(join(root, "tmp"), 0o1777);
  fs.copyFileSync(join(import.meta.dir, "Containerfile"), join(folder, "Containerfile"));
}
