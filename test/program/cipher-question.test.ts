/** How ssh is asked which cipher it would use, and what is remembered of a host. A stand-in for ssh runs the command here. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { hasAes } from "../../src/local/kernel/processor.ts";
import { BINARY, processesWith, run, until } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

/** Files to copy, and an ssh in a folder of PATH that answers -G with `answer`, words of a shell script. */
function prepare(dir: TempDir, answer: string): Record<string, string> {
  fs.writeFileSync(dir.file("s"), bytes(31, 100_000));
  fs.mkdirSync(dir.file("bin"));
  fs.mkdirSync(dir.file("home"), { mode: 0o700 });
  const script = `#!/bin/sh
case " $* " in *" -G "*) ${answer}; exit;; esac
echo "$*" >>"${dir.file("ssh.log")}"
while [ $# -gt 1 ]; do shift; done
exec sh -c "$1"
`;
  fs.writeFileSync(dir.file("bin/ssh"), script, { mode: 0o755 });
  return { HOME: dir.file("home"), PATH: `${dir.file("bin")}:${process.env["PATH"]}` };
}

/** Copies the file, and returns what -v says of the cipher. */
async function copy(dir: TempDir, env: Record<string, string>): Promise<string> {
  const result = await run(["--remote-path", BINARY, "-v", dir.file("s"), `h:${dir.file("d")}`], { env });
  expect({ exitCode: result.exitCode, stderr: result.exitCode === 0 ? "" : result.stderr }).toEqual({
    exitCode: 0,
    stderr: "",
  });
  expect(fs.readFileSync(dir.file("d")).equals(bytes(31, 100_000))).toBe(true);
  return /The order of ciphers.*|ssh is told.*/.exec(result.stderr)?.[0] ?? "";
}

const UNTOLD = "The order of ciphers stays ssh's own: ssh -G does not tell it";
const PREFERRED = "ssh is told to prefer aes128-gcm@openssh.com, the fastest with AES instructions";
const ANSWER = 'echo "ciphers chacha20-poly1305@openssh.com,aes128-gcm@openssh.com"';

test.if(hasAes())("an ssh that does not answer, or without end, or with a failure, is used as it is", async () => {
  for (const answer of [
    "exit 255",
    "echo ciphers",
    "echo nonsense",
    "yes ciphers aes128-gcm@openssh.com,x",
    "kill -9 $$",
  ]) {
    using dir = tempDir();
    expect({ answer, why: await copy(dir, prepare(dir, answer)) }).toEqual({ answer, why: UNTOLD });
  }
});

test.if(hasAes())("what ssh -G has started is not waited for, and ends with it", async () => {
  using dir = tempDir();
  const env = prepare(dir, `sleep 3600.${process.pid}; ${ANSWER}`);
  expect(await copy(dir, env)).toBe(UNTOLD);
  await until("what it started has ended", () => processesWith(`3600.${process.pid}`).length === 0);
});

test.if(hasAes())("ssh -G has no terminal to ask on, and is asked once for all lanes", async () => {
  using dir = tempDir();
  const env = prepare(dir, `echo "$* $( (: </dev/tty) 2>/dev/null && echo tty)" >>"${dir.file("G.log")}"; ${ANSWER}`);
  fs.truncateSync(dir.file("s"), 4 << 20);
  const result = await run(["--remote-path", BINARY, "-w", "3", "-l", "0", dir.file("s"), `h:${dir.file("d")}`], {
    env,
  });
  expect(result.exitCode).toBe(0);
  expect(fs.readFileSync(dir.file("G.log"), "utf8").split("\n").toSorted()).toEqual(["", "-G -F none h ", "-G h "]);
  const ciphers = [...fs.readFileSync(dir.file("ssh.log"), "utf8").matchAll(/Ciphers=\S+/g)].map(([word]) => word);
  const expected = "Ciphers=aes128-gcm@openssh.com,chacha20-poly1305@openssh.com";
  expect(ciphers).toEqual([expected, expected, expected]);
});

test.if(hasAes())("a home that cannot be looked at, or written to, is no reason to fail", async () => {
  using dir = tempDir();
  const env = prepare(dir, ANSWER);
  fs.symlinkSync("loop", dir.file("loop"));
  for (const home of [dir.file("loop"), "/proc/nowhere", "relative", "", dir.file("s")])
    expect(await copy(dir, { ...env, HOME: home })).toBe(PREFERRED);
  expect(fs.readdirSync(dir.path).toSorted()).toEqual(["bin", "d", "home", "loop", "s", "ssh.log"]);
});

test.if(hasAes())("the list of slow hosts is believed only where nobody else can have written it", async () => {
  using dir = tempDir();
  const env = prepare(dir, ANSWER);
  const cache = dir.file("home/.cache/blocksync");
  const list = `${cache}/hosts-without-aes`;
  fs.mkdirSync(cache, { recursive: true, mode: 0o700 });
  const write = () => fs.writeFileSync(list, "h\n", { mode: 0o600 });
  for (const spoil of [
    () => fs.chmodSync(list, 0o666),
    () => {
      fs.renameSync(list, dir.file("moved"));
      fs.symlinkSync(dir.file("moved"), list);
    },
  ]) {
    fs.rmSync(list, { force: true });
    write();
    spoil();
    expect(await copy(dir, env)).toBe(PREFERRED);
  }
  fs.rmSync(list);
  write();
  const slow = `The order of ciphers stays ssh's own: the processor of "h" had no AES instructions last time`;
  expect(await copy(dir, env)).toBe(slow);
  expect(fs.readFileSync(list, "utf8")).toBe("");
  expect(await copy(dir, env)).toBe(PREFERRED);
});
