/**
 * What this machine says about its devices, mounts and files, put together: the one door of this room. Things are known by
 * device number, or by file system and inode; names are for messages only. It is a look at one moment, kept for the
 * questions of that moment.
 */
import { dirname } from "../../paths.ts";
import { type Extent, shareBytes, UNBOUNDED, wholeOf } from "../../sync/extents.ts";
import { Layers, type Step } from "./layers.ts";
import { type Node, nodeAt } from "./nodes.ts";

export { swaps } from "./mounts.ts";
export { deviceNode, identityOf, type Node, nodeAt, nodeOf, withOpen } from "./nodes.ts";
export { lineage } from "./processes.ts";
export { deviceNumber, look, namesIn, readLine, SysDevice } from "./sysfs.ts";

/** How something has bytes of the thing in question. */
export type Relation =
  | "itself"
  /** The disk of a partition. */
  | "disk"
  | "partition"
  /** What a loop device lies over. */
  | "below"
  /** It was made of the thing: a loop device over it, a mapped or RAID device that it is a member of. */
  | "above"
  /** It was made of what lies below the thing: another loop device over the same file, and what is made of that. */
  | "beside";

export interface Relative {
  readonly node: Node;
  readonly relation: Relation;
  /** It keeps the thing for itself, as everything does that was made of it, and nothing that it is a part of. */
  readonly holds: boolean;
}

/** A node and which of its bytes, [start, end), are meant. */
interface Part {
  readonly node: Node;
  readonly start: number;
  readonly end: number;
}

interface Found extends Relative, Part {}

/** The bytes of `part` that a step downwards leads to. */
function down({ start, end }: Part, step: Step): Part {
  const last = end === UNBOUNDED ? step.end : Math.min(step.end, step.start + end);
  return { node: step.node, start: step.start + start, end: last };
}

/** The bytes of what lies above at `step` that are among `part`; undefined where there are none. */
function up({ start, end }: Part, step: Step): Part | undefined {
  const [first, last] = [Math.max(start, step.start), Math.min(end, step.end)];
  if (first >= last) return undefined;
  return { node: step.node, start: first - step.start, end: last === UNBOUNDED ? last : last - step.start };
}

export class Picture {
  readonly #layers = new Layers();

  /** Where the bytes of a file or device lie, the nearest first, and itself not among them. */
  within(node: Node): Extent[] {
    const found: (Extent & Part)[] = [{ ...wholeOf(node.identity), node }];
    for (const one of found) {
      for (const step of this.#layers.below(one.node)) {
        const exact = one.exact && step.exact;
        const part = step.exact ? down(one, step) : step;
        const extent = { identity: step.node.identity, node: step.node, start: part.start, end: part.end, exact };
        const isKnown = (other: Extent) =>
          other.identity === extent.identity &&
          (other.exact || !exact) &&
          other.start <= extent.start &&
          other.end >= extent.end;
        if (!found.some(isKnown)) found.push(extent);
      }
    }
    return found.slice(1).map(({ identity, start, end, exact }) => ({ identity, start, end, exact }));
  }

  /** Where the bytes of a file to be created at `path` will lie. */
  withinNew(path: string): Extent[] {
    const folder = nodeAt(dirname(path));
    return folder === undefined ? [] : this.within(folder).map((extent) => ({ ...extent, exact: false }));
  }

