/**
 * The SHA-256 of a program, computed once and then noted in ~/.cache/blocksync: hashing 110 MB takes 80 ms of a core at
 * every start. The running one has a note, and one for each other target. The note holds for one file as it was: device,
 * inode, size and both times, of which nobody can set the last. It is believed only where nobody else can have written
 * it, and whon the far side checks is not this note but the bytes, so a wrong one cannot make anything run.
 */
import fs from "node:fs";
import { bytesOf } from "../../name.ts";
import { notePath, readNote, writeNote } from "./notes.ts";

/** Of the file open as `path`, such as /proc/self/exe, noted under `name`; `home` is undefined for no note. */
export async function programDigest(path: string, home: string | undefined, name = "program"): Promise<string> {
  const note = notePath(home, `${name}.checked`);
  const { dev, ino, size, mtimeNs, ctimeNs } = fs.statSync(bytesOf(path), { bigint: true });
  const state = `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  const said = note === undefined ? undefined : readNote(note);
  const [, noted, known] = /^(\d+(?: \d+){4}) ([0-9a-f]{64})\n$/.exec(said ?? "") ?? [];
  if (known !== undefined && noted === state) return known;
  // In pieces: 110 MB are not to be held for a run that sends nothing of them.
  const hasher = new Bun.CryptoHasher("sha256");
  const stream = fs.createReadStream("", { fd: fs.openSync(bytesOf(path), "r"), highWaterMark: 1 << 20 });
  for await (const piece of stream) hasher.update(piece);
  const digest = hasher.digest("hex");
  if (note !== undefined) writeNote(note, `${state} ${digest}\n`);
  return digest;
}
