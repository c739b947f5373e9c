/** A user of this machine for the length of a test, with a home and nothing in it; root only. */
import fs from "node:fs";

export interface User extends Disposable {
  readonly name: string;
  readonly uid: number;
  readonly home: string;
  /** Makes `path` (a program) what sshd starts for this user. */
  useShell(path: string): void;
  /** Writes a file of the user's. */
  write(name: string, text: string, mode?: number): void;
}

let count = 0;

function done(...words: string[]): void {
  for (let attempt = 0; ; attempt++) {
    const result = Bun.spawnSync(words);
    if (result.exitCode === 0) return;
    const said = result.stderr.toString();
    // Somebody else on this machine makes a user at the moment.
    if (attempt < 50 && /lock/.test(said)) Bun.sleepSync(50);
    else throw new Error(`${words.join(" ")}: ${said}`);
  }
}

/** Where a run may leave something of this user's, whatever its directories are. */
export function leftovers(user: User): string[] {
  return ["/var/tmp", "/dev/shm", "/tmp"]
    .map((path) => `${path}/blocksync-${user.uid}`)
    .filter((path) => fs.existsSync(path));
}

/** The home is new and empty. The account has no password, and is not locked. */
export function throwawayUser(shell = "/bin/sh"): User {
  const name = `bsync-${process.pid}-${count++}`;
  const home = `/var/tmp/${name}`;
  done("/usr/sbin/useradd", "-M", "-d", home, "-s", shell, "-p", "*", name);
  const id = (option: string) => Number(Bun.spawnSync(["id", option, name]).stdout.toString());
  const [uid, gid] = [id("-u"), id("-g")];
  // Not by useradd, which would copy a skeleton into it.
  fs.mkdirSync(home, { mode: 0o755 });
  fs.chownSync(home, uid, gid);
  const user: User = {
    name,
    uid,
    home,
    useShell: (path) => done("/usr/sbin/usermod", "-s", path, name),
    write(file, text, mode = 0o644) {
      fs.writeFileSync(`${home}/${file}`, text, { mode });
      fs.chownSync(`${home}/${file}`, uid, gid);
    },
    [Symbol.dispose]() {
      for (const path of leftovers(user)) fs.rmSync(path, { recursive: true, force: true });
      done("/usr/sbin/userdel", "-f", name);
      fs.rmSync(home, { recursive: true, force: true });
    },
  };
  return user;
}
