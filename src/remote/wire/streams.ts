/** Byte streams as the rest of this room sees them: pipes of a child, stdin and stdout of serve, or memory in tests. */

export interface ByteSource {
  /**
   * The next bytes, at least one; undefined at the end. They are the caller's until the next call; with `keepsLast` those of the
   * last call stay the caller's for good.
   */
  read(keepsLast?: boolean): Promise<Uint8Array | undefined>;
}

export interface ByteSink {
  /** Resolves when the bytes were handed over and may be reused. */
  write(bytes: Uint8Array): Promise<void>;
  end(): Promise<void>;
}

/** Reads a ByteSource in the portions that a protocol needs. */
export class ByteReader implements ByteSource {
  readonly #source: ByteSource;
  #chunk: Uint8Array = new Uint8Array(0);
  #start = 0;
  bytesRead = 0;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** As a source that goes on where what was read so far ends. */
  async read(keepsLast?: boolean): Promise<Uint8Array | undefined> {
    if (this.#start === this.#chunk.length) return await this.#source.read(keepsLast);
    const rest = this.#chunk.subarray(this.#start);
    this.#start = this.#chunk.length;
    return rest;
  }

  async #more(): Promise<boolean> {
    while (this.#start === this.#chunk.length) {
      const chunk = await this.#source.read();
      if (chunk === undefined) return false;
      this.#chunk = chunk;
      this.#start = 0;
      this.bytesRead += chunk.length;
    }
    return true;
  }

  /** Fills `target`. Returns how many bytes came before the end: target.length unless the stream ended. */
  async fill(target: Uint8Array): Promise<number> {
    let done = 0;
    while (done < target.length && (await this.#more())) {
      const count = Math.min(target.length - done, this.#chunk.length - this.#start);
      target.set(this.#chunk.subarray(this.#start, this.#start + count), done);
      this.#start += count;
      done += count;
    }
    return done;
  }

  /** The next `length` bytes, fewer where the stream ends before; they stay the next to be read. The caller's for good. */
  async peek(length: number): Promise<Buffer> {
    const memory = Buffer.alloc(length);
    const head = memory.subarray(0, await this.fill(memory));
    this.putBack(head);
    return head;
  }

  /** Makes these bytes the next to be read, as if they had not been read yet. */
  putBack(bytes: Uint8Array): void {
    this.#chunk = Buffer.concat([bytes, this.#chunk.subarray(this.#start)]);
    this.#start = 0;
  }

  /** Reads up to and with `end` (one byte value), at most `limit` bytes; returns what came, with it only if complete. */
  async until(end: number, limit: number): Promise<{ readonly bytes: Uint8Array; readonly complete: boolean }> {
    const bytes: number[] = [];
    while (bytes.length < limit && (await this.#more())) {
      const byte = this.#chunk[this.#start++] ?? 0;
      bytes.push(byte);
      if (byte === end) return { bytes: Uint8Array.from(bytes), complete: true };
    }
    return { bytes: Uint8Array.from(bytes), complete: false };
  }
}
