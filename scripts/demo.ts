/** `make demo`: blocksync on a sample image, here and, where an sshd can be started, over ssh. Leaves nothing behind. */
import fs from "node:fs";
import { join } from "node:path";
import { SSHD, startSshd } from "../test/helpers/sshd.ts";
import { tempDir } from "../test/helpers/temp.ts";

const BINARY = join(import.meta.dir, "../dist/blocksync");
const IMAGE_BYTES = 256 << 20;
const CHANGES = 20;

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Half random data, half hole: as a disk image is. */
function makeImage(path: string): void {
  const fd = fs.openSync(path, "w");
  fs.ftruncateSync(fd, IMAGE_BYTES);
  const piece = Buffer.alloc(1 << 20);
  for (let offset = 0; offset < IMAGE_BYTES / 2; offset += piece.length) {
    for (let at = 0; at < piece.length; at += 65536) crypto.getRandomValues(piece.subarray(at, at + 65536));
    fs.writeSync(fd, piece, 0, piece.length, offset);
  }
  fs.closeSync(fd);
}

function changeImage(path: string): void {
  const fd = fs.openSync(path, "r+");
  const step = Math.floor(IMAGE_BYTES / CHANGES);
  for (let i = 0; i < CHANGES; i++)
    fs.writeSync(fd, Buffer.from(`change ${performance.now()}`), 0, 12, i * step + 12_345);
  fs.closeSync(fd);
}

/** Runs blocksync in view of the user. Ends the demo when it fails. */
async function blocksync(shown: string, words: readonly string[], env: Record<string, string> = {}): Promise<void> {
  say(`$ blocksync ${shown}`);
  const child = Bun.spawn([BINARY, ...words], {
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, ...env },
  });
  const status = await child.exited;
  if (status !== 0) {
    say(`blocksync ended with ${status}`);
    process.exit(1);
  }
  say("");
}

function expectEqual(a: string, b: string): void {
  const status = Bun.spawnSync(["cmp", a, b]).exitCode;
  if (status !== 0) {
    say(`${a} and ${b} are not equal`);
    process.exit(1);
  }
}

using dir = tempDir();
const [image, copy, farCopy] = [dir.file("image.img"), dir.file("copy.img"), dir.file("far.img")];
say(`A sample image of ${IMAGE_BYTES >> 20} MiB, half of it a hole. First a copy:`);
makeImage(image);
await blocksync("image.img copy.img", [image, copy]);
say(`Now ${CHANGES} places of the image are changed. The same command again writes just those:`);
changeImage(image);
await blocksync("image.img copy.img", [image, copy]);
say("And once more, with nothing changed:");
await blocksync("image.img copy.img", [image, copy]);
expectEqual(image, copy);

if (SSHD === undefined) {
  say("There is no sshd on this machine (Debian: openssh-server), so the part over ssh is left out.");
} else {
  say("The same through ssh, to a host that has no blocksync yet: it brings itself along, once.");
  await using sshd = await startSshd();
  const env = { BLOCKSYNC_REMOTE_DIR: dir.file("cache") };
  await blocksync("image.img host:far.img", [...sshd.words, image, `127.0.0.1:${farCopy}`], env);
  changeImage(image);
  say(`Again ${CHANGES} changes:`);
  await blocksync("image.img host:far.img", [...sshd.words, image, `127.0.0.1:${farCopy}`], env);
  expectEqual(image, farCopy);
}
say("Every copy was compared with cmp and is equal.");
