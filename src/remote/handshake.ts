/** The preamble of protocol.ts: both sides say what they are before the first frame. */
import { checkPreamble, encodePreamble, PREAMBLE_LIMIT } from "./protocol.ts";
import type { ByteReader, ByteSink } from "./streams.ts";

export interface Build {
  readonly version: string;
  readonly build: string;
}

/**
 * Sends our line and checks the peer's. Returns false when the stream ended before a whole line came.
 * @throws {ProtocolError} when the peer is another build, or no blocksync.
 */
export async function shakeHands(reader: ByteReader, sink: ByteSink, own: Build): Promise<boolean> {
  await sink.write(encodePreamble(own.version, own.build));
  const { bytes, complete } = await reader.until(10, PREAMBLE_LIMIT);
  if (!complete && bytes.length < PREAMBLE_LIMIT) return false;
  checkPreamble(new TextDecoder().decode(bytes.subarray(0, complete ? -1 : undefined)), own.version, own.build);
  return true;
}
