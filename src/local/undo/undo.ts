/**
 * The undo file of a run: a qcow2 overlay of the destination (qcow2.ts), which shows it as it was before the run. The one door of this room.
 */
import fs from "node:fs";
import { cannot, IoError, type RefusedError, refused, systemCode } from "../../errors.ts";
import { bytesOf, quote } from "../../name.ts";
import { basename, dirname, join, realPath } from "../../paths.ts";
import { shareBytes, wholeOf } from "../../sync/extents.ts";
import { type ByteRange, pieces } from "../../sync/ranges.ts";
import type { EndpointSpec, UndoSpec } from "../../sync/spec.ts";
import { comesAmongDevices } from "../guard/guard.ts";
import { markOf } from "../guard/mark.ts";
import { Descriptor } from "../medium/descriptor.ts";
import type { Device } from "../medium/device.ts";
import { flushFolder } from "../medium/folder.ts";
import { Picture } from "../system/picture.ts";
import { headAt, rebaseOthers } from "./chain.ts";
import { Overlay } from "./overlay.ts";
import { encodeHead, HEAD_LENGTH, type Head, MAX_BACKING_BYTES } from "./qcow2.ts";
import { Saver } from "./saver.ts";

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = fs.constants;
/** What a tail is saved in, before it is cut off. */
const TAIL_PIECE = 64 << 20;

type Target = Pick<EndpointSpec, "path" | "label">;

/** A path that leads to the same from everywhere; its last name stays, so that a link that follows a disk does so later too. */
function absolute(path: string): string {
  return join(realPath(dirname(path)), basename(path));
}

function exists({ label }: UndoSpec): RefusedError {
  const hint = "an undo file is never overwritten: name a new one, or move the old one away";
  return refused(
    "create",
    label,
    "undo-exists",
    "it exists already, and may hold what another run has overwritten",
    hint,
  );
}

/**
 * Looks whether the undo file of a run could be made, before anything is. @throws {RefusedError} {IoError}
 */
export function checkUndo(spec: UndoSpec, target: Target, device: Device | undefined, picture: Picture): void {
  const { path, label } = spec;
  let place: string;
  try {
    place = absolute(path);
  } catch (error) {
    const hint =
      systemCode(error) === "ENOENT" ? "create its directory first (mkdir -p), or correct the path" : undefined;
    throw cannot("create", label, error, hint);
  }
  if (path.endsWith("/"))
    throw refused("create", label, "undo-place", "it is to be a file, and the name ends with a slash", "name a file");
  if (comesAmongDevices(place)) {
    const hint = "nothing is ever created under /dev: name a file in another directory";
    throw refused("create", label, "undo-place", "it would be among the device nodes", hint);
  }
  if (device === undefined) return;
  const bytes = [wholeOf(device.identity), ...picture.within(device.node).filter(({ exact }) => exact)];
  if (shareBytes(bytes, picture.withinNew(place))) {
    const hint = "what it saves would be overwritten: name a file on another file system";
    throw refused("create", label, "undo-place", `it would be in the file system of ${quote(target.label)}`, hint);
  }
  if (bytesOf(absolute(target.path)).length > MAX_BACKING_BYTES) {
    const hint = "use a shorter name for it, such as a symbolic link";
    const why = `the path of ${quote(target.label)} has more than ${MAX_BACKING_BYTES} bytes, and qcow2 takes no longer one`;
    throw refused("create", label, "undo-place", why, hint);
  }
  if (isThere(place) && ownHead(spec, place, target) === undefined) throw exists(spec);
}

function restsOn(target: Target, device: Device): Pick<Head, "mark" | "backing"> {
  return { mark: markOf(device.file.stat()), backing: absolute(target.path) };
}

function isThere(path: string): boolean {
  return fs.lstatSync(bytesOf(path), { throwIfNoEntry: false }) !== undefined;
}

