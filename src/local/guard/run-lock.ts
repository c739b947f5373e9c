/** Keeps other programs off a destination, and off what has bytes of it, from the claim to the end of a run. */
import fs from "node:fs";
import { setTimeout } from "node:timers/promises";
import { type Overridable, refusedDestination } from "../../errors.ts";
import { quote } from "../../name.ts";
import { aside } from "../kernel/aside.ts";
import { Descriptor } from "../medium/descriptor.ts";
import type { Device } from "../medium/device.ts";
import { deviceNode, type Picture, SysDevice } from "../system/picture.ts";
import { tryLock, tryLockBeside, tryLockDisk } from "./lock.ts";

/** udev holds the lock while it looks at a disk, which is over in much less. */
const LOCK_WAIT_MS = 3000;
const LOCK_POLL_MS = 50;

export interface LockOptions {
  /** The name in messages. */
  readonly label: string;
  /** Refusals that the user overrides. */
  readonly allowed: readonly Overridable[];
}

export class RunLock {
  readonly #held: Descriptor[] = [];
  readonly #parts: Descriptor[] = [];

  /** Locks what was opened for writing. @throws {RefusedError} when another has it after LOCK_WAIT_MS. */
  static async take(device: Device, picture: Picture, options: LockOptions): Promise<RunLock> {
    const lock = new RunLock();
    try {
      await lock.#take(device, picture, options);
      return lock;
    } catch (error) {
      await lock.close();
      throw error;
    }
  }

  async #take(device: Device, picture: Picture, options: LockOptions): Promise<void> {
    const number = device.number === undefined ? undefined : (new SysDevice(device.number).disk ?? device.number);
    const disk = number === undefined ? undefined : deviceNode(number);
    const diskPath = number === undefined ? undefined : new SysDevice(number).node;
    const opened = await this.#open(diskPath);
    // The disk's own lock of the file is taken by the descriptor that is not for writing.
    if (opened === undefined) await until(() => tryLock(device.file), "it", options);
    else {
      await until(() => tryLockDisk(opened), `the disk ${diskPath}`, options);
      const taken = () => device.file.look((fd) => aside.lockBytes(fd, "exclusive"));
      await until(async () => (await taken()) !== "busy", "it", options);
    }
    for (const { node, relation } of picture.relatives(device.node)) {
      if (relation === "itself") continue;
      const path = node.kind === "file" ? node.path : new SysDevice(node.number).node;
      const beside = node.identity === disk?.identity ? opened : await this.#open(path);
      const name =
        node.identity === disk?.identity ? `the disk ${diskPath}` : `${quote(path ?? "")}, which shares bytes with it`;
      if (beside === undefined) continue;
      if (node.kind === "device" && new SysDevice(node.number).isPartition) this.#parts.push(beside);
      await until(() => tryLockBeside(beside), name, options);
    }
  }

  /** Held until close(); undefined where it cannot be opened, and so not be asked for its locks. */
  async #open(path: string | undefined): Promise<Descriptor | undefined> {
    if (path === undefined) return undefined;
    const opened = await Descriptor.open(path, fs.constants.O_RDONLY).catch(() => undefined);
    if (opened !== undefined) this.#held.push(opened);
    return opened;
  }

  /** Gives back those of partitions: while one is open the kernel reads no partition table anew (disk_scan_partitions()). */
  async releaseParts(): Promise<void> {
    for (const one of this.#parts.splice(0)) {
      this.#held.splice(this.#held.indexOf(one), 1);
      await one.close();
    }
  }

  /** Gives the locks back. Safe to call twice. */
  async close(): Promise<void> {
    for (const one of this.#held.splice(0)) await one.close();
  }
}

async function until(isTaken: () => Promise<boolean>, what: string, { label, allowed }: LockOptions): Promise<void> {
  const deadline = performance.now() + LOCK_WAIT_MS;
  while (!(await isTaken())) {
    if (allowed.includes("locked")) return;
    if (performance.now() > deadline) {
      throw refusedDestination(
        label,
        "locked",
        `another program has locked ${what}`,
        "a virtual machine, another blocksync or a partitioning tool may be using it: stop that or wait for it, then run again",
      );
    }
    await setTimeout(LOCK_POLL_MS);
  }
}
