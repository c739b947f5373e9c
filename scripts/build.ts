/** Compiles dist/blocksync for this machine: `bun scripts/build.ts`. */
import fs from "node:fs";
import { join } from "node:path";
import { compile, targetOfBun } from "./compile.ts";

const root = join(import.meta.dir, "..");
fs.mkdirSync(join(root, "dist"), { recursive: true });
const bun = process.execPath;
await compile(targetOfBun(bun), bun, join(root, "node_modules"), join(root, "dist/blocksync"));
