/** A throwaway dropbear on loopback, for one user and the key of the bench's sshd. */
import fs from "node:fs";
import { dirname } from "node:path";
import { until } from "./binary.ts";
import type { Bench } from "./matrix.ts";
import { freePort } from "./sshd.ts";
import type { User } from "./user.ts";

export interface Dropbear extends AsyncDisposable {
  /** Lines for ssh_config that lead to it. */
  readonly config: string;
}

export async function startDropbear(bench: Bench, user: User): Promise<Dropbear> {
  const port = freePort();
  const key = `${bench.dir}/dropbear_key_${port}`;
  const made = Bun.spawnSync(["dropbearkey", "-t", "ed25519", "-f", key]);
  if (made.exitCode !== 0) throw new Error(made.stderr.toString());
  fs.mkdirSync(`${user.home}/.ssh`, { mode: 0o700 });
  fs.chownSync(`${user.home}/.ssh`, user.uid, user.uid);
  user.write(".ssh/authorized_keys", fs.readFileSync(`${dirname(bench.sshd.configFile)}/id.pub`, "utf8"), 0o600);
  const daemon = Bun.spawn(
    ["/usr/sbin/dropbear", "-F", "-E", "-r", key, "-p", `127.0.0.1:${port}`, "-P", `${key}.pid`],
    {
      stdio: ["ignore", "ignore", "ignore"],
    },
  );
  await until("dropbear listens", async () => {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data: () => undefined } }).catch(
      () => undefined,
    );
    socket?.end();
    return socket !== undefined;
  });
  return {
    config: `Port ${port}\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR`,
    async [Symbol.asyncDispose]() {
      daemon.kill();
      await daemon.exited;
    },
  };
}
