/** Disks as systems use them: partitioned, mounted, swapped to; each undone with its `using` scope. */
import fs from "node:fs";

/** Runs a command that must succeed; returns what it printed. */
export function command(...argv: string[]): string {
  const result = Bun.spawnSync(argv);
  if (result.exitCode !== 0) throw new Error(`${argv.join(" ")}: ${result.stderr.toString()}`);
  return result.stdout.toString().trim();
}

/** Undoes something with a command, again and again while somebody who looks at all of the machine holds it for a moment. */
function undone(...argv: string[]): Disposable {
  return {
    [Symbol.dispose]() {
      for (let attempt = 0; ; attempt++) {
        const { exitCode, stderr } = Bun.spawnSync(argv);
        if (exitCode === 0) return;
        const said = stderr.toString();
        if (attempt === 100 || !/busy/i.test(said)) throw new Error(`${argv.join(" ")}: ${said}`);
        Bun.sleepSync(50);
      }
    },
  };
}

/** Writes into a disk's first sector a partition table of type Linux; first sectors and lengths in sectors of 512 bytes. */
export function writeTable(disk: Buffer, ...partitions: readonly (readonly [first: number, sectors: number])[]): void {
  disk.fill(0, 440, 512);
  disk.writeUInt32LE(0x1234_abcd, 440);
  for (const [number, [first, sectors]] of partitions.entries()) {
    const entry = 446 + 16 * number;
    disk[entry + 4] = 0x83;
    disk.writeUInt32LE(first, entry + 8);
    disk.writeUInt32LE(sectors, entry + 12);
  }
  disk.set([0x55, 0xaa], 510);
}

/** Makes the kernel know the partitions of a disk, whether or not it reads tables itself. */
export function addPartitions(disk: string): Disposable {
  if (!fs.existsSync(`${disk}p1`)) command("partx", "--add", disk);
  // What a sync has done to the table may have removed them already.
  return { [Symbol.dispose]: () => void Bun.spawnSync(["partx", "--delete", disk]) };
}

/** What a mount of before is waited for, at most: a test that runs beside this one may have it in a mount namespace of its own. */
const BUSY_MS = 60_000;

/** Mounts, once the device is free; where nothing is, a folder is made. */
export function mounted(device: string, folder: string, ...words: string[]): Disposable {
  if (!fs.existsSync(folder)) fs.mkdirSync(folder, { recursive: true });
  for (const deadline = performance.now() + BUSY_MS; performance.now() < deadline; Bun.sleepSync(50)) {
    const { exitCode, stderr } = Bun.spawnSync(["mount", ...words, device, folder]);
    if (exitCode === 0) return undone("umount", folder);
    if (!stderr.includes("busy")) break;
  }
  command("mount", ...words, device, folder);
  return undone("umount", folder);
}

export function swappedTo(path: string): Disposable {
  command("swapon", path);
  return undone("swapoff", path);
}
