/** The shared libraries that programs need, found as the loader finds them, without running anything. */
import fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { readElf } from "../elf.ts";

/** Where the loader of any distribution looks besides its own directory (ld.so(8)); Debian adds one of the machine's name. */
const MACHINE = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
const DIRECTORIES = [`/lib/${MACHINE}`, `/usr/lib/${MACHINE}`, "/lib64", "/usr/lib64", "/lib", "/usr/lib"];

/**
 * Paths of the loader and of all libraries that `files` and their libraries need, each once, as the loader would name
 * them: a path may be a link.
 * @throws {Error} when one is not on this machine.
 */
export function librariesOf(files: readonly string[]): string[] {
  const found = new Map<string, string>();
  const queue = [...files];
  for (const file of queue) {
    const { interpreter, needed } = readElf(fs.readFileSync(file));
    if (interpreter !== undefined) found.set(basename(interpreter), interpreter);
    for (const name of needed) {
      if (found.has(name)) continue;
      const path = [...DIRECTORIES, dirname(file)].map((one) => join(one, name)).find((one) => fs.existsSync(one));
      if (path === undefined) throw new Error(`${file} needs ${name}, which is not on this machine`);
      found.set(name, path);
      queue.push(path);
    }
  }
  return [...found.values()];
}

/** Copies each of `paths` to the same place below `root`, links as what they lead to. */
export function copyInto(root: string, paths: readonly string[]): void {
  for (const path of paths) {
    fs.mkdirSync(join(root, dirname(path)), { recursive: true });
    fs.copyFileSync(path, join(root, path));
    fs.chmodSync(join(root, path), 0o755);
  }
}
