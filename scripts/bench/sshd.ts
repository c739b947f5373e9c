/** A throwaway ssh server on this machine, with keys of its own, that touches nobody's ~/.ssh. */
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { must, run } from "./process.ts";

/** sshd is seldom on a user's PATH. */
const SERVER_DIRECTORIES = "/usr/sbin:/sbin:/usr/local/sbin";

const START_LIMIT_MS = 10_000;

/** The name by which the client's configuration knows the server. */
const HOST = "bench";

export interface SshServer extends AsyncDisposable {
  readonly host: string;
  /** For ssh -F. */
  readonly configFile: string;
}

/** There can be no server here; the message says why in one line. */
export class SshUnavailable extends Error {}

/** The kernel's choice; nothing keeps it free until sshd takes it, but nobody else is offered it soon. */
function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

function quoted(path: string): string {
  return `"${path}"`;
}

function serverConfig(directory: string, port: number): string {
  return [
    `Port ${port}`,
    "ListenAddress 127.0.0.1",
    `HostKey ${quoted(join(directory, "host_key"))}`,
    `AuthorizedKeysFile ${quoted(join(directory, "authorized_keys"))}`,
    "PidFile none",
    // The directory may lie below one that others can write to, such as /tmp.
    "StrictModes no",
    "UsePAM no",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    "PermitRootLogin prohibit-password",
    "PrintMotd no",
    "PrintLastLog no",
    "UseDNS no",
    "LogLevel ERROR",
    "",
  ].join("\n");
}

/** Names no user: ssh then takes the one this runs as, whom os.userInfo() of Bun does not know without USER. */
function clientConfig(directory: string, port: number): string {
  return [
    `Host ${HOST}`,
    "  HostName 127.0.0.1",
    `  Port ${port}`,
    `  IdentityFile ${quoted(join(directory, "user_key"))}`,
    "  IdentitiesOnly yes",
    "  IdentityAgent none",
    `  UserKnownHostsFile ${quoted(join(directory, "known_hosts"))}`,
    "  GlobalKnownHostsFile /dev/null",
    "  StrictHostKeyChecking yes",
    "  BatchMode yes",
    "  Compression no",
    "  ControlPath none",
    "  LogLevel ERROR",
    "",
  ].join("\n");
}

async function makeKeys(directory: string, port: number, signal: AbortSignal): Promise<void> {
  for (const name of ["host_key", "user_key"]) {
    await must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", join(directory, name)], signal);
  }
  copyFileSync(join(directory, "user_key.pub"), join(directory, "authorized_keys"));
  const hostKey = await Bun.file(join(directory, "host_key.pub")).text();
  writeFileSync(join(directory, "known_hosts"), `[127.0.0.1]:${port} ${hostKey}`);
}

async function stop(server: Bun.Subprocess): Promise<void> {
  server.kill("SIGTERM");
  await server.exited;
}

/** Logs in until it works. @throws {SshUnavailable} when the server ends instead, or takes too long. */
async function awaitLogin(server: Bun.Subprocess, configFile: string, logFile: string, signal: AbortSignal) {
  const deadline = performance.now() + START_LIMIT_MS;
  for (;;) {
    const { failure } = await run({ argv: ["ssh", "-F", configFile, HOST, "true"] }, signal);
    if (failure === undefined) return;
    if (server.exitCode !== null || performance.now() > deadline) {
      const log = (await Bun.file(logFile).text()).trim().split("\n").at(-1) ?? "";
      throw new SshUnavailable(log === "" ? `cannot log in at the throwaway sshd: ${failure}` : `sshd says: ${log}`);
    }
    await Bun.sleep(50);
  }
}

/**
 * Starts the server with its files in `directory`, which is the caller's to remove; disposing ends it.
 * @throws {SshUnavailable}
 */
export async function startSshServer(directory: string, signal: AbortSignal): Promise<SshServer> {
  // By its full path: sshd starts itself anew for each connection and insists on one.
  const program = Bun.which("sshd", { PATH: `${process.env["PATH"] ?? ""}:${SERVER_DIRECTORIES}` });
  if (program === null) throw new SshUnavailable("there is no sshd here");
  if (Bun.which("ssh") === null) throw new SshUnavailable("there is no ssh here");
  if (Bun.which("ssh-keygen") === null) throw new SshUnavailable("there is no ssh-keygen here");
  const port = freePort();
  await makeKeys(directory, port, signal);
  const [serverFile, configFile] = [join(directory, "sshd_config"), join(directory, "ssh_config")];
  writeFileSync(serverFile, serverConfig(directory, port));
  writeFileSync(configFile, clientConfig(directory, port));
  const logFile = join(directory, "sshd.log");
  const server = Bun.spawn([program, "-D", "-e", "-f", serverFile], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: Bun.file(logFile),
    // Out of the terminal's reach: Ctrl-C must not end it before the clients.
    detached: true,
  });
  try {
    await awaitLogin(server, configFile, logFile, signal);
  } catch (error) {
    await stop(server);
    throw error;
  }
  return { host: HOST, configFile, [Symbol.asyncDispose]: () => stop(server) };
}
