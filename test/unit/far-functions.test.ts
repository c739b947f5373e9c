/** The functions that run in the far shell, in every shell that is here. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { FAR_FUNCTIONS } from "../../src/remote/host/bootstrap.ts";
import { tempDir } from "../helpers/temp.ts";

test("enter takes a directory of ours that nobody else may write to, and nothing else", () => {
  const shells = ["sh", "bash", "dash", "zsh"].filter((shell) => Bun.which(shell) !== null);
  expect(shells).toContain("sh");
  using dir = tempDir();
  fs.mkdirSync(dir.file("d"));
  fs.writeFileSync(dir.file("file"), "");
  for (const shell of shells) {
    const enters = (name: string) =>
      Bun.spawnSync([shell, "-c", `${FAR_FUNCTIONS.join("; ")}; enter "$1"`, shell, dir.file(name)]).exitCode === 0;
    for (const [mode, right] of [
      [0o700, true],
      [0o755, true],
      [0o775, false],
      [0o757, false],
      [0o777, false],
      [0o1777, false],
    ] as const) {
      fs.chmodSync(dir.file("d"), mode);
      expect([shell, mode, enters("d")]).toEqual([shell, mode, right]);
    }
    expect([shell, enters("none"), enters("file")]).toEqual([shell, false, false]);
  }
});
