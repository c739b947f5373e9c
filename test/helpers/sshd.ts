/** A throwaway sshd on loopback: own port, host key, user key and configuration, gone with its `using` scope. */
import fs from "node:fs";
import { createServer } from "node:net";
import { until } from "./binary.ts";
import { type TempDir, tempDir } from "./temp.ts";

export interface Sshd extends AsyncDisposable {
  readonly port: number;
  readonly user: string;
  /** Words for blocksync that make its ssh use this server: -x "-F CONFIG". */
  readonly words: readonly string[];
  readonly configFile: string;
  readonly log: () => string;
  readonly pid: number;
}

/** A port of 127.0.0.1 that nobody listens on. */
export async function freePort(): Promise<number> {
  return await new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        typeof address === "object" && address !== null ? resolve(address.port) : reject(new Error("no port")),
      );
    });
  });
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
}

export async function startSshd(options: SshdOptions = {}): Promise<Sshd> {
  const dir: TempDir = tempDir();
  // ssh splits file names in its configuration at spaces, so they are quoted below.
  const port = await freePort();
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
  fs.mkdirSync("/run/sshd", { recursive: true });
  const log = dir.file("log");
  const daemon = Bun.spawn(
    [...(options.argv0 ?? []), "/usr/sbin/sshd", "-D", "-f", dir.file("sshd_config"), "-E", log],
    {
      stdio: ["ignore", "ignore", "ignore"],
    },
  );
  const readLog = () => (fs.existsSync(log) ? fs.readFileSync(log, "utf8") : "");
  await until("sshd listens", () => readLog().includes("Server listening"));
  return {
    port,
    user: Bun.spawnSync(["id", "-un"]).stdout.toString().trim(),
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
