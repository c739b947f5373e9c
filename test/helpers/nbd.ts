/**
 * Disks that fail, as real block devices: nbdkit serves an image with a fault in it, nbdfuse makes a file of what it
 * serves, and a loop device makes a disk of that file. All of it ends with its `await using` scope, by the ids it was
 * started under. The loop device reads and writes past the page cache of the file, so what is read directly from the
 * disk comes from nbdkit, as it would from a drive.
 */
import fs from "node:fs";
import { until } from "./binary.ts";
import { attachLoop } from "./loop.ts";
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

/** Starts nbdkit with these words; `env` is what its scripts see. */
async function serve(words: readonly string[], sizeBytes: number, env: Record<string, string> = {}) {
  if (sizeBytes === 0 || sizeBytes % SECTOR !== 0) throw new RangeError(`No disk has ${sizeBytes} bytes`);
  const dir = tempDir();
  const node = dir.file("disk");
  fs.writeFileSync(node, "");
  // In a session of its own, so that a Ctrl-C on the terminal leaves the order of the clean-up to us.
  const server = Bun.spawn(["nbdfuse", node, "--command", "nbdkit", "-s", ...words], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, ...env },
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

const READ = 'dd if="$IMAGE" iflag=skip_bytes,count_bytes skip="$4" count="$3" bs=64K status=none';

/** Scripts of nbdkit-eval-plugin(1): $3 is the length, $4 the offset, in bytes. */
const SCRIPTS = {
  size: 'get_size=stat -L -c %s "$IMAGE"',
  writable: "can_write=exit 0",
  flushable: "can_flush=exit 0",
  read: `pread=${READ}`,
  write: 'pwrite=dd of="$IMAGE" oflag=seek_bytes seek="$4" bs=64K conv=notrunc status=none',
  flush: 'flush=sync "$IMAGE"',
  inTurn: "thread_model=echo serialize_all_requests",
} as const;

/** A disk that says yes to writes and flushes and stores nothing. */
export async function lyingDisk(image: string): Promise<FaultyDisk> {
  const { size, writable, flushable, read } = SCRIPTS;
  const lies = ["pwrite=cat >/dev/null", "flush=exit 0"];
  return await serve(["eval", size, writable, flushable, read, ...lies], sizeOf(image), { IMAGE: image });
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
  const read = [
    'pread=part() { dd if="$IMAGE" iflag=skip_bytes,count_bytes skip="$1" count="$2" bs=64K status=none; }',
    'if [ ! -e "$SWITCH" ] || [ "$4" -gt "$AT" ] || [ $(($4 + $3)) -le "$AT" ]; then part "$4" "$3"; exit; fi',
    'part "$4" $((AT - $4)); byte=$(part "$AT" 1 | od -An -tu1)',
    'printf "\\\\$(printf %03o $((byte ^ 1)))"; part $((AT + 1)) $(($4 + $3 - AT - 1))',
    options.once ? 'rm -f "$SWITCH"' : "true",
  ].join("; ");
  const { size, writable, flushable, write, flush, inTurn } = SCRIPTS;
  const env = { IMAGE: image, SWITCH: file, AT: String(offset) };
  return switchable(
    await serve(["eval", size, writable, flushable, write, flush, inTurn, read], sizeOf(image), env),
    file,
  );
}

/** A disk that cannot be read in these areas while it is told so. */
export async function ailingDisk(image: string, areas: readonly Area[]): Promise<SwitchableDisk> {
  const file = `${image}.ailing`;
  const overlaps = areas.map(
    ({ offset, length }) => `[ $(($4 + $3)) -gt ${offset} ] && [ "$4" -lt ${offset + length} ]`,
  );
  const fails = overlaps.map((condition) => `{ ${condition}; }`).join(" || ");
  const read = `pread=if [ -e "$SWITCH" ] && { ${fails}; }; then echo EIO bad sector >&2; exit 1; fi; ${READ}`;
  const { size, writable, flushable, write, flush } = SCRIPTS;
  const env = { IMAGE: image, SWITCH: file };
  return switchable(await serve(["eval", size, writable, flushable, write, flush, read], sizeOf(image), env), file);
}

/** A disk that cannot be read in these areas until they are written, as a drive that has sectors in reserve. */
export async function weakDisk(image: string, areas: readonly Area[]): Promise<FaultyDisk> {
  const list = `${image}.bad`;
  const sectors = areas.flatMap(({ offset, length }) =>
    Array.from({ length: length / SECTOR }, (_, i) => `${offset + i * SECTOR}\n`),
  );
  fs.writeFileSync(list, sectors.join(""));
  const { size, writable, flushable, flush, inTurn } = SCRIPTS;
  const inside = (condition: string) => `awk -v from="$4" -v to=$(($4 + $3)) '${condition}' "$BAD"`;
  const overlaps = inside(`$1 + ${SECTOR} > from && $1 < to`);
  const read = `pread=if [ -n "$(${overlaps})" ]; then echo EIO bad sector >&2; exit 1; fi; ${READ}`;
  const write = `${SCRIPTS.write}; ${inside(`$1 < from || $1 + ${SECTOR} > to`)} >"$BAD.new"; mv "$BAD.new" "$BAD"`;
  const env = { IMAGE: image, BAD: list };
  return await serve(["eval", size, writable, flushable, flush, inTurn, read, write], sizeOf(image), env);
}