/** What the file at `path` says of itself, if an earlier pass of this very run has made it. */
function ownHead({ run }: UndoSpec, path: string, target: Target): Head | undefined {
  const head = headAt(path);
  const isOwn = head !== undefined && Buffer.from(run).equals(head.run) && head.backing === absolute(target.path);
  return isOwn ? head : undefined;
}

export class Undo {
  readonly #file: Descriptor;
  readonly #saver: Saver;
  readonly #device: Device;
  /** Where this pass has made the file; undefined when an earlier one has. */
  readonly #made: string | undefined;
  readonly #sizeBytes: number;

  private constructor(file: Descriptor, saver: Saver, device: Device, made: string | undefined, sizeBytes: number) {
    this.#file = file;
    this.#saver = saver;
    this.#device = device;
    this.#made = made;
    this.#sizeBytes = sizeBytes;
  }

  /**
   * Makes the file, durable and found again after a crash, before anything is written to the device; or goes on with that of an
   * earlier pass of this run. @throws {RefusedError} {IoError}
   */
  static async begin(spec: UndoSpec, target: Target, device: Device): Promise<Undo> {
    const { label, run } = spec;
    checkUndo(spec, target, device, new Picture());
    const place = absolute(spec.path);
    const known = isThere(place) ? ownHead(spec, place, target) : undefined;
    const head = known ?? { run, timeMs: Date.now(), sizeBytes: device.sizeBytes, ...restsOn(target, device) };
    const flags = known === undefined ? O_CREAT | O_EXCL : 0;
    const file = await Descriptor.open(place, O_RDWR | O_NOFOLLOW | flags, 0o600).catch((error: unknown) => {
      if (systemCode(error) === "EEXIST") throw exists(spec);
      throw cannot("create", label, error);
    });
    let isChained = false;
    try {
      const bytes = Buffer.alloc(HEAD_LENGTH);
      if (known !== undefined && !((await file.fill(bytes, 0)) && bytes.equals(encodeHead(head)))) throw exists(spec);
      const overlay = await (known === undefined ? Overlay.create : Overlay.reopen)(file, label, head);
      if (known === undefined) await flushFolder(dirname(place), label);
      // From the first of them on the file is one of a chain, and stays.
      const others = spec.chain
        ? await rebaseOthers(place, { ...restsOn(target, device), identity: device.identity }, () => (isChained = true))
        : 0;
      const made = known === undefined && others === 0 ? place : undefined;
      return new Undo(file, new Saver(overlay, label, device), device, made, head.sizeBytes);
    } catch (error) {
      if (known === undefined && !isChained) remove(file, place);
      await file.close();
      throw systemCode(error) === undefined ? error : cannot("write the undo file", label, error);
    }
  }

  /** See Saver.save(). */
  async save(ranges: readonly ByteRange[]): Promise<void> {
    await this.#saver.save(ranges);
  }

  /** Saves what is about to be cut off: all data from `offset` on. Holes are zero again when the file is made longer. */
  async saveTail(offset: number): Promise<void> {
    for await (const { start, end } of this.#device.data(offset, this.#sizeBytes)) {
      const from = Math.max(start, offset);
      for (const piece of pieces({ offset: from, length: Math.min(end, this.#sizeBytes) - from }, TAIL_PIECE))
        await this.save([piece]);
    }
  }

  /** Removes the file that this pass has made: nothing was overwritten. */
  async takeBack(): Promise<void> {
    if (this.#made !== undefined) remove(this.#file, this.#made);
    await this.close();
  }

  /** Lets go of the file, after what is under way. Never throws; safe to call twice. */
  async close(): Promise<void> {
    await this.#saver.end(new IoError("Cannot write the undo file: it is closed"));
    await this.#file.close();
  }
}

/** Removes what was just made, if its name still leads there. */
function remove(file: Descriptor, path: string): void {
  try {
    const [stat, found] = [file.stat(), fs.lstatSync(bytesOf(path), { bigint: true })];
    if (stat.dev === found.dev && stat.ino === found.ino) fs.unlinkSync(bytesOf(path));
  } catch {
    // What failed before is what is said.
  }
}
