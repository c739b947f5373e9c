/**
 * Disks that fail, as real block devices: nbdkit or a thread serves an image with a fault in it, nbdfuse makes a file of what that
 * serves, and a loop device makes a disk of that file. All of it ends with its `await using` scope, by the ids it was
 * started under. The loop device reads and writes past the page cache of the file, so what is read directly from the
 * disk comes from there, as it would from a drive.
 */
import fs from "node:fs";
import { until } from "./binary.ts";
import { attachLoop } from "./loop.ts";
import type { Fault, Served } from "./nbd-thread.ts";
import { tempDir } from "./temp.ts";

/** Every size and offset is a multiple of this. */
const SECTOR = 512;

export interface FaultyDisk extends AsyncDisposable {
  /** The block device. */
  readonly path: string;
  /** The file that it lies over, on a FUSE file system of its own. */
  readonly file: string;
}

/** A disk whose fault is off until it is switched on. */
export interface SwitchableDisk extends FaultyDisk {
  fail(failing: boolean): void;
}

/** One that counts. */
export interface CountingDisk extends SwitchableDisk {
  /** What was asked of it and failed so far. */
  failures(): number;
}

export interface Area {
  /** Bytes, multiples of 512. */
  readonly offset: number;
  readonly length: number;
}

/** Makes a disk of what nbdfuse finds with these words. */
async function mount(words: readonly string[], sizeBytes: number) {
  if (sizeBytes === 0 || sizeBytes % SECTOR !== 0) throw new RangeError(`No disk has ${sizeBytes} bytes`);
  const dir = tempDir();
  const node = dir.file("disk");
  fs.writeFileSync(node, "");
  // In a session of its own, so that a Ctrl-C on the terminal leaves the order of the clean-up to us.
  const server = Bun.spawn(["nbdfuse", node, ...words], {
    stdio: ["ignore", "ignore", "pipe"],
    detached: true,
  });
  const stop = async () => {
    server.kill();
    await server.exited;
    dir[Symbol.dispose]();
  };
  try {
    await until("nbdfuse serves the disk", async () => {
      if (server.exitCode !== null) throw new Error(`nbdfuse ended: ${await server.stderr.text()}`);
      return fs.statSync(node).size === sizeBytes;
    });
    const loop = attachLoop(node, "--direct-io=on");
    return {
      path: loop.path,
      file: node,
      async [Symbol.asyncDispose]() {
        loop[Symbol.dispose]();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Starts nbdkit with these words. */
async function serve(words: readonly string[], sizeBytes: number) {
  return await mount(["--command", "nbdkit", "-s", ...words], sizeBytes);
}

function sizeOf(image: string): number {
  return fs.statSync(image).size;
}

/** A file whose existence is the fault. */
function switchable(disk: FaultyDisk, file: string): SwitchableDisk {
  return {
    path: disk.path,
    file: disk.file,
    fail: (failing) => (failing ? fs.writeFileSync(file, "") : fs.rmSync(file, { force: true })),
    async [Symbol.asyncDispose]() {
      await disk[Symbol.asyncDispose]();
      fs.rmSync(file, { force: true });
    },
  };
}

/** A GNU ddrescue map in which the areas are bad and the rest is rescued. */
export function mapOf(areas: readonly Area[], sizeBytes: number): string {
  const lines = ["# Mapfile. Created for a test", "0x0 + 1"];
  let position = 0;
  const line = (end: number, status: string) => {
    if (end > position) lines.push(`0x${position.toString(16)} 0x${(end - position).toString(16)} ${status}`);
    position = end;
  };
  for (const { offset, length } of areas.toSorted((a, b) => a.offset - b.offset)) {
    line(offset, "+");
    line(offset + length, "-");
  }
  line(sizeBytes, "+");
  return `${lines.join("\n")}\n`;
}

/** What was asked of a disk so far. */
export interface Reads {
  readonly all: number;
  readonly failed: number;
  /** Which began where the disk begins. */
  readonly first: number;
}

/** A disk that cannot be read in these areas. It cannot be written to; weakDisk() can. */
export async function badDisk(
  image: string,
  areas: readonly Area[],
): Promise<FaultyDisk & { readonly reads: () => Reads }> {
  const [map, log] = [`${image}.map`, `${image}.log`];
  fs.writeFileSync(map, mapOf(areas, sizeOf(image)));
  const words = ["--filter=log", "--filter=ddrescue", "file", image, `ddrescue-mapfile=${map}`, `logfile=${log}`];
  const disk = await serve(words, sizeOf(image));
  const reads = (): Reads => {
    const text = fs.readFileSync(log, "utf8");
    const count = (pattern: RegExp) => [...text.matchAll(pattern)].length;
    return { all: count(/ Read /g), failed: count(/return=-1/g), first: count(/ Read id=\d+ offset=0x0 /g) };
  };
  return { ...disk, reads };
}

/** A disk on which every write, or every read, fails with the error while it is told to. */
export async function failingDisk(
  image: string,
  action: "read" | "write",
  error: "EIO" | "ENOSPC",
): Promise<CountingDisk> {
  const file = `${image}.failing`;
  const log = `${image}.log`;
  const requests = action === "read" ? ["pread"] : ["pwrite", "zero", "trim"];
  const rates = requests.map((request) => `error-${request}-rate=100%`);
  const words = ["--filter=log", "--filter=error", "file", image, `error=${error}`, ...rates, `error-file=${file}`];
  const disk = switchable(await serve([...words, `logfile=${log}`], sizeOf(image)), file);
  return { ...disk, failures: () => fs.readFileSync(log, "utf8").split("return=-1").length - 1 };
}

/** A disk with this fault, which a thread of this process serves. */
async function faultyDisk(image: string, fault: Fault): Promise<FaultyDisk> {
  const socket = `${image}.socket`;
  const thread = new Worker(new URL("./nbd-thread.ts", import.meta.url).href);
  const end = () => {
    thread.terminate();
    fs.rmSync(socket, { force: true });
  };
  try {
    const listening = Promise.withResolvers<void>();
    thread.onmessage = () => listening.resolve();
    thread.onerror = (event) => listening.reject(new Error(event.message));
    const served: Served = { image, socket, fault };
    thread.postMessage(served);
    await listening.promise;
    const disk = await mount(["--unix", socket], sizeOf(image));
    return {
      ...disk,
      async [Symbol.asyncDispose]() {
        await disk[Symbol.asyncDispose]();
        end();
      },
    };
  } catch (error) {
    end();
    throw error;
  }
}

/** A disk that says yes to writes and flushes and stores nothing. */
export async function lyingDisk(image: string): Promise<FaultyDisk> {
  return await faultyDisk(image, { kind: "lies" });
}

/**
 * A disk that gives the byte at `offset` with its lowest bit flipped while it is told to; with `once` only the next time
 * it is read. What is stored stays right.
 */
export async function flippingDisk(
  image: string,
  offset: number,
  options: { readonly once: boolean },
): Promise<SwitchableDisk> {
  const file = `${image}.flipping`;
  return switchable(await faultyDisk(image, { kind: "flips", at: offset, file, ...options }), file);
}

/** A disk that cannot be read in these areas while it is told so. */
export async function ailingDisk(image: string, areas: readonly Area[]): Promise<SwitchableDisk> {
  const file = `${image}.ailing`;
  return switchable(await faultyDisk(image, { kind: "ails", areas, file }), file);
}

/** A disk that cannot be read in these areas until they are written, as a drive that has sectors in reserve. */
export async function weakDisk(image: string, areas: readonly Area[]): Promise<FaultyDisk> {
  return await faultyDisk(image, { kind: "weak", areas });
}
