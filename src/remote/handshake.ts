/** The preamble of protocol.ts: both sides say what they are before the first frame. */
import { checkPreamble, encodePreamble, PREAMBLE_LIMIT } from "./protocol.ts";
import type { ByteReader, ByteSink } from "./streams.ts";

export interface Build {
  readonly version: string;
  readonly build: string;
}

/** Sends our line; frames may follow it at once. */
export async function sendPreamble(sink: ByteSink, own: Build): Promise<void> {
  await sink.write(encodePreamble(own.version, own.build));
}

/**
 * Reads and checks the peer's line. Returns false when the stream ended before a whole line came.
 * @throws {ProtocolError} when the peer is another build, or no blocksync.
 */
export async function receivePreamble(reader: ByteReader, own: Build): Promise<boolean> {
  const { bytes, complete } = await reader.until(10, PREAMBLE_LIMIT);
  if (!complete && bytes.length < PREAMBLE_LIMIT) return false;
  checkPreamble(new TextDecoder().decode(bytes.subarray(0, complete ? -1 : undefined)), own.version, own.build);
  return true;
}
