/** --expect-size and --expect-serial: for scripts, which nobody asks whether this is the right disk. */

import { refusedDestination } from "../errors.ts";
import { quote } from "../name.ts";
import type { Description } from "../sync/endpoint.ts";

export interface Expectations {
  readonly expectSize: number | undefined;
  readonly expectSerial: string | undefined;
}

/** @throws {RefusedError} when the destination is another than expected. */
export function checkExpected(destination: Description, { expectSize, expectSerial }: Expectations): void {
  const { label, kind, sizeBytes } = destination;
  const refuse = (why: string, hint: string) => refusedDestination(label, "unexpected", why, hint);
  if (expectSize !== undefined && kind === "missing") {
    throw refuse(
      `it does not exist, but --expect-size says ${expectSize} bytes`,
      "leave out --expect-size to create it",
    );
  }
  if (expectSize !== undefined && sizeBytes !== expectSize) {
    throw refuse(
      `it has ${sizeBytes} bytes, but --expect-size says ${expectSize}`,
      "this may be another disk: lsblk --bytes",
    );
  }
  if (expectSerial === undefined) return;
  if (kind !== "device") {
    throw refuse("it is not a device, so it has no serial number", "leave out --expect-serial for a file");
  }
  const serial = destination.facts?.serial ?? "";
  if (serial === expectSerial) return;
  const found = serial === "" ? "its serial number is unknown" : `its serial number is ${quote(serial)}`;
  throw refuse(
    `${found}, but --expect-serial says ${quote(expectSerial)}`,
    "this may be another disk: lsblk --output NAME,SERIAL",
  );
}
