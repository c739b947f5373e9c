/** Packs and expands the bytes of a frame that carries leaves. */
import { ProtocolError } from "../errors.ts";

export interface Compression {
  /** Returns what to send instead of `bytes`: shorter, or `bytes` themselves. */
  pack(bytes: Uint8Array): Promise<Uint8Array>;
  /** @throws {ProtocolError} unless `body` expands to exactly `length` bytes. */
  expand(body: Uint8Array, length: number): Promise<Uint8Array>;
}

export const noCompression: Compression = {
  pack: (bytes) => Promise.resolve(bytes),
  expand: (body, length) => {
    if (body.length === length) return Promise.resolve(body);
    return Promise.reject(new ProtocolError(`Received ${body.length} bytes of data where ${length} were announced`));
  },
};
