/**
 * What lies in what, one step at a time: downwards a partition in its disk, a loop device in its file, a file in the device
 * of its file system; upwards the same the other way round. One look at the machine, taken when first asked and kept.
 */
import { UNBOUNDED } from "../../sync/extents.ts";
import { attached, type Loop, loopDevices, loopOf } from "./loops.ts";
import { farMounts, farNumber, type Mount, mounts } from "./mounts.ts";
import { deviceNode, type FileNode, type Node, nodeAt } from "./nodes.ts";
import { overlaid, storeOf } from "./stores.ts";
import { devicesNamed, SysDevice } from "./sysfs.ts";

/** How one lies in another: as bytes [start, end) of it, or (not exact) somewhere among these. */
export interface Step {
  /** The other end of the step. */
  readonly node: Node;
  readonly start: number;
  readonly end: number;
  readonly exact: boolean;
  /** "file": kept by a file system, so that others have places of their own beside it. */
  readonly by: "partition" | "loop" | "alias" | "member" | "file";
}

function all(node: Node, by: Step["by"], exact: boolean): Step {
  return { node, start: 0, end: UNBOUNDED, exact, by };
}

/** Where to look for something that may lie in a far file system. */
interface Reach<T> {
  readonly near: readonly T[];
  /** By the number of the file system, which is asked for nothing that does not lie in it. */
  readonly far: ReadonlyMap<string, readonly T[]>;
}

function inReach<T>({ near, far }: Reach<T>, { number }: Node): readonly T[] {
  const further = far.get(number);
  return further === undefined ? near : [...near, ...further];
}

export class Layers {
  #mounts: readonly Mount[] | undefined;
  #far: readonly Mount[] | undefined;
  #loopDevices: Reach<SysDevice> | undefined;
  readonly #loops = new Map<SysDevice, Loop | undefined>();
  #named: Reach<Mount> | undefined;
  readonly #stores = new Map<string, readonly Node[]>();
  #zrams: ReadonlyMap<string, string> | undefined;
  readonly #devices = new Map<string, SysDevice>();

  device(number: string): SysDevice {
    const device = this.#devices.get(number) ?? new SysDevice(number);
    this.#devices.set(number, device);
    return device;
  }

  /** In the order of mounting. */
  get mounts(): readonly Mount[] {
    this.#mounts ??= mounts();
    return this.#mounts;
  }

  /** By the paths that lead to them. */
  #reach<T>(all: readonly T[], pathOf: (one: T) => string): Reach<T> {
    this.#far ??= farMounts(this.mounts);
    const near: T[] = [];
    const far = new Map<string, T[]>();
    for (const one of all) {
      const number = farNumber(pathOf(one), this.#far, this.mounts);
      if (number === undefined) near.push(one);
      else far.set(number, [...(far.get(number) ?? []), one]);
    }
    return { near, far };
  }

  /** Loop devices that may lie over `node`, or over a file in it. Others whose file system may not answer are not asked. */
  #attachedNear(node: Node): Loop[] {
    this.#loopDevices ??= this.#reach(loopDevices(), ({ backingPath }) => backingPath ?? "");
    return inReach(this.#loopDevices, node).flatMap((device) => {
      if (!this.#loops.has(device)) this.#loops.set(device, attached(device));
      return this.#loops.get(device) ?? [];
    });
  }

  /** What a mount is of. */
  #storeOf(mount: Mount): readonly Node[] {
    const nodes = this.#stores.get(mount.number) ?? storeOf(mount);
    this.#stores.set(mount.number, nodes);
    return nodes;
  }

  /** Numbers of the devices in memory by the identity of the device that they put things away to. */
  get #putAway(): ReadonlyMap<string, string> {
    this.#zrams ??= new Map(
      devicesNamed("zram").flatMap(({ number, storePath }) => {
        const store = storePath === undefined ? undefined : nodeAt(storePath);
        return store === undefined ? [] : [[store.identity, number] as const];
      }),
    );
    return this.#zrams;
  }

  /** What a file or device lies in. */
  below(node: Node): Step[] {
    return node.kind === "file" ? this.#belowFile(node) : this.#belowDevice(node.number);
  }

  #belowDevice(number: string): Step[] {
    const device = this.device(number);
    const steps: Step[] = [];
    const { disk, storePath } = device;
    if (disk !== undefined) steps.push({ node: deviceNode(disk), ...device.place, exact: true, by: "partition" });
    const loop = loopOf(device);
    if (loop?.backing !== undefined) {
      steps.push({ node: loop.backing, start: loop.start, end: loop.end ?? UNBOUNDED, exact: true, by: "loop" });
    }
    const [by, exact] = device.isAlias ? (["alias", true] as const) : (["member", false] as const);
    steps.push(...device.members.map((member) => all(deviceNode(member), by, exact)));
    const store = storePath === undefined ? undefined : nodeAt(storePath);
    if (store !== undefined) steps.push(all(store, "member", false));
    return steps;
  }

  #belowFile(node: FileNode): Step[] {
    const { number, mountId } = node;
    const found = this.mounts.find(({ id }) => id === mountId) ?? this.mounts.find((mount) => mount.number === number);
    const steps = number.startsWith("0:") ? [] : [all(deviceNode(number), "file", false)];
    if (found?.type === "overlay") {
      const real = overlaid(node, found);
      if (real !== undefined) steps.push(all(real, "alias", true));
    } else if (found !== undefined && steps.length === 0) {
      steps.push(...storeOf(found).map((store) => all(store, "file", false)));
    }
    return steps;
  }

  /** What lies in a file or device, as the place that it has there. Files in file systems are not told, only mounts (on()). */
  above(node: Node): Step[] {
    const near = this.#attachedNear(node);
    const steps: Step[] = near
      .filter(({ backing }) => backing?.identity === node.identity)
      .map(({ number, start, end = UNBOUNDED }) => ({
        node: deviceNode(number),
        start,
        end,
        exact: true,
        by: "loop",
      }));
    if (node.kind === "file") return steps;
    const device = this.device(node.number);
    for (const number of device.partitions) {
      steps.push({ node: deviceNode(number), ...this.device(number).place, exact: true, by: "partition" });
    }
    for (const number of device.holders) {
      const [by, exact] = this.device(number).isAlias ? (["alias", true] as const) : (["member", false] as const);
      steps.push(all(deviceNode(number), by, exact));
    }
    const zram = this.#putAway.get(node.identity);
    if (zram !== undefined) steps.push(all(deviceNode(zram), "member", false));
    // Over a file in a file system that is on it, which is mounted somewhere, if not here.
    for (const { number, backing } of near) {
      if (backing?.kind === "file" && backing.number === node.number)
        steps.push(all(deviceNode(number), "file", false));
    }
    return steps;
  }

  /** The mounts of a file system that keeps its files in this very file or device. */
  on(node: Node): Mount[] {
    this.#named ??= this.#reach(this.mounts, ({ source }) => source);
    const candidates = inReach(this.#named, node);
    return candidates.filter((mount) => this.#storeOf(mount).some(({ identity }) => identity === node.identity));
  }

  /** What the file system at "/" keeps its files in. */
  get root(): readonly Node[] {
    const mount = this.mounts.findLast(({ point }) => point === "/");
    return mount === undefined ? [] : this.#storeOf(mount);
  }
}
