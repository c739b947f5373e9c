/**
 * Model, serial number and transport of a disk, from udev's database where there is one and from sysfs, and what the disk
 * and its partitions carry.
 */
import { join } from "../../paths.ts";
import { type Content, type Facts, MAX_CONTENTS, MAX_SIGNATURES, MAX_WRITER_LENGTH } from "../../sync/facts.ts";
import type { EndpointSpec } from "../../sync/spec.ts";
import type { Device } from "../medium/device.ts";
import { type Picture, readLine, SysDevice } from "../system/picture.ts";
import { cleanText, Ends, HEAD_LENGTH, TAIL_LENGTH } from "./ends.ts";
import { writerOf } from "./lock.ts";
import { signaturesOf, typesAtEnd } from "./signatures.ts";
import { writersOf } from "./uses.ts";

/** sysfs counts in these whatever the device's own sectors are (Documentation/ABI/stable/sysfs-block). */
const SYSFS_SECTOR = 512;

type Hardware = Pick<Facts, "model" | "serial" | "transport">;

function clean(text: string | undefined): string {
  return cleanText(Buffer.from(text ?? ""));
}

/** udev escapes in *_ENC what may not stand in its own fields, as \x20. */
function unescapeHex(text: string): string {
  return text.replace(/\\x([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
}

/** The lines "E:KEY=VALUE" of udev's database, which systemd keeps below `folder` (/run/udev/data/bMAJOR:MINOR). */
export function udevProperties(text: string): ReadonlyMap<string, string> {
  const pairs = text.split("\n").map((line) => /^E:([^=]+)=(.*)$/.exec(line));
  return new Map(pairs.flatMap((pair) => (pair === null ? [] : [[pair[1] ?? "", pair[2] ?? ""] as const])));
}

/** The nearest folder upwards from a device's that has `name` in it, down to /sys/devices; its content. */
export function upwards(folder: string | undefined, name: string): string | undefined {
  let at = folder;
  for (let step = 0; at?.startsWith("/sys/devices/") && step < 16; step++) {
    const line = readLine(join(at, name));
    if (line !== undefined) return line;
    at = join(at, "..");
  }
  return undefined;
}

/** By the folders that the kernel's device tree puts a disk in. */
function transportOf(folder: string): string {
  const known = ["usb", "nvme", "mmc", "virtio", "ata", "firewire", "iscsi", "sas", "loop"];
  const parts = folder.split("/");
  const isOf = (name: string) =>
    parts.some((part) => part.startsWith(name === "iscsi" ? "session" : name === "sas" ? "end_device-" : name));
  return known.find(isOf) ?? "";
}

/** Of the whole disk that a device is, or is a part of. */
export function hardwareOf(device: SysDevice): Hardware {
  const disk = device.disk === undefined ? device : new SysDevice(device.disk);
  const udev = udevProperties(readLine(`/run/udev/data/b${disk.number}`) ?? "");
  const { folder = "" } = disk;
  const escaped = udev.get("ID_MODEL_ENC");
  const model = escaped === undefined ? undefined : unescapeHex(escaped);
  const transport = transportOf(folder);
  // Only a USB device's own descriptor has the serial number of the thing one holds in one's hand.
  const usbSerial = transport === "usb" ? upwards(folder, "serial") : undefined;
  return {
    model: clean(model ?? udev.get("ID_MODEL") ?? disk.line("device/model") ?? disk.line("device/name")),
    serial: clean(
      udev.get("ID_SERIAL_SHORT") ?? usbSerial ?? disk.line("serial") ?? disk.line("device/serial") ?? pageSerial(disk),
    ),
    transport: clean(udev.get("ID_BUS")) || transport,
  };
}

/** The unit serial number page of a SCSI disk: a header of 4 bytes, then the text (SPC-4, 7.8.15). */
export function pageSerial(disk: SysDevice): string | undefined {
  const page = disk.line("device/vpd_pg80");
  return page?.slice(4);
}

/** Both ends of `sizeBytes` bytes from `start` on; undefined where the device cannot be read. */
async function endsOf(device: Device, start: number, sizeBytes: number): Promise<Ends | undefined> {
  const head = Buffer.alloc(Math.min(HEAD_LENGTH, sizeBytes));
  const tail = Buffer.alloc(Math.min(TAIL_LENGTH, sizeBytes));
  const isRead =
    (await device.file.fill(head, start)) && (await device.file.fill(tail, start + sizeBytes - tail.length));
  return isRead ? new Ends(sizeBytes, head, tail) : undefined;
}

function contentOf(name: string, sizeBytes: number, ends: Ends | undefined): Content {
  const signatures = ends === undefined ? undefined : signaturesOf(ends).slice(0, MAX_SIGNATURES);
  return { name: clean(name), sizeBytes, signatures };
}

/** What its partitions carry, as the kernel knows them. */
async function partitionsOf(device: Device, system: SysDevice | undefined): Promise<Content[]> {
  const contents: Content[] = [];
  for (const number of system?.partitions.slice(0, MAX_CONTENTS - 1) ?? []) {
    const partition = new SysDevice(number);
    const start = Number(partition.line("start")) * SYSFS_SECTOR;
    const sizeBytes = Number(partition.line("size")) * SYSFS_SECTOR;
    if (!(start >= 0 && sizeBytes >= 0 && start + sizeBytes <= device.sizeBytes)) continue;
    contents.push(contentOf(partition.name, sizeBytes, await endsOf(device, start, sizeBytes)));
  }
  return contents;
}

/** Names of a regular file; 0 for a device, and where nobody knows. */
function linksOf({ kind, file }: Device): number {
  try {
    return kind === "file" ? Number(file.stat().nlink) : 0;
  } catch {
    return 0;
  }
}

/** See Facts.writer. */
function writerTo({ file, kind, node }: Device, picture: Picture): string {
  const writers = writersOf(picture, node);
  if (writers !== "") return writers;
  // A loop device over it has it open for writing too, mounted or not.
  const isAlone = kind === "file" && picture.relatives(node).length === 1;
  return writerOf(file.fd, { byOpening: isAlone });
}

/**
 * What is known of an open device or file, which is read as far as `examine` says; undefined where that is not at all. Only of
 * what is read it is said who may write to it: a destination in use is refused.
 */
export async function factsOf(
  device: Device,
  picture: Picture,
  { access, examine }: Pick<EndpointSpec, "access" | "examine">,
): Promise<Facts | undefined> {
  if (examine === "nothing") return undefined;
  const system = device.number === undefined ? undefined : new SysDevice(device.number);
  const hardware = system === undefined ? { model: "", serial: "", transport: "" } : hardwareOf(system);
  const ends = await endsOf(device, 0, device.sizeBytes);
  const own = contentOf(system?.name ?? "", device.sizeBytes, ends);
  return {
    name: clean(system?.name),
    ...hardware,
    sectorBytes: system?.sectorBytes ?? 0,
    isPartition: system?.isPartition ?? false,
    links: linksOf(device),
    writer: access === "read" ? writerTo(device, picture).slice(0, MAX_WRITER_LENGTH) : "",
    isZero: ends?.isZero ?? false,
    atEnd: ends === undefined ? [] : typesAtEnd(ends).slice(0, MAX_SIGNATURES),
    contents: [own, ...(examine === "partitions" ? await partitionsOf(device, system) : [])],
  };
}
