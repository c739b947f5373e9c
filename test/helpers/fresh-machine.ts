/**
 * A machine as a new user has it, within this one: what is written to its /root, /usr/local and /srv is seen in it alone and gone
 * with it. It has a terminal, and a host called "backup" that ssh reaches by its configuration: itself. Root only.
 */
import fs from "node:fs";
import { detachBelow } from "./loop.ts";
import { startSshd } from "./sshd.ts";
import { type TempDir, tempDir } from "./temp.ts";
import { startTmux, type Tmux } from "./tmux.ts";

export interface FreshMachine extends AsyncDisposable {
  /** A directory for what the user works on. */
  readonly dir: TempDir;
  /** A shell in that directory. */
  readonly terminal: Tmux;
  /** Goes before a command that is to run there. */
  readonly enter: readonly string[];
}

const PLACES = ["root", "usr/local", "srv"];

/** Mounts a layer over each place, says so, and keeps them until its input ends. */
const HOLD = `set -e
mkdir "$1"/layers; mount -t tmpfs tmpfs "$1"/layers; cd "$1"/layers
for place in ${PLACES.join(" ")}; do
  mkdir -p "$place"/upper "$place"/work
  mount -t overlay overlay -o lowerdir=/"$place",upperdir="$place"/upper,workdir="$place"/work /"$place"
done
rm -rf /root/.cache/blocksync; mkdir -p /root/.ssh /srv/images; chmod 700 /root/.ssh
echo ready; cat >/dev/null`;

export async function startFreshMachine(columns = 100, rows = 50): Promise<FreshMachine> {
  await using stack = new AsyncDisposableStack();
  const dir = stack.use(tempDir());
  const holder = Bun.spawn(["unshare", "--mount", "sh", "-c", HOLD, "sh", dir.path], { stdin: "pipe", stdout: "pipe" });
  stack.defer(async () => {
    holder.stdin.end();
    await holder.exited;
  });
  stack.defer(() => detachBelow(dir.path));
  const { value } = await holder.stdout.getReader().read();
  if (value === undefined) throw new Error("No mount namespace could be made");
  const enter = ["nsenter", `--mount=/proc/${holder.pid}/ns/mnt`];
  const sshd = stack.use(await startSshd({ argv0: enter }));
  fs.writeFileSync(
    `/proc/${holder.pid}/root/root/.ssh/config`,
    `Host backup\n  HostName 127.0.0.1\n${fs.readFileSync(sshd.configFile, "utf8")}`,
    { mode: 0o600 },
  );
  fs.mkdirSync(dir.file("home"));
  const terminal = stack.use(await startTmux(dir.file("home"), columns, rows, enter));
  const held = stack.move();
  return { dir, terminal, enter, [Symbol.asyncDispose]: () => held.disposeAsync() };
}
