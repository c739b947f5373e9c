/**
 * The SHA-256 of a program, computed once and then noted in ~/.cache/blocksync: hashing 110 MB takes 80 ms of a core at
 * every start. The running one has a note, and one for each other target. The note holds for one file as it was: device,
 * inode, size and both times, of which nobody can set the last. It is believed only where nobody else can have written
 * it, and whon the far side checks is not this note but the bytes, so a wrong one cannot make anything run.
 */
import fs from "node:fs";
import { bytesOf } from "../../name.ts";
import { dirname, join } from "../../paths.ts";
import { isPrivate } from "./ownership.ts";

/** Of the file open as `path`, such as /proc/self/exe, noted under `name`; `home` is undefined for no note. */
export async function programDigest(path: string, home: string | undefined, name = "program"): Promise<string> {
  const note = `${name}.checked`;
  const { dev, ino, size, mtimeNs, ctimeNs } = fs.statSync(bytesOf(path), { bigint: true });
  const state = `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  const directory = home !== undefined && isOwn(home) ? join(home, ".cache", "blocksync") : undefined;
  const noted = directory === undefined ? undefined : readNote(join(directory, note), state);
  if (noted !== undefined) return noted;
  // In pieces: 110 MB are not to be held for a run that sends nothing of them.
  const hasher = new Bun.CryptoHasher("sha256");
  const stream = fs.createReadStream("", { fd: fs.openSync(bytesOf(path), "r"), highWaterMark: 1 << 20 });
  for await (const piece of stream) hasher.update(piece);
  const digest = hasher.digest("hex");
  if (directory !== undefined) writeNote(join(directory, note), `${state} ${digest}\n`);
  return digest;
}

/** A home that is not there is not made, and in one of somebody else (sudo -E) nothing is. */
function isOwn(home: string): boolean {
  try {
    return home.startsWith("/") && fs.statSync(bytesOf(home)).uid === process.geteuid?.();
  } catch {
    return false;
  }
}

function readNote(note: string, state: string): string | undefined {
  try {
    if (!isPrivate(fs.lstatSync(bytesOf(dirname(note))))) return undefined;
    const fd = fs.openSync(bytesOf(note), fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
    try {
      const stat = fs.fstatSync(fd);
      if (!stat.isFile() || !isPrivate(stat) || stat.size > 1024) return undefined;
      const [, noted, digest] = /^(\d+(?: \d+){4}) ([0-9a-f]{64})\n$/.exec(fs.readFileSync(fd, "latin1")) ?? [];
      return noted === state ? digest : undefined;
    } finally {
      fs.closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

/** A note that cannot be written is only missed. */
function writeNote(note: string, text: string): void {
  const directory = dirname(note);
  try {
    fs.mkdirSync(bytesOf(directory), { recursive: true, mode: 0o700 });
    if (!isPrivate(fs.lstatSync(bytesOf(directory)))) return;
    const part = `${note}.${process.pid}`;
    try {
      fs.writeFileSync(bytesOf(part), text, { mode: 0o600, flag: "wx" });
      fs.renameSync(bytesOf(part), bytesOf(note));
    } finally {
      fs.rmSync(bytesOf(part), { force: true });
    }
  } catch {
    // The next start computes it again.
  }
}
