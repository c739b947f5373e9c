/** From a frame that carries leaves to block data that can be trusted in shape; both sides receive some. */
import { ProtocolError } from "../../errors.ts";
import { leafSetProblem } from "../../sync/blocks.ts";
import type { BlockData } from "../../sync/endpoint.ts";
import type { Received } from "./channel.ts";
import type { Compression } from "./compression.ts";
import type { PackedData } from "./packed.ts";

/**
 * Expands and checks the data of `frame`, which is released with the data, or here when something is wrong.
 * @throws {ProtocolError} unless it fits blocks of `length` bytes together and has `hashesLength` bytes of hashes.
 */
export async function receiveData(
  frame: Received,
  packed: PackedData,
  compression: Compression,
  length: number,
  hashesLength: number,
): Promise<BlockData> {
  const { hashes, leaves, zeros, expandedLength, body } = packed;
  try {
    if (hashes.length !== hashesLength)
      throw new ProtocolError(`Received ${hashes.length} bytes of hashes instead of ${hashesLength}`);
    if (expandedLength > length) throw new ProtocolError(`Received ${expandedLength} bytes for blocks of ${length}`);
    const expanded = await compression.expand(body, expandedLength);
    const release = () => {
      expanded.release();
      frame.release();
    };
    const data = { hashes, leaves, zeros, bytes: expanded.bytes, release };
    const problem = leafSetProblem(data, length);
    if (problem === undefined) return data;
    expanded.release();
    throw new ProtocolError(`Received blocks with ${problem}`);
  } catch (error) {
    frame.release();
    throw error;
  }
}
