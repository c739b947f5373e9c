/** The command line's one look at the disk: whether a word is the name of something. */

import fs from "node:fs";
import { bytesOf } from "../name.ts";

export function exists(path: string): boolean {
  return fs.existsSync(bytesOf(path));
}
