/** What a source is before it has blocks: standard input, or a file that is unpacked as it is read. */
import { isTerminal } from "../builtin.ts";
import { IoError, UsageError, VerificationError } from "../errors.ts";
import { signaturesOfHead } from "../local/guard/signatures.ts";
import { DayDisk } from "../local/undo/day.ts";
import { quote } from "../name.ts";
import { basename, dirname, realPath } from "../paths.ts";
import { StreamEndpoint } from "../stream/endpoint.ts";
import { bodyOf, diskInput, inputOf, isWholeFile, type Medium, peek, standardInput } from "../stream/medium.ts";
import { isUnpackable, plain, UNPACKABLE, type Unpackable, unpacked } from "../stream/unpack.ts";
import type { Description, Endpoint } from "../sync/endpoint.ts";
import type { Signature } from "../sync/facts.ts";
import { FORMATS } from "../sync/formats.ts";
import type { HashChoice } from "../sync/spec.ts";
import type { WebObject } from "../web/object.ts";
import { isStandardInput, type Location } from "./location.ts";
import type { UndoChoice } from "./undo.ts";

export const DECOMPRESS = ["auto", "always", "never"] as const;

export interface StreamOptions {
  /** --decompress: "auto" unpacks for a block device, which is of no use with compressed bytes on it. */
  readonly decompress: (typeof DECOMPRESS)[number];
  /** --source-size, in bytes; undefined for what comes. */
  readonly sourceSize: number | undefined;
}

export interface StreamOpening extends StreamOptions {
  readonly blockSize: number;
  readonly hash: Promise<HashChoice>;
  readonly signal: AbortSignal;
  readonly onNotice: (text: string) => void;
}

/** What messages call it. */
const INPUT = "standard input";

/** Standard input that is a file, and is at its beginning, as that file; every other source as it is. @throws {UsageError} for a terminal. */
export function inputAsFile(source: Location): Location {
  if (!isStandardInput(source)) return source;
  if (isTerminal(0))
    throw new UsageError("Cannot read the source from standard input: it is a terminal", {
      hint: "pipe a command into it, or redirect a file",
    });
  return isWholeFile(0) ? { remote: undefined, path: "/proc/self/fd/0", label: INPUT } : source;
}

/** Opens standard input, which may have to be waited for. @throws {IoError} */
export async function openInput(opening: StreamOpening, destination: Description): Promise<Endpoint> {
  const { head, medium } = await peek(standardInput(INPUT));
  if (head.length === 0)
    throw new IoError("Cannot read standard input: it ended before its first byte, so nothing was written", {
      hint: "the command that writes to it may have failed",
    });
  const type = typeToUnpack(signaturesOfHead(head), opening, INPUT, destination);
  return await openStream(medium, type, { label: INPUT, identity: "", within: [] }, opening);
}

/** Opens what a web server has, from its beginning to its end. Takes over nothing. @throws {IoError} */
export async function openBody(body: WebObject, opening: StreamOpening, destination: Description): Promise<Endpoint> {
  const { head, medium } = await peek(bodyOf(body));
  if (head.length === 0) throw new IoError(`Cannot read ${quote(body.label)}: it is empty`);
  const type = typeToUnpack(signaturesOfHead(head), opening, body.label, destination);
  const sourceSize = opening.sourceSize ?? (type === undefined ? body.sizeBytes : undefined);
  return await openStream(medium, type, { label: body.label, identity: "", within: [] }, { ...opening, sourceSize });
}

/** A source that is open, or what it unpacks to; takes it over. @throws {IoError} */
export async function unpackedSource(
  source: Endpoint,
  opening: StreamOpening,
  destination: Description,
): Promise<Endpoint> {
  // What a file gets as it is costs nothing to know.
  if (opening.decompress === "always" || destination.kind === "device") await source.examine?.();
  const { description } = source;
  if (description.kind === "stream") return source;
  const signatures = description.kind === "file" ? (description.facts?.contents[0]?.signatures ?? []) : [];
  const type = typeToUnpack(signatures, opening, description.label, destination);
  if (type === undefined) {
    checkSize(description, opening.sourceSize);
    return source;
  }
  return await openStream(await inputOf(source, opening.blockSize), type, description, opening);
}

/** Checks what has a size of its own against --source-size. @throws {VerificationError} */
function checkSize({ label, sizeBytes }: Description, due: number | undefined): void {
  if (due === undefined || due === sizeBytes) return;
  throw new VerificationError(`${quote(label)} has ${sizeBytes} bytes, where --source-size says ${due}`, {
    hint: "check what it comes from, and the size; nothing was written",
  });
}

