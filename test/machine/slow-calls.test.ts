/** System calls that take long keep neither signals nor the connection waiting. */
import { describe, expect } from "bun:test";
import fs from "node:fs";
import { BINARY, fakeSsh, run, start, until } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { testWith } from "../helpers/requirements.ts";
import { tempDir } from "../helpers/temp.ts";

/** Each of the calls on `path` begins so much later. */
function slowly(call: string, path: string, seconds: number): string[] {
  const inject = `inject=${call}:delay_enter=${seconds * 1e6}:when=1`;
  return ["strace", "-f", "-o", "/dev/null", "-P", path, "-e", `trace=${call}`, "-e", inject];
}

describe("a slow system call", () => {
  for (const call of ["lseek", "flock", "fadvise64"]) {
    testWith("strace")(`is no silence of the far side: ${call}`, async () => {
      using dir = tempDir();
      fs.writeFileSync(dir.file("s"), bytes(1, 100_000));
      fs.writeFileSync(dir.file("d"), bytes(2, 100_000));
      const script = `#!/bin/sh\nexec ${slowly(call, dir.file("d"), 8)
        .map((word) => JSON.stringify(word))
        .join(" ")} ${BINARY} "$@"\n`;
      fs.writeFileSync(dir.file("far"), script, { mode: 0o755 });
      const words = ["-q", "--timeout", "3", ...fakeSsh(dir.file("rsh")), "-S", dir.file("far")];
      expect(await run([...words, dir.file("s"), `h:${dir.file("d")}`])).toEqual({
        exitCode: 0,
        stdout: "",
        stderr: "",
      });
      expect(fs.readFileSync(dir.file("d")).equals(bytes(1, 100_000))).toBe(true);
    });
  }
});

testWith("strace")("Ctrl-C is heard while a system call is slow", async () => {
  using dir = tempDir();
  fs.writeFileSync(dir.file("s"), bytes(1, 100_000));
  fs.writeFileSync(dir.file("d"), bytes(2, 100_000));
  const begun = performance.now();
  const child = start(["-q", dir.file("s"), dir.file("d")], { argv0: slowly("flock", dir.file("d"), 10) });
  const childOf = () => fs.readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim();
  const opened = () => {
    try {
      const folder = `/proc/${childOf()}/fd`;
      return fs.readdirSync(folder).some((fd) => fs.readlinkSync(`${folder}/${fd}`) === dir.file("d"));
    } catch {
      return false;
    }
  };
  await until("it has the destination open", opened);
  // The lock of bytes comes right before.
  const inode = `:${fs.statSync(dir.file("d")).ino} `;
  await until("it is about to lock it", () => fs.readFileSync("/proc/locks", "utf8").includes(inode));
  const pid = childOf();
  process.kill(Number(pid), "SIGINT");
  for await (const chunk of child.stderr) {
    expect(new TextDecoder().decode(chunk)).toStartWith("blocksync: Interrupted\n");
    break;
  }
  expect(performance.now() - begun).toBeLessThan(9000);
  expect(await child.exited).toBe(130);
});
