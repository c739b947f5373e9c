/**
 * A stand-in for ssh, run by Bun, that runs the command here and breaks the connection at a given byte:
 *
 *     bun relay.ts up|down cut|stall POSITION LOG HOST COMMAND
 *
 * "up" counts the bytes to the far side, "down" those from it. "cut" ends both directions and the far side's streams;
 * "stall" passes nothing on any more, in either direction, and closes nothing. LOG gets one line when the far side has
 * ended: its exit code, the bytes that were passed up and down, and 1 when the connection was broken, else 0.
 */
import fs from "node:fs";

const [direction = "", action = "", position = "", log = "", , command = ""] = process.argv.slice(2);
const limit = Number(position);
// A run ends its ssh at once; here the far side is to show that it ends without that.
process.on("SIGTERM", () => undefined);
const child = Bun.spawn(["sh", "-c", `exec ${command}`], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
const passed = { up: 0, down: 0 };
let broken = false;

const forever = new Promise<never>(() => undefined);

/** Passes bytes on until the end of the stream or the break; after a stall it holds the stream and reads no more. */
async function pump(from: ReadableStream<Uint8Array>, way: "up" | "down", write: (bytes: Uint8Array) => Promise<void>) {
  for await (const chunk of from) {
    if (broken && action === "cut") return;
    if (broken) await forever;
    const room = way === direction ? limit - passed[way] : Number.POSITIVE_INFINITY;
    const part = chunk.subarray(0, Math.max(0, Math.min(chunk.length, room)));
    passed[way] += part.length;
    if (part.length > 0) await write(part);
    if (room <= chunk.length) {
      broken = true;
      if (action === "stall") await forever;
      child.stdin.end();
      fs.closeSync(1);
      return;
    }
  }
  if (!broken && way === "up") child.stdin.end();
}

void pump(Bun.stdin.stream(), "up", async (bytes) => {
  child.stdin.write(bytes);
  await child.stdin.flush();
});
void pump(child.stdout, "down", async (bytes) => {
  for (let done = 0; done < bytes.length; ) done += fs.writeSync(1, bytes, done);
});
const status = await child.exited;
fs.appendFileSync(log, `${status} ${passed.up} ${passed.down} ${Number(broken)}\n`);
process.exit(255);