  /** Everything else that has bytes of this, and this itself, which is the first. */
  relatives(node: Node): Relative[] {
    const found: Found[] = this.#downwards({ node, start: 0, end: UNBOUNDED }).map((one, i) => ({
      ...one,
      relation: i === 0 ? "itself" : one.by === "partition" ? "disk" : "below",
      holds: false,
    }));
    this.#upwards(found, found, new Set());
    // What it is a member's part of may have another name, by which others get at bytes of it.
    const lower = this.#members(node);
    const own = new Set([...this.within(node), ...found.map((one) => one.node)].map(({ identity }) => identity));
    for (const member of lower) {
      const chain = this.#downwards({ node: member, start: 0, end: UNBOUNDED });
      const beside: Found[] = chain.map((one) => ({ ...one, relation: "below", holds: false }));
      this.#upwards(beside, found, own);
    }
    return found.map(({ node: one, relation, holds }) => ({ node: one, relation, holds }));
  }

  /** The part itself, and the places in others that are the same bytes. */
  #downwards(part: Part): (Part & { readonly by: Step["by"] | undefined })[] {
    const found: (Part & { readonly by: Step["by"] | undefined })[] = [{ ...part, by: undefined }];
    for (const one of found) {
      for (const step of this.#layers.below(one.node)) {
        if (step.exact && !found.some(({ node }) => node.identity === step.node.identity))
          found.push({ ...down(one, step), by: step.by });
      }
    }
    return found;
  }

  /** Members, of whatever depth, that a device has places in which are not known. */
  #members(node: Node): Node[] {
    const found = [node];
    const members: Node[] = [];
    for (const one of found) {
      for (const step of one.kind === "device" ? this.#layers.below(one) : []) {
        if (!step.exact) members.push(step.node);
        if (!found.some(({ identity }) => identity === step.node.identity)) found.push(step.node);
      }
    }
    return members;
  }

  /** Adds to `found` what lies above `seeds` and has bytes of them. What is `own` is left out, and what holds that. */
  #upwards(seeds: readonly Found[], found: Found[], own: ReadonlySet<string>): void {
    const queue = [...seeds];
    for (const one of queue) {
      for (const step of this.#layers.above(one.node)) {
        const { identity } = step.node;
        if (own.has(identity) || found.some(({ node }) => node.identity === identity)) continue;
        if (own.has(one.node.identity) && !step.exact) continue;
        const part = step.exact ? up(one, step) : { node: step.node, start: 0, end: UNBOUNDED };
        if (part === undefined) continue;
        const next = { ...part, relation: relationAbove(one.relation, step.by), holds: holds(one.relation, step.by) };
        found.push(next);
        queue.push(next);
      }
    }
  }

  /** Where what is kept in it is mounted. */
  mountPoints(node: Node): string[] {
    return this.#layers.on(node).map(({ point }) => point);
  }

  /** The same, of file systems that are mounted for writing: the first word of what /proc tells of them (proc(5)). */
  writablePoints(node: Node): string[] {
    const mounts = this.#layers.on(node).filter(({ options }) => options.split(",")[0] !== "ro");
    return mounts.map(({ point }) => point);
  }

  /** Whether bytes of it are the running system's: of what its root is kept in. */
  isUnderRoot(node: Node): boolean {
    const exact = [wholeOf(node.identity), ...this.within(node).filter((extent) => extent.exact)];
    return this.#layers.root.some((root) => shareBytes(exact, [wholeOf(root.identity), ...this.within(root)]));
  }

  /** As people call a device. */
  nameOf(node: Node): string {
    return node.kind === "device" ? this.#layers.device(node.number).name : (node.path ?? "a file without a name");
  }

  /** Paths of the files and devices that loop devices below it lie over, from above to below; undefined for one out of sight. */
  backings(node: Node): (string | undefined)[] {
    const found = [node];
    const paths: (string | undefined)[] = [];
    for (const one of found) {
      for (const { node: below, by } of this.#layers.below(one)) {
        if (found.some(({ identity }) => identity === below.identity)) continue;
        found.push(below);
        if (by !== "loop") continue;
        paths.push(below.kind === "file" ? below.path : this.#layers.device(below.number).node);
      }
    }
    return paths;
  }
}

function relationAbove(below: Relation, by: Step["by"]): Relation {
  if (below === "below" || below === "beside") return "beside";
  if (by !== "partition" || below === "above") return "above";
  return below === "disk" ? "beside" : "partition";
}

function holds(below: Relation, by: Step["by"]): boolean {
  return by !== "partition" || below === "above";
}
