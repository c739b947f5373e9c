/** A file in memory that remembers what was done to it, and what a power cut leaves of it. */
import type { OverlayFile } from "../../src/local/undo/overlay.ts";
import { random } from "./bytes.ts";

type Operation = { readonly offset: number; readonly bytes: Buffer } | { readonly sizeBytes: number } | "sync";

/** What a disk writes as a whole. */
const SECTOR = 512;
/** In bytes. */
const LONGEST = 8 << 20;

export class RecordedFile implements OverlayFile {
  readonly operations: Operation[] = [];
  readonly #room = Buffer.alloc(LONGEST);
  #length = 0;

  get #bytes(): Buffer {
    return this.#room.subarray(0, this.#length);
  }

  #apply(operation: Operation): void {
    if (operation === "sync") return;
    if ("sizeBytes" in operation) {
      this.#length = operation.sizeBytes;
      return;
    }
    this.#length = Math.max(this.#length, operation.offset + operation.bytes.length);
    operation.bytes.copy(this.#room, operation.offset);
  }

  #do(operation: Operation): void {
    this.operations.push(operation);
    this.#apply(operation);
  }

  read(buffer: Buffer, start: number, offset: number): Promise<number> {
    return Promise.resolve(this.#bytes.copy(buffer, start, offset));
  }

  write(bytes: Uint8Array, start: number, offset: number): Promise<number> {
    const copy = Buffer.from(bytes.subarray(start));
    this.#do({ offset, bytes: copy });
    return Promise.resolve(copy.length);
  }

  truncate(sizeBytes: number): Promise<void> {
    this.#do({ sizeBytes });
    return Promise.resolve();
  }

  flush(): Promise<void> {
    this.#do("sync");
    return Promise.resolve();
  }

  flushData(): Promise<void> {
    return this.flush();
  }

  stat(): never {
    throw new RangeError("It is no file of the system");
  }

  /**
   * What the disk may hold when the power goes after `count` operations: all of what was synced, and of the rest, sector by sector, what
   * chance has it.
   */
  after(count: number, seed: number): Buffer {
    const next = random(seed);
    const done = this.operations.slice(0, count);
    const durable = done.lastIndexOf("sync") + 1;
    const left = new RecordedFile();
    for (const [i, operation] of done.entries()) {
      if (operation === "sync" || "sizeBytes" in operation || i < durable) {
        left.#apply(operation);
        continue;
      }
      for (let at = 0; at < operation.bytes.length; at += SECTOR) {
        if (next() % 2 === 0) continue;
        left.#apply({ offset: operation.offset + at, bytes: operation.bytes.subarray(at, at + SECTOR) });
      }
    }
    return left.#bytes;
  }
}
