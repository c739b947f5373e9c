/**
 * Pipes as byte streams, by plain reads and writes on thread-pool threads: serve's standard input and output, and our
 * ends of those of a child. Bun's own streams take ten times the CPU time for the same bytes.
 */
import fs from "node:fs";
import { systemCode } from "../../errors.ts";
import type { ByteSink, ByteSource } from "./streams.ts";

/** A whole enlarged pipe at once. */
const READ_LENGTH = 1 << 20;
/** Some sudo and sshd set-ups hand over non-blocking descriptors; then this is the pause between attempts. */
const RETRY_MS = 1;

function retryable(error: unknown): boolean {
  const code = systemCode(error);
  return code === "EAGAIN" || code === "EINTR";
}

export function descriptorSource(fd: number): ByteSource {
  let buffer = Buffer.alloc(READ_LENGTH);
  const readOnce = () =>
    new Promise<number>((resolve, reject) => {
      fs.read(fd, buffer, 0, buffer.length, null, (error, count) => (error === null ? resolve(count) : reject(error)));
    });
  return {
    async read(keepsLast) {
      if (keepsLast === true) buffer = Buffer.alloc(READ_LENGTH);
      for (;;) {
        try {
          const count = await readOnce();
          return count === 0 ? undefined : buffer.subarray(0, count);
        } catch (error) {
          if (!retryable(error)) throw error;
          await Bun.sleep(RETRY_MS);
        }
      }
    },
  };
}

/** The descriptor stays open at the end; it is its owner's to close. */
export function descriptorSink(fd: number): ByteSink {
  const writeOnce = (bytes: Uint8Array, start: number) =>
    new Promise<number>((resolve, reject) => {
      fs.write(fd, bytes, start, bytes.length - start, null, (error, count) =>
        error === null ? resolve(count) : reject(error),
      );
    });
  return {
    async write(bytes) {
      let done = 0;
      while (done < bytes.length) {
        try {
          done += await writeOnce(bytes, done);
        } catch (error) {
          if (!retryable(error)) throw error;
          await Bun.sleep(RETRY_MS);
        }
      }
    },
    end: () => Promise.resolve(),
  };
}
