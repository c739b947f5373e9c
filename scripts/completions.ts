/**
 * Writes to dist/completions what bash, zsh and fish need to complete a command line: `bun scripts/completions.ts`.
 * Offered are commands, options in their first spelling, the words that an option knows, and files; what hosts there
 * are is left to each shell.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bashCompletion } from "./completions/bash.ts";
import { fishCompletion } from "./completions/fish.ts";
import { zshCompletion } from "./completions/zsh.ts";

const directory = join(import.meta.dir, "../dist/completions");
mkdirSync(directory, { recursive: true });
// Each under the name by which its shell finds it.
writeFileSync(join(directory, "blocksync.bash"), bashCompletion());
writeFileSync(join(directory, "_blocksync"), zshCompletion());
writeFileSync(join(directory, "blocksync.fish"), fishCompletion());
