/** The preamble of protocol.ts: both sides say what they are before the first frame. */
import { checkPreamble, encodePreamble, PREAMBLE_LIMIT } from "./protocol.ts";
import type { ByteReader, ByteSink } from "./streams.ts";

export interface Build {
  readonly version: string;
  readonly build: string;
  /** Whether this processor has the instructions that "gmac" is fast with. */
  readonly hasAes: boolean;
}

/** Sends our line; frames may follow it at once. */
export async function sendPreamble(sink: ByteSink, own: Build): Promise<void> {
  await sink.write(encodePreamble(own.version, own.build, own.hasAes));
}

/** What bootstrap.ts sends first, for a script that is not there when sshd has started serve in its place. */
const DIGEST_LINE = /^[0-9a-f]{64}$/;

/**
 * Reads and checks the peer's line; `skipDigest` leaves out one line of 64 hexadecimal digits before it, and only that.
 * Returns false when the stream ended before a whole line came.
 * @throws {ProtocolError} when the peer is another build, or no blocksync.
 */
export async function receivePreamble(reader: ByteReader, own: Build, skipDigest = false): Promise<boolean> {
  const { bytes, complete } = await reader.until(10, PREAMBLE_LIMIT);
  if (!complete && bytes.length < PREAMBLE_LIMIT) return false;
  const line = new TextDecoder().decode(bytes.subarray(0, complete ? -1 : undefined));
  if (skipDigest && complete && DIGEST_LINE.test(line)) return await receivePreamble(reader, own);
  checkPreamble(line, own.version, own.build);
  return true;
}
