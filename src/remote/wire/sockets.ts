/** A unix socket as byte streams. */
import type net from "node:net";
import type { ByteSink, ByteSource } from "./streams.ts";

export interface SocketStreams {
  readonly source: ByteSource;
  /** Its end() ends this direction alone. */
  readonly sink: ByteSink;
  /** Ends both directions at once. */
  close(): void;
}

const CLOSED = new Error("the socket is closed");

/** Of a socket that was made with allowHalfOpen, and that nobody else listens to. */
export function socketStreams(socket: net.Socket): SocketStreams {
  const queue: Uint8Array[] = [];
  let ended = false;
  let closed = false;
  let wake: (() => void) | undefined;
  const writing = new Set<(cause: unknown) => void>();
  socket.on("data", (bytes: Buffer) => {
    queue.push(bytes);
    socket.pause();
    wake?.();
  });
  socket.on("end", () => {
    ended = true;
    wake?.();
  });
  // It closes after that.
  socket.on("error", () => undefined);
  socket.on("close", () => {
    closed = true;
    wake?.();
    for (const fail of writing) fail(CLOSED);
  });
  return {
    source: {
      async read() {
        for (;;) {
          const bytes = queue.shift();
          if (bytes !== undefined) return bytes;
          if (ended || closed) return undefined;
          socket.resume();
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      },
    },
    sink: {
      write(bytes) {
        if (closed) return Promise.reject(CLOSED);
        return new Promise((resolve, reject) => {
          const settle = (cause?: unknown) => {
            writing.delete(settle);
            if (cause === undefined || cause === null) resolve();
            else reject(cause);
          };
          writing.add(settle);
          socket.write(bytes, settle);
        });
      },
      end() {
        if (!closed) socket.end();
        return Promise.resolve();
      },
    },
    close: () => socket.destroy(),
  };
}
