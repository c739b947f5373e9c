/** From a frame that carries leaves to block data that can be trusted in shape; both sides receive some. */
import { ProtocolError } from "../../errors.ts";
import { leafSetProblem } from "../../sync/blocks.ts";
import type { BlockData } from "../../sync/endpoint.ts";
import type { Received } from "./channel.ts";
import type { Compression } from "./compression.ts";
import type { PackedData } from "./packed.ts";

/**
 * Expands and checks the data of `frame`, which is released with the data, or here when something is wrong.
 * @throws {ProtocolError} unless it fits a block of `blockLength` bytes and has a hash of `hashSize`.
 */
export async function receiveData(
  frame: Received,
  packed: PackedData,
  compression: Compression,
  blockLength: number,
  hashSize: number,
): Promise<BlockData> {
  const { hash, leaves, zeros, expandedLength, body } = packed;
  try {
    if (hash.length !== hashSize)
      throw new ProtocolError(`Received a hash of ${hash.length} bytes instead of ${hashSize}`);
    if (expandedLength > blockLength)
      throw new ProtocolError(`Received ${expandedLength} bytes for a block of ${blockLength}`);
    const expanded = await compression.expand(body, expandedLength);
    const release = () => {
      expanded.release();
      frame.release();
    };
    const data = { hash, leaves, zeros, bytes: expanded.bytes, release };
    const problem = leafSetProblem(data, blockLength);
    if (problem === undefined) return data;
    expanded.release();
    throw new ProtocolError(`Received a block with ${problem}`);
  } catch (error) {
    frame.release();
    throw error;
  }
}