/** Types of what holds a disk in clusters, as undo files do. */
const OVERLAY = "qcow2";
/**
 * How --undo DIR/ names its files. What an undo file says of where its disk is leads to any file of this machine, and a guest can write
 * such a header into a raw image of its own: by contents alone nothing is taken for one.
 */
const DAY = /^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z\.qcow2$/;

/**
 * The disk of the day that the undo file at `path` shows, where `source`, which is that file, is not to be copied as it is. Takes over the
 * source then. `undo` is where the run keeps what it overwrites. @throws {IoError} {VerificationError} where it does not show its day any more.
 */
export async function daySource(
  source: Endpoint,
  path: string,
  undo: UndoChoice | undefined,
  opening: StreamOpening,
  destination: Description,
): Promise<Endpoint | undefined> {
  const { label, kind, identity, within } = source.description;
  const { decompress, sourceSize, onNotice } = opening;
  if (kind !== "file" || decompress === "never" || typesOf(source.description)[0] !== OVERLAY) return undefined;
  // A copy of the undo file was meant.
  const isFile = destination.kind !== "device";
  if (decompress === "auto" && !DAY.test(basename(path))) return undefined;
  if (decompress === "auto" && isFile && (/\.qcow2$/i.test(destination.label) || typesOf(destination)[0] === OVERLAY))
    return undefined;
  const day = await DayDisk.open(path);
  if (day === undefined) return undefined;
  await source.close();
  const time = new Date(day.timeMs).toISOString().replace(/\.\d+Z$/, "Z");
  onNotice(
    `${quote(label)} is an undo file, so the source is ${quote(day.disk)} as it was before the run of ${time}; --decompress never copies the file`,
  );
  const restores = day.diskIdentity === destination.identity;
  const keepsChain = undo?.chain === true && realPath(dirname(undo.path)) === realPath(dirname(path));
  const [newest] = day.newer;
  if (restores && newest !== undefined && !keepsChain)
    onNotice(
      `${quote(label)} and what is older go on to show their days, and the ${day.newer.length} newer undo files do not: --undo ${quote(`${dirname(path)}/`)} keeps them`,
    );
  const medium = diskInput(day);
  return await openStream(
    // What it then reads of its own disk nobody has written to yet.
    restores ? { ...medium, confirmUnchanged: () => Promise.resolve() } : medium,
    undefined,
    { label, identity, within },
    { ...opening, sourceSize: sourceSize ?? day.sizeBytes },
  );
}

function typesOf({ facts }: Description): string[] {
  return (facts?.contents[0]?.signatures ?? []).map(({ type }) => type);
}

async function openStream(
  medium: Medium,
  type: Unpackable | undefined,
  origin: Pick<Description, "label" | "identity" | "within" | "facts">,
  { blockSize, hash, sourceSize, signal }: StreamOpening,
): Promise<Endpoint> {
  const input = type === undefined ? plain(medium) : unpacked(medium, type, origin.label, signal);
  return await StreamEndpoint.open({ origin, blockSize, hash: await hash, sizeBytes: sourceSize }, input);
}

/** How the source has to be unpacked for this destination; undefined for as it is. @throws {IoError} where it cannot be. */
function typeToUnpack(
  signatures: readonly Signature[],
  { decompress, onNotice }: StreamOpening,
  label: string,
  destination: Description,
): Unpackable | undefined {
  if (decompress === "never") return undefined;
  const types = signatures.map(({ type }) => type);
  // A plain disk or file system may begin like one.
  const type = types.every((one) => FORMATS.has(one)) ? types.find(isUnpackable) : undefined;
  if (decompress === "always") {
    if (type !== undefined) return type;
    throw new IoError(`Cannot unpack ${quote(label)}: it is not compressed, or not by ${UNPACKABLE.join(", ")}`, {
      hint: "without --decompress always it is copied as it is",
    });
  }
  const there = destination.facts?.contents[0]?.signatures ?? [];
  // What is there already was meant.
  if (type === undefined || destination.kind !== "device" || there.some((one) => one.type === type)) return undefined;
  onNotice(
    `${quote(label)} is compressed (${type}) and is unpacked, since ${quote(destination.label)} is a block device; --decompress never writes it as it is`,
  );
  return type;
}
