/** Resting, and giving up. */
import { expect, test } from "bun:test";
import { join } from "node:path";

test("rest() for a time that is over already says nothing of it", async () => {
  const script = `import { rest } from "./src/sync/abort.ts"; await rest(-4008.5, new AbortController().signal);`;
  const child = Bun.spawn([process.execPath, "-e", script], {
    cwd: join(import.meta.dir, "../.."),
    stdout: "pipe",
    stderr: "pipe",
  });
  expect([await child.exited, await child.stderr.text()]).toEqual([0, ""]);
});
