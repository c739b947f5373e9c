/**
 * How a lane shows that it belongs to a run whose first lane has claimed the destination, where the client's word is not
 * enough (serve --only): the first lane's serve listens under a name that only who knows the run's seed can make, for the file
 * or device it has claimed; that of a further lane on the same machine connects, and writes as long as that holds. The socket
 * is an abstract one (unix(7)): no file stays behind, and it is gone with its process.
 */
import type net from "node:net";
import { loadNet } from "../builtin.ts";

/** More than there are lanes. */
const MAX_CONNECTIONS = 256;

export interface Standing {
  /** False once the other side is gone. */
  readonly holds: boolean;
  close(): void;
}

function nameOf(seed: Uint8Array, identity: string): string {
  return `\0blocksync-${new Bun.CryptoHasher("sha256").update(seed).update(identity).digest("hex")}`;
}

/** Shows until close() that the file or device of that identity is claimed for the run with this seed. */
export async function showClaim(seed: Uint8Array, identity: string): Promise<Standing> {
  const lanes = new Set<net.Socket>();
  const server = loadNet().createServer((socket) => {
    if (lanes.size >= MAX_CONNECTIONS) {
      socket.destroy();
      return;
    }
    lanes.add(socket);
    // Nothing is said here.
    socket.on("data", () => socket.destroy());
    socket.on("error", () => undefined);
    socket.on("close", () => lanes.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(nameOf(seed, identity), resolve);
  });
  return {
    holds: true,
    close() {
      server.close();
      for (const socket of lanes) socket.destroy();
    },
  };
}

/** Joins what showClaim() shows; undefined where nobody shows it. */
export async function joinClaim(seed: Uint8Array, identity: string): Promise<Standing | undefined> {
  const socket = loadNet().connect(nameOf(seed, identity));
  let holds = await new Promise<boolean>((resolve) => {
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
  });
  if (!holds) return undefined;
  const end = () => {
    holds = false;
  };
  socket.on("error", end);
  socket.on("close", end);
  socket.resume();
  return {
    get holds() {
      return holds;
    },
    close: () => socket.destroy(),
  };
}
