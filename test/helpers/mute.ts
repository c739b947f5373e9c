/** A client of `blocksync serve` that opens a path honestly, then asks without ever reading an answer. */
import fs from "node:fs";
import { createPipe } from "../../src/local/kernel/libc.ts";
import { BINARY, until } from "./binary.ts";
import { ask, type Opening, type Parsed, parse, Type } from "./peer.ts";

/** So many looks, LOOK_MS apart, that find it at rest: it stands still. */
const STILL_LOOKS = 15;
const LOOK_MS = 10;

export interface MuteOptions {
  readonly opening: Opening;
  readonly size: number;
  /** Of serve, after the word. */
  readonly words?: readonly string[];
}

export class MuteClient {
  readonly child: Bun.Subprocess<number, number, "pipe">;
  readonly #input: number;
  readonly #output: number;
  /** Bytes that were taken so far. */
  taken = 0;
  #ended = false;
  #closed = false;
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(words: readonly string[]) {
    const [input, output] = [createPipe(), createPipe()];
    this.child = Bun.spawn([BINARY, "serve", ...words], {
      stdin: input.readEnd,
      stdout: output.writeEnd,
      stderr: "pipe",
    });
    for (const fd of [input.readEnd, output.writeEnd]) fs.closeSync(fd);
    // A write that waits would be one that cannot be waited for before its descriptor is closed.
    this.#input = fs.openSync(`/proc/self/fd/${input.writeEnd}`, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK);
    fs.closeSync(input.writeEnd);
    this.#output = output.readEnd;
    void this.child.exited.then(() => {
      this.#ended = true;
    });
  }

  /** Greets, opens and prepares, and reads what is said to that. */
  static async open({ opening, size, words = [] }: MuteOptions): Promise<MuteClient> {
    const client = new MuteClient(words);
    let read = Buffer.alloc(0);
    while (!read.includes(10)) read = Buffer.concat([read, await client.#read()]);
    const end = read.indexOf(10) + 1;
    await client.send(read.subarray(0, end));
    read = read.subarray(end);
    for (const request of [ask.open(1, opening), ask.prepare(2, size)]) await client.answer(request);
    return client;
  }

  /** The first answer to a request, but for signs of life. Rejects with the text of a failure. */
  async answer(request: Uint8Array): Promise<Parsed> {
    await this.send(request);
    for (let read = Buffer.alloc(0); ; read = Buffer.concat([read, await this.#read()])) {
      const answer = parse(read).frames.find(({ type }) => type !== Type.alive);
      if (answer?.type === Type.failed) throw new Error(answer.head.toString());
      if (answer !== undefined) return answer;
    }
  }

  #read(): Promise<Buffer> {
    const buffer = Buffer.alloc(65_536);
    return new Promise((resolve, reject) => {
      fs.read(this.#output, buffer, 0, buffer.length, null, (error, count) =>
        error === null && count > 0 ? resolve(buffer.subarray(0, count)) : reject(error ?? new Error("It has ended")),
      );
    });
  }

  /** Resolves when all of it was taken; rejects when the other side is gone. */
  async send(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      if (this.#closed) return;
      const writing = this.#write(bytes.subarray(done));
      this.#writing = writing;
      const count = await writing;
      if (count === 0) await Bun.sleep(LOOK_MS / 5);
      done += count;
      this.taken += count;
    }
  }

  /** Resolves with how much of it was taken, which may be nothing. */
  #write(bytes: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.write(this.#input, bytes, (error, written) => {
        if (error === null) resolve(written);
        else if (error.code === "EAGAIN") resolve(0);
        else reject(error);
      });
    });
  }

  /** Sends `request` of each number until `count` are taken or nothing more is; whether the other side ended does not matter. */
  flood(request: (number: number) => Uint8Array, count: number): void {
    const all = async () => {
      const batch = 256;
      for (let number = 0; number < count && !this.#closed; ) {
        const parts: Uint8Array[] = [];
        let length = 0;
        while (number < count && parts.length < batch && length < 1 << 20) {
          const part = request(number++);
          parts.push(part);
          length += part.length;
        }
        await this.send(Buffer.concat(parts));
      }
    };
    all().catch(() => undefined);
  }

  /** The value of a field of /proc/PID/status in bytes; undefined when it has ended. */
  #memory(name: string): number | undefined {
    try {
      const status = fs.readFileSync(`/proc/${this.child.pid}/status`, "utf8");
      const kib = new RegExp(`^${name}:\\s*(\\d+) kB$`, "m").exec(status)?.[1];
      return kib === undefined ? undefined : Number(kib) * 1024;
    } catch {
      return undefined;
    }
  }

  /** Whether one of its threads runs, or waits to, or for a disk (proc_pid_stat(5)). */
  #isBusy(): boolean {
    try {
      return fs.readdirSync(`/proc/${this.child.pid}/task`).some((thread) => {
        const stat = fs.readFileSync(`/proc/${this.child.pid}/task/${thread}/stat`, "latin1");
        return ["R", "D"].includes(stat.charAt(stat.lastIndexOf(")") + 2));
      });
    } catch {
      // A thread, or all of it, ended between the two looks.
      return true;
    }
  }

  /** Waits until it takes nothing more and does nothing more, or has ended; returns the most memory it had resident, but for its program. */
  async standstill(): Promise<number> {
    let [peak, still, before] = [0, 0, -1];
    while (still < STILL_LOOKS && !this.#ended) {
      // Without what is mapped of the program's own file, which the kernel takes back when it needs it.
      const [most, mapped] = [this.#memory("VmHWM"), this.#memory("RssFile")];
      if (most !== undefined && mapped !== undefined) peak = most - mapped;
      // Timers of its own wake it now and then.
      if (this.taken !== before) still = 0;
      else still = this.#isBusy() ? Math.max(0, still - 3) : still + 1;
      before = this.taken;
      await Bun.sleep(LOOK_MS);
    }
    return peak;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Goes away without a word; resolves when the other side has gone too. */
  async leave(): Promise<number> {
    this.#closed = true;
    // The number of a descriptor that is closed may be another client's at once, and what is written late would be its input.
    await this.#writing.catch(() => undefined);
    for (const fd of [this.#input, this.#output]) fs.closeSync(fd);
    await until("serve has ended with its client", () => this.#ended);
    return await this.child.exited;
  }
}
