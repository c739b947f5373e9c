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

/** Reads as a link with much room would, so that only the delay and the rate are felt, never a full buffer. */
async function* arrivals(fd: number): AsyncGenerator<{ readonly bytes: Buffer; readonly dueMs: number }> {
  let freeMs = 0;
  const pieceLength = rate === 0 ? 1 << 20 : 16 << 10;
  for (;;) {
    const buffer = Buffer.alloc(pieceLength);
    const count = await readSome(fd, buffer);
    if (count === 0) return;
    const now = performance.now();
    freeMs = Math.max(freeMs, now) + (rate === 0 ? 0 : (count / rate) * 1000);
    // What is not yet on its way stays with the sender, as on a real link.
    if (freeMs - now > 50) await Bun.sleep(freeMs - now - 50);
    yield { bytes: buffer.subarray(0, count), dueMs: freeMs + delayMs };
  }
}

async function carry(fd: number, deliver: (bytes: Buffer) => Promise<void>): Promise<void> {
  let last: Promise<void> = Promise.resolve();
  for await (const { bytes, dueMs } of arrivals(fd)) {
    const previous = last;
    const arrived = Bun.sleep(Math.max(0, dueMs - performance.now()));
    last = Promise.all([previous, arrived]).then(() => deliver(bytes));
  }
  await last;
}

function writeAll(fd: number, bytes: Buffer): Promise<void> {
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

async function carryFromChild(): Promise<void> {
  let last: Promise<void> = Promise.resolve();
  let freeMs = 0;
  for await (const bytes of child.stdout) {
    const now = performance.now();
    freeMs = Math.max(freeMs, now) + (rate === 0 ? 0 : (bytes.length / rate) * 1000);
    const previous = last;
    const arrived = Bun.sleep(freeMs + delayMs - now);
    last = Promise.all([previous, arrived]).then(() => writeAll(1, Buffer.from(bytes)));
    if (freeMs - now > 50) await Bun.sleep(freeMs - now - 50);
  }
  await last;
}

const toChild = carry(0, async (bytes) => {
  child.stdin.write(bytes);
  await child.stdin.flush();
}).then(() => child.stdin.end());
await Promise.race([Promise.all([toChild, carryFromChild()]), child.exited.then(() => carryFromChild)]);
process.exit(await child.exited);
