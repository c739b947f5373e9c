/** What a build is called: a digest of its sources. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** A digest of all that goes into the program, so that two builds are equal exactly when their sources are. */
export function buildId(): string {
  const hasher = new Bun.CryptoHasher("sha256");
  for (const path of [...filesBelow(join(root, "src")), join(root, "package.json"), join(root, "bun.lock")]) {
    hasher.update(`${path.slice(root.length)}\0${statSync(path).size}\0`);
    hasher.update(readFileSync(path));
  }
  return hasher.digest("hex").slice(0, 12);
}
