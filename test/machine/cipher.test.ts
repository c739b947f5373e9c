/** Which cipher a real ssh and sshd talk in, and who chooses it. */
import { expect } from "bun:test";
import fs from "node:fs";
import { hasAes } from "../../src/local/kernel/processor.ts";
import { run } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { testWith } from "../helpers/requirements.ts";
import { type Sshd, startSshd } from "../helpers/sshd.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const onSshd = testWith("sshd");
const FASTEST = "aes128-gcm@openssh.com";
const PREFERRED = `ssh is told to prefer ${FASTEST}, the fastest with AES instructions`;

/** Copies a file through `sshd`, and returns the cipher that was used and what -v says of it. */
async function cipherOf(sshd: Sshd, dir: TempDir, words: readonly string[]) {
  fs.writeFileSync(dir.file("s"), bytes(21, 100_000));
  fs.rmSync(dir.file("d"), { force: true });
  const before = sshd.log().length;
  const home = dir.file("home");
  fs.mkdirSync(home, { recursive: true, mode: 0o700 });
  const result = await run([...sshd.words, ...words, "-v", dir.file("s"), `${sshd.user}@127.0.0.1:${dir.file("d")}`], {
    env: { HOME: home },
  });
  expect({ exitCode: result.exitCode, stderr: result.exitCode === 0 ? "" : result.stderr }).toEqual({
    exitCode: 0,
    stderr: "",
  });
  expect(fs.readFileSync(dir.file("d")).equals(bytes(21, 100_000))).toBe(true);
  const cipher = /kex: server->client cipher: (\S+)/.exec(sshd.log().slice(before))?.[1];
  const why = /^(?:blocksync: )?((?:The order of ciphers|ssh is told).*)$/m.exec(result.stderr)?.[1];
  return { cipher, why };
}

onSshd("ssh talks in its fastest cipher unless the user chose one, in whatever way", async () => {
  await using sshd = await startSshd({ lines: ["LogLevel DEBUG1"] });
  using dir = tempDir();
  if (hasAes()) expect(await cipherOf(sshd, dir, [])).toEqual({ cipher: FASTEST, why: PREFERRED });
  for (const words of [
    ["-c", "aes256-ctr"],
    ["-x", `-F "${sshd.configFile}" -o Ciphers=aes256-ctr`],
    ["-x", `-F "${sshd.configFile}" -c aes256-ctr`],
    ["-e", `ssh -F "${sshd.configFile}" -o Ciphers=aes256-ctr`],
  ]) {
    const { cipher, why } = await cipherOf(sshd, dir, words);
    expect({ words, cipher }).toEqual({ words, cipher: "aes256-ctr" });
    if (words[0] === "-c") expect(why).toBeUndefined();
    else expect(why).toStartWith("The order of ciphers stays ssh's own: ");
  }
  const config = fs.readFileSync(sshd.configFile, "utf8");
  fs.writeFileSync(dir.file("config"), `Ciphers aes192-ctr\n${config}`);
  expect(await cipherOf(sshd, dir, ["-x", `-F "${dir.file("config")}"`])).toEqual({
    cipher: "aes192-ctr",
    why: "The order of ciphers stays ssh's own: your ssh configuration, or --extra-params, has one",
  });
});

onSshd("a host without AES instructions keeps ssh's choice from its second run on, and gets it back", async () => {
  if (!hasAes()) return;
  await using sshd = await startSshd({ lines: ["LogLevel DEBUG1"] });
  using dir = tempDir();
  const list = dir.file("home/.cache/blocksync/hosts-without-aes");
  expect((await cipherOf(sshd, dir, [])).cipher).toBe(FASTEST);
  expect(fs.existsSync(list)).toBe(false);
  fs.mkdirSync(dir.file("home/.cache/blocksync"), { recursive: true });
  fs.writeFileSync(list, "127.0.0.1\nelsewhere\n");
  const second = await cipherOf(sshd, dir, []);
  expect(second.cipher).not.toBe(FASTEST);
  expect(second.why).toBe(
    `The order of ciphers stays ssh's own: the processor of "127.0.0.1" had no AES instructions last time`,
  );
  // It has them by now.
  expect(fs.readFileSync(list, "utf8")).toBe("elsewhere\n");
  expect((await cipherOf(sshd, dir, [])).cipher).toBe(FASTEST);
});
