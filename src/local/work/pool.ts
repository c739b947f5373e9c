/**
 * Reusable buffers of one size: bounds the memory of a local endpoint and spares the garbage collector a gigabyte a second.
 * They are shared memory, so that other threads can hash what is in them.
 */
import { Window } from "../../sync/window.ts";

export class BufferPool {
  readonly #size: number;
  readonly #free: Buffer[] = [];
  readonly #window: Window;

  constructor(size: number, count: number) {
    this.#size = size;
    this.#window = new Window(count);
  }

  /**
   * Lends a page-aligned buffer, waiting while all are out. Its contents are stale: use only what a read filled.
   */
  async take(): Promise<Buffer> {
    await this.#window.take();
    return this.#free.pop() ?? Buffer.from(new SharedArrayBuffer(this.#size));
  }

  give(buffer: Buffer): void {
    this.#free.push(buffer);
    this.#window.give();
  }

  fail(cause: unknown): void {
    this.#window.fail(cause);
  }
}
