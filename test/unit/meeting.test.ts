/** Where waiting runs are met, while others begin and end. */
import { expect, test } from "bun:test";
import { dirname } from "node:path";
import { askToYield, meetingFolder } from "../../src/remote/meeting.ts";
import { tempDir } from "../helpers/temp.ts";

const CALLS = 3000;

test("a folder that another run removes, or makes, meanwhile is no trouble for who looks for runs there, or wants to be met there", async () => {
  using dir = tempDir();
  const folder = dir.file(".cache/blocksync/sessions");
  const script = `const fs = require("node:fs"); fs.mkdirSync(${JSON.stringify(dirname(folder))}, { recursive: true, mode: 0o700 });
    for (;;) { try { fs.mkdirSync(${JSON.stringify(folder)}, { mode: 0o700 }); } catch {} try { fs.rmdirSync(${JSON.stringify(folder)}); } catch {} }`;
  const others = Bun.spawn([process.execPath, "-e", script], { stdout: "ignore", stderr: "ignore" });
  try {
    for (let call = 0; call < CALLS; call++) {
      await askToYield(dir.path, "a boot 1:2");
      const found = await meetingFolder(dir.path);
      expect(found).toBeDefined();
      found?.[Symbol.dispose]();
    }
  } finally {
    others.kill();
    await others.exited;
  }
});
