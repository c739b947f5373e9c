/** Unpacks bytes through a program of this machine, which reads them on its standard input. */
import { IoError, systemCode, UnreachableError } from "../errors.ts";
import { createPipe } from "../local/kernel/libc.ts";
import { startChild } from "../remote/host/process.ts";
import type { ByteSource } from "../remote/wire/streams.ts";

/** Its own language, so that its words can be looked at, and none of the user's options. */
function environment(): Readonly<Record<string, string | undefined>> {
  const { XZ_OPT: _xz, XZ_DEFAULTS: _defaults, BZIP: _bzip, BZIP2: _bzip2, ...others } = process.env;
  return { ...others, LC_ALL: "C" };
}

/** bzip2 says this of what it leaves unread, and ends well. */
const LEFT_UNREAD = /trailing garbage/;

/** How long it is given to end by itself when nobody wants it any more. */
const POLITE_MS = 100;

/** `from` is Debian's package with the program. @throws {IoError} by reads. */
export function throughProgram(
  source: ByteSource,
  command: readonly string[],
  from: string,
  signal: AbortSignal,
): { readonly bytes: ByteSource; close(): Promise<void> } {
  const child = start(command, from, signal);
  let failure: { readonly cause: unknown } | undefined;
  const feed = async () => {
    try {
      for (;;) {
        const bytes = await source.read();
        if (bytes === undefined) break;
        await child.sink.write(bytes);
      }
    } catch (cause) {
      // One that has ended says why itself.
      if (systemCode(cause) !== "EPIPE") failure = { cause };
    }
    await child.sink.end();
  };
  const feeding = feed();
  return {
    bytes: {
      async read() {
        const bytes = await child.source.read();
        if (bytes !== undefined) return bytes;
        await feeding;
        if (failure !== undefined) throw failure.cause;
        const { status, text } = await child.ending();
        // What follows is advice for a terminal.
        const [words = text] = child.lastLines;
        if (status !== 0) throw new Error(words.replace(/;$/, ""));
        if (child.lastLines.some((line) => LEFT_UNREAD.test(line))) throw new Error("something else follows it");
        return undefined;
      },
    },
    close: () => child.stop(POLITE_MS),
  };
}

/** @throws {IoError} when the program cannot be started. */
function start(command: readonly string[], from: string, signal: AbortSignal) {
  try {
    return startChild(command, {
      env: environment(),
      createPipe,
      signal,
      outlastsTerminal: false,
      onLine: () => true,
    });
  } catch (cause) {
    if (!(cause instanceof UnreachableError)) throw cause;
    throw new IoError(cause.message, { cause, hint: `install ${from} on this machine, or unpack it first` });
  }
}
