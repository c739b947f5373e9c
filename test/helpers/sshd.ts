/** A throwaway sshd on loopback: own port, host key, user key and configuration, gone with its `using` scope. */
import fs from "node:fs";
import { join } from "node:path";
import { until } from "./binary.ts";
import { type TempDir, tempDir } from "./temp.ts";

export interface Sshd extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Words for blocksync that make its ssh use this server: -x "-F CONFIG". */
  readonly words: readonly string[];
  readonly configFile: string;
  readonly log: () => string;
  readonly pid: number;
}

/** sshd is seldom on a user's PATH; undefined where there is none. */
export const SSHD = Bun.which("sshd", { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin:/usr/local/sbin` }) ?? undefined;

/** A port of 127.0.0.1 that nobody listens on: nothing keeps it free, but the kernel offers it to nobody else soon. */
export function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

function quiet(argv: string[]): void {
  const result = Bun.spawnSync(argv);
  if (result.exitCode !== 0) throw new Error(`${argv.join(" ")}: ${result.stderr.toString()}`);
}

export interface SshdOptions {
  /** Further lines of sshd_config. */
  readonly lines?: readonly string[];
  /** What stands before the key in authorized_keys. */
  readonly keyOptions?: string;
  /** Goes before sshd, such as nsenter. */
  readonly argv0?: readonly string[];
  /** For its files; it stays the caller's. */
  readonly directory?: string;
}

function directoryOf(path: string): TempDir {
  return { path, file: (name) => join(path, name), [Symbol.dispose]: () => undefined };
}

/** @throws {Error} with what sshd says where it does not start. */
export async function startSshd(options: SshdOptions = {}): Promise<Sshd> {
  if (SSHD === undefined) throw new Error("there is no sshd here");
  const dir = options.directory === undefined ? tempDir() : directoryOf(options.directory);
  // ssh splits file names in its configuration at spaces, so they are quoted below.
  const port = freePort();
  const user = Bun.spawnSync(["id", "-un"]).stdout.toString().trim();
  for (const key of ["host_key", "id"]) quiet(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", dir.file(key)]);
  const publicKey = fs.readFileSync(dir.file("id.pub"), "utf8");
  fs.writeFileSync(
    dir.file("authorized_keys"),
    options.keyOptions === undefined ? publicKey : `${options.keyOptions} ${publicKey}`,
  );
  fs.writeFileSync(
    dir.file("sshd_config"),
    [
      `Port ${port}`,
      "ListenAddress 127.0.0.1",
      `HostKey "${dir.file("host_key")}"`,
      `AuthorizedKeysFile "${dir.file("authorized_keys")}"`,
      "StrictModes no",
      "UsePAM no",
      "PasswordAuthentication no",
      "PermitRootLogin yes",
      "PidFile none",
      "AcceptEnv BLOCKSYNC_* TEST_*",
      ...(options.lines ?? []),
      // Whoever runs the tests may have a ~/.bashrc that takes longer than the rest of the login; bash leaves it out where
      // it believes to run within another shell. Users made for a test have theirs read.
      `Match User ${user}`,
      "  SetEnv SHLVL=1",
      "",
    ].join("\n"),
  );
  // sshd reads it as the user who logs in, who need not be root.
  fs.chmodSync(dir.path, 0o711);
  const hostKey = fs.readFileSync(dir.file("host_key.pub"), "utf8");
  fs.writeFileSync(dir.file("known_hosts"), `[127.0.0.1]:${port} ${hostKey}`);
  fs.writeFileSync(
    dir.file("ssh_config"),
    [
      "Host *",
      `  Port ${port}`,
      `  IdentityFile "${dir.file("id")}"`,
      "  IdentitiesOnly yes",
      `  UserKnownHostsFile "${dir.file("known_hosts")}"`,
      "  SendEnv BLOCKSYNC_* TEST_*",
      // What OpenSSH prefers, against quantum computers, takes a client 75 ms of a core; there are hundreds of logins.
      "  KexAlgorithms curve25519-sha256",
      "",
    ].join("\n"),
  );
  // Only as root does it want one, and only root can make it.
  if (process.getuid?.() === 0) fs.mkdirSync("/run/sshd", { recursive: true });
  const log = dir.file("log");
  const argv = [...(options.argv0 ?? []), SSHD, "-D", "-f", dir.file("sshd_config"), "-E", log];
  const daemon = Bun.spawn(argv, { stdio: ["ignore", "ignore", "ignore"] });
  const readLog = () => (fs.existsSync(log) ? fs.readFileSync(log, "utf8") : "");
  await until("sshd listens", () => {
    if (daemon.exitCode !== null) throw new Error(`sshd ended: ${readLog().trimEnd().split("\n").at(-1)}`);
    return readLog().includes("Server listening");
  });
  return {
    host: "127.0.0.1",
    port,
    user,
    configFile: dir.file("ssh_config"),
    words: ["-x", `-F "${dir.file("ssh_config")}"`],
    log: readLog,
    pid: daemon.pid,
    async [Symbol.asyncDispose]() {
      daemon.kill();
      await daemon.exited;
      dir[Symbol.dispose]();
    },
  };
}
