/**
 * An artificial link for --rsh: runs the command locally, with a delay and a rate on its pipes.
 *
 *     blocksync -e "bun scripts/bench/slow-link.ts DELAY_MS BYTES_PER_SECOND" SOURCE host:PATH
 *
 * DELAY_MS is one way, so a round trip is twice that; BYTES_PER_SECOND 0 is no limit. Each direction has its own limit.
 */
import fs from "node:fs";

const [delayText = "0", rateText = "0", _host, ...command] = process.argv.slice(2);
const delayMs = Number(delayText);
const rate = Number(rateText);

function readSome(fd: number, buffer: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(fd, buffer, 0, buffer.length, null, (error, count) => (error === null ? resolve(count) : reject(error)));
  });
}

/** What a limited link carries in 2 ms: less would cost this process much time, more would come in jerks. */
const PIECE_BYTES = rate === 0 ? 64 << 10 : Math.min(Math.max(Math.ceil(rate / 500), 4 << 10), 64 << 10);

/** What comes on `fd`, in pieces that a limited link lets pass one by one. */
async function* pieces(fd: number): AsyncGenerator<Uint8Array> {
  for (;;) {
    const buffer = Buffer.allocUnsafeSlow(PIECE_BYTES);
    const count = await readSome(fd, buffer);
    if (count === 0) return;
    yield buffer.subarray(0, count);
  }
}

/** One direction: each piece arrives when the link has carried it at the rate, and the delay after that. */
async function carry(source: AsyncIterable<Uint8Array>, deliver: (bytes: Uint8Array) => Promise<void>): Promise<void> {
  let freeMs = 0;
  let last: Promise<void> = Promise.resolve();
  for await (const bytes of source) {
    const now = performance.now();
    freeMs = Math.max(freeMs, now) + (rate === 0 ? 0 : (bytes.length / rate) * 1000);
    const previous = last;
    const arrived = Bun.sleep(freeMs + delayMs - now);
    last = Promise.all([previous, arrived]).then(() => deliver(bytes));
    // What is not yet on its way stays with the sender, as on a real link.
    if (freeMs - now > 50) await Bun.sleep(freeMs - now - 50);
  }
  // The end of the stream takes its time too.
  await Promise.all([last, Bun.sleep(delayMs)]);
}

function writeAll(fd: number, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const step = (start: number) => {
      fs.write(fd, bytes, start, bytes.length - start, null, (error, count) => {
        if (error !== null) reject(error);
        else if (start + count < bytes.length) step(start + count);
        else resolve();
      });
    };
    step(0);
  });
}

const child = Bun.spawn(["sh", "-c", command.join(" ")], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });

const toChild = carry(pieces(0), async (bytes) => {
  child.stdin.write(bytes);
  await child.stdin.flush();
}).then(() => child.stdin.end());
// A child that ended takes nothing more; what it said last is still carried.
toChild.catch(() => undefined);
await carry(child.stdout, (bytes) => writeAll(1, bytes));
process.exit(await child.exited);
