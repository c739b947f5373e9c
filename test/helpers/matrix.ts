/**
 * A bench for getting the program to the far side: a real sshd on both loopback addresses. Who logs in as root gets a mount
 * namespace of its own, with the home and whatever else a cell of the matrix sets up; other users get their shell.
 */
import fs from "node:fs";
import { binaryDigest, placeProgram, type Result, run, until } from "./binary.ts";
import { bytes } from "./bytes.ts";
import { type Sshd, startSshd } from "./sshd.ts";
import { leftovers, throwawayUser, type User } from "./user.ts";

export const COPY = `blocksync-${binaryDigest()}`;
const CONTENTS = bytes(77, (1 << 20) + 5);

export interface Attempt {
  /** Where to, without the path: "root@127.0.0.1"; root on this machine unless told otherwise. */
  readonly host?: string;
  /** Further words for blocksync, before the two locations. */
  readonly words?: readonly string[];
  /** Lines before those of the ssh_config. */
  readonly config?: string;
  readonly env?: Record<string, string>;
  /** What a login as root does first, as a shell script; it ends with what runs the command. */
  readonly setup?: string;
}

export class Bench implements AsyncDisposable {
  readonly sshd: Sshd;
  /** Not under /tmp, over which a cell may mount something. */
  readonly dir: string;
  #count = 0;

  private constructor(sshd: Sshd, dir: string) {
    this.sshd = sshd;
    this.dir = dir;
  }

  static async start(lines: readonly string[] = []): Promise<Bench> {
    const dir = fs.mkdtempSync("/srv/blocksync-bench-");
    fs.chmodSync(dir, 0o755);
    fs.writeFileSync(`${dir}/s`, CONTENTS);
    fs.writeFileSync(`${dir}/enter`, `#!/bin/sh\nexec unshare -m --propagation private /bin/sh ${dir}/setup\n`, {
      mode: 0o755,
    });
    const sshd = await startSshd({
      lines: [
        "ListenAddress ::1",
        "PermitUserEnvironment no",
        ...lines,
        "Match User root",
        `ForceCommand ${dir}/enter`,
      ],
    });
    return new Bench(sshd, dir);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sshd[Symbol.asyncDispose]();
    fs.rmSync(this.dir, { recursive: true, force: true });
  }

  /** The home of root's logins. */
  get home(): string {
    return `${this.dir}/home`;
  }

  /** The directory in the home that copies are kept in, made with its parents. */
  cache(home = this.home): string {
    const path = `${home}/.cache/blocksync`;
    fs.mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  }

  /** Puts a file that notes when it is run in the place of the copy, or another. */
  plant(path: string): void {
    fs.writeFileSync(path, `#!/bin/sh\ntouch ${this.dir}/pwned\n`, { mode: 0o755 });
  }

  /** Puts the program itself where a run finds it, which spares an upload. */
  prepare(home: string, uid = 0): void {
    fs.mkdirSync(`${home}/.cache`, { recursive: true, mode: 0o700 });
    fs.chownSync(`${home}/.cache`, uid, uid);
    this.prepareIn(`${home}/.cache/blocksync`, uid);
  }

  /** Likewise in a directory of the user's, which is made. */
  prepareIn(directory: string, uid: number): void {
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const one of [directory, placeProgram(directory)]) fs.chownSync(one, uid, uid);
  }

  /** Gives `body` a user, and looks afterwards whether anything of a run is left. */
  async withUser<T>(shell: string, body: (user: User) => Promise<T>): Promise<T> {
    using user = throwawayUser(shell);
    const result = await body(user);
    const parts = leftovers(user)
      .flatMap((path) => fs.readdirSync(path))
      .filter((name) => name.startsWith("."));
    if (parts.length > 0) throw new Error(`left behind: ${parts.join(" ")}`);
    return result;
  }

  /** One run to a new file on the far side, and what has to hold whatever comes of it. */
  async attempt({ host = "127.0.0.1", words = [], config = "", env = {}, setup = "" }: Attempt): Promise<{
    readonly result: Result;
    readonly equal: boolean;
  }> {
    const destination = `${this.dir}/out/d${this.#count++}`;
    fs.mkdirSync(`${this.dir}/out`, { recursive: true });
    fs.chmodSync(`${this.dir}/out`, 0o1777);
    fs.mkdirSync(this.home, { recursive: true, mode: 0o700 });
    const shell = /(^|\s)exec /.test(setup) ? "" : 'exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"';
    fs.writeFileSync(`${this.dir}/setup`, `export HOME=${this.home}\ncd\n${setup}\n${shell}\n`);
    fs.writeFileSync(`${this.dir}/config`, `${config}\n${fs.readFileSync(this.sshd.configFile, "utf8")}`);
    const result = await run(["-x", `-F ${this.dir}/config`, ...words, `${this.dir}/s`, `${host}:${destination}`], {
      env,
    });
    if (fs.existsSync(`${this.dir}/pwned`)) throw new Error("a planted program was run");
    const equal = fs.existsSync(destination) && fs.readFileSync(destination).equals(CONTENTS);
    const cache = `${this.home}/.cache/blocksync`;
    const hasPart = () => fs.existsSync(cache) && fs.readdirSync(cache).some((name) => name.startsWith(".blocksync-"));
    await until("no part of a copy is left", () => !hasPart());
    return { result, equal };
  }

  /** The run has to succeed; returns its standard error. `said` has to be in it. */
  async works(attempt: Attempt, said: RegExp | string = ""): Promise<string> {
    const { result, equal } = await this.attempt(attempt);
    if (result.exitCode !== 0 || !equal)
      throw new Error(`exit ${result.exitCode}, equal ${equal}: ${result.stderr.slice(-2000)}`);
    if (!new RegExp(said).test(result.stderr)) throw new Error(`did not say ${said}: ${result.stderr.slice(-2000)}`);
    return "";
  }

  /** The run has to be refused with this exit code and a sentence that matches; returns the first line of it. */
  async refuses(attempt: Attempt, sentence: RegExp, exitCode = 5): Promise<string> {
    const { result, equal } = await this.attempt(attempt);
    if (result.exitCode !== exitCode || equal || !sentence.test(result.stderr))
      throw new Error(`exit ${result.exitCode}, equal ${equal}, not ${sentence}: ${result.stderr.slice(-2000)}`);
    return sentence.exec(result.stderr)?.[0] ?? "";
  }

  /** Forgets what root's logins left. */
  reset(): void {
    fs.rmSync(this.home, { recursive: true, force: true });
  }
}
