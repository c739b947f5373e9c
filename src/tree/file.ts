/** A hash tree in a file of this machine. */
import { sourceChanged } from "../errors.ts";
import { Device } from "../local/medium/device.ts";
import type { ByteRange } from "../sync/ranges.ts";
import type { TreeSource } from "./endpoint.ts";
import type { TreeBytes } from "./hash-tree.ts";

class TreeFile implements TreeBytes {
  readonly #device: Device;

  constructor(device: Device) {
    this.#device = device;
  }

  get label(): string {
    return this.#device.label;
  }

  get sizeBytes(): number {
    return this.#device.sizeBytes;
  }

  async read({ offset, length }: ByteRange): Promise<Uint8Array> {
    const bytes = Buffer.alloc(length);
    await this.#device.reader.read(bytes, offset);
    return bytes;
  }
}

/** Opens the tree at `path`, which stands for itself. @throws {IoError} {RefusedError} as Device.open(). */
export async function openTreeFile(path: string): Promise<TreeSource> {
  const device = await Device.open(path, path, "read");
  return {
    bytes: new TreeFile(device),
    label: path,
    identity: device.identity,
    bytesRead: () => device.reader.bytesRead,
    confirmUnchanged: () => {
      const how = device.changed();
      return how === undefined ? Promise.resolve() : Promise.reject(sourceChanged(path, `: ${how}`));
    },
    close: () => device.close(),
  };
}
