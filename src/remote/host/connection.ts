/** A connection to a far blocksync that ends with its login. */

import { UnreachableError } from "../../errors.ts";
import { quote } from "../../name.ts";
import { Channel } from "../wire/channel.ts";
import { receivePreamble } from "../wire/handshake.ts";
import type { ByteReader } from "../wire/streams.ts";
import { explainEnd, notStarted } from "./ending.ts";
import type { Login, Started } from "./login.ts";

export interface Connection {
  readonly channel: Channel;
  /** Bytes that crossed either way, but for those of bootstrapping. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly bytesBootstrapped: number;
  /** Whether the far processor has AES instructions. */
  readonly hasAes: boolean;
  /** Ends the connection and the far side with it. Never throws. */
  close(): Promise<void>;
}

/** One that ends with its login. */
export function directConnection({ started, reader, begun }: Login): Connection {
  const { child, host, options, patience } = started;
  const channel = new Channel(reader, child.sink);
  // The first request goes out before the peer's line is in, which spares a round trip.
  const running = receiveAll(channel, reader, started);
  channel.keepAlive(options.timeoutSeconds);
  return {
    channel,
    ...begun,
    get bytesSent() {
      return channel.bytesSent;
    },
    get bytesReceived() {
      return channel.bytesReceived;
    },
    async close() {
      channel.fail(new UnreachableError(`The connection to ${quote(host)} is closed`));
      await child.stop();
      await running;
      patience.stop();
    },
  };
}

/** Checks the peer's line, then receives until the end; whatever goes wrong is the channel's failure. Never throws. */
async function receiveAll(channel: Channel, reader: ByteReader, started: Started): Promise<void> {
  const { child, host, command, options, patience } = started;
  try {
    if (!(await receivePreamble(reader, options.own))) throw await notStarted(started);
    patience.run();
  } catch (error) {
    channel.fail(error);
    return;
  }
  await channel.run(undefined, () => explainEnd(child, host, command));
}
