/** What becomes of a destination before the first block is written to it. */
import { tooSmall } from "../errors.ts";
import type { Opening } from "../sync/spec.ts";
import { checkStillThere, checkWritten, createDestination } from "./guard/claim.ts";
import type { RunLock } from "./guard/run-lock.ts";
import type { Device } from "./medium/device.ts";
import { Undo } from "./undo/undo.ts";

export interface Fitted {
  readonly device: Device;
  /** Of what was created. */
  readonly lock: RunLock | undefined;
  /** Has been made, and nothing was written before; undefined where nothing is to be saved, or there was nothing. */
  readonly undo: Undo | undefined;
}

/**
 * Creates, grows or cuts a destination; a device must be large enough. `before` is what became of it when its size was
 * fixed for less, which a source that is read once has it done part by part. @throws {RefusedError} {IoError} */
export async function fit(
  spec: Opening,
  device: Device | undefined,
  sizeBytes: number,
  exact: boolean,
  before?: Fitted,
): Promise<Fitted> {
  if (device === undefined) return { ...(await createDestination(spec, sizeBytes)), undo: undefined };
  (before === undefined ? checkStillThere : checkWritten)(device, spec);
  const { kind, sizeBytes: current } = device;
  if (kind === "device" && current < sizeBytes) throw tooSmall(spec.label, sizeBytes, current);
  const begins = before === undefined && spec.undo !== undefined && current > 0;
  const undo = begins ? await Undo.begin(spec.undo, spec, device) : before?.undo;
  try {
    const cut = exact && kind === "file" && current > sizeBytes;
    if (cut) await undo?.saveTail(sizeBytes);
    if (cut || current < sizeBytes) await device.resize(sizeBytes);
    return { device, lock: undefined, undo };
  } catch (error) {
    if (before === undefined) await undo?.takeBack();
    throw error;
  }
}
