/** Byte streams in memory, with counters: what one side writes the other reads, in pieces of any size. */
import type { ByteSink, ByteSource } from "../../src/remote/wire/streams.ts";

export interface Pipe {
  readonly source: ByteSource;
  readonly sink: ByteSink;
  /** Bytes that went through. */
  readonly count: () => number;
  /** Ends the stream at once, as a cut connection does. */
  cut(): void;
}

export function pipe(pieceLength = Number.POSITIVE_INFINITY): Pipe {
  const queue: Uint8Array[] = [];
  let ended = false;
  let total = 0;
  let wake: (() => void) | undefined;
  return {
    count: () => total,
    cut() {
      queue.length = 0;
      ended = true;
      wake?.();
    },
    source: {
      async read() {
        for (;;) {
          const chunk = queue.shift();
          if (chunk !== undefined) {
            if (chunk.length > pieceLength) queue.unshift(chunk.subarray(pieceLength));
            return chunk.subarray(0, Math.min(pieceLength, chunk.length));
          }
          if (ended) return undefined;
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      },
    },
    sink: {
      write(chunk) {
        if (ended) return Promise.reject(new Error("The stream has ended"));
        total += chunk.length;
        if (chunk.length > 0) queue.push(new Uint8Array(chunk));
        wake?.();
        return Promise.resolve();
      },
      end() {
        ended = true;
        wake?.();
        return Promise.resolve();
      },
    },
  };
}
