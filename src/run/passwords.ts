/** Asks on the terminal for the passwords of far sudos: each once, for all lanes, without echo, kept in memory only. */

import { nameOf, quote } from "../name.ts";
import { onAbort } from "../sync/abort.ts";
import { untilForeground } from "./terminal.ts";

/** Longer than any password; what comes beyond is not kept. */
const MAX_LENGTH = 1024;

export class Passwords {
  readonly #signal: AbortSignal;
  readonly #known = new Map<string, string>();
  /** One question at a time. */
  #asking: Promise<unknown> = Promise.resolve();

  /** `signal` ends a question. */
  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** The same, with what is known already, until `signal` ends a question. */
  until(signal: AbortSignal): Passwords {
    const others = new Passwords(signal);
    for (const [host, password] of this.#known) others.#known.set(host, password);
    return others;
  }

  /** The password of sudo at `host`, whose bytes bytesOf() has, whatever the terminal writes; `isWrong` when the last one was. Rejects when interrupted. */
  readonly ask = (host: string, isWrong: boolean): Promise<string> => {
    if (isWrong) this.#known.delete(host);
    const answer = this.#asking.then(async () => {
      const known = this.#known.get(host);
      if (known !== undefined) return known;
      const again = isWrong ? "Not accepted. " : "";
      await untilForeground(this.#signal);
      const password = await askHidden(`${again}Password for sudo on ${quote(host)}: `, this.#signal);
      this.#known.set(host, password);
      return password;
    });
    this.#asking = answer.catch(() => undefined);
    return answer;
  };
}

/** Reads a line from the terminal that is standard input, showing nothing of it. */
function askHidden(question: string, signal: AbortSignal): Promise<string> {
  const { stdin } = process;
  return new Promise((resolve, reject) => {
    let line = "";
    const end = () => {
      interrupting[Symbol.dispose]();
      stdin.off("data", take);
      stdin.setRawMode(false);
      stdin.pause();
      process.stderr.write("\n");
    };
    const take = (data: Buffer) => {
      for (const character of nameOf(data)) {
        if (character === "\r" || character === "\n" || character === "\u0004") {
          end();
          resolve(line);
          return;
        }
        // In raw mode the terminal sends Ctrl-C as a character; hand it on as the signal it stands for.
        if (character === "\u0003") process.kill(process.pid, "SIGINT");
        else if (character === "\u007f" || character === "\b") line = [...line].slice(0, -1).join("");
        else if (character === "\u0015") line = "";
        else if (line.length < MAX_LENGTH) line += character;
      }
    };
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const interrupting = onAbort(signal, () => {
      end();
      reject(signal.reason);
    });
    stdin.setRawMode(true);
    process.stderr.write(question);
    stdin.on("data", take);
    stdin.resume();
  });
}
