/** Connects to a far blocksync, for one login or for as many as it takes. */

import { programPath } from "../../given.ts";
import { type Connection, directConnection } from "./connection.ts";
import { lastingConnection } from "./lasting-connection.ts";
import { type ConnectOptions, greet, logIn, start } from "./login.ts";
import type { RemoteHost } from "./ssh.ts";

export async function connect(remote: RemoteHost, options: ConnectOptions): Promise<Connection> {
  if (options.reconnectMs === 0) return directConnection(await logIn(remote, options));
  return await lastingConnection(remote.host, options, (...words) => logIn(remote, ...words));
}

/** Runs blocksync on this machine through sudo, as a far side without a network. sudo asks on the terminal itself. */
export async function connectThroughSudo(options: ConnectOptions): Promise<Connection> {
  const argv = ["sudo", "--", options.script ?? programPath(), "serve"];
  options.tell({ kind: "login", host: "localhost" });
  options.tell({ kind: "detail", text: `Running: ${argv.join(" ")}` });
  // sudo asks for as long as it likes, so the login lasts until the first line of blocksync itself.
  const started = start(argv, { host: "localhost", byHand: "sudo true" }, options);
  const begun = { bytesBootstrapped: 0, hasAes: options.own.hasAes };
  return directConnection(await greet(started, undefined, () => Promise.resolve(begun)));
}
