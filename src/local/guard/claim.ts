/**
 * Opens a destination for a run and keeps others off it until the end: the reasons not to write to it are looked for,
 * a device is claimed with O_EXCL, and the locks are taken by which programs agree (run-lock.ts).
 */
import fs from "node:fs";
import { type RefusedError, refusedDestination, VerificationError } from "../../errors.ts";
import { bytesOf, quote } from "../../name.ts";
import type { EndpointSpec, Opening } from "../../sync/spec.ts";
import { Device } from "../medium/device.ts";
import { statPath } from "../medium/stat.ts";
import { deviceNumber, identityOf, nodeAt, Picture, SysDevice } from "../system/picture.ts";
import { guardDestination } from "./guard.ts";
import { useByOpening, useOfDevices, useOutOfSight } from "./openers.ts";
import { RunLock } from "./run-lock.ts";
import { type Use, usesOf } from "./uses.ts";

export type ClaimOptions = Pick<EndpointSpec, "path" | "label" | "allowed">;

export interface Claim {
  /** undefined: there is nothing at the path yet. */
  readonly device: Device | undefined;
  /** To be closed after the device. */
  readonly lock: RunLock | undefined;
  /** This machine as it was looked at for the claim. */
  readonly picture: Picture;
}

/**
 * Opens what an endpoint is about, and claims it for the first lane of a run that writes.
 * @throws {RefusedError} {IoError}
 */
export async function openClaimed(spec: Opening): Promise<Claim> {
  const { path, label, access } = spec;
  const free = { lock: undefined, picture: new Picture() };
  if (access === "read") return { ...free, device: await Device.open(path, label, "read") };
  const stat = guardDestination(path, label);
  if (stat === undefined) return { ...free, device: undefined };
  if (access === "write") return await claim(stat, spec, free.picture);
  return { ...free, device: await Device.open(path, label, access === "join" ? "join" : "read") };
}

async function claim(stat: fs.BigIntStats, options: ClaimOptions, picture: Picture): Promise<Claim> {
  const { path, label, allowed } = options;
  if (!isSeen(stat) && !allowed.includes("unseen")) throw unseen(label);
  const node = nodeAt(path);
  if (node?.identity !== identityOf(stat)) throw changed(label);
  const uses = usesOf(picture, node);
  const opened = stat.isFile() && uses.length === 0 ? await useByOpening(path, stat) : undefined;
  const isHeld = uses.length > 0 && uses.every(({ name }) => name === "held");
  refuseFor([...uses, opened, isHeld ? useOutOfSight(picture, node) : undefined], options);
  // What is used with the user's consent cannot be claimed.
  const shares = uses.length > 0 || allowed.includes("in-use");
  const device = await Device.open(path, label, shares ? "join" : "write");
  try {
    if (device.identity !== identityOf(stat)) throw changed(label);
    // Who may share it with others need not know them.
    if (!allowed.includes("in-use")) refuseFor([await useOfDevices(picture, node)], options);
    const lock = await RunLock.take(device, picture, options);
    await device.forgetStack();
    return { device, lock, picture };
  } catch (error) {
    await device.close();
    throw error;
  }
}

/** @throws {RefusedError} for the first that is not overridden. */
function refuseFor(uses: readonly (Use | undefined)[], { label, allowed }: ClaimOptions): void {
  const reason = uses.find((use) => use !== undefined && !allowed.some((one) => one === use.name));
  if (reason !== undefined) throw refusedDestination(label, reason.name, reason.sentence, reason.hint);
}

function isSeen(stat: fs.BigIntStats): boolean {
  return !stat.isBlockDevice() || new SysDevice(deviceNumber(stat.rdev)).isSeen;
}

function unseen(label: string): RefusedError {
  return refusedDestination(
    label,
    "unseen",
    "/sys does not list it, so blocksync cannot tell what else uses its bytes",
    "mount sysfs first: mount -t sysfs sysfs /sys",
  );
}

function changed(label: string): RefusedError {
  return refusedDestination(
    label,
    "changed",
    "it changed while blocksync prepared the run",
    "it may have been replaced, renamed or resized: check it (lsblk), then run again; nothing was written",
  );
}

/**
 * Checks, right before the first write, that the path still leads to what was opened: whoever confirmed may have taken
 * minutes, and meant the path.
 * @throws {RefusedError}
 */
export function checkStillThere(device: Device, { path, label }: ClaimOptions): void {
  const stat = statPath(path, label);
  if (stat === undefined || !device.isWhat(stat) || device.resized() !== undefined) throw changed(label);
}

/**
 * Checks, after the last write, that the path leads to what was written and that it has the size it was given: what nobody
 * finds under its name is no copy. @throws {VerificationError} {IoError} when the path cannot be looked at.
 */
export function checkWritten(device: Device, { path, label }: ClaimOptions): void {
  const stat = statPath(path, label);
  if (stat === undefined) throw elsewhere(label, "its name no longer exists");
  if (!device.isWhat(stat)) throw elsewhere(label, "its name now leads to something else");
  const how = device.resized();
  if (how !== undefined) throw elsewhere(label, how);
}

function elsewhere(label: string, how: string): VerificationError {
  return new VerificationError(`The destination ${quote(label)} is no longer what blocksync wrote: ${how}`, {
    hint: "something removed, replaced, renamed or truncated it during the run: find out what, then run again",
  });
}

/**
 * Creates a destination that was not there when it was claimed, locks it and makes it so long; where that fails there is
 * nothing again. @throws {RefusedError} {IoError}
 */
export async function createDestination(
  options: ClaimOptions,
  sizeBytes: number,
): Promise<{ device: Device; lock: RunLock }> {
  const { path, label } = options;
  if (statPath(path, label) !== undefined) throw changed(label);
  const device = await Device.open(path, label, "create");
  let lock: RunLock | undefined;
  try {
    lock = await RunLock.take(device, new Picture(), options);
    if (sizeBytes > 0) await device.resize(sizeBytes);
    return { device, lock };
  } catch (error) {
    remove(device, options);
    await device.close();
    await lock?.close();
    throw error;
  }
}

/** Removes what was just created, if its name still leads there. */
function remove(device: Device, { path, label }: ClaimOptions): void {
  try {
    const stat = statPath(path, label);
    if (stat !== undefined && device.isWhat(stat)) fs.unlinkSync(bytesOf(path));
  } catch {
    // What failed before is what is said.
  }
}
